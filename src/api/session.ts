/**
 * A session as the application has it: streams, messages and datagrams with one peer, over whatever link there is. It outlives the
 * link: writes wait while there is none.
 */
import { EventEmitter } from "node:events";
import { CLOSE_ABORTED, CLOSE_NORMAL, type SessionEnd, type SessionHolder } from "../endpoint/session-holder.ts";
import type { PeerIdentity } from "../tls/index.ts";
import type { Address } from "../transport/address.ts";
import { CLOSE_PROTOCOL } from "../transport/link/index.ts";
import type { DatagramSink } from "../transport/session/datagram-receiver.ts";
import type { DatagramFeed, DatagramOptions } from "../transport/session/datagram-sender.ts";
import type { Session as CoreSession } from "../transport/session/session.ts";
import type { MessageOptions, StreamOptions } from "../transport/session/session-options.ts";
import { attemptError, BatsError, endError } from "./errors.ts";
import { argumentError } from "./session-factory.ts";
import { type FallbackStats, fallbackStats, type SessionStats, sessionStats } from "./stats.ts";
import { Stream, type StreamCarrier } from "./stream.ts";

/** How long `close` waits for what was written to arrive, when nothing else is said. */
export const DEFAULT_CLOSE_TIMEOUT_MS = 10_000;

/** The other end of a session. */
export interface SessionPeer {
  /** Who the peer is, by its certificate. */
  readonly identity: PeerIdentity;
  /** Where the peer is, or was last. */
  readonly address: Address;
}

/** What a session emits. */
export interface SessionEvents {
  /** The peer opened a stream. */
  stream: [stream: Stream];
  /** A message came. */
  message: [data: Buffer];
  /** A datagram came. */
  datagram: [data: Buffer];
  /** The peer is, or this end reaches it, at another address. */
  path: [address: Address];
  /** The peer does not answer. Everything waits; a new link is being looked for. */
  suspended: [];
  /** The session goes on. */
  resumed: [];
  /** An attempt at a new link came to nothing, and why; it is tried on. */
  retry: [error: BatsError];
  /** The session is over; null when one of both ends closed it as it should be. Once, after its streams have ended. */
  close: [error: BatsError | null];
}

interface WaitingMessage {
  readonly bytes: Uint8Array;
  readonly options: MessageOptions;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How to close a session or listener. */
export interface CloseOptions {
  /** How long to wait for what was written to arrive, ms. Default 10,000. */
  timeoutMs?: number;
}

/** Streams, messages and datagrams with one peer, over whatever link there is. */
export class Session extends EventEmitter<SessionEvents> {
  readonly #holder: SessionHolder;
  readonly #core: CoreSession;
  readonly #streams = new Map<number, Stream>();
  /** Streams that are done with here while the peer's bytes may still come: they are read and thrown away. */
  readonly #abandoned = new Set<number>();
  readonly #carrier: StreamCarrier;
  /** Messages that were not taken over yet. */
  #messages: WaitingMessage[] = [];
  /** Of those who wait for the end; made for the first of them. */
  #closed: Promise<void> | null = null;
  #resolveClosed: () => void = () => {};
  #started = false;
  #closing = false;
  #closeTimer: NodeJS.Timeout | null = null;
  #over = false;
  #error: BatsError | null = null;

  /** @internal Sessions come from `connect` and listeners. */
  constructor(holder: SessionHolder) {
    super();
    this.#holder = holder;
    this.#core = holder.session;
    this.#carrier = {
      session: this,
      core: holder.session,
      wake: () => holder.wake(),
      forget: (stream) => this.#forget(stream),
      counts: { streamBytesWritten: 0, streamBytesRead: 0 },
    };
    holder.listener = {
      opened: () => {},
      progressed: () => this.#pump(),
      suspended: () => this.emit("suspended"),
      resumed: () => this.emit("resumed"),
      attemptFailed: (reason) => this.emit("retry", attemptError(reason)),
      pathChanged: (remote) => this.emit("path", remote),
      ended: (end) => this.#onEnd(end),
    };
  }

  get peer(): SessionPeer {
    return { identity: this.#holder.peer!, address: this.#holder.remote! };
  }

  /** Whether the session is over. */
  get closed(): boolean {
    return this.#over;
  }

  /** Whether there is no link at the moment that answers. */
  get suspended(): boolean {
    return this.#holder.state === "suspended";
  }

  /** Streams that are open at this end. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /**
   * Opens a stream. It can be written to at once; the peer hears of it with the first bytes or its end.
   * Throws ERR_BATS_SESSION_CLOSED when the session is over or closing.
   */
  openStream(options: StreamOptions = {}): Stream {
    if (this.#over || this.#closing) throw this.#closedError();
    try {
      return this.#addStream(this.#core.openStream(options));
    } catch (error) {
      throw argumentError(error);
    }
  }

  /**
   * Sends a message, which arrives whole and once, in the order of sending unless `ordered` is false. Resolves when it was taken over:
   * wait for it before the next, and a slow peer holds the sender back. Rejects when the session ends before that, or the
   * message is larger than the peer takes (ERR_BATS_TOO_LARGE).
   */
  sendMessage(data: Uint8Array | string, options: MessageOptions = {}): Promise<void> {
    if (this.#over || this.#closing) return Promise.reject(this.#closedError());
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    return new Promise((resolve, reject) => {
      this.#messages.push({ bytes, options, resolve, reject });
      if (this.#messages.length === 1) this.#sendMessages();
    });
  }

  /**
   * Sends a datagram of at most 65,507 bytes: it arrives whole and once within its deadline, or not at all. False: it was dropped, for
   * more wait already than the path takes, or the session is over. Throws ERR_BATS_ARGUMENT for one that is too long.
   */
  sendDatagram(data: Uint8Array | string, options?: DatagramOptions): boolean {
    if (this.#over || this.#closing) return false;
    try {
      const taken = this.#core.sendDatagram(typeof data === "string" ? Buffer.from(data) : data, options);
      this.#holder.wake();
      return taken;
    } catch (error) {
      throw argumentError(error);
    }
  }

  /**
   * @internal Has datagrams asked of a feed whenever one can leave, instead of having them wait below; null ends that. Call
   * `wakeFeed` when it has some again.
   */
  set datagramFeed(feed: DatagramFeed | null) {
    if (!this.#over) this.#core.datagramFeed = feed;
  }

  /** @internal Hands datagrams over as they come, lent; those that it does not take are emitted. Null ends that. */
  set datagramSink(sink: DatagramSink | null) {
    if (!this.#over) this.#core.datagramSink = sink;
  }

  /** @internal */
  wakeFeed(): void {
    if (!this.#over) this.#holder.wake();
  }

  /** @internal The longest datagram that travels in one packet of the path as it is known now; 0 without a path. */
  get packetDatagramBytes(): number {
    const link = this.#holder.current?.routed.link;
    return this.#over || link === undefined ? 0 : this.#core.datagramBytes(link.payloadBytes);
  }

  /** @internal Smoothed round-trip time, ms; NaN before the first sample and without a path. */
  get rttMs(): number {
    return this.#holder.current?.routed.link.rtt.smoothedMs ?? Number.NaN;
  }

  /** A snapshot of counters and estimates. Cheap enough for once a second. */
  stats(): SessionStats {
    return sessionStats(this.#holder, this.#streams.size, this.#carrier.counts);
  }

  /** What went by a client's `fallback`; null without. At a server, that of the listener, for all its sessions together. */
  fallbackStats(): FallbackStats | null {
    return fallbackStats(this.#holder.driver.socket, 0);
  }

  /**
   * Closes the session: opens no more streams, waits until all that was written has arrived (at most `timeoutMs`), then tells the peer.
   * Streams that are still open get an error at both ends. Resolves when it is over.
   */
  close({ timeoutMs = DEFAULT_CLOSE_TIMEOUT_MS }: CloseOptions = {}): Promise<void> {
    if (this.#over) return Promise.resolve();
    this.#closed ??= new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const closed = this.#closed;
    if (this.#closing) return closed;
    this.#closing = true;
    this.#closeTimer = setTimeout(() => this.#finishClose(), timeoutMs);
    if (this.suspended) this.#finishClose();
    else this.#pump();
    return closed;
  }

  /** Ends the session at once: streams at both ends get an error. */
  destroy(error?: Error): void {
    if (this.#over) return;
    this.#error =
      error instanceof BatsError
        ? error
        : error === undefined
          ? null
          : new BatsError("ERR_BATS_SESSION_CLOSED", error.message, { cause: error });
    this.#holder.close(error === undefined ? CLOSE_NORMAL : CLOSE_ABORTED, error?.message ?? "", 0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal From now on events are emitted: whoever wants them listens. */
  start(): void {
    this.#started = true;
    this.#pump();
    this.#holder.wake();
  }

  // ---------------------------------------------------------------- what the session below says

  #pump(): void {
    if (!this.#started) return;
    const core = this.#core;
    for (let event = this.#over ? null : core.poll(); event !== null; event = this.#over ? null : core.poll()) {
      switch (event.type) {
        case "stream":
          this.#onStream(event.stream);
          break;
        case "readable":
          this.#streams.get(event.stream)?.onReadable();
          if (this.#abandoned.has(event.stream)) this.#discard(event.stream);
          break;
        case "writable":
          this.#streams.get(event.stream)?.onWritable();
          break;
        case "reset":
          this.#abandoned.delete(event.stream);
          this.#streams.get(event.stream)?.onReset(event.code, "reset");
          break;
        case "stopped":
          this.#streams.get(event.stream)?.onReset(event.code, "stopped");
          break;
        case "message":
          this.#onMessages();
          break;
        case "datagram":
          this.#onDatagrams();
          break;
        case "messageWritable":
          this.#sendMessages();
          break;
        case "error":
          this.#holder.current?.routed.link.close(CLOSE_PROTOCOL, event.message, this.#holder.driver.now());
          this.#holder.wake();
          return;
        default:
          break;
      }
    }
    if (this.#closing && !this.#over && this.#settled) this.#finishClose();
  }

  #onMessages(): void {
    for (let data = this.#core.readMessage(); data !== null; data = this.#over ? null : this.#core.readMessage()) {
      this.emit("message", Buffer.from(data.buffer, data.byteOffset, data.length));
    }
    this.#holder.wake();
  }

  #onDatagrams(): void {
    for (let data = this.#core.readDatagram(); data !== null; data = this.#over ? null : this.#core.readDatagram()) {
      this.emit("datagram", Buffer.from(data.buffer, data.byteOffset, data.length));
    }
  }

  #sendMessages(): void {
    let sent = 0;
    for (const { bytes, options, resolve, reject } of this.#messages) {
      try {
        if (!this.#core.sendMessage(bytes, options)) break;
        resolve();
      } catch (error) {
        reject(argumentError(error));
      }
      sent++;
    }
    this.#messages.splice(0, sent);
    this.#holder.wake();
  }

  /** Whether all that was written has arrived. */
  get #settled(): boolean {
    if (this.#messages.length > 0) return false;
    for (const stream of this.#streams.values()) if (stream.writableLength > 0) return false;
    return this.#core.idle;
  }

  #onStream(id: number): void {
    if (this.#closing || this.listenerCount("stream") === 0) {
      this.#core.reset(id, 0);
      this.#core.stop(id, 0);
      this.#abandoned.add(id);
      this.#holder.wake();
      return;
    }
    this.emit("stream", this.#addStream(id));
  }

  #addStream(id: number): Stream {
    const stream = new Stream(id, this.#carrier);
    this.#streams.set(id, stream);
    return stream;
  }

  #forget(stream: Stream): void {
    if (!this.#streams.delete(stream.id) || this.#over) return;
    if (!this.#core.ended(stream.id)) {
      this.#abandoned.add(stream.id);
      this.#discard(stream.id);
    }
  }

  #discard(id: number): void {
    while (this.#core.read(id) !== null);
    if (this.#core.ended(id)) this.#abandoned.delete(id);
    this.#holder.wake();
  }

  #finishClose(): void {
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    this.#closeTimer = null;
    if (!this.#over) this.#holder.close(CLOSE_NORMAL, "", 0);
  }

  #onEnd(end: SessionEnd): void {
    this.#pump();
    this.#over = true;
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    this.#error ??= endError(end);
    // Whoever closed it knows; the other end must not take a stream for whole that was cut.
    const local = end.cause === "link" && end.reason.cause === "local";
    const closed = local ? null : new BatsError("ERR_BATS_PEER_CLOSED", "the peer closed the session");
    const forStreams = this.#error ?? closed;
    for (const stream of this.#streams.values()) stream.onSessionEnd(forStreams);
    this.#streams.clear();
    for (const { reject } of this.#messages.splice(0)) reject(this.#closedError());
    this.#abandoned.clear();
    const error = this.#error;
    this.#resolveClosed();
    // After the streams' own events, which Node emits on the next tick.
    setImmediate(() => this.emit("close", error));
  }

  #closedError(): BatsError {
    return this.#error ?? new BatsError("ERR_BATS_SESSION_CLOSED", "the session is closed");
  }
}
