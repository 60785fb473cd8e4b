/**
 * Keeps one session going for as long as a client runs: tries each server in turn, waits longer after each round that failed, and
 * begins anew when a session is over. Names are looked up in each attempt, so that a network that comes up late, or a server that
 * moved, is found. What an attempt is, is handed in.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Carrier } from "./carrier.ts";
import type { Log } from "./log.ts";

/** The wait after a round of failures: doubled each time up to the longest, then half of it at random. */
const BACKOFF_MIN_MS = 250;
/** Short, because a server that restarts is missed by its clients: an attempt at a dead one costs six datagrams at once and six a second. */
const BACKOFF_MAX_MS = 4000;

/** After this long without an answer the log says so; then the attempt is given up. */
const SILENCE_MS = 5000;
const ATTEMPT_MS = 10_000;

/** A session that held this long was a success: the wait starts small again. */
const STABLE_MS = 5000;

/**
 * So often in a row every server must have refused for good before that is believed: until a session is established anyone who sees the
 * packets can forge a refusal.
 */
const REFUSALS = 3;

/** How often the same complaint is repeated. */
const REPEAT_MS = 60_000;

export type Verdict =
  /** Another attempt may well succeed. */
  | "retry"
  /** None will, until somebody mends something: given up when nothing ever worked, and it is heard some times in a row. */
  | "hopeless";

export interface ReconnectOptions<T extends Carrier> {
  targets: readonly string[];
  connect(target: string, signal: AbortSignal): Promise<T>;
  judge(error: Error): Verdict;
  onSession(session: T, target: string): void;
  log: Log;
  /** Gives up after one round without success. */
  failFast?: boolean;
  signal: AbortSignal;
}

/** Resolves when `signal` aborts; rejects with an attempt's error when it is hopeless, or with `failFast`. That one is not logged. */
export async function keepConnected<T extends Carrier>(options: ReconnectOptions<T>): Promise<void> {
  const { targets, judge, log, failFast = false, signal } = options;
  const complaints = new Complaints(log);
  const failures: { target: string; error: Error }[] = [];
  let everWorked = false;
  let refusedRounds = 0;
  let delayMs = BACKOFF_MIN_MS;
  for (let turn = 0; !signal.aborted; turn++) {
    const target = targets[turn % targets.length];
    const startMs = performance.now();
    const error = await runOnce(target, options, complaints);
    if (signal.aborted) return;
    if (error === null) {
      everWorked = true;
      failures.length = 0;
      complaints.forget();
      if (performance.now() - startMs > STABLE_MS) delayMs = BACKOFF_MIN_MS;
    } else {
      const refused = (failure: Error): boolean => !everWorked && judge(failure) === "hopeless";
      if (!refused(error) && !failFast) complaints.say(target, error.message);
      failures.push({ target, error });
      // The others first, at once.
      if (failures.length < targets.length) continue;
      const round = failures.splice(0);
      const allRefused = round.every((failure) => refused(failure.error));
      refusedRounds = allRefused ? refusedRounds + 1 : 0;
      const last = failFast || refusedRounds === REFUSALS;
      if (allRefused && !last) {
        if (refusedRounds === 1) log.info({}, "refused; asking again, since a first refusal may be forged");
      } else {
        for (const failure of last ? round.slice(0, -1) : round) complaints.say(failure.target, failure.error.message);
      }
      if (last) throw error;
    }
    // An abort ends the wait, and then the loop.
    await sleep(delayMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
    delayMs = Math.min(delayMs * 2, BACKOFF_MAX_MS);
  }
}

/** One session, from the attempt to its end; why there was none, or null when there was. */
async function runOnce<T extends Carrier>(
  target: string,
  options: ReconnectOptions<T>,
  complaints: Complaints,
): Promise<Error | null> {
  const { onSession, log, signal } = options;
  let session: T;
  try {
    session = await attempt(target, options, complaints);
  } catch (error) {
    return error as Error;
  }
  const error = await new Promise<Error | null>((resolve) => {
    const onAbort = () => resolve(null);
    session.once("close", (reason) => {
      signal.removeEventListener("abort", onAbort);
      resolve(reason);
    });
    signal.addEventListener("abort", onAbort, { once: true });
    onSession(session, target);
  });
  if (signal.aborted) return null;
  log.warn({ server: target }, `${target}: the session is over: ${error?.message ?? "the server closed it"}`);
  return null;
}

async function attempt<T extends Carrier>(
  target: string,
  options: ReconnectOptions<T>,
  complaints: Complaints,
): Promise<T> {
  const giveUp = new AbortController();
  const stop = () => giveUp.abort();
  options.signal.addEventListener("abort", stop, { once: true });
  const port = target.slice(target.lastIndexOf(":") + 1);
  const silent = `no answer over UDP: is a server running there, and is UDP port ${port} open on the way?`;
  const silence = setTimeout(() => complaints.say(target, silent), SILENCE_MS);
  const limit = setTimeout(stop, ATTEMPT_MS);
  try {
    return await options.connect(target, giveUp.signal);
  } catch (error) {
    if (giveUp.signal.aborted && !options.signal.aborted) throw new Error(silent, { cause: error });
    throw error;
  } finally {
    clearTimeout(silence);
    clearTimeout(limit);
    options.signal.removeEventListener("abort", stop);
  }
}

/** Says what is new at once, and what goes on being so once a minute. */
class Complaints {
  readonly #log: Log;
  readonly #said: Map<string, { text: string; atMs: number }> = new Map();

  constructor(log: Log) {
    this.#log = log;
  }

  say(target: string, text: string): void {
    const before = this.#said.get(target);
    const nowMs = performance.now();
    if (before?.text === text && nowMs - before.atMs < REPEAT_MS) return;
    this.#said.set(target, { text, atMs: nowMs });
    this.#log.warn({ server: target }, text.includes(target) ? text : `${target}: ${text}`);
  }

  forget(): void {
    this.#said.clear();
  }
}
