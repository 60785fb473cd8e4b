/**
 * UDP through `bats-proxy`, default settings, both ends built from this tree: 1000 datagrams of 1200 bytes a second over an emulated link
 * (lab.ts) of 100 Mbit/s and 50 ms one way. Every datagram counts from the first on, and of the
 * first second at 30 % loss some 150 come late, because the path's rate is not known yet: `--seconds 20` shows them more clearly.
 *
 *     npm run bench:datagrams -- [--loss 10,30] [--seconds 60] [--runs 1] [--realtime] [--json FILE]
 *
 * Bytes are those of IP packets: what the link was given over what the datagrams would be by themselves. realtime: ends and link get the
 * processor first, where others use the machine. Exits with 1 when a goal is missed. Needs root and a C compiler.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startForward } from "./commands.ts";
import { type Host, Lab } from "./lab.ts";

const PROBE = fileURLToPath(new URL("../tunnel-probe.ts", import.meta.url));
const RATE_MBPS = 100;
const DELAY_MS = 50;
const BYTES = 1200;
const IP_UDP_BYTES = 28;
/** Where the probe sends to at the edge, and listens at the cloud. */
const FORWARD = "udp:127.0.0.1:7100";
const GOAL_DELAY_MS = 40;
/** What goals say of a share of loss on the path, %: the most that may be lost in the end, %, and bytes. */
const GOALS: Record<number, { lost: number; bytes: number }> = {
  10: { lost: 0.05, bytes: 1.5 },
  30: { lost: 0.3, bytes: 2 },
};

const { values } = parseArgs({
  options: {
    loss: { type: "string", default: "10,30" },
    seconds: { type: "string", default: "60" },
    runs: { type: "string", default: "1" },
    realtime: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const count = 1000 * Number(values.seconds);

interface Run {
  lossPercent: number;
  numbers: number[];
  delaysMs: number[];
  lost: number;
  bytes: number;
}

async function measure(lossPercent: number, seed: number): Promise<Run> {
  const lab = new Lab({ realtime: values.realtime });
  const probe = (host: Host, ...words: (string | number)[]) =>
    lab.run(host, process.execPath, ["--import", "tsx", PROBE, ...words.map(String)], count + 60_000);
  try {
    await lab.up({ rateMbps: RATE_MBPS, delayMs: DELAY_MS, lossPercent, seed });
    await startForward(lab, FORWARD, FORWARD);
    const sink = probe("cloud", "sink", "127.0.0.1", count, count + 6000);
    // The path's MTU is found meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await probe("edge", "send", "127.0.0.1", count, 1, BYTES);
    const { numbers, delaysMs, lost } = JSON.parse(await sink);
    const [{ cameBytes }] = (await lab.down())!;
    return { lossPercent, numbers, delaysMs, lost, bytes: cameBytes / (count * (BYTES + IP_UDP_BYTES)) };
  } finally {
    await lab.down();
  }
}

/** Beyond the path's delay; what never came counts. */
function quantile(delaysMs: readonly number[], sent: number, share: number): number {
  const sorted = delaysMs.toSorted((a, b) => a - b);
  return (sorted[Math.ceil(share * sent) - 1] ?? Number.POSITIVE_INFINITY) - DELAY_MS;
}

const runs: Run[] = [];
let missed = false;
console.log("loss    lost      delay beyond the path's: p50   p90     p99   p99.9   bytes");
for (const lossPercent of values.loss.split(",").map(Number)) {
  for (let seed = 1; seed <= Number(values.runs); seed++) {
    const run = await measure(lossPercent, seed);
    runs.push(run);
    const lost = (100 * run.lost) / count;
    const at = (share: number) => quantile(run.delaysMs, count, share);
    const goals = GOALS[lossPercent];
    const misses: string[] = [];
    if (goals !== undefined && lost > goals.lost) misses.push(`at most ${goals.lost} % lost`);
    if (goals !== undefined && run.bytes > goals.bytes) misses.push(`at most ${goals.bytes} times the bytes`);
    if (at(0.99) > GOAL_DELAY_MS) misses.push(`p99 at most ${GOAL_DELAY_MS} ms`);
    if (misses.length > 0) missed = true;
    const delays = [0.5, 0.9, 0.99, 0.999].map((share) => at(share).toFixed(1).padStart(7)).join(" ");
    const words = [`${lossPercent} %`.padStart(4), `${lost.toFixed(3)} %`.padStart(8), delays.padStart(52)];
    console.log(
      `${words.join("  ")}   ${run.bytes.toFixed(2)}${misses.length > 0 ? `  missed: ${misses.join(", ")}` : ""}`,
    );
  }
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ node: process.version, runs }));
process.exit(missed ? 1 : 0);
