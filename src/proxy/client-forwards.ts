/**
 * The client's side of forwarding: its own listeners (`-L`), which live as long as the client whether there is a session or not,
 * and those that it asks the server for (`-R`), asked for anew in each session. Without transport: sessions are handed in.
 */
import type { Socket } from "node:net";
import type { Carrier } from "./carrier.ts";
import { type Forward, formatEndpoint, formatForward } from "./forward-endpoint.ts";
import { ForwardSession, type Refusal } from "./forward-session.ts";
import { readHeader } from "./header-reader.ts";
import { resetOnClose } from "./linger.ts";
import { boundEndpoint, listenAt, resetSocket, type StreamEndpoint, sourceOf } from "./local-socket.ts";
import type { Log } from "./log.ts";
import { decodeAnswer, type OpenHeader } from "./open-header.ts";
import { listenUdp } from "./udp-socket.ts";

/** Connections that wait while there is no session: how many, and how long each. */
const MAX_WAITING = 1024;
const WAITING_MS = 15_000;

/** How soon a listener that the server refused, or lost, is asked for again, and how seldom at last. */
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;

export interface ClientForwardsOptions {
  local: readonly Forward[];
  remote: readonly Forward[];
  unixMode: number;
  maxFlows: number;
  flowIdleMs: number;
  datagramDeadlineMs: number | undefined;
  log: Log;
}

export class ClientForwards {
  readonly #options: ClientForwardsOptions;
  readonly #log: Log;
  readonly #listeners: Set<{ text: string; close(): void }> = new Set();
  /** Forwards of the server's listeners; a number means the same for good: null are those that were taken away. */
  readonly #remote: (Forward | null)[];
  /** What ends the server's listeners, by number. */
  readonly #asked: Map<number, () => void> = new Map();
  readonly #waiting: Map<Socket, { forward: Forward; timer: NodeJS.Timeout }> = new Map();
  #session: ForwardSession | null = null;
  #stopping = false;

  constructor(options: ClientForwardsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#remote = [...options.remote];
  }

  get session(): ForwardSession | null {
    return this.#session;
  }

  /** Opens the local listeners; rejects with a `LocalSocketError` when one cannot be had. */
  async listen(): Promise<void> {
    for (const forward of this.#options.local) await this.#listen(forward);
  }

  /**
   * Other forwards from now on: new ones begin, those that are gone take no more connections, and connections go on. Listeners that
   * cannot be had are logged, and are missing until the next change; the others are as they should be.
   */
  async change(local: readonly Forward[], remote: readonly Forward[]): Promise<void> {
    const wanted = new Set(local.map(formatForward));
    const present = new Set<string>();
    for (const listener of this.#listeners) {
      const { text } = listener;
      present.add(text);
      if (wanted.has(text)) continue;
      listener.close();
      this.#listeners.delete(listener);
      this.#log.info({ forward: text }, `-L ${text}: takes no more connections`);
    }
    this.#changeRemote(remote);
    for (const forward of local) {
      const text = formatForward(forward);
      if (present.has(text)) continue;
      await this.#listen(forward).catch((error: Error) =>
        this.#log.error({ forward: text }, `-L ${text}: ${error.message}; the rest is in force`),
      );
    }
  }

  #changeRemote(remote: readonly Forward[]): void {
    const wanted = new Set(remote.map(formatForward));
    const present = new Set<string>();
    for (const [listener, forward] of this.#remote.entries()) {
      if (forward === null) continue;
      const text = formatForward(forward);
      present.add(text);
      if (wanted.has(text)) continue;
      this.#remote[listener] = null;
      this.#asked.get(listener)?.();
      this.#log.info({ forward: text }, `-R ${text}: takes no more connections`);
    }
    for (const forward of remote) {
      if (present.has(formatForward(forward))) continue;
      const listener = this.#remote.push(forward) - 1;
      if (this.#session !== null) void this.#keepListening(this.#session, listener);
    }
  }

  async #listen(forward: Forward): Promise<void> {
    const { listen, target } = forward;
    const text = formatForward(forward);
    let bound = listen;
    if (listen.kind === "udp") {
      const udp = await listenUdp(listen, {
        idleMs: this.#options.flowIdleMs,
        maxFlows: this.#options.maxFlows,
        openFlow: (source, reply, closed) => {
          const header: OpenHeader = { type: "flow", target: formatEndpoint(target), source };
          return this.#session?.openFlow({ header, forward: text, source }, reply, closed) ?? null;
        },
      });
      this.#listeners.add({ text, close: () => udp.close() });
      bound = boundEndpoint(listen, udp);
    } else {
      const server = await listenAt(listen as StreamEndpoint, {
        unixMode: this.#options.unixMode,
        onConnection: (socket) => this.#onConnection(socket, forward),
      });
      this.#listeners.add({ text, close: () => server.close() });
      bound = boundEndpoint(listen, server.address());
    }
    const at = formatEndpoint(bound);
    const to = formatEndpoint(target);
    this.#log.info({ listen: at, target: to }, `listening at ${at} for the server's ${to}`);
  }

  /** Takes a session that was just established; the one before it is over. */
  attach(carrier: Carrier): ForwardSession {
    const session = new ForwardSession(carrier, {
      log: this.#log,
      flowIdleMs: this.#options.flowIdleMs,
      datagramDeadlineMs: this.#options.datagramDeadlineMs,
      policy: { target: (header) => this.#target(header), listen: null, tunnel: null },
    });
    this.#session = session;
    carrier.once("close", () => {
      if (this.#session === session) this.#session = null;
    });
    for (const listener of this.#remote.keys()) void this.#keepListening(session, listener);
    for (const [socket, { forward, timer }] of this.#waiting) {
      clearTimeout(timer);
      this.#open(session, socket, forward);
    }
    this.#waiting.clear();
    return session;
  }

  /** Takes no more connections, here or by the server's listeners; what is open goes on. */
  stopListening(): void {
    this.#stopping = true;
    for (const listener of this.#listeners) listener.close();
    for (const end of this.#asked.values()) end();
    for (const [socket, { timer }] of this.#waiting) {
      clearTimeout(timer);
      resetSocket(socket);
    }
    this.#waiting.clear();
  }

  #onConnection(socket: Socket, forward: Forward): void {
    if (this.#session !== null) {
      this.#open(this.#session, socket, forward);
      return;
    }
    if (this.#waiting.size >= MAX_WAITING) {
      resetSocket(socket);
      return;
    }
    resetOnClose(socket, true);
    const timer = setTimeout(() => {
      this.#waiting.delete(socket);
      const text = formatForward(forward);
      this.#log.warn(
        { forward: text },
        `${text}: a connection was reset: there was no session for ${WAITING_MS / 1000} s`,
      );
      resetSocket(socket);
    }, WAITING_MS);
    this.#waiting.set(socket, { forward, timer });
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      this.#waiting.delete(socket);
    });
  }

  #open(session: ForwardSession, socket: Socket, forward: Forward): void {
    const source = sourceOf(socket);
    const header: OpenHeader = { type: "connect", target: formatEndpoint(forward.target), ...source };
    session.connect(socket, { header, forward: formatForward(forward), ...source });
  }

  /** What comes in at a listener of the server's reaches the target that stands here; the server has no say in it. */
  #target(header: OpenHeader): { target: Forward["target"]; forward: string } | Refusal {
    if (this.#stopping) return { reason: "unavailable", message: "the client is stopping" };
    const forward = "listener" in header ? this.#remote[header.listener] : null;
    if (forward === null || forward === undefined)
      return { reason: "not-allowed", message: "a client opens nothing that it did not offer with -R" };
    return { target: forward.target, forward: formatForward(forward) };
  }

  #wantsListener(session: ForwardSession, listener: number): boolean {
    return this.#session === session && !this.#stopping && this.#remote[listener] !== null;
  }

  /** Has the server listen for as long as the session lives. */
  async #keepListening(session: ForwardSession, listener: number): Promise<void> {
    const forward = this.#remote[listener];
    if (forward === null) return;
    const endpoint = formatEndpoint(forward.listen);
    for (
      let delayMs = RETRY_MIN_MS;
      this.#wantsListener(session, listener);
      delayMs = Math.min(delayMs * 2, RETRY_MAX_MS)
    ) {
      const stream = session.openStream({ type: "listen", endpoint, listener });
      if (stream === null) return;
      const closed = new Promise((resolve) => stream.once("close", resolve));
      const answer = await readHeader(stream, decodeAnswer).catch(() => null);
      if (answer?.type === "done") {
        delayMs = RETRY_MIN_MS;
        const at = answer.address ?? endpoint;
        const to = formatEndpoint(forward.target);
        this.#log.info({ listen: at, target: to }, `the server listens at ${at} for ${to} here`);
        stream.once("end", () => stream.end());
        // Nothing more comes but word that the listener went to another node.
        const after = readHeader(stream, decodeAnswer).then(
          (last) => {
            if (last.type !== "refused") return;
            delayMs = RETRY_MAX_MS;
            this.#log.warn({ listen: at, reason: last.reason }, `-R ${formatForward(forward)}: ${last.message}`);
          },
          () => {},
        );
        void after.then(() => stream.resume());
        this.#asked.set(listener, () => stream.end());
        // It may have been taken away while the server was asked.
        if (!this.#wantsListener(session, listener)) stream.end();
        await closed;
        this.#asked.delete(listener);
      } else if (answer !== null) {
        this.#log.warn({ listen: endpoint, reason: answer.reason }, `-R ${formatForward(forward)}: ${answer.message}`);
        stream.end();
        stream.resume();
      }
      if (this.#session !== session) return;
      await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
    }
  }
}
