/**
 * Figures of the IP tunnel, default settings, both ends built from this tree, a real kernel and its TCP:
 *
 *     tsx bench/tunnel.ts [cpu] [tcp] [udp] [ping] [queue] [clients] [--seconds 25] [--clients 50] [--realtime]
 *
 * cpu: two hosts joined by a veth pair, beside wireguard-go where that is installed, taking turns. tcp: CUBIC and BBR through 100 Mbit/s,
 * 50 ms one way, at 2 and 10 % loss; efficiency is goodput after 5 s over rate x (1 - loss). udp: 30 s of 10 Mbit/s, 1200 bytes, at 30 % loss.
 * ping: ten a second at 20 %. queue: what a bulk transfer adds to a ping where nothing is lost. clients: many at one server.
 * realtime: ends and link of `tcp`, `udp`, `ping` and `queue` get the processor first, where others use the machine.
 * Exits with 1 when a goal is missed. Needs root, iperf3, and a C compiler for the emulated link (proxy/lab.ts).
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { quantile } from "./harness.ts";
import { issueCertificates, MAIN, said } from "./proxy/commands.ts";
import { CLOUD_IP, Lab } from "./proxy/lab.ts";

const PROBE = fileURLToPath(new URL("tunnel-probe.ts", import.meta.url));
const RATE_MBPS = 100;
const DELAY_MS = 50;
const UDP_MS = 30_000;
/** A flow of some Mbit/s begins with round trips in which neither the path's loss nor its rate is known. */
const SETTLED_MS = 1000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "25" },
    clients: { type: "string", default: "50" },
    realtime: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);

let missed = 0;

/** A line of the table; `wanted` is a goal. */
function row(what: string, measured: number, unit: string, wanted?: { least?: number; most?: number }): void {
  const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = wanted ?? {};
  const fails = !(measured >= least && measured <= most);
  if (fails) missed++;
  const goal = wanted === undefined ? "" : least > 0 ? `at least ${least}` : `at most ${most}`;
  const number = measured.toFixed(measured < 10 ? 2 : 1).padStart(9);
  console.log(`${what.padEnd(56)} ${number} ${unit.padEnd(7)} ${goal}${fails ? ": missed" : ""}`);
}

const serverArgs = (certificates: string[]) => [
  ...[MAIN, "server", "--listen", "4433", ...certificates],
  ...["--tun", "bats0=10.20.0.1/16", "--allow", "*=tun"],
];
const clientArgs = (certificates: string[], server: string, address: string) => [
  ...[MAIN, "client", "--connect", `${server}:4433`, "--server-name", "cloud", ...certificates],
  ...["--tun", `bats0=${address}/16`],
];

/** A lab with a tunnel over it, for the time of `use`. */
async function withTunnel(lossPercent: number, use: (lab: Lab) => Promise<void>): Promise<number> {
  const lab = new Lab({ name: `tunnel${process.pid}`, realtime: values.realtime });
  try {
    await lab.up({ rateMbps: RATE_MBPS, delayMs: DELAY_MS, lossPercent });
    const certificates = issueCertificates(lab.folder, ["edge"]);
    await said(lab.start("cloud", process.execPath, serverArgs(certificates("cloud"))), /serving/);
    const client = lab.start("edge", process.execPath, clientArgs(certificates("edge"), CLOUD_IP, "10.20.0.2"));
    await said(client, /the tunnel is up/);
    // The path's MTU is found meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 3000));
    await use(lab);
    return (await lab.down())![0].came;
  } finally {
    await lab.down();
  }
}

async function iperf(lab: Lab, args: string[]): Promise<number> {
  const server = lab.start("cloud", "iperf3", ["-s", "-1"], "ignore");
  await new Promise((resolve) => setTimeout(resolve, 500));
  const all = ["-c", "10.20.0.1", "-t", String(seconds), "-O", "5", "-J", ...args];
  const output = await lab.run("edge", "iperf3", all, (seconds + 40) * 1000);
  if (server.exitCode === null) await once(server, "exit");
  return JSON.parse(output).end.sum_received.bits_per_second / 1e6;
}

async function tcp(): Promise<void> {
  for (const [lossPercent, least] of [
    [2, 0.84],
    [10, 0.8],
  ]) {
    for (const control of ["cubic", "bbr"]) {
      await withTunnel(lossPercent, async (lab) => {
        const mbps = await iperf(lab, ["-C", control]);
        const efficiency = mbps / (RATE_MBPS * (1 - lossPercent / 100));
        row(`TCP ${control}, ${lossPercent} % loss: efficiency`, efficiency, "", { least });
      });
    }
  }
}

interface Delays {
  sent: number;
  lost: number;
  numbers: number[];
  delaysMs: number[];
}

function probe(lab: Lab, host: "edge" | "cloud", args: (string | number)[]): Promise<string> {
  return lab.run(host, process.execPath, ["--import", "tsx", PROBE, ...args.map(String)], 200_000);
}

async function udp(): Promise<void> {
  const intervalMs = (1200 * 8) / 10_000;
  const count = Math.round(UDP_MS / intervalMs);
  const came = await withTunnel(30, async (lab) => {
    const sink = probe(lab, "cloud", ["sink", "10.20.0.1", count, count * intervalMs + 6000]);
    await new Promise((resolve) => setTimeout(resolve, 2000));
    await probe(lab, "edge", ["send", "10.20.0.1", count, intervalMs, 1200]);
    const { sent, lost, numbers, delaysMs }: Delays = JSON.parse(await sink);
    const settled = delaysMs.filter((_, i) => numbers[i] >= SETTLED_MS / intervalMs);
    row("UDP, 10 Mbit/s, 30 % loss: lost", (100 * lost) / sent, "%", { most: 1 });
    row("  added delay, median", quantile(delaysMs, 0.5) - DELAY_MS, "ms");
    row("  added delay, p99", quantile(delaysMs, 0.99) - DELAY_MS, "ms", { most: 40 });
    row("  the same, after the first second", quantile(settled, 0.99) - DELAY_MS, "ms", { most: 40 });
  });
  row("  packets on the path for each", came / count, "", { most: 2.2 });
}

async function ping(): Promise<void> {
  await withTunnel(20, async (lab) => {
    lab.start("cloud", process.execPath, ["--import", "tsx", PROBE, "echo", "10.20.0.1"], "ignore");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const { sent, lost, delaysMs }: Delays = JSON.parse(await probe(lab, "edge", ["ping", "10.20.0.1", 600, 100]));
    row("ping, 20 % loss: lost", (100 * lost) / sent, "%", { most: 0.5 });
    row("  round trip, median", quantile(delaysMs, 0.5), "ms");
    row("  round trip, p99", quantile(delaysMs, 0.99), "ms", { most: 130 });
  });
}

async function queue(): Promise<void> {
  await withTunnel(0, async (lab) => {
    lab.start("cloud", process.execPath, ["--import", "tsx", PROBE, "echo", "10.20.0.1"], "ignore");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const measure = async (count: number): Promise<number[]> =>
      (JSON.parse(await probe(lab, "edge", ["ping", "10.20.0.1", count, 20])) as Delays).delaysMs;
    const idle = await measure(250);
    const bulk = iperf(lab, []);
    await new Promise((resolve) => setTimeout(resolve, 6000));
    const busy = await measure(Math.max(50, 50 * (seconds - 6)));
    row("bulk TCP beside the ping", await bulk, "Mbit/s");
    const floor = quantile(idle, 0.5);
    row("  it adds, median", quantile(busy, 0.5) - floor, "ms", { most: 15 });
    row("  it adds, p99", quantile(busy, 0.99) - floor, "ms", { most: 30 });
  });
}

/** Namespaces of this run, joined by veth pairs to the cloud; all gone at its end, with the programs in them. */
class VethHosts {
  readonly #children: ChildProcess[] = [];
  readonly #names: string[] = [];
  readonly folder = mkdtempSync(join(tmpdir(), "bats-tunnel-"));

  add(name: string): void {
    ip("netns", "add", this.of(name));
    this.#names.push(name);
    ip("-n", this.of(name), "link", "set", "lo", "up");
  }

  /** Host `number` is at 10.98.NUMBER.2, the cloud at .1. */
  join(name: string, number: number): void {
    const [here, there] = [`v${number}`, `c${number}`];
    ip("link", "add", there, "netns", this.of("cloud"), "type", "veth", "peer", "name", here, "netns", this.of(name));
    for (const [host, device, last] of [
      ["cloud", there, 1],
      [name, here, 2],
    ] as const) {
      ip("-n", this.of(host), "addr", "add", `10.98.${number}.${last}/24`, "dev", device);
      ip("-n", this.of(host), "link", "set", device, "up");
    }
  }

  of(name: string): string {
    return `tunnel${process.pid}-${name}`;
  }

  start(host: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn("ip", ["netns", "exec", this.of(host), ...words], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
    });
    child.stderr!.resume();
    this.#children.push(child);
    return child;
  }

  run(host: string, ...words: string[]): string {
    return execFileSync("ip", ["netns", "exec", this.of(host), ...words], { encoding: "utf8", maxBuffer: 1 << 26 });
  }

  async down(): Promise<void> {
    const running = this.#children.filter((child) => child.exitCode === null && child.signalCode === null);
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(running.map((child) => once(child, "exit")));
    for (const name of this.#names) ip("netns", "del", this.of(name));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}

/** wireguard-go between the two hosts, at 10.30.0.1 and 10.30.0.2. */
async function startWireguard(hosts: VethHosts): Promise<void> {
  const keys = ["cloud", "edge"].map((name) => {
    const path = join(hosts.folder, `${name}.wg`);
    const key = execFileSync("wg", ["genkey"], { encoding: "utf8" });
    writeFileSync(path, key, { mode: 0o600 });
    return { path, public: execFileSync("wg", ["pubkey"], { input: key, encoding: "utf8" }).trim() };
  });
  for (const [i, name] of ["cloud", "edge"].entries()) {
    const device = `wg${process.pid % 10_000}${name[0]}`;
    hosts.start(name, ["wireguard-go", "-f", device], { WG_PROCESS_FOREGROUND: "1", LOG_LEVEL: "error" });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const peer = ["peer", keys[1 - i].public, "allowed-ips", `10.30.0.${2 - i}/32`];
    const place = i === 0 ? ["listen-port", "51820"] : [];
    const endpoint = i === 0 ? [] : ["endpoint", "10.98.1.1:51820"];
    hosts.run(name, "wg", "set", device, "private-key", keys[i].path, ...place, ...peer, ...endpoint);
    ip("-n", hosts.of(name), "addr", "add", `10.30.0.${i + 1}/24`, "dev", device);
    ip("-n", hosts.of(name), "link", "set", device, "up");
  }
}

async function cpu(): Promise<void> {
  const hosts = new VethHosts();
  try {
    hosts.add("cloud");
    hosts.add("edge");
    hosts.join("edge", 1);
    const certificates = issueCertificates(hosts.folder, ["edge"]);
    await said(hosts.start("cloud", [process.execPath, ...serverArgs(certificates("cloud"))]), /serving/);
    const client = clientArgs(certificates("edge"), "10.98.1.1", "10.20.0.2");
    await said(hosts.start("edge", [process.execPath, ...client]), /the tunnel is up/);
    const hasWireguard = spawnSync("wireguard-go", ["--version"]).error === undefined;
    if (hasWireguard) await startWireguard(hosts);
    hosts.start("cloud", ["iperf3", "-s"]);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const measure = (to: string): number => {
      const report = hosts.run("edge", "iperf3", "-c", to, "-t", "5", "-O", "1", "-J");
      return JSON.parse(report).end.sum_received.bits_per_second / 1e6;
    };
    const [ours, theirs]: number[][] = [[], []];
    for (let round = 0; round < 5; round++) {
      ours.push(measure("10.20.0.1"));
      if (hasWireguard) theirs.push(measure("10.30.0.1"));
    }
    row("TCP over a veth pair, CPU-bound", quantile(ours, 0.5), "Mbit/s");
    if (!hasWireguard) return;
    row("  wireguard-go", quantile(theirs, 0.5), "Mbit/s");
    const ratios = ours.map((mbps, i) => mbps / theirs[i]);
    row("  times wireguard-go, median of pairs", quantile(ratios, 0.5), "", { least: 2 });
  } finally {
    await hosts.down();
  }
}

/** Resident memory, MiB, and processor time, s, of a process. */
function usage(pid: number): { memoryMb: number; cpuS: number } {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return {
    memoryMb: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) / 1024,
    cpuS: (Number(stat[11]) + Number(stat[12])) / 100,
  };
}

async function clients(): Promise<void> {
  const count = Number(values.clients);
  const hosts = new VethHosts();
  try {
    hosts.add("cloud");
    const names = Array.from({ length: count }, (_, i) => `e${i + 1}`);
    const certificates = issueCertificates(hosts.folder, names);
    const server = hosts.start("cloud", [process.execPath, ...serverArgs(certificates("cloud"))]);
    await said(server, /serving/);
    const before = usage(server.pid!);
    for (const [i, name] of names.entries()) {
      hosts.add(name);
      hosts.join(name, i + 1);
      const args = clientArgs(certificates(name), `10.98.${i + 1}.1`, `10.20.1.${i + 1}`);
      await said(hosts.start(name, [process.execPath, ...args]), /the tunnel is up/);
    }
    hosts.start("cloud", [process.execPath, "--import", "tsx", PROBE, "echo", "10.20.0.1"]);
    const last = names[count - 1];
    hosts.start(last, [process.execPath, "--import", "tsx", PROBE, "echo", `10.20.1.${count}`]);
    await new Promise((resolve) => setTimeout(resolve, 4000));
    const reaches = (name: string, to: string): boolean => {
      const report = hosts.run(name, process.execPath, "--import", "tsx", PROBE, "ping", to, "5", "20");
      return (JSON.parse(report) as Delays).lost < 5;
    };
    row("clients that reach the server", names.filter((name) => reaches(name, "10.20.0.1")).length, "", {
      least: count,
    });
    const others = names.slice(0, 5).filter((name) => reaches(name, `10.20.1.${count}`));
    row("  of five, those that reach another client", others.length, "", { most: 0 });
    const atRest = usage(server.pid!);
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const after = usage(server.pid!);
    row("  server's memory, each client", (after.memoryMb - before.memoryMb) / count, "MiB");
    row("  server's memory", after.memoryMb, "MiB");
    row("  server's processor time at rest", 10 * (after.cpuS - atRest.cpuS), "%");
  } finally {
    await hosts.down();
  }
}

const figures: Record<string, () => Promise<void>> = { cpu, tcp, udp, ping, queue, clients };
const unknown = positionals.find((name) => !(name in figures));
if (unknown !== undefined) {
  console.error(`there is no figure ${unknown}: ${Object.keys(figures).join(", ")}`);
  process.exit(2);
}
console.log(`load ${loadavg()[0].toFixed(1)}`);
for (const name of positionals.length > 0 ? positionals : Object.keys(figures)) await figures[name]();
process.exit(missed === 0 ? 0 : 1);
