/** The end of a transfer that connects: goes on in another session where one was lost, until all is done or nothing answers any more. */
import { connect } from "../api/connect.ts";
import type { Session } from "../api/session.ts";
import { nameOf } from "../proxy/identity.ts";
import { keepConnected } from "../proxy/reconnect.ts";
import { isStreamError, TransferError } from "../transfer/errors.ts";
import type { Progress } from "../transfer/progress.ts";
import { MAX_STREAMS } from "../transfer/receive-session.ts";
import { connectFailure, judge } from "./connect-failure.ts";
import { loadCredentials } from "./credential-files.ts";
import { escapeControls } from "./log-output.ts";
import { shutdownSignal } from "./shutdown.ts";
import { Display, type Outcome, summaryJson, summaryText } from "./transfer-display.ts";
import { TRANSFER_ALPN, type TransferOptions } from "./transfer-options.ts";
import { EXIT, UserError } from "./user-error.ts";

const KEEP_ALIVE_MS = 3000;
const WATCH_MS = 500;
const CLOSE_MS = 3000;

/** Sends or receives in one session; rejects with a `TransferError` when no other session would do better. */
export type RunSession = (session: Session) => Promise<void>;

export async function transferAsClient(
  role: Outcome["role"],
  options: TransferOptions,
  progress: Progress,
  runSession: RunSession,
): Promise<void> {
  const { connect: target = "", serverName, fallback, json = false } = options;
  const stopped = shutdownSignal();
  const display = new Display(progress, !json);
  progress.onProblem = ({ path, text }) => display.say(`${path}: ${text}`);
  const loading = { role: "client", log: display.log, signal: stopped, failFast: true } as const;
  const credentials = await loadCredentials(options, loading);
  const over = new AbortController();
  const startMs = performance.now();
  let session: Session | null = null;
  let failure: Error | null = null;
  let finished = false;
  const end = (error: Error | null) => {
    failure ??= error;
    over.abort();
  };
  const unwatch = watchSilence(options.retry * 1000, () => session, end);
  await keepConnected<Session>({
    targets: [target],
    connect: (to, signal) =>
      connect(to, {
        credentials,
        alpn: TRANSFER_ALPN,
        keepAliveMs: KEEP_ALIVE_MS,
        resumeTimeoutMs: Math.max(1, options.retry * 1000),
        signal,
        maxStreams: MAX_STREAMS,
        ...(serverName === undefined ? {} : { serverName }),
        ...(fallback === undefined ? {} : { fallback }),
      }),
    judge,
    onSession: (established) => {
      session = established;
      session.on("suspended", () => display.say(`${target}: does not answer; the transfer waits`));
      session.on("resumed", () => display.say(`${target}: is back`));
      runSession(established).then(
        () => {
          finished = true;
          end(null);
        },
        (error: Error) => {
          // Another session may do better than one that was lost, and than nothing else.
          if (isStreamError(error) && options.retry > 0) established.destroy();
          else end(error);
        },
      );
    },
    log: display.log,
    failFast: options.retry === 0,
    signal: AbortSignal.any([stopped, over.signal]),
  }).catch((error: Error) => {
    failure = connectFailure(error);
  });
  unwatch();
  // Whoever stops it does not wait for what is under way.
  const { peer, stats } = await leave(session, stopped.aborted ? 0 : CLOSE_MS);
  display.close();
  const outcome: Outcome = {
    role,
    peer: peer === "" ? target : peer,
    seconds: (performance.now() - startMs) / 1000,
    complete: finished,
    stats,
  };
  const summary = json
    ? JSON.stringify(summaryJson(progress, outcome))
    : escapeControls(summaryText(progress, outcome));
  if (json || stats !== null) process.stdout.write(`${summary}\n`);
  if (failure !== null) throw userError(failure);
  if (!finished) throw new UserError(EXIT.incomplete, "stopped: the same command again goes on from here");
  if (progress.failed > 0) throw new UserError(EXIT.incomplete, `${progress.failed} not transferred, as said above`);
}

/** Closes the session and says what it was like. */
async function leave(session: Session | null, timeoutMs: number): Promise<{ peer: string; stats: Outcome["stats"] }> {
  if (session === null) return { peer: "", stats: null };
  const stats = session.stats();
  const peer = nameOf(session.peer.identity);
  await session.close({ timeoutMs });
  return { peer, stats };
}

/** Gives up when there is no session that answers for `limitMs`. */
function watchSilence(limitMs: number, current: () => Session | null, end: (error: Error) => void): () => void {
  let answeredMs = performance.now();
  const timer = setInterval(() => {
    const session = current();
    if (session !== null && !session.closed && !session.suspended) answeredMs = performance.now();
    if (limitMs > 0 && performance.now() - answeredMs > limitMs) {
      const text = `no answer for ${Math.round(limitMs / 1000)} s (--retry); the same command again goes on from here`;
      end(new UserError(EXIT.unreachable, text));
    }
  }, WATCH_MS);
  return () => clearInterval(timer);
}

function userError(error: Error): Error {
  if (error instanceof TransferError) {
    return new UserError(
      EXIT.incomplete,
      error.fault === "stopped" ? `the other end stops: ${error.message}` : error.message,
    );
  }
  return error instanceof UserError ? error : connectFailure(error);
}
