/** The end of a transfer that waits: takes any number of them, from those who may. */
import { listen } from "../api/listener.ts";
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import { nameOf } from "../proxy/identity.ts";
import type { Log } from "../proxy/log.ts";
import { awaitControlStream, Control } from "../transfer/control.ts";
import { TransferError } from "../transfer/errors.ts";
import type { Progress } from "../transfer/progress.ts";
import { MAX_STREAMS } from "../transfer/receive-session.ts";
import { formatAddress } from "../transport/address.ts";
import { loadCredentials, watchCredentials } from "./credential-files.ts";
import { listenFailure } from "./listen-failure.ts";
import { createLog } from "./log-output.ts";
import { aborted, shutdownSignal } from "./shutdown.ts";
import { type Outcome, summaryJson, summaryText } from "./transfer-display.ts";
import { isAllowed, TRANSFER_ALPN, type TransferOptions } from "./transfer-options.ts";
import { EXIT, UserError } from "./user-error.ts";

const CLOSE_MS = 3000;

/** One transfer with one peer. */
export interface ServedTransfer {
  readonly progress: Progress;
  run(session: Session, control: Promise<Stream>): Promise<void>;
}

export interface ServerPart {
  role: Outcome["role"];
  /** Ends after the first transfer that goes through. */
  once: boolean;
  /** What is done for a peer that may. Rejects with a `TransferError` where it cannot be. */
  begin(peer: string): Promise<ServedTransfer>;
}

export async function transferAsServer(options: TransferOptions, part: ServerPart): Promise<void> {
  const log = createLog(options);
  const signal = shutdownSignal();
  if (options.allow.length === 0) log.warn({}, "nobody is allowed: add --allow 'IDENTITY'");
  const credentials = await loadCredentials(options, { role: "server", log, signal });
  const listener = await listen({
    listen: options.listen ?? "",
    ...(options.listenTls === undefined ? {} : { listenTls: options.listenTls }),
    credentials,
    alpn: TRANSFER_ALPN,
    maxStreams: MAX_STREAMS,
  }).catch((error: Error) => {
    throw listenFailure(options, error);
  });
  const stopWatching = watchCredentials(credentials, options, log);
  const enough = new AbortController();
  let failed = 0;
  listener.on("session", (session) => {
    void serve(session, options, part, log).then((progress) => {
      if (progress === null || !part.once) return;
      failed = progress.failed;
      enough.abort();
    });
  });
  log.info({}, `${part.role === "sender" ? "sending" : "receiving"} on UDP ${formatAddress(listener.address)}`);
  await aborted(AbortSignal.any([signal, enough.signal]));
  await listener.close({ timeoutMs: CLOSE_MS });
  stopWatching();
  if (failed > 0) throw new UserError(EXIT.incomplete, `${failed} not transferred, as said above`);
}

/** Resolves with what came of it; null when it did not go through. */
async function serve(session: Session, options: TransferOptions, part: ServerPart, log: Log): Promise<Progress | null> {
  const { identity, address } = session.peer;
  const peer = nameOf(identity);
  const startMs = performance.now();
  const control = awaitControlStream(session);
  // Whoever waits for its streams is told.
  session.on("close", () => {});
  let transfer: ServedTransfer | null = null;
  let failure: Error | null = null;
  try {
    if (!isAllowed(options.allow, identity)) {
      throw new TransferError(
        "local",
        `${peer || "a peer without a name"} is not allowed here: it needs --allow '${peer || "*"}'`,
      );
    }
    transfer = await part.begin(peer);
    transfer.progress.onProblem = ({ path, text }) => log.warn({ peer, path }, `${peer}: ${path}: ${text}`);
    log.info({ audit: "transfer", peer, address: formatAddress(address) }, `${peer}: begins`);
    await transfer.run(session, control);
  } catch (error) {
    failure = error as Error;
    if (transfer === null) await Control.refuse(control, failure.message).catch(() => {});
  }
  if (transfer !== null) {
    const seconds = (performance.now() - startMs) / 1000;
    const outcome = { role: part.role, peer, seconds, complete: failure === null, stats: session.stats() };
    if (options.json === true) process.stdout.write(`${JSON.stringify(summaryJson(transfer.progress, outcome))}\n`);
    const level = failure === null && transfer.progress.failed === 0 ? "info" : "warn";
    log[level](
      { audit: "transfer", ...summaryJson(transfer.progress, outcome) },
      summaryText(transfer.progress, outcome),
    );
  }
  if (failure !== null) {
    log.warn({ peer }, `${peer}: ${failure.message}`);
    // What was said last must arrive before the session goes.
    await session.close({ timeoutMs: CLOSE_MS });
  }
  return failure === null ? (transfer as ServedTransfer).progress : null;
}
