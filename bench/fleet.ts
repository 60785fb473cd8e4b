/**
 * A server and many clients of it, for benchmarks: the built `bats-proxy server` in a process of its own, clients several in one process
 * (`clients.ts`), an echo behind the server, certificates for all, on loopback. Not a benchmark itself.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { type Certificates, createCertificates } from "../test/cli/command.ts";
import type { ClientsOptions, ClientsReport } from "./clients.ts";
import { MAIN } from "./proxy/commands.ts";

/** More would each compile the same code again. */
const CLIENT_PROCESSES = 2;
/** Clients of each process that dial at once: enough to keep a server busy. */
const AT_ONCE = 8;
const GIVE_UP_MS = 180_000;

/** What the server takes. */
export interface Sample {
  memory: NodeJS.MemoryUsage;
  /** Processor time up to the question and up to the answer, ms: between them is garbage collection that nobody else asked for. */
  askedCpuMs: number;
  answeredCpuMs: number;
}

/** A clock that all processes of the machine share, ms. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

export class Fleet {
  readonly size: number;
  readonly #certificates: Certificates;
  readonly #echo: Server;
  readonly #target: string;
  #server: ChildProcess;
  #port = 0;
  #workers: ChildProcess[] = [];
  /** When each client worked last, by its number. */
  readonly #worksMs: Map<number, number> = new Map();
  #changed: () => void = () => {};

  private constructor(size: number, certificates: Certificates, echo: Server) {
    this.size = size;
    this.#certificates = certificates;
    this.#echo = echo;
    this.#target = `tcp:127.0.0.1:${(echo.address() as AddressInfo).port}`;
    this.#server = this.#fork();
  }

  /** A server that serves, and clients that do not dial yet. */
  static async prepare(size: number, keepAliveMs: number): Promise<Fleet> {
    const echo = createServer((socket) => {
      socket.on("error", () => {});
      socket.pipe(socket);
    }).listen(0, "127.0.0.1");
    await once(echo, "listening");
    const fleet = new Fleet(size, await createCertificates(), echo);
    await fleet.#serving();
    await fleet.#prepareClients(keepAliveMs);
    return fleet;
  }

  /** Has all clients dial; when the last of them worked. */
  start(): Promise<number> {
    for (const worker of this.#workers) worker.send("start");
    return this.allWork(0);
  }

  sample(): Promise<Sample> {
    this.#server.send("sample");
    return once(this.#server, "message").then(([sample]) => sample);
  }

  /** Kills the server without a word to its clients and starts it again; when it was killed, and when it served again. */
  async restart(): Promise<{ killedMs: number; servingMs: number }> {
    const killedMs = wallMs();
    await kill(this.#server);
    this.#server = this.#fork();
    await this.#serving();
    return { killedMs, servingMs: wallMs() };
  }

  /** Waits until all have worked after `sinceMs`; when each did so, ascending, Infinity for those that do not for long. */
  async times(sinceMs: number): Promise<number[]> {
    const giveUpMs = wallMs() + GIVE_UP_MS;
    for (;;) {
      const times = [...this.#worksMs.values()].filter((atMs) => atMs >= sinceMs);
      if (times.length < this.size && wallMs() > giveUpMs) {
        while (times.length < this.size) times.push(Number.POSITIVE_INFINITY);
      }
      if (times.length === this.size) return times.sort((a, b) => a - b);
      const changed = new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
      await Promise.race([delay(1000), changed]);
    }
  }

  async allWork(sinceMs: number): Promise<number> {
    return (await this.times(sinceMs)).at(-1)!;
  }

  async close(): Promise<void> {
    await Promise.all([this.#server, ...this.#workers].map(kill));
    this.#echo.close();
    this.#certificates.remove();
  }

  #fork(): ChildProcess {
    const certificates = this.#certificates.of("localhost");
    const listen = ["--listen", `127.0.0.1:${this.#port}`];
    // The clients of a process have one certificate.
    const allow = ["--allow", `*=${this.#target}`, "--max-sessions-per-identity", "65536"];
    const args = ["server", ...listen, ...certificates, ...allow];
    return fork(MAIN, args, {
      execArgv: ["--expose-gc", "--import", new URL("probe.mjs", import.meta.url).href],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
  }

  /** Waits until the server takes clients. */
  async #serving(): Promise<void> {
    const server = this.#server;
    let said = "";
    this.#port = await new Promise<number>((resolve, reject) => {
      // All that it says is read, or it would wait to be.
      createInterface(server.stderr!).on("line", (line) => {
        if (said.length < 10_000) said += `${line}\n`;
        const match = /serving on UDP .*:(\d+),/.exec(line);
        if (match !== null) resolve(Number(match[1]));
      });
      server.once("exit", () => reject(new Error(`the server ended:\n${said}`)));
    });
  }

  async #prepareClients(keepAliveMs: number): Promise<void> {
    let first = 0;
    for (let i = 0; i < CLIENT_PROCESSES; i++) {
      const worker = fork(new URL("clients.ts", import.meta.url));
      this.#workers.push(worker);
      const clients = Math.floor((this.size + i) / CLIENT_PROCESSES);
      worker.send({
        first,
        clients,
        atOnce: AT_ONCE,
        server: `localhost:${this.#port}`,
        target: this.#target,
        authority: this.#certificates.authority,
        keepAliveMs,
      } satisfies ClientsOptions);
      first += clients;
    }
    await Promise.all(this.#workers.map(ready));
    for (const worker of this.#workers) {
      worker.on("message", (report: ClientsReport) => {
        if (report.type !== "works") return;
        this.#worksMs.set(report.client, report.atMs);
        this.#changed();
      });
    }
  }
}

/** Resolves with its first message. */
function ready(worker: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("exit", (code) => reject(new Error(`a process with clients ended with ${code}`)));
  });
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}
