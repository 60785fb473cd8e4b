/**
 * Small messages over TCP through `bats-proxy`, default settings, both ends built from this tree, beside TCP itself: 1024 bytes a hundred
 * times a second, echoed, over an emulated link (lab.ts) that is as three hops of 5 ms, with up to 1 ms of jitter and 2 % loss each.
 *
 *     npm run bench:messages -- [--seconds 60] [--realtime] [--json FILE]
 *
 * A message that waits for a lost one waits in its figures too. Bytes are those of IP packets from the edge to the cloud, over what
 * the messages would be in a TCP packet each. realtime: ends and link get the processor first, where others use the machine. Exits
 * with 1 when a goal is missed. Needs root, a C compiler, iproute2 and a kernel with BBR.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startForward } from "./commands.ts";
import { CLOUD_IP, Lab } from "./lab.ts";

const PROBE = fileURLToPath(new URL("message-probe.ts", import.meta.url));
const HOPS = 3;
const LINK = {
  rateMbps: 100,
  delayMs: HOPS * 5,
  jitterMs: 1,
  hops: HOPS,
  lossPercent: 100 * (1 - (1 - 0.02) ** HOPS),
};
const BYTES = 1024;
const IP_TCP_BYTES = 40;
const INTERVAL_MS = 10;
const TARGET_PORT = 7201;
const FORWARD_PORT = 7202;
const GOALS = { p50: 37, p99: 47, "p99.9": 62, bytes: 3 };

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    realtime: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const count = (Number(values.seconds) * 1000) / INTERVAL_MS;

interface Result {
  name: string;
  lost: number;
  measured: typeof GOALS;
}

/** `prepare` gives where the edge finds the echo. */
async function measure(name: string, prepare: (lab: Lab) => Promise<{ host: string; port: number }>): Promise<Result> {
  const lab = new Lab({ realtime: values.realtime });
  const probe = (...words: (string | number)[]) => ["--import", "tsx", PROBE, ...words.map(String)];
  try {
    await lab.up(LINK);
    lab.start("cloud", process.execPath, probe("echo", TARGET_PORT), "inherit");
    const { host, port } = await prepare(lab);
    // The echo is there, and the path's MTU is found.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const args = probe("ping", host, port, count, INTERVAL_MS, BYTES);
    const { received, roundTripsMs }: { received: number; roundTripsMs: number[] } = JSON.parse(
      await lab.run("edge", process.execPath, args, count * INTERVAL_MS + 60_000),
    );
    const [{ cameBytes }] = (await lab.down())!;
    const sorted = roundTripsMs.toSorted((a, b) => a - b);
    const at = (share: number) => sorted[Math.ceil(share * count) - 1] ?? Number.POSITIVE_INFINITY;
    const bytes = cameBytes / (count * (BYTES + IP_TCP_BYTES));
    return { name, lost: count - received, measured: { p50: at(0.5), p99: at(0.99), "p99.9": at(0.999), bytes } };
  } finally {
    await lab.down();
  }
}

async function batsProxy(lab: Lab): Promise<{ host: string; port: number }> {
  await startForward(lab, `tcp:127.0.0.1:${FORWARD_PORT}`, `tcp:127.0.0.1:${TARGET_PORT}`);
  return { host: "127.0.0.1", port: FORWARD_PORT };
}

/** What the kernel does with new connections of both hosts. */
async function tcp(lab: Lab, control: string): Promise<{ host: string; port: number }> {
  for (const host of ["edge", "cloud"] as const) {
    await lab.run(host, "sysctl", ["-qw", `net.ipv4.tcp_congestion_control=${control}`], 10_000);
  }
  return { host: CLOUD_IP, port: TARGET_PORT };
}

const results: Result[] = [];
let missed = false;
console.log("                 round trip: p50     p99   p99.9 ms   bytes   never came");
for (const [name, prepare] of [
  ["bats-proxy", batsProxy],
  ["TCP BBR", (lab: Lab) => tcp(lab, "bbr")],
  ["TCP CUBIC", (lab: Lab) => tcp(lab, "cubic")],
] as const) {
  const result = await measure(name, prepare);
  results.push(result);
  const { measured, lost } = result;
  const misses = Object.entries(GOALS)
    .filter(([goal, most]) => measured[goal as keyof typeof GOALS] > most)
    .map(([goal, most]) => `${goal} at most ${most}`);
  if (lost > 0) misses.push("all come");
  const ours = name === "bats-proxy";
  if (ours && misses.length > 0) missed = true;
  const times = [measured.p50, measured.p99, measured["p99.9"]].map((ms) => ms.toFixed(1).padStart(7)).join(" ");
  const line = `${name.padEnd(24)} ${times}      ${measured.bytes.toFixed(2)}   ${String(lost).padStart(6)}`;
  console.log(`${line}${ours && misses.length > 0 ? `  missed: ${misses.join(", ")}` : ""}`);
}
if (values.json !== undefined)
  writeFileSync(values.json, JSON.stringify({ node: process.version, link: LINK, results }));
process.exit(missed ? 1 : 0);
