/**
 * The demo with real hosts: runs in namespaces of its own, whose first process it is, so that nothing is left when it ends.
 * Told where it may put files.
 *
 *     cloud namespace                    here                     edge namespace
 *     web server -------- cubic-c ==[ bad path ]== cubic-e ------- direct download
 *     bats-proxy server -- bats-c ==[ bad path ]== bats-e -------- bats-proxy client, download through it
 *
 * Each download has a path of its own, with the same numbers: none gets into another's way. There is a direct one with CUBIC, which
 * most machines use, and one more when this machine uses another congestion control by itself.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { NO_LAB } from "./exit-codes.ts";
import type { HostReply, HostRequest, Interface } from "./host.ts";
import { watchStatus } from "./live-page.ts";
import { readOptions } from "./options.ts";
import { writeCertificates } from "./proxies.ts";
import { Recording } from "./recording.ts";
import { conclude, PROXIED_LABEL, subjectOf } from "./report.ts";
import { Screen, type Way } from "./screen.ts";
import { openTunPath } from "./tun-path.ts";

const BATS_PORT = 4433;
const CLOUD = 1;
const EDGE = 2;

class LabHost {
  readonly child: ChildProcess;
  readonly ready: Promise<void>;
  onProgress: (reply: HostReply & { type: "progress" }) => void = () => {};
  onOver: () => void = () => {};
  #settle: (reply: HostReply) => void = () => {};

  constructor() {
    const program = fileURLToPath(new URL("host.ts", import.meta.url));
    this.child = spawn("unshare", ["--net", process.execPath, "--import", "tsx", program], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.ready = new Promise((resolve, reject) => {
      this.child.once("exit", () => reject(new Error("a host of the demo ended")));
      this.child.once("error", reject);
      this.child.on("message", (reply: HostReply) => {
        if (reply.type === "ready") resolve();
        else if (reply.type === "progress") this.onProgress(reply);
        else if (reply.type === "over") this.onOver();
        else this.#settle(reply);
      });
    });
  }

  /** One at a time. */
  ask(request: HostRequest): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#settle = (reply) => {
        if (reply.type === "done") resolve(reply.port);
        else if (reply.type === "failed") reject(new Error(reply.message));
      };
      this.child.send(request);
    });
  }
}

async function run(): Promise<number> {
  const [folder, ...args] = process.argv.slice(2);
  const options = readOptions(args);
  const screen = new Screen(process.stdout);
  const algorithms = congestionControls();
  const cloud = new LabHost();
  const edge = new LabHost();
  try {
    await Promise.all([cloud.ready, edge.ready]);
    for (const name of [...algorithms, "bats"]) {
      const cloudEnd = { device: `${name}-c`, pid: cloud.child.pid as number };
      const edgeEnd = { device: `${name}-e`, pid: edge.child.pid as number };
      await openTunPath(cloudEnd, edgeEnd, options.path);
    }
    await cloud.ask({ type: "configure", interfaces: interfacesOf(algorithms, CLOUD) });
    await edge.ask({ type: "configure", interfaces: interfacesOf(algorithms, EDGE) });
  } catch (error) {
    process.stderr.write(`${(error as Error).message.trim().split("\n").at(-1)}\n`);
    return NO_LAB;
  }
  await writeCertificates(folder);
  const listen = `${addressOf(algorithms.length, CLOUD)}:${BATS_PORT}`;
  const webPort = await cloud.ask({ type: "serve", totalBytes: options.totalBytes, folder, listen });
  await edge.ask({ type: "connect", folder, server: listen, webPort });
  let ways: Way[] = [];
  const recording = new Recording();
  const status = watchStatus(folder);
  edge.onProgress = ({ direct, proxied }) => {
    ways = [
      ...direct.map((progress, i) => ({ label: `direct, TCP (${algorithms[i]})`, progress })),
      { label: PROXIED_LABEL, progress: proxied },
    ];
    recording.add(ways);
    screen.draw(ways);
  };
  const over = new Promise<void>((resolve) => {
    edge.onOver = resolve;
  });
  const { totalBytes, limitMs } = options;
  const directUrls = algorithms.map((_, path) => `http://${addressOf(path, CLOUD)}:${webPort}/`);
  await edge.ask({ type: "download", directUrls, totalBytes, limitMs });
  await over;
  status.stop();
  return conclude(screen, options.report, { subject: subjectOf(options), ways, recording, fleet: status.fleet });
}

/** Of TCP: CUBIC, where the kernel has it, and what this machine uses by itself. */
function congestionControls(): string[] {
  const folder = "/proc/sys/net/ipv4";
  const available = readFileSync(`${folder}/tcp_available_congestion_control`, "utf8").trim().split(" ");
  const present = readFileSync(`${folder}/tcp_congestion_control`, "utf8").trim();
  return [...new Set([...(available.includes("cubic") ? ["cubic"] : []), present])];
}

function addressOf(path: number, host: number): string {
  return `10.77.${path}.${host}`;
}

function interfacesOf(algorithms: readonly string[], host: number): Interface[] {
  const end = host === CLOUD ? "c" : "e";
  const direct = algorithms.map((name, path) => ({
    device: `${name}-${end}`,
    address: addressOf(path, host),
    congestionControl: name,
  }));
  return [...direct, { device: `bats-${end}`, address: addressOf(algorithms.length, host) }];
}

// Ctrl-C reaches every process of the terminal; whoever started this one ends it.
process.on("SIGINT", () => {});
process.exit(await run());
