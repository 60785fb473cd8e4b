/** Taking sessions from clients. */
import { EventEmitter } from "node:events";
import { isIP } from "node:net";
import type { ClientHolder } from "../endpoint/client-holder.ts";
import { Host } from "../endpoint/host.ts";
import type { LinkSecurity } from "../endpoint/link-security.ts";
import { CLOSE_NORMAL } from "../endpoint/session-holder.ts";
import { type RefusalCode, SessionRegistry } from "../endpoint/session-registry.ts";
import { CarrierListener, CarrierSocket } from "../fallback/index.ts";
import type { Credentials } from "../tls/index.ts";
import type { Address } from "../transport/address.ts";
import { type HostPort, parseHostPort, parseListenAddress } from "../transport/host-port.ts";
import { openError } from "../udp/index.ts";
import { unlessAborted } from "./abort.ts";
import { readAddress, resolveHost, resolveServer } from "./address.ts";
import { type ClientOptions, clientHolder, DEFAULT_CONNECT_TIMEOUT_MS, dial, startSession } from "./connect.ts";
import { BatsError } from "./errors.ts";
import { type CommonOptions, checkNumber, linkSettings, openSocket } from "./options.ts";
import { RevocationWatch } from "./revocation-watch.ts";
import { credentialsOf, linkSecurity, type SecurityOptions } from "./security.ts";
import { type CloseOptions, Session, type SessionPeer } from "./session.ts";
import { sessionFactory } from "./session-factory.ts";
import type { SessionOptions } from "./session-options.ts";
import { type FallbackStats, fallbackStats } from "./stats.ts";

/** All options of `listen`. */
export type ListenOptions = ListenerOptions & SecurityOptions;

/** Options of a listener beside those of its credentials. */
export interface ListenerOptions extends CommonOptions, SessionOptions {
  /** "PORT", "HOST:PORT" or "[IPV6]:PORT"; port 0 lets the system choose, no host means all addresses. */
  listen: string;
  /**
   * A TCP port, written as `listen` is, for clients whose network lets no UDP pass (their `fallback`): TLS with the same certificates at both
   * ends. Left out: none.
   */
  listenTls?: string;
  /** How long a session whose link is gone waits for its client, ms. Default 180,000. */
  keepSessionMs?: number;
  /** How many such sessions are kept; the one that waits longest is given up first. Default 4096. */
  maximumKeptSessions?: number;
  /**
   * How many sessions one identity (the names in a certificate) may have, those that wait for their clients too. Default: as many as the
   * port takes.
   */
  maximumSessionsPerIdentity?: number;
  /** Handshakes of clients that have not proved their address yet; beyond it they are asked to, first. Default 256. */
  maximumUnvalidated?: number;
  /** Closes the listener, as `close` does. */
  signal?: AbortSignal;
}

/** What a listener emits. */
export interface ListenerEvents {
  /** A client opened a session. */
  session: [session: Session];
  /** A client with a certificate was turned away, and why: in words, and by a code that stays the same. */
  refused: [peer: SessionPeer, reason: string, code: RefusalCode];
  /** The listener is closed, and so are its sessions. */
  close: [];
}

const DEFAULT_KEEP_SESSION_MS = 180_000;
const DEFAULT_MAXIMUM_KEPT = 4096;

const CLOSED = "the listener is closed";

/** Opens a UDP port and takes sessions on it. Rejects with a `BatsError` when the port cannot be had or an option is wrong. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { keepSessionMs = DEFAULT_KEEP_SESSION_MS, maximumKeptSessions = DEFAULT_MAXIMUM_KEPT, signal } = options;
  checkNumber("keepSessionMs", keepSessionMs, 0, 2 ** 31 - 1);
  checkNumber("maximumKeptSessions", maximumKeptSessions, 0, 2 ** 31 - 1);
  const { maximumSessionsPerIdentity = Number.POSITIVE_INFINITY } = options;
  checkNumber("maximumSessionsPerIdentity", maximumSessionsPerIdentity, 1, Number.POSITIVE_INFINITY);
  checkNumber("maximumUnvalidated", options.maximumUnvalidated, 0, 2 ** 31 - 1);
  const hostPort = readAddress("listen", options.listen, parseListenAddress);
  const tlsHostPort =
    options.listenTls === undefined ? null : readAddress("listenTls", options.listenTls, parseListenAddress);
  const credentials = credentialsOf(options, "server");
  const security = linkSecurity(credentials, options.alpn);
  const settings = linkSettings(options);
  const createSession = sessionFactory(options, false);
  signal?.throwIfAborted();
  const udp = await openSocket(options, await unlessAborted(bindAddress(hostPort), signal));
  const socket = tlsHostPort === null ? udp : new CarrierSocket(udp, false);
  let carriers: CarrierListener | null = null;
  try {
    if (socket instanceof CarrierSocket) carriers = await openCarriers(tlsHostPort!, credentials, socket, signal);
    signal?.throwIfAborted();
  } catch (error) {
    carriers?.close();
    await socket.close();
    throw error;
  }
  const host = new Host(socket, security, options.maximumUnvalidated);
  const refuseNew = (reason: string): void => {
    registry.closedToNew = reason;
  };
  const listener = new Listener(host, options, { credentials, security }, carriers, refuseNew);
  const registry: SessionRegistry = new SessionRegistry({
    driver: host.driver,
    security,
    createSession,
    settings,
    keepMs: keepSessionMs,
    maximumKept: maximumKeptSessions,
    maximumPerIdentity: maximumSessionsPerIdentity,
    onRefused: (identity, address, code, words) =>
      queueMicrotask(() => listener.emit("refused", { identity, address }, words, code)),
    onSession: (holder) => {
      const session = new Session(holder);
      queueMicrotask(() => listener.onSession(session));
    },
  });
  host.endpoint.acceptor = registry;
  const onAbort = (): void => void listener.close({ timeoutMs: 0 });
  signal?.addEventListener("abort", onAbort, { once: true });
  listener.once("close", () => signal?.removeEventListener("abort", onAbort));
  return listener;
}

async function openCarriers(
  hostPort: HostPort,
  credentials: Credentials,
  socket: CarrierSocket,
  signal: AbortSignal | undefined,
): Promise<CarrierListener> {
  const option = "listenTls";
  const { ip = "", port } = await unlessAborted(bindAddress(hostPort), signal).catch((error) => {
    throw error instanceof BatsError ? new BatsError(error.code, error.message, { cause: error.cause, option }) : error;
  });
  try {
    return await CarrierListener.open({ host: ip, port }, credentials, socket);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const { message } = openError({ ip: ip === "" ? "::" : ip, port }, code, error, "TCP");
    throw new BatsError("ERR_BATS_BIND", message, { cause: error, option });
  }
}

async function bindAddress({ host, port }: HostPort): Promise<{ ip?: string; port: number }> {
  if (host === "") return { port };
  return isIP(host) === 0 ? resolveHost({ host, port }) : { ip: host, port };
}

/** Takes sessions on a UDP port. */
export class Listener extends EventEmitter<ListenerEvents> {
  readonly #host: Host;
  readonly #options: CommonOptions & SessionOptions;
  readonly #credentials: Credentials;
  readonly #security: LinkSecurity;
  readonly #carriers: CarrierListener | null;
  readonly #sessions = new Set<Session>();
  readonly #refuseNew: (reason: string) => void;
  /** Those of `connect` that have no link yet. */
  readonly #dialling = new Set<ClientHolder>();
  readonly #revocation: RevocationWatch;
  #closed: Promise<void> | null = null;

  /** @internal Listeners come from `listen`. */
  constructor(
    host: Host,
    options: CommonOptions & SessionOptions,
    { credentials, security }: { credentials: Credentials; security: LinkSecurity },
    carriers: CarrierListener | null,
    refuseNew: (reason: string) => void,
  ) {
    super();
    this.#refuseNew = refuseNew;
    this.#credentials = credentials;
    this.#carriers = carriers;
    this.#host = host;
    this.#options = options;
    this.#security = security;
    this.#revocation = new RevocationWatch(credentials, () => this.#sessions);
  }

  /** Where it listens, with the port that the system chose. */
  get address(): Address {
    return this.#host.driver.socket.localAddress;
  }

  /** Where it listens for TLS on TCP; null where it does not. */
  get tlsAddress(): Address | null {
    return this.#carriers?.address ?? null;
  }

  /** How datagrams get in and out of the kernel. */
  get io(): "dgram" | "native" {
    return this.#host.driver.socket.kind;
  }

  /** What came and went by `listenTls`; null without. */
  fallbackStats(): FallbackStats | null {
    return fallbackStats(this.#host.driver.socket, this.#carriers?.refused ?? 0);
  }

  /** The sessions that are open, those waiting for their clients too. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** Opens a session to another listener from this one's port, with this one's certificate. Otherwise as `connect`; `io` is this one's. */
  async connect(target: string, options: ClientOptions = {}): Promise<Session> {
    this.#throwIfClosed();
    const merged: ClientOptions = { ...this.#options, ...options };
    const { signal, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
    const hostPort = readAddress("target", target, parseHostPort);
    const settings = linkSettings(merged);
    credentialsOf({ credentials: this.#credentials }, "client");
    signal?.throwIfAborted();
    const remote = await unlessAborted(resolveServer(hostPort), signal);
    this.#throwIfClosed();
    const holder = clientHolder(this.#host, this.#security, hostPort, merged, settings);
    this.#dialling.add(holder);
    try {
      await dial(holder, { target, hostPort, remote, timeoutMs: connectTimeoutMs, signal });
    } finally {
      this.#dialling.delete(holder);
    }
    this.#throwIfClosed();
    const session = startSession(holder, () => this.#sessions.delete(session));
    this.#sessions.add(session);
    this.#revocation.onSession(session);
    return session;
  }

  /** Refuses new sessions from now on, and tells their clients why; those that are there go on, and come back after outages. */
  refuseNew(reason: string): void {
    this.#refuseNew(reason);
  }

  /** Takes no more sessions, closes those that are there as `Session.close` does, then the port. */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closed ??= this.#close(options);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal */
  onSession(session: Session): void {
    if (session.closed) return;
    this.#sessions.add(session);
    // Comes once; a listener that removes itself would take memory of every session.
    session.on("close", () => this.#sessions.delete(session));
    this.#revocation.onSession(session);
    if (this.#closed !== null || this.listenerCount("session") === 0) session.destroy();
    else this.emit("session", session);
    session.start();
  }

  #throwIfClosed(): void {
    if (this.#closed !== null) throw new BatsError("ERR_BATS_SESSION_CLOSED", CLOSED);
  }

  async #close(options: CloseOptions): Promise<void> {
    this.#host.endpoint.acceptor = null;
    this.#carriers?.close();
    const reason = { cause: "local", code: CLOSE_NORMAL, text: CLOSED } as const;
    for (const holder of this.#dialling) holder.end({ cause: "link", reason });
    await Promise.all([...this.#sessions].map((session) => session.close(options)));
    await this.#host.close();
    this.#revocation.stop();
    this.emit("close");
  }
}
