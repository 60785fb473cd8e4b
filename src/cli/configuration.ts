/** `--config FILE`: its section joins the command line, in front of it, and is read again on SIGHUP and when the file changes. */
import { Command } from "commander";
import { ConfigurationError, readConfiguration } from "../config/configuration-file.ts";
import type { Log } from "../proxy/log.ts";
import { fileVersion } from "./file-version.ts";
import { EXIT, UserError } from "./user-error.ts";

/** How often the file is looked at, and how long it has to rest: one that is being written is not read. */
export const WATCH_MS = 2000;

/** No file's: what was read is not in force, and is to be read again. */
const PENDING = "";

/** Of the file when it was read last: a change before anybody watches is not missed. */
let versionRead = PENDING;

export const ROLES = ["server", "client"] as const;
export type Role = (typeof ROLES)[number];

/** Puts options, texts and the action of a role on a command. */
export type Configure = (command: Command) => Command;

/** `args` of the program with the settings of the file that they name. What `args` themselves say stands behind, and wins. */
export function withConfiguration(args: readonly string[], roles: ReadonlyMap<string, Command>): string[] {
  const [role, ...rest] = args;
  const path = roles.has(role) ? configPath(rest) : null;
  if (path === null) return [...args];
  versionRead = fileVersion(path);
  try {
    const section = readConfiguration(path, roles, { others: ROLES, given: longOptionsIn(rest) }).find(
      (candidate) => candidate.role === role,
    );
    if (section === undefined) throw new ConfigurationError(`${path} has no section "${role}:"`);
    return [role, ...section.arguments, ...rest];
  } catch (error) {
    if (error instanceof ConfigurationError) throw new UserError(EXIT.usage, error.message);
    throw error;
  }
}

/** Without dashes. */
function longOptionsIn(args: readonly string[]): Set<string> {
  return new Set(args.filter((arg) => arg.startsWith("--")).map((arg) => arg.slice(2).split("=", 1)[0]));
}

/** The value of `--config` among options. */
function configPath(args: readonly string[]): string | null {
  const at = args.findLastIndex((arg) => arg === "--config" || arg.startsWith("--config="));
  if (at < 0) return null;
  return args[at].includes("=") ? args[at].slice("--config=".length) : (args[at + 1] ?? null);
}

/** Calls `onChange` when the file is not the one that was read, or is pending. Returns what ends that. */
function watchFile(onChange: (isRetry: boolean) => void): () => void {
  const path = configPath(process.argv.slice(2));
  if (path === null) return () => {};
  let seen = versionRead;
  const timer = setInterval(() => {
    const before = seen;
    seen = fileVersion(path);
    if (seen === before && seen !== versionRead) onChange(versionRead === PENDING);
  }, WATCH_MS);
  timer.unref();
  return () => clearInterval(timer);
}

export interface ReloadOptions<T> {
  role: Role;
  configure: Configure;
  /** As they are now. */
  options: T;
  /** The options that `apply` puts into effect; others wait for a restart. */
  reloadable: readonly (keyof T & string)[];
  /** What it throws is logged, and must have changed nothing: the old options stay, and where the file is watched it is tried again. */
  apply(options: T): Promise<void> | void;
  log: Log;
}

/**
 * SIGHUP, and changes of the configuration file, from the moment that this is made: one that comes before there is something to load
 * again is remembered.
 */
export class Hangups {
  #hungUp = false;
  #onHangup = (_isRetry: boolean) => {
    this.#hungUp = true;
  };
  readonly #listener = () => this.#onHangup(false);
  readonly #stopWatching: () => void;

  constructor() {
    process.on("SIGHUP", this.#listener);
    this.#stopWatching = watchFile((isRetry) => this.#onHangup(isRetry));
  }

  /** Reads the configuration file again on each. */
  reload<T extends object>(reload: ReloadOptions<T>): void {
    this.#onHangup = reloader(reload);
    if (this.#hungUp) this.#onHangup(false);
  }

  /** SIGHUP ends the process from now on. */
  stop(): void {
    process.off("SIGHUP", this.#listener);
    this.#stopWatching();
  }
}

function reloader<T extends object>(reload: ReloadOptions<T>): (isRetry: boolean) => void {
  let { options } = reload;
  let said = "";
  let turn = Promise.resolve();
  const { log, role } = reload;
  return (isRetry) => {
    turn = turn.then(async () => {
      let isRead = false;
      try {
        const next = readAgain(reload);
        isRead = true;
        await reload.apply(next);
        const waiting = changedKeys(options, next).filter(
          (key) => !(reload.reloadable as readonly string[]).includes(key),
        );
        log.info({ role }, "configuration loaded again");
        if (waiting.length > 0)
          log.warn({ waiting }, `takes effect with a restart only: ${waiting.map(dashed).join(", ")}`);
        options = { ...options, ...Object.fromEntries(reload.reloadable.map((key) => [key, next[key]])) };
      } catch (error) {
        // What the file itself has wrong only its next change can mend; certificates that are just being replaced mend by themselves.
        if (isRead) versionRead = PENDING;
        const { message } = error as Error;
        if (!isRetry || message !== said)
          log.error({ role }, `the configuration cannot be used, the old one stays: ${message}`);
        said = message;
      }
    });
  };
}

function readAgain<T extends object>({ role, configure }: ReloadOptions<T>): T {
  const command = configure(new Command(role));
  command.exitOverride().configureOutput({ writeErr: () => {}, outputError: () => {} });
  let read: T | null = null;
  command.action((options: T) => {
    read = options;
  });
  const [, ...args] = withConfiguration(process.argv.slice(2), new Map([[role, command]]));
  command.parse(args, { from: "user" });
  return read as unknown as T;
}

function changedKeys(before: object, after: object): string[] {
  const [a, b] = [before, after] as Record<string, unknown>[];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(
    (key) => JSON.stringify(a[key]) !== JSON.stringify(b[key]),
  );
}

function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
