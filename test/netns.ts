/** Network namespaces for tests on a real kernel: made when the tests run as root, gone when the test is done. */
import { execFileSync, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { PATIENCE_MS, wakeOrLate } from "./patience.ts";

/** Why there can be no namespaces here; null when there can. */
export function whyNoNamespaces(): string | null {
  if (process.platform !== "linux") return `network namespaces are Linux's, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return "network namespaces need root";
  try {
    const name = `bats-${process.pid}-probe`;
    ip("netns", "add", name);
    ip("netns", "del", name);
    return null;
  } catch (error) {
    return `no network namespaces: ${(error as Error).message}`;
  }
}

export function ip(...args: string[]): string {
  return execFileSync("ip", args, { encoding: "utf8", stdio: "pipe" });
}

let made = 0;

export class Namespace {
  readonly name = `bats-${process.pid}-${++made}`;

  /** With loopback up; removed with all that is in it when the test is done. */
  constructor() {
    ip("netns", "add", this.name);
    onTestFinished(() => {
      ip("netns", "del", this.name);
    });
    this.ip("link", "set", "lo", "up");
  }

  ip(...args: string[]): string {
    return ip("-n", this.name, ...args);
  }

  run(...command: string[]): string {
    return execFileSync("ip", ["netns", "exec", this.name, ...command], { encoding: "utf8", stdio: "pipe" });
  }

  /** Starts a TypeScript program inside, given by its path from the folder of the tests. */
  program(path: string, ...args: string[]): Program {
    return new Program(this.name, [], fileURLToPath(new URL(path, import.meta.url)), args);
  }

  /** The same without any capability; still as root, who may read what belongs to root, as this checkout may. */
  unprivilegedProgram(path: string, ...args: string[]): Program {
    const as = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"];
    return new Program(this.name, as, fileURLToPath(new URL(path, import.meta.url)), args);
  }
}

/** A program that talks in lines of JSON; killed when the test is done. */
export class Program {
  readonly exit: Promise<number | null>;
  /** What it wrote to standard error. */
  errors = "";
  readonly #lines: unknown[] = [];
  #buffer = "";
  #wake: () => void = () => {};
  #closed = false;
  readonly #child;

  constructor(namespace: string, as: readonly string[], path: string, args: readonly string[]) {
    const command = ["netns", "exec", namespace, ...as, process.execPath, "--import", "tsx", path, ...args];
    this.#child = spawn("ip", command, { stdio: ["pipe", "pipe", "pipe"] });
    const child = this.#child;
    this.exit = new Promise((resolve) => child.on("exit", resolve));
    // After the last of its output, which may come later than its end.
    child.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await this.exit;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.errors += text;
    });
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.#buffer += text;
      const lines = this.#buffer.split("\n");
      this.#buffer = lines.pop() as string;
      for (const line of lines) this.#lines.push(JSON.parse(line));
      this.#wake();
    });
  }

  /** The next line that it prints; rejects when it ends without one, or prints none within `PATIENCE_MS`. */
  async next<T>(): Promise<T> {
    const untilMs = performance.now() + PATIENCE_MS;
    while (this.#lines.length === 0) {
      if (this.#closed) throw new Error(`it ended with ${this.#child.exitCode}: ${this.errors}`);
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0)
        throw new Error(`${this.#child.spawnargs.join(" ")}: no line in ${PATIENCE_MS} ms: ${this.errors}`);
      await wakeOrLate(leftMs, (wake) => {
        this.#wake = wake;
      });
    }
    return this.#lines.shift() as T;
  }

  /** Writes a line to its standard input. */
  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Ends its standard input, for which such programs wait before they end. */
  finish(): void {
    this.#child.stdin.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

/** Joins two namespaces by a veth pair; the interfaces are called `veth-a` and `veth-b`, and up. */
export function join(a: Namespace, b: Namespace): void {
  ip("link", "add", "name", "veth-a", "netns", a.name, "type", "veth", "peer", "name", "veth-b", "netns", b.name);
  a.ip("link", "set", "veth-a", "up");
  b.ip("link", "set", "veth-b", "up");
}
