/**
 * Messages of one size over TCP, for the benchmark of their round trips, a program at each end:
 *
 *     message-probe.ts echo PORT
 *     message-probe.ts ping HOST PORT COUNT INTERVAL_MS BYTES    prints { received, roundTripsMs }, in the order of the messages
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";

/** Messages that are still on their way when the last was sent are waited for as long as this. */
const PATIENCE_MS = 10_000;
/** As often is looked whether the next message is due. */
const TICK_MS = 1;

async function echo(port: number): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  await once(server.listen(port, "0.0.0.0"), "listening");
}

async function ping(host: string, port: number, count: number, intervalMs: number, bytes: number): Promise<void> {
  const socket = connect({ host, port, noDelay: true });
  await once(socket, "connect");
  const roundTripsMs: number[] = [];
  let rest = Buffer.alloc(0);
  const all = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (; rest.length >= bytes; rest = rest.subarray(bytes)) {
        roundTripsMs.push(Math.round((performance.now() - rest.readDoubleBE(0)) * 100) / 100);
      }
      if (roundTripsMs.length === count) resolve();
    });
  });
  const startMs = performance.now();
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, 1 + Math.floor((performance.now() - startMs) / intervalMs));
    for (; sent < due; sent++) {
      const message = Buffer.alloc(bytes);
      message.writeDoubleBE(performance.now(), 0);
      socket.write(message);
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  process.stdout.write(`${JSON.stringify({ received: roundTripsMs.length, roundTripsMs })}\n`, () => process.exit(0));
}

const [mode, ...words] = process.argv.slice(2);
if (mode === "echo") await echo(Number(words[0]));
else if (mode === "ping") {
  const [host, ...rest] = words;
  const [port, count, intervalMs, bytes] = rest.map(Number);
  await ping(host, port, count, intervalMs, bytes);
} else throw new Error("message-probe.ts echo|ping");
