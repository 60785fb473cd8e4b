/** Commands of the user's that run when a tunnel is there, and before it goes. */
import { spawn } from "node:child_process";
import type { Log } from "../proxy/log.ts";

const LIMIT_MS = 30_000;

export interface HookFacts {
  tun: string;
  addresses: readonly string[];
  routes: readonly string[];
  mtu: number;
}

/** Runs a command with the shell; resolves when it has ended, however. What it prints goes to standard error. */
export function runHook(option: "--up" | "--down", command: string, facts: HookFacts, log: Log): Promise<void> {
  const { tun, addresses, routes, mtu } = facts;
  const env = {
    ...process.env,
    BATS_TUN: tun,
    BATS_ADDRESS: addresses.join(","),
    BATS_ROUTES: routes.join(","),
    BATS_MTU: String(mtu),
  };
  return new Promise((resolve) => {
    const child = spawn("/bin/sh", ["-c", command], { env, stdio: ["ignore", 2, 2] });
    const timer = setTimeout(() => {
      log.warn({ hook: option }, `${option}: it has not ended for ${LIMIT_MS / 1000} s and is killed`);
      child.kill("SIGKILL");
    }, LIMIT_MS);
    const done = (problem: string | null) => {
      clearTimeout(timer);
      if (problem !== null) log.warn({ hook: option }, `${option}: ${problem}`);
      resolve();
    };
    child.once("error", (error) => done(error.message));
    child.once("exit", (code, signal) => done(code === 0 ? null : `it ended with ${code ?? signal}`));
  });
}
