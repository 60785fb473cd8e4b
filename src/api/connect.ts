/** Opening a session to a server. */
import { randomBytes } from "node:crypto";
import { ClientHolder } from "../endpoint/client-holder.ts";
import { Host } from "../endpoint/host.ts";
import type { LinkSecurity } from "../endpoint/link-security.ts";
import type { SessionEnd, SessionHolder } from "../endpoint/session-holder.ts";
import { SESSION_ID_BYTES } from "../transport/session/session-parameters.ts";
import { parseHostPort, resolveHost } from "./address.ts";
import { connectError } from "./errors.ts";
import { type CommonOptions, checkNumber, linkSettings, openSocket } from "./options.ts";
import { credentialsOf, linkSecurity, type SecurityOptions } from "./security.ts";
import { Session } from "./session.ts";
import { type SessionOptions, sessionFactory } from "./session-options.ts";

/** Options of a client beside those of its credentials. */
export interface ClientOptions extends CommonOptions, SessionOptions {
  /** The name that the server's certificate must have. Default the host of the target. */
  serverName?: string;
  /** How long to wait for the server, ms. Default 10,000. */
  connectTimeoutMs?: number;
  /** How long a session waits for the server to come back before it is given up, ms. Default 300,000. */
  resumeTimeoutMs?: number;
  /** Gives up the attempt; has no effect on an established session. */
  signal?: AbortSignal;
}

export type ConnectOptions = ClientOptions & SecurityOptions;

export const DEFAULT_CONNECT_TIMEOUT_MS = 10_000;
export const DEFAULT_RESUME_TIMEOUT_MS = 300_000;

/**
 * Opens a session to `target`, "HOST:PORT"; resolves when both ends have accepted each other. Rejects with a `BatsError`, or with the
 * signal's reason.
 */
export async function connect(target: string, options: ConnectOptions): Promise<Session> {
  const { signal, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
  checkNumber("connectTimeoutMs", connectTimeoutMs, 1, 2 ** 31 - 1);
  const hostPort = parseHostPort(target, "target", true);
  const security = linkSecurity(credentialsOf(options), options.alpn);
  const settings = linkSettings(options);
  signal?.throwIfAborted();
  const remote = await resolveHost(hostPort);
  const socket = await openSocket(options, {});
  const host = new Host(socket, security);
  try {
    signal?.throwIfAborted();
    const rebind = async (): Promise<void> => host.driver.replaceSocket(await openSocket(options, {}));
    const holder = clientHolder(host, security, hostPort, options, settings, rebind);
    await dial(holder, target, () => holder.dial(remote, connectTimeoutMs), signal);
    return startSession(holder, () => void host.close());
  } catch (error) {
    void host.close();
    throw error;
  }
}

/** @internal A session about to dial from a host that is there. */
export function clientHolder(
  { driver }: Host,
  security: LinkSecurity,
  hostPort: { host: string; port: number },
  options: ClientOptions,
  settings: ReturnType<typeof linkSettings>,
  rebind?: () => Promise<void>,
): ClientHolder {
  const { resumeTimeoutMs = DEFAULT_RESUME_TIMEOUT_MS } = options;
  const createSession = sessionFactory(options, true);
  checkNumber("resumeTimeoutMs", resumeTimeoutMs, 0, 2 ** 31 - 1);
  return new ClientHolder({
    session: createSession(randomBytes(SESSION_ID_BYTES)),
    driver,
    security,
    serverName: options.serverName ?? hostPort.host,
    resolve: () => resolveHost(hostPort),
    ...(rebind === undefined ? {} : { rebind }),
    settings,
    resumeTimeoutMs,
  });
}

/** @internal Waits until the holder has its first link. */
export function dial(
  holder: SessionHolder,
  target: string,
  begin: () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => holder.end({ cause: "timeout", text: "aborted" });
    const onEnd = (end: SessionEnd): void => {
      signal?.removeEventListener("abort", onAbort);
      reject(signal?.aborted === true ? signal.reason : connectError(target, end));
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
      pathChanged: () => {},
    };
    signal?.addEventListener("abort", onAbort);
    begin();
  });
}

/** @internal The session for the user, which speaks up as soon as the user had a chance to listen. */
export function startSession(holder: SessionHolder, onEnd: () => void): Session {
  const session = new Session(holder);
  session.once("close", onEnd);
  setImmediate(() => session.start());
  return session;
}
