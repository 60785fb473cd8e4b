/**
 * How much memory a long transfer takes: 1 GiB through the built `bats-proxy`, default settings, over a relay on loopback that loses
 * 10 % of datagrams each way; and the same without loss to a reader that is slow. Peak resident memory of either end (Linux).
 *
 *     npm run bench:memory                   # 1 GiB; some minutes
 *     npm run bench:memory -- --mib 100
 *
 * The goal: below the windows, which are at most the session's 64 MiB at either end, and 150 MiB.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Relay } from "../test/api/relay.ts";
import { Command, createCertificates } from "../test/cli/command.ts";

const WINDOW_MIB = 64;
const GOAL_MIB = WINDOW_MIB + 150;
const LOSS = 0.1;
/** What the slow reader takes at once, and then waits. */
const SLOW_BYTES = 4 * 1024 * 1024;
const SLOW_PAUSE_MS = 200;
/** The slow reader's share of the transfer, for it would take an hour. */
const SLOW_SHARE = 1 / 8;

const { values } = parseArgs({ options: { mib: { type: "string", default: "1024" } } });
const chunk = Buffer.alloc(1024 * 1024, 1);
const totalBytes = Number(values.mib) * chunk.length;

function peakMib(command: Command): number {
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${command.child.pid}/status`, "utf8"))![1]) / 1024;
}

/** Transfers; the peaks of client and server. */
async function transfer(bytes: number, loss: number, slow: boolean): Promise<{ peaks: number[]; seconds: number }> {
  const certificates = await createCertificates();
  let got = 0;
  let done: () => void = () => {};
  const whole = new Promise<void>((resolve) => {
    done = resolve;
  });
  const sink = createServer((socket) => {
    socket.on("error", () => {});
    let sincePause = 0;
    socket.on("data", (chunk) => {
      got += chunk.length;
      sincePause += chunk.length;
      if (!slow || sincePause < SLOW_BYTES) return;
      sincePause = 0;
      socket.pause();
      setTimeout(() => socket.resume(), SLOW_PAUSE_MS);
    });
    socket.on("end", done);
  }).listen(0, "127.0.0.1");
  await once(sink, "listening");
  const target = `tcp:127.0.0.1:${(sink.address() as AddressInfo).port}`;
  const allow = ["--allow", `edge-1=${target}`];
  const server = new Command(["server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"), ...allow]);
  const relay = await Relay.open(Number(/:(\d+),/.exec(await server.line(/serving on UDP/))![1]), { loss });
  const forward = ["-L", `tcp:127.0.0.1:0=${target}`];
  const client = new Command([
    "client",
    "--connect",
    `localhost:${relay.port}`,
    ...certificates.of("edge-1"),
    ...forward,
  ]);
  try {
    await client.line(/connected to/);
    const socket = connect(Number(/:(\d+) for/.exec(await client.line(/listening at/))![1]), "127.0.0.1");
    // When both ends are killed, if not before; then bytes are missing.
    socket.on("error", done);
    const startMs = performance.now();
    for (let sent = 0; sent < bytes; sent += chunk.length) if (!socket.write(chunk)) await once(socket, "drain");
    socket.end();
    await whole;
    if (got !== bytes) throw new Error(`${got} of ${bytes} bytes arrived`);
    await delay(500);
    return { peaks: [peakMib(client), peakMib(server)], seconds: (performance.now() - startMs) / 1000 };
  } finally {
    await Promise.all([client.kill(), server.kill()]);
    await relay.close();
    sink.close();
    certificates.remove();
  }
}

let missed = false;
for (const [what, bytes, loss, slow] of [
  ["10 % loss each way", totalBytes, LOSS, false],
  ["no loss, a slow reader", Math.ceil(Number(values.mib) * SLOW_SHARE) * chunk.length, 0, true],
] as const) {
  const { peaks, seconds } = await transfer(bytes, loss, slow);
  const over = Math.max(...peaks) > GOAL_MIB;
  missed ||= over;
  const [client, server] = peaks.map((mib) => mib.toFixed(0));
  console.log(
    `${(bytes / 2 ** 20).toFixed(0)} MiB, ${what}: ${seconds.toFixed(0)} s, peak ${client} MiB at the client, ${server} MiB at the server; goal ${GOAL_MIB} MiB${over ? ": missed" : ""}`,
  );
}
process.exit(missed ? 1 : 0);
