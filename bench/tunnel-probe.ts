/**
 * Datagrams for the benchmark of tunnels, a program at each end, whose clocks are one:
 *
 *     tunnel-probe.ts echo ADDRESS                              returns what it gets
 *     tunnel-probe.ts ping ADDRESS COUNT INTERVAL_MS            64 bytes each; prints { sent, lost, delaysMs: round trips }
 *     tunnel-probe.ts sink ADDRESS COUNT PATIENCE_MS            prints { sent, lost, numbers, delaysMs: one way }, as they came
 *     tunnel-probe.ts send ADDRESS COUNT INTERVAL_MS BYTES
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

const PORT = 7100;
const PATIENCE_MS = 3000;
const [mode, address, ...rest] = process.argv.slice(2);
const options = rest.map(Number);
const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
const nowMs = () => Number(process.hrtime.bigint()) / 1e6;
const numbers: number[] = [];
const delaysMs: number[] = [];

/** Sends numbered datagrams at an even pace, with the time in each. */
async function send(count: number, intervalMs: number, bytes: number): Promise<void> {
  const data = Buffer.alloc(bytes);
  const startMs = nowMs();
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, 1 + Math.floor((nowMs() - startMs) / intervalMs));
    for (; sent < due; sent++) {
      data.writeUInt32BE(sent);
      data.writeDoubleBE(nowMs(), 4);
      socket.send(Uint8Array.from(data), PORT, address, () => {});
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(intervalMs, 2)));
  }
}

function collect(count: number): Promise<void> {
  const seen = new Set<number>();
  return new Promise((resolve) => {
    socket.on("message", (message) => {
      const number = message.readUInt32BE();
      if (seen.has(number)) return;
      seen.add(number);
      numbers.push(number);
      delaysMs.push(nowMs() - message.readDoubleBE(4));
      if (seen.size === count) resolve();
    });
  });
}

function report(sent: number): void {
  const text = JSON.stringify({ sent, lost: sent - delaysMs.length, numbers, delaysMs }, (_, value) =>
    typeof value === "number" ? Math.round(value * 100) / 100 : value,
  );
  // A pipe takes so much only while the event loop runs.
  process.stdout.write(`${text}\n`, () => process.exit(0));
}

if (mode === "echo" || mode === "sink") {
  socket.bind(PORT, address);
  await once(socket, "listening");
}
if (mode === "echo") {
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
} else if (mode === "sink") {
  const [count, patienceMs] = options;
  await Promise.race([collect(count), new Promise((resolve) => setTimeout(resolve, patienceMs))]);
  report(count);
} else if (mode === "ping") {
  const [count, intervalMs] = options;
  const all = collect(count);
  await send(count, intervalMs, 64);
  await Promise.race([all, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  report(count);
} else {
  const [count, intervalMs, bytes] = options;
  await send(count, intervalMs, bytes);
  socket.close();
}
