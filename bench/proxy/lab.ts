/**
 * Two hosts joined by a bad link, on one machine: an edge and a cloud, each a network namespace, and an emulated link in between. Needs
 * root, iproute2, /dev/net/tun and a C compiler (link-emulator.c is compiled when it is first wanted).
 *
 *      +-- NAME-edge --+                         +-- NAME-cloud --+
 *      |   10.77.0.1   |==== rate, delay, loss ==|   10.77.0.2    |
 *      +---------------+                         +----------------+
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export interface LinkSettings {
  rateMbps: number;
  /** One way. */
  delayMs: number;
  /** In both directions, independent. */
  lossPercent: number;
  /** Before the bottleneck. Default: what the rate drains in 10 ms, at least 150 kB. */
  queueKb?: number;
  /** Packets are late by up to so much on each of so many hops, in order. Default 0, 1. */
  jitterMs?: number;
  hops?: number;
  seed?: number;
}

export interface DirectionCounts {
  came: number;
  /** Of IP packets. */
  cameBytes: number;
  queueDropped: number;
  lost: number;
  left: number;
}

export const EDGE_IP = "10.77.0.1";
export const CLOUD_IP = "10.77.0.2";

export interface LabOptions {
  /** Of network namespaces and devices. */
  name?: string;
  /** Programs get the processor before any of ordinary priority, and the link before them: for machines that others use too. */
  realtime?: boolean;
}

/** Priorities of the kernel's round-robin class. */
const PROGRAM_PRIORITY = 10;
const LINK_PRIORITY = 20;

export type Host = "edge" | "cloud";

export class Lab {
  readonly #name: string;
  readonly #realtime: boolean;
  readonly #folder: string = mkdtempSync(join(tmpdir(), "bats-lab-"));
  #emulator: ChildProcess | null = null;
  readonly #namespaces: string[] = [];
  readonly #children: Set<ChildProcess> = new Set();

  constructor({ name = `bats${process.pid}`, realtime = false }: LabOptions = {}) {
    this.#name = name;
    this.#realtime = realtime;
  }

  /** A folder of its own, gone with the lab. */
  get folder(): string {
    return this.#folder;
  }

  async up({ rateMbps, delayMs, lossPercent, queueKb, jitterMs = 0, hops = 1, seed = 1 }: LinkSettings): Promise<void> {
    const program = join(this.#folder, "link-emulator");
    execFileSync("cc", ["-O2", "-o", program, fileURLToPath(new URL("link-emulator.c", import.meta.url))]);
    const queue = queueKb ?? Math.max(150, (rateMbps * 1000 * 10) / 8 / 1000);
    const devices = [`${this.#name}e`, `${this.#name}c`];
    const settings = [rateMbps, delayMs, lossPercent, queue, seed, jitterMs, hops].map(String);
    this.#emulator = this.#spawn([program, ...devices, ...settings], LINK_PRIORITY, {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(this.#emulator.stdout!, "data");
    (["edge", "cloud"] as const).forEach((host, i) => {
      const namespace = this.#namespace(host);
      ip("netns", "add", namespace);
      this.#namespaces.push(namespace);
      ip("link", "set", devices[i], "netns", namespace);
      ip("-n", namespace, "link", "set", "lo", "up");
      ip("-n", namespace, "addr", "add", `${[EDGE_IP, CLOUD_IP][i]}/24`, "dev", devices[i]);
      ip("-n", namespace, "link", "set", devices[i], "up", "txqueuelen", "10000");
    });
  }

  /** Starts a program on a host; it ends with the lab. */
  start(
    host: Host,
    program: string,
    args: readonly string[],
    output: "ignore" | "pipe" | "inherit" = "pipe",
  ): ChildProcess {
    const words = ["ip", "netns", "exec", this.#namespace(host), program, ...args];
    const child = this.#spawn(words, PROGRAM_PRIORITY, { stdio: ["ignore", output, output] });
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }

  /** Runs a program on a host to its end; what it printed. Rejects when it fails or takes too long. */
  async run(host: Host, program: string, args: readonly string[], timeoutMs: number): Promise<string> {
    const child = this.start(host, program, args);
    let output = "";
    let errors = "";
    child.stdout!.on("data", (text) => {
      output += text;
    });
    child.stderr!.on("data", (text) => {
      errors += text;
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
    const [code] = await once(child, "close");
    clearTimeout(timer);
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${code}: ${errors || output}`);
    return output;
  }

  /** Ends everything, and does nothing the second time; what each direction of the link carried, from the edge first. */
  async down(): Promise<[DirectionCounts, DirectionCounts] | null> {
    for (const child of this.#children) child.kill("SIGKILL");
    await Promise.all([...this.#children].map((child) => once(child, "exit")));
    let counts: [DirectionCounts, DirectionCounts] | null = null;
    const emulator = this.#emulator;
    this.#emulator = null;
    if (emulator !== null && emulator.exitCode === null) {
      emulator.kill("SIGTERM");
      const [line] = await once(emulator.stdout!, "data");
      counts = JSON.parse(String(line));
    }
    for (const namespace of this.#namespaces.splice(0)) ip("netns", "del", namespace);
    rmSync(this.#folder, { recursive: true, force: true });
    return counts;
  }

  #spawn(words: readonly string[], priority: number, options: SpawnOptions): ChildProcess {
    const [program, ...args] = this.#realtime ? ["chrt", "-r", String(priority), ...words] : words;
    return spawn(program, args, options);
  }

  #namespace(host: Host): string {
    return `${this.#name}-${host}`;
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });
}
