/**
 * iperf3's TCP through `bats-proxy`, default settings, both ends built from this tree:
 *
 *     tsx bench/proxy/iperf.ts lossy [--quick] [--delay 10,50,110] [--loss 0,2,10,20] [--seconds 20] [--json FILE]
 *     tsx bench/proxy/iperf.ts cpu [--reverse] [--seconds 10] [--json FILE]
 *
 * lossy: 100 Mbit/s through an emulated link (lab.ts); efficiency E is goodput after 3 s over rate x (1 - loss).
 * cpu: how much one machine carries on its loopback address after 3 s, on each I/O path, beside kcptun (AES, fast3, no compression;
 * as it comes, which the goal is about, and with large windows) where that is installed, taking turns; from the client to the server, or
 * the other way (--reverse).
 * Exits with 1 when a goal is missed. Needs iperf3; lossy needs root.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../harness.ts";
import { issueCertificates, MAIN, said, startForward } from "./commands.ts";
import { type DirectionCounts, Lab } from "./lab.ts";

const RATE_MBPS = 100;
const OMIT_S = 3;
const GOAL_EFFICIENCY = 0.92;
const GOAL_QUEUE_DROPS = 0.03;
const GOAL_OVER_KCPTUN = 3;
/** What serves kcptun best on a fast path; its default is for slow ones. */
const KCPTUN_WINDOWS = "8192";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean", default: false },
    delay: { type: "string", default: "10,50,110" },
    loss: { type: "string", default: "0,2,10,20" },
    seconds: { type: "string" },
    reverse: { type: "boolean", default: false },
    json: { type: "string" },
  },
});

/** Bits a second that arrived, by iperf3's own report. */
function goodput(report: string): number {
  return JSON.parse(report).end.sum_received.bits_per_second;
}

interface Cell {
  delayMs: number;
  lossPercent: number;
  goodputMbps: number;
  efficiency: number;
  /** Of the packets that came to the bottleneck, over the whole run. */
  queueDrops: number;
  link: DirectionCounts;
}

async function measureCell(delayMs: number, lossPercent: number, seconds: number): Promise<Cell> {
  const lab = new Lab();
  try {
    await lab.up({ rateMbps: RATE_MBPS, delayMs, lossPercent });
    lab.start("cloud", "iperf3", ["-s", "-p", "5201"], "ignore");
    await startForward(lab, "tcp:127.0.0.1:5202", "tcp:127.0.0.1:5201");
    const args = ["-c", "127.0.0.1", "-p", "5202", "-t", String(seconds), "-O", String(OMIT_S), "-J"];
    const bps = goodput(await lab.run("edge", "iperf3", args, (seconds + OMIT_S + 40) * 1000));
    const counts = await lab.down();
    const link = counts![0];
    return {
      delayMs,
      lossPercent,
      goodputMbps: bps / 1e6,
      efficiency: bps / 1e6 / (RATE_MBPS * (1 - lossPercent / 100)),
      queueDrops: link.queueDropped / link.came,
      link,
    };
  } finally {
    await lab.down();
  }
}

async function lossy(): Promise<boolean> {
  const numbers = (text: string) => text.split(",").map(Number);
  const delays = values.quick ? [50] : numbers(values.delay);
  const losses = values.quick ? [10] : numbers(values.loss);
  const seconds = Number(values.seconds ?? (values.quick ? 8 : 20));
  const cells: Cell[] = [];
  console.log("one way   loss   goodput    E      queue drops");
  for (const delayMs of delays) {
    for (const lossPercent of losses) {
      const cell = await measureCell(delayMs, lossPercent, seconds);
      cells.push(cell);
      const missed = isMissed(cell) ? "  missed" : "";
      const columns = [
        `${delayMs} ms`.padStart(7),
        `${lossPercent} %`.padStart(6),
        cell.goodputMbps.toFixed(1).padStart(8),
      ];
      console.log(
        `${columns.join(" ")}   ${cell.efficiency.toFixed(3)}   ${(cell.queueDrops * 100).toFixed(2)} %${missed}`,
      );
    }
  }
  report({ rateMbps: RATE_MBPS, seconds, omitSeconds: OMIT_S, cells });
  return !cells.some(isMissed);
}

function isMissed({ efficiency, queueDrops }: Cell): boolean {
  return efficiency < GOAL_EFFICIENCY || queueDrops > GOAL_QUEUE_DROPS;
}

/** One way of carrying TCP over UDP on the loopback address: starts it, gives the port where it listens. */
interface Carrier {
  name: string;
  start(folder: string): Promise<{ port: number; stop(): void }>;
}

const IPERF_PORT = 25_201;

function batsProxy(io: string, name: string, listen: number): Carrier {
  return {
    name,
    async start(folder) {
      const certificates = issueCertificates(join(folder, io));
      const run = (...args: string[]) =>
        spawn(process.execPath, [MAIN, ...args, "--io", io], { stdio: ["ignore", "ignore", "pipe"] });
      const target = `tcp:127.0.0.1:${IPERF_PORT}`;
      const server = run(
        "server",
        "--listen",
        `127.0.0.1:${listen}`,
        ...certificates("cloud"),
        "--allow",
        `*=${target}`,
      );
      await said(server, /serving/);
      const connect = ["--connect", `127.0.0.1:${listen}`, "--server-name", "cloud"];
      const client = run("client", ...connect, ...certificates("edge"), "-L", `tcp:127.0.0.1:${listen + 1}=${target}`);
      await said(client, /connected/);
      return { port: listen + 1, stop: () => [client, server].forEach((child) => void child.kill("SIGKILL")) };
    },
  };
}

/** `windows`: packets that may be under way; null for its own defaults, 128 sent by the client and 512 by the server. */
function kcptun(name: string, windows: string | null, port: number): Carrier {
  return {
    name,
    async start() {
      const common = ["--crypt", "aes", "--mode", "fast3", "--nocomp", "--quiet"];
      if (windows !== null) common.push("--sndwnd", windows, "--rcvwnd", windows);
      const options = { stdio: "ignore" } as const;
      const [outer, inner] = [`127.0.0.1:${port}`, `127.0.0.1:${port + 1}`];
      const server = spawn("kcptun-server", ["-l", outer, "-t", `127.0.0.1:${IPERF_PORT}`, ...common], options);
      const client = spawn("kcptun-client", ["-l", inner, "-r", outer, ...common], options);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return { port: port + 1, stop: () => [client, server].forEach((child) => void child.kill("SIGKILL")) };
    },
  };
}

const KCPTUNS = [
  kcptun("kcptun, AES, fast3", null, 25_220),
  kcptun("the same, windows of 8192", KCPTUN_WINDOWS, 25_250),
];

async function cpu(): Promise<boolean> {
  const seconds = Number(values.seconds ?? 10);
  const carriers = [
    batsProxy("auto", "bats-proxy", 25_230),
    batsProxy("dgram", "bats-proxy, portable sockets", 25_240),
  ];
  const hasKcptun = spawnSync("kcptun-client", ["--version"]).error === undefined;
  if (hasKcptun) carriers.push(...KCPTUNS);
  const folder = mkdtempSync(join(tmpdir(), "bats-iperf-"));
  const iperf = spawn("iperf3", ["-s", "-p", String(IPERF_PORT)], { stdio: "ignore" });
  const results: Record<string, number[]> = {};
  try {
    for (let round = 0; round < 3; round++) {
      for (const carrier of carriers) {
        const { port, stop } = await carrier.start(join(folder, String(round)));
        try {
          const args = ["-c", "127.0.0.1", "-p", String(port), "-t", String(seconds), "-O", String(OMIT_S), "-J"];
          if (values.reverse) args.push("-R");
          const child = spawn("iperf3", args, { stdio: ["ignore", "pipe", "inherit"] });
          let output = "";
          child.stdout!.on("data", (text) => {
            output += text;
          });
          await once(child, "close");
          results[carrier.name] = [...(results[carrier.name] ?? []), goodput(output) / 1e6];
        } finally {
          stop();
        }
      }
    }
  } finally {
    iperf.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
  const medians = Object.fromEntries(Object.entries(results).map(([name, runs]) => [name, median(runs)]));
  for (const [name, mbps] of Object.entries(medians))
    console.log(
      `${name.padEnd(30)} ${mbps.toFixed(0).padStart(6)} Mbit/s  (${results[name].map((run) => run.toFixed(0)).join(", ")})`,
    );
  const over = (carrier: Carrier) => medians["bats-proxy"] / medians[carrier.name];
  const [ratio, tunedRatio] = hasKcptun ? KCPTUNS.map(over) : [null, null];
  if (ratio !== null) {
    const missed = ratio < GOAL_OVER_KCPTUN ? ": missed" : "";
    console.log(`${ratio.toFixed(2)} times kcptun as it comes; goal ${GOAL_OVER_KCPTUN}${missed}`);
    console.log(`${tunedRatio!.toFixed(2)} times kcptun with large windows`);
  }
  report({ seconds, cpu: cpus()[0].model, results, medians, ratio, tunedRatio });
  return ratio === null || ratio >= GOAL_OVER_KCPTUN;
}

function report(result: object): void {
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ node: process.version, ...result }, null, 2)}\n`);
}

const commands: Record<string, () => Promise<boolean>> = { lossy, cpu };
const command = commands[positionals[0] ?? ""];
if (command === undefined) {
  console.error(readFileSync(fileURLToPath(import.meta.url), "utf8").split("*/", 1)[0]);
  process.exit(2);
}
process.exit((await command()) ? 0 : 1);
