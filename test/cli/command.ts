/** Runs the built `bats-proxy` as a child process, with certificates made for the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAuthority, defaultSubjectAltNames, issueCertificate, type Pem } from "../../src/pki/certificates.ts";
import { pemPaths, writePem } from "../../src/pki/files.ts";
import { PATIENCE_MS, wakeOrLate } from "../patience.ts";
import { createFolder } from "../proxy/local.ts";

export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export class Command {
  readonly child: ChildProcess;
  readonly lines: string[] = [];
  /** What it printed to standard output. */
  output = "";
  readonly exit: Promise<number | string>;
  #closed = false;
  #wake: () => void = () => {};

  /** `namespace`: a network namespace to run in. `program`: the words that run it, where not this build by this Node. */
  constructor(
    args: readonly string[],
    cwd?: string,
    namespace?: string,
    program: readonly string[] = [process.execPath, MAIN],
  ) {
    const words = [...program, ...args];
    if (namespace !== undefined) words.unshift("ip", "netns", "exec", namespace);
    this.child = spawn(words[0], words.slice(1), { stdio: ["ignore", "pipe", "pipe"], cwd });
    let rest = "";
    this.child.stderr!.on("data", (data) => {
      const parts = (rest + String(data)).split("\n");
      rest = parts.pop()!;
      this.lines.push(...parts);
      this.#wake();
    });
    this.child.stdout!.on("data", (data) => {
      this.output += data;
    });
    // After the last of its output, which may come later than its end.
    this.exit = once(this.child, "close").then(([code, signal]) => {
      this.#closed = true;
      this.#wake();
      return code ?? signal;
    });
  }

  /** The first line from `from` on that matches; rejects when the command ends without one, or `patienceMs` pass. */
  async line(pattern: RegExp, from = 0, patienceMs = PATIENCE_MS): Promise<string> {
    const untilMs = performance.now() + patienceMs;
    for (;;) {
      const found = this.lines.slice(from).find((line) => pattern.test(line));
      if (found !== undefined) return found;
      if (this.#closed) {
        throw new Error(`ended without ${pattern}:\n${this.lines.join("\n")}`);
      }
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) throw new Error(`no ${pattern} in ${patienceMs} ms:\n${this.lines.join("\n")}`);
      await wakeOrLate(leftMs, (wake) => {
        this.#wake = wake;
      });
    }
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | string> {
    this.child.kill(signal);
    return this.exit;
  }
}

const started: Command[] = [];

/** Starts a command that `killCommands` ends. */
export function startCommand(args: readonly string[]): Command {
  const command = new Command(args);
  started.push(command);
  return command;
}

/** For `afterEach`: ends what the test file started since the last call. */
export async function killCommands(): Promise<void> {
  for (const command of started.splice(0)) await command.kill();
}

export interface Certificates {
  folder: string;
  authority: Pem;
  /** `--ca --cert --key` of a name. */
  of(name: string): string[];
  remove(): void;
}

/** An authority, a server "localhost" and a client "edge-1", in files. */
export async function createCertificates(): Promise<Certificates> {
  const folder = createFolder();
  const authority = await createAuthority("test root", 30);
  writePem(pemPaths(folder.path, "ca"), folder.path, authority);
  await issue(folder.path, authority, "localhost", { server: true });
  await issue(folder.path, authority, "edge-1");
  return {
    folder: folder.path,
    authority,
    of: (name) => {
      const paths = pemPaths(folder.path, name);
      return ["--ca", join(folder.path, "ca.crt"), "--cert", paths.certificate, "--key", paths.key];
    },
    remove: folder.remove,
  };
}

/** Writes `NAME.crt` and `NAME.key`. */
export async function issue(
  folder: string,
  authority: Pem,
  name: string,
  { server = false, days = 10, file = name }: { server?: boolean; days?: number; file?: string } = {},
): Promise<void> {
  const subjectAltNames = defaultSubjectAltNames(name);
  writePem(
    pemPaths(folder, file),
    folder,
    await issueCertificate(authority, { commonName: name, subjectAltNames, server, days }),
  );
}

/** A UDP port that nobody had a moment ago. */
export async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}
