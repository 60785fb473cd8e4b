/** Opening a session to a server. */
import { randomBytes } from "node:crypto";
import { ClientHolder, speaksAgainstAddress } from "../endpoint/client-holder.ts";
import { Host } from "../endpoint/host.ts";
import type { LinkSecurity } from "../endpoint/link-security.ts";
import type { SessionEnd, SessionHolder } from "../endpoint/session-holder.ts";
import { CarrierSocket, FallbackPath } from "../fallback/index.ts";
import type { Credentials } from "../tls/index.ts";
import type { Address } from "../transport/address.ts";
import { type HostPort, parseHostPort } from "../transport/host-port.ts";
import { SESSION_ID_BYTES } from "../transport/session/session-parameters.ts";
import { unlessAborted } from "./abort.ts";
import { addressesOf, noteAnswer, readAddress, resolveServer } from "./address.ts";
import { BatsError, connectError } from "./errors.ts";
import { type CommonOptions, checkNumber, linkSettings, openSocket } from "./options.ts";
import { RevocationWatch } from "./revocation-watch.ts";
import { credentialsOf, linkSecurity, type SecurityOptions } from "./security.ts";
import { Session } from "./session.ts";
import { sessionFactory } from "./session-factory.ts";
import type { SessionOptions } from "./session-options.ts";

/** Options of a client beside those of its credentials. */
export interface ClientOptions extends CommonOptions, SessionOptions {
  /** The name that the server's certificate must have. Default the host of the target. */
  serverName?: string;
  /** How long to wait for the server, ms. Default 10,000. */
  connectTimeoutMs?: number;
  /** How long a session waits for the server to come back before it is given up, ms. Default 300,000. */
  resumeTimeoutMs?: number;
  /** @internal How long an attempt at another link may take, ms: short in tests. */
  attemptMs?: number;
  /** Gives up the attempt; has no effect on an established session. */
  signal?: AbortSignal;
}

/** Another way to the server where UDP does not pass: its `listenTls`. */
export interface FallbackOptions {
  /** "tls:HOST:PORT". */
  target: string;
  /** UDP may be silent for so long before, ms. Default 3000. */
  afterMs?: number;
  /** How soon UDP is tried again then, ms; each time in vain, twice as long, up to 2 minutes. Default 5000. */
  returnMs?: number;
}

/** All options of `connect`. */
export type ConnectOptions = ClientOptions &
  SecurityOptions & {
    /** "tls:HOST:PORT" of the server's `listenTls`, or more about it: how to reach the server where UDP does not pass. */
    fallback?: string | FallbackOptions;
  };

export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
export const DEFAULT_RESUME_TIMEOUT_MS = 300_000;
const DEFAULT_FALLBACK_AFTER_MS = 3000;
const DEFAULT_RETURN_MS = 5000;
/** TCP and TLS of the fallback may take this long. */
const FALLBACK_OPEN_MS = 5000;

/**
 * Opens a session to `target`, "HOST:PORT"; resolves when both ends have accepted each other. Rejects with a `BatsError`, or with the
 * signal's reason.
 */
export async function connect(target: string, options: ConnectOptions): Promise<Session> {
  const { signal, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
  checkNumber("connectTimeoutMs", connectTimeoutMs, 1, 2 ** 31 - 1);
  const hostPort = readAddress("target", target, parseHostPort);
  const credentials = credentialsOf(options, "client");
  const security = linkSecurity(credentials, options.alpn);
  const settings = linkSettings(options);
  const serverName = options.serverName ?? hostPort.host;
  const openFallback = fallbackOf(options.fallback, serverName, credentials);
  signal?.throwIfAborted();
  const remote = await unlessAborted(resolveServer(hostPort), signal);
  const udp = await openSocket(options, {});
  const socket = openFallback === null ? udp : new CarrierSocket(udp, true);
  const host = new Host(socket, security);
  try {
    signal?.throwIfAborted();
    const rebind = async (): Promise<void> => {
      const fresh = await openSocket(options, {});
      await (socket instanceof CarrierSocket ? socket.replaceUdp(fresh) : host.driver.replaceSocket(fresh));
    };
    const fallback = socket instanceof CarrierSocket ? openFallback?.(socket) : undefined;
    const holder = clientHolder(host, security, hostPort, options, settings, rebind, fallback);
    await dial(holder, { target, hostPort, remote, timeoutMs: connectTimeoutMs, signal });
    const session = startSession(holder, () => {
      revocation.stop();
      void host.close();
    });
    const revocation = new RevocationWatch(credentials, () => [session]);
    revocation.onSession(session);
    return session;
  } catch (error) {
    void host.close();
    throw error;
  }
}

/** Checks the option; makes of a client's socket its other way to the server. */
function fallbackOf(
  option: string | FallbackOptions | undefined,
  serverName: string,
  credentials: Credentials,
): ((socket: CarrierSocket) => FallbackPath) | null {
  if (option === undefined) return null;
  const options = typeof option === "string" ? { target: option } : option;
  const { target, afterMs = DEFAULT_FALLBACK_AFTER_MS, returnMs = DEFAULT_RETURN_MS } = options;
  checkNumber("fallback.afterMs", afterMs, 0, 2 ** 31 - 1);
  checkNumber("fallback.returnMs", returnMs, 1, 2 ** 30);
  if (!target.startsWith("tls:")) {
    throw new BatsError("ERR_BATS_ARGUMENT", `fallback is ${JSON.stringify(target)}, wanted "tls:HOST:PORT"`);
  }
  const hostPort = readAddress("fallback's HOST:PORT", target.slice(4), parseHostPort);
  const carrier = { ...hostPort, serverName, credentials, timeoutMs: FALLBACK_OPEN_MS };
  return (socket) => new FallbackPath(socket, carrier, afterMs, returnMs);
}

/** @internal A session about to dial from a host that is there. */
export function clientHolder(
  { driver }: Host,
  security: LinkSecurity,
  hostPort: HostPort,
  options: ClientOptions,
  settings: ReturnType<typeof linkSettings>,
  rebind?: () => Promise<void>,
  fallback?: FallbackPath,
): ClientHolder {
  const { resumeTimeoutMs = DEFAULT_RESUME_TIMEOUT_MS, attemptMs } = options;
  const createSession = sessionFactory(options, true);
  checkNumber("resumeTimeoutMs", resumeTimeoutMs, 0, 2 ** 31 - 1);
  return new ClientHolder({
    session: createSession(randomBytes(SESSION_ID_BYTES)),
    driver,
    security,
    serverName: options.serverName ?? hostPort.host,
    addresses: {
      resolve: () => addressesOf(hostPort),
      note: (address, answers) => noteAnswer(hostPort, address, answers),
    },
    ...(rebind === undefined ? {} : { rebind }),
    settings,
    resumeTimeoutMs,
    ...(attemptMs === undefined ? {} : { attemptMs }),
    ...(fallback === undefined ? {} : { fallback }),
  });
}

interface Dialling {
  target: string;
  hostPort: HostPort;
  /** What `hostPort` was looked up to. */
  remote: Address;
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

/** @internal Waits until the holder has its first link. */
export function dial(holder: ClientHolder, { target, hostPort, remote, timeoutMs, signal }: Dialling): Promise<void> {
  const startMs = performance.now();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => holder.end({ cause: "timeout", text: "aborted" });
    const onEnd = (end: SessionEnd): void => {
      signal?.removeEventListener("abort", onAbort);
      const error = connectError(target, end);
      // Who gives up soon learns nothing of the address.
      const givenUp = signal?.aborted === true || error.code === "ERR_BATS_SESSION_CLOSED";
      const isLate = performance.now() - startMs > timeoutMs / 2;
      const noLink = end.cause === "timeout" || (end.cause === "link" && speaksAgainstAddress(end.reason));
      if (givenUp ? isLate : noLink) noteAnswer(hostPort, remote, false);
      reject(signal?.aborted === true ? signal.reason : error);
    };
    const onOpen = (): void => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    holder.listener = {
      opened: onOpen,
      ended: onEnd,
      progressed: () => {},
      suspended: () => {},
      resumed: () => {},
      attemptFailed: () => {},
      pathChanged: () => {},
    };
    signal?.addEventListener("abort", onAbort);
    holder.dial(remote, timeoutMs);
  });
}

/** @internal The session for the user, which speaks up as soon as the user had a chance to listen. */
export function startSession(holder: SessionHolder, onEnd: () => void): Session {
  const session = new Session(holder);
  session.once("close", onEnd);
  setImmediate(() => session.start());
  return session;
}
