/** Commands of the user's that run when a tunnel is there, and before it goes; one after the other. */
import { spawn } from "node:child_process";
import type { Log } from "../proxy/log.ts";

const LIMIT_MS = 30_000;

export interface HookFacts {
  tun: string;
  addresses: readonly string[];
  routes: readonly string[];
  mtu: number;
}

export interface TunnelHooksOptions {
  up: string | undefined;
  down: string | undefined;
  /** Asked for when a command begins. */
  facts: () => HookFacts;
  log: Log;
  /** Aborted: `up` ends, and does not begin. */
  signal: AbortSignal;
}

export class TunnelHooks {
  readonly #options: TunnelHooksOptions;
  #last: Promise<void> = Promise.resolve();

  constructor(options: TunnelHooksOptions) {
    this.#options = options;
  }

  /** Both resolve when the command has ended, however. What it prints goes to standard error. */
  up(): Promise<void> {
    return this.#run("--up", this.#options.up, this.#options.signal);
  }

  down(): Promise<void> {
    return this.#run("--down", this.#options.down, null);
  }

  #run(option: string, command: string | undefined, signal: AbortSignal | null): Promise<void> {
    const { facts, log } = this.#options;
    this.#last = this.#last.then(async () => {
      if (command !== undefined && !signal?.aborted) await runHook(option, command, facts(), log, signal);
    });
    return this.#last;
  }
}

function runHook(
  option: string,
  command: string,
  facts: HookFacts,
  log: Log,
  signal: AbortSignal | null,
): Promise<void> {
  const { tun, addresses, routes, mtu } = facts;
  const env = {
    ...process.env,
    BATS_TUN: tun,
    BATS_ADDRESS: addresses.join(","),
    BATS_ROUTES: routes.join(","),
    BATS_MTU: String(mtu),
  };
  return new Promise((resolve) => {
    // A process group of its own: what the shell started ends with it.
    const child = spawn("/bin/sh", ["-c", command], { env, stdio: ["ignore", 2, 2], detached: true });
    const kill = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It ended just now, or did not begin.
      }
    };
    const timer = setTimeout(() => {
      log.warn({ hook: option }, `${option}: it has not ended for ${LIMIT_MS / 1000} s and is killed`);
      kill();
    }, LIMIT_MS);
    signal?.addEventListener("abort", kill);
    const done = (problem: string | null) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", kill);
      if (problem !== null) log.warn({ hook: option }, `${option}: ${problem}`);
      resolve();
    };
    child.once("error", (error) => done(error.message));
    child.once("exit", (code, signal) => done(code === 0 ? null : `it ended with ${code ?? signal}`));
  });
}
