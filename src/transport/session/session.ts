/**
 * A session: streams and messages in both directions, carried in batches of coded symbols, under credit of the session and of each
 * stream. The layer above a `Link` (its `LinkUser`); without I/O, clock or randomness of its own. No packet number, ACK or key is
 * known here.
 *
 * After any call that may have made something to send, the driver polls the link. Input from the peer never throws: what breaks
 * the protocol ends the session with an error that `poll` reports.
 *
 * A session may outlive its link:
 *
 *     connecting --established--> established <--resume / suspend--> suspended
 *          any --closed, or the peer breaks the protocol--> over
 *
 * Who keeps it calls `suspend` instead of `closed` once the old link has settled all its packets (those in flight as lost, so that
 * their symbols are repaired and what was asked is asked again), and `resume` once a new link is established that belongs to the
 * same session and peer. What the application does meanwhile waits.
 */
import type { SymbolPool } from "../../codec/index.ts";
import { sharedArena } from "../../gf/index.ts";
import type { Address } from "../address.ts";
import type { CloseReason } from "../link/close.ts";
import type { LinkUser, PacketFill } from "../link/link-user.ts";
import type { LinkParameters } from "../link/parameters.ts";
import { agreeOn, type Compressor, LEAST_COMPRESSED_BYTES } from "./compressor.ts";
import { DATAGRAM_HEADER_MOST } from "./datagram-frames.ts";
import { DatagramReceiver, type DatagramSink } from "./datagram-receiver.ts";
import { type DatagramFeed, type DatagramOptions, DatagramSender } from "./datagram-sender.ts";
import { Incoming } from "./incoming.ts";
import { Outgoing } from "./outgoing.ts";
import type { RangeCount } from "./range-set.ts";
import { DEFAULT_URGENCY, type Sendable } from "./scheduler.ts";
import { MESSAGE_BUFFER_BYTES } from "./send-messages.ts";
import { SEND_BUFFER_BYTES } from "./send-stream.ts";
import {
  BAD_PARAMETERS,
  type Fault,
  MALFORMED_PACKET,
  MALFORMED_SYMBOL,
  SessionError,
  UNKNOWN_SESSION,
} from "./session-error.ts";
import { SessionEvents } from "./session-events.ts";
import { FRAME_RESET_STREAM, FRAME_STOP_SENDING } from "./session-frames.ts";
import { SessionMemory } from "./session-memory.ts";
import {
  type CheckedOptions,
  checkOptions,
  checkPriority,
  MAX_MESSAGE_BYTES,
  type MessageOptions,
  type SessionEvent,
  type SessionOptions,
  type SessionStats,
  type StreamOptions,
} from "./session-options.ts";
import { decodeSessionParameters, encodeSessionParameters, type SessionParameters } from "./session-parameters.ts";
import { borrowPool, releasePool } from "./shared-pool.ts";
import { Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";
import { SymbolExchange } from "./symbol-exchange.ts";

export class Session implements LinkUser {
  readonly #isClient: boolean;
  readonly #options: CheckedOptions;
  readonly #pool: SymbolPool;
  readonly #exchange: SymbolExchange;
  readonly #datagramsOut: DatagramSender;
  readonly #datagramsIn = new DatagramReceiver();
  readonly #streams: StreamTable;
  readonly #outgoing: Outgoing;
  readonly #incoming: Incoming;
  readonly #events: SessionEvents;
  #state: "connecting" | "established" | "suspended" | "over" = "connecting";
  #peer: SessionParameters | null = null;
  #compressor: Compressor | null = null;
  /** Bytes that wait in streams to be sent. */
  #buffered = 0;
  /** When the packet came that is being read. */
  #nowMs = 0;
  readonly #memory: SessionMemory;
  /** Streams whose writes were refused for lack of memory, and bytes of a message that was refused, else -1. */
  readonly #refused: Set<Stream> = new Set();
  #refusedMessageBytes = -1;
  /** When less than a symbol began to wait for more; NaN when nothing does. */
  #mergeSinceMs = Number.NaN;
  /** Bytes of the last symbol that there was room for. */
  #symbolRoom = 1024;

  /** Throws a SessionError for options out of range. */
  constructor(options: SessionOptions) {
    const { isClient, arena = sharedArena() } = options;
    this.#isClient = isClient;
    this.#options = checkOptions(options);
    this.#pool = borrowPool(arena);
    this.#memory = new SessionMemory(this.#options.memory, this.#pool);
    this.#datagramsOut = new DatagramSender(() => this.#exchange.path.rttMs);
    this.#exchange = new SymbolExchange({
      pool: this.#pool,
      batchSize: this.#options.batchSize,
      redundancy: this.#options.redundancy,
      source: {
        ready: (nowMs) => this.#symbolReady(nowMs),
        write: (bytes, at, room) => this.#writeSymbol(bytes, at, room),
      },
      datagrams: this.#datagramsOut,
      sink: {
        reliable: (symbol) => this.#deliver(symbol),
        unreliable: (symbol, batch) => this.#deliverDatagrams(symbol, batch),
        unreliableBelow: (batch) => this.#datagramsIn.forgetBelow(batch),
      },
    });
    const gaps: RangeCount = { ranges: 0 };
    this.#streams = new StreamTable({
      isClient,
      maxStreams: this.#options.maxStreams,
      streamWindow: this.#options.streamWindow,
      urgency: DEFAULT_URGENCY,
      gaps,
      onOpened: ({ id }) => this.#events.push({ type: "stream", stream: id }),
    });
    this.#events = new SessionEvents((id) => this.#streams.get(id));
    this.#outgoing = new Outgoing((item) => this.#onTaken(item));
    this.#incoming = new Incoming({
      streams: this.#streams,
      outgoing: this.#outgoing,
      events: this.#events,
      gaps,
      window: this.#options.sessionWindow,
      largestMessage: this.#options.largestMessage,
      onStop: (stream, code) => this.reset(stream.id, code),
    });
  }

  /** What happened since the last call, oldest first; null when nothing did. */
  poll(): SessionEvent | null {
    return this.#events.poll();
  }

  get stats(): SessionStats {
    const out = this.#datagramsOut.counts;
    const { delivered, deliveredBytes, overflowed, incomplete } = this.#datagramsIn.counts;
    return {
      ...this.#exchange.stats,
      datagrams: {
        sent: out.taken,
        sentBytes: out.takenBytes,
        refused: out.refused,
        expired: out.expired,
        givenUpBatches: this.#exchange.givenUpBatches,
        delivered,
        deliveredBytes,
        overflowed,
        incomplete,
      },
      openStreams: this.#streams.size,
      waitingStreams: this.#streams.waiting,
      receiveWindow: this.#incoming.window.ahead,
      waitingBytes: this.#waitingBytes(),
      creditBytes: this.#outgoing.creditBytes,
      memoryBytes: this.#memory.bytes,
    };
  }

  /** The share of packets, 0 to 1, whose loss repair reckons with. */
  get lossEstimate(): number {
    return this.#exchange.path.loss;
  }

  /** What goes into the handshake of the next link: `LinkOptions.session`. Says that it resumes once it was established. */
  get localParameters(): Uint8Array {
    const { sessionId, maxStreams, largestMessage, compressors } = this.#options;
    return encodeSessionParameters({
      sessionId,
      resumed: this.#peer !== null,
      sessionWindow: this.#incoming.initialWindow,
      streamWindow: this.#streams.initialWindow,
      maxStreams,
      largestMessage,
      compression: compressors.map(({ algorithm }) => algorithm),
    });
  }

  /** What the peer said when the session began; null before. */
  get peerParameters(): SessionParameters | null {
    return this.#peer;
  }

  /** Whether all that was written was delivered. */
  get idle(): boolean {
    if (this.#waitingBytes() > 0) return false;
    return !this.#outgoing.ready && !this.#exchange.outstanding;
  }

  /**
   * Opens a stream for both directions; its number. Beyond what the peer lets be open it waits for its turn: it can be written to, and
   * nothing of it leaves before. Throws a SessionError for a priority that is none.
   */
  openStream({ priority, compress = false }: StreamOptions = {}): number {
    return this.#streams.open(checkPriority(priority), compress).id;
  }

  /** Changes how a stream is sent from here, also one that the peer opened. */
  setStreamOptions(stream: number, { priority, compress }: StreamOptions): void {
    const entry = this.#streams.get(stream);
    if (entry === undefined) return;
    if (priority !== undefined) entry.urgency = checkPriority(priority);
    if (compress !== undefined) entry.compress = compress;
  }

  /**
   * Writes to a stream; returns how many bytes were taken. After less than all a "writable" event comes. A stream that is to be
   * compressed takes none before the session is established, for only then is known what the peer can.
   */
  write(stream: number, data: Uint8Array): number {
    const entry = this.#streams.get(stream);
    if (entry === undefined || this.#state === "over") return 0;
    const { send } = entry;
    const before = send.buffered;
    let taken = 0;
    if (!this.#memory.mayBuffer(this.#waitingBytes())) {
      this.#refused.add(entry);
    } else if (!entry.compress || this.#peer !== null) {
      if (entry.compress && send.offset + before === 0) send.compressor = this.#compressor;
      taken = send.write(data);
    }
    if (taken < data.length) entry.blocked = true;
    this.#buffered += send.buffered - before;
    this.#account();
    if (entry.ready) this.#outgoing.schedule(entry);
    return taken;
  }

  /** Ends the sending half: what was written is still delivered. */
  finish(stream: number): void {
    const entry = this.#streams.get(stream);
    if (entry === undefined) return;
    entry.send.finish();
    if (entry.ready) this.#outgoing.schedule(entry);
  }

  /** Gives up sending on a stream: what waits is thrown away, and the peer hears `code`. */
  reset(stream: number, code: number): void {
    const entry = this.#streams.get(stream);
    if (entry === undefined || entry.send.done) return;
    const { send } = entry;
    this.#buffered -= send.buffered;
    send.abandon();
    this.#refused.delete(entry);
    // The peer cannot know a stream that it did not let begin: it hears of its end when it may.
    if (entry.open) this.#outgoing.pushControl(FRAME_RESET_STREAM, stream, code, send.offset);
    else entry.resetCode = code;
    this.#account();
    this.#streams.forgetIfDone(entry);
  }

  /** Asks the peer to give up sending on a stream. */
  stop(stream: number, code: number): void {
    const entry = this.#streams.get(stream);
    if (entry?.receive == null) return;
    // What still comes is thrown away, not released.
    entry.receive.releasing = false;
    if (entry.receive.done || !entry.open) return;
    this.#outgoing.pushControl(FRAME_STOP_SENDING, stream, code);
  }

  /** The next bytes of a stream in order, or null when there are none. */
  read(stream: number): Uint8Array | null {
    const entry = this.#streams.get(stream);
    if (entry === undefined) return null;
    const data = this.#incoming.read(entry);
    if (entry.receive?.fault != null) this.#fail(entry.receive.fault);
    this.#account();
    return data;
  }

  /**
   * What is read of a stream from now on is released when nobody looks at it any more: its memory is used again, which spares a fast
   * stream most of the garbage collector's work.
   */
  startReleasing(stream: number): void {
    const receive = this.#streams.get(stream)?.receive;
    if (receive != null) receive.releasing = true;
  }

  /** A view that `read` returned is not looked at any more. In the order in which they were read. */
  release(stream: number, view: Uint8Array): void {
    this.#streams.get(stream)?.receive?.release(view);
  }

  /** Whether a stream's end was reached: all was read. A stream that is forgotten has ended. */
  ended(stream: number): boolean {
    return this.#streams.get(stream)?.receive?.done ?? true;
  }

  /** The largest message that may be sent, bytes; 0 before the session is established. */
  get largestMessage(): number {
    return Math.min(MAX_MESSAGE_BYTES, this.#peer?.largestMessage ?? 0);
  }

  /**
   * Sends a message, which arrives whole and once. False: there is no room now, or the session is not established yet, and a
   * "messageWritable" event comes. Throws a SessionError for a message that is too large for the peer, or for a priority that is none.
   */
  sendMessage(data: Uint8Array, { ordered = true, priority, compress = false }: MessageOptions = {}): boolean {
    const urgency = checkPriority(priority);
    const largest = this.#peer === null ? MAX_MESSAGE_BYTES : this.largestMessage;
    if (data.length > largest) {
      throw new SessionError("ERR_MESSAGE", `the message has ${data.length} bytes, wanted at most ${largest}`);
    }
    if (this.#state === "over") return false;
    const { messages } = this.#outgoing;
    if (this.#peer === null || !messages.hasRoom(data.length) || !this.#memory.mayBuffer(this.#waitingBytes())) {
      this.#refusedMessageBytes = data.length;
      return false;
    }
    const packs = compress && data.length >= LEAST_COMPRESSED_BYTES;
    const packed = packs ? (this.#compressor?.compress(data) ?? null) : null;
    this.#outgoing.schedule(messages.push(packed ?? data.slice(), data.length, packed !== null, ordered, urgency));
    this.#account();
    return true;
  }

  /** The next message, or null when there is none. */
  readMessage(): Uint8Array | null {
    const message = this.#incoming.readMessage();
    this.#account();
    return message;
  }

  /**
   * Sends a datagram of at most 65,507 bytes: delivered whole and once, or, when losses cannot be repaired before its deadline, not at
   * all. False: there was no room, and it is dropped. Throws a SessionError for one that is too long, or a bad deadline.
   */
  sendDatagram(data: Uint8Array, options?: DatagramOptions): boolean {
    if (this.#state === "over") return false;
    const taken = this.#datagramsOut.send(data, options);
    this.#account();
    return taken;
  }

  /** Has datagrams asked of a feed whenever some can leave; null ends that. The link must be polled when it has some again. */
  set datagramFeed(feed: DatagramFeed | null) {
    this.#datagramsOut.feed = feed;
  }

  /** Hands datagrams over as they come, before they wait to be read; null ends that. */
  set datagramSink(sink: DatagramSink | null) {
    this.#datagramsIn.sink = sink;
  }

  /** The longest datagram that travels in one packet of a link whose packets hold `payloadBytes`. */
  datagramBytes(payloadBytes: number): number {
    return Math.max(0, this.#exchange.datagramRoom(payloadBytes) - DATAGRAM_HEADER_MOST);
  }

  /** The next datagram that came, or null. */
  readDatagram(): Uint8Array | null {
    const data = this.#datagramsIn.read();
    this.#account();
    return data;
  }

  /** Its link is gone and has settled its packets; a new one may follow. Nothing is sent until then. */
  suspend(): void {
    if (this.#state !== "established") return;
    this.#state = "suspended";
    // What was settled as lost says nothing of the next path.
    this.#exchange.path.reset();
    this.#events.push({ type: "suspended" });
  }

  /**
   * A new link carries it from here. What both ends said at the beginning holds: a server's parameters leave before it can know which
   * session the client wants, so they say nothing of that.
   */
  resume(): void {
    if (this.#state !== "suspended") return;
    this.#state = "established";
    this.#events.push({ type: "resumed" });
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#state = "over";
    this.#exchange.destroy();
    releasePool(this.#pool);
    this.#memory.release();
  }

  // What the link calls.

  ready(nowMs: number): boolean {
    if (this.#state !== "established") return false;
    if (this.#refused.size > 0 || this.#refusedMessageBytes >= 0) this.#sayRoom(nowMs);
    return this.#exchange.ready(nowMs);
  }

  nextTimeoutMs(): number {
    const mergedMs = Number.isNaN(this.#mergeSinceMs)
      ? Number.POSITIVE_INFINITY
      : this.#mergeSinceMs + this.#options.mergeMs;
    return Math.min(this.#memory.retryMs, mergedMs, this.#exchange.nextTimeoutMs);
  }

  fill(packet: PacketFill, nowMs: number): void {
    if (this.#state !== "established") return;
    this.#exchange.fill(packet, nowMs);
    this.#account();
  }

  acked(tag: number, nowMs: number): void {
    this.#exchange.acked(tag, nowMs);
  }

  lost(tag: number, nowMs: number): void {
    this.#exchange.lost(tag, nowMs);
  }

  /** A repair has made up for it meanwhile, or is under way. */
  spurious(): void {
    this.#exchange.path.spurious();
  }

  pathSampled(arrived: number, lost: number): void {
    this.#exchange.path.sample(arrived, lost);
  }

  receive(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    this.#nowMs = nowMs;
    let at = start;
    while (at < end && this.#state !== "over") {
      this.#exchange.memoryShort = this.#memory.short;
      const next = this.#exchange.receive(bytes, at, end, nowMs);
      if (next < 0) {
        this.#fail(MALFORMED_PACKET);
        return;
      }
      at = next;
    }
    this.#account();
  }

  established(peer: LinkParameters): void {
    if (this.#state !== "connecting") return;
    const parameters = decodeSessionParameters(peer.session);
    if (parameters === null) {
      this.#fail(BAD_PARAMETERS);
      return;
    }
    // A session that the peer would resume is not this one, which begins.
    if (parameters.resumed) {
      this.#fail(UNKNOWN_SESSION);
      return;
    }
    this.#state = "established";
    this.#peer = parameters;
    this.#compressor = agreeOn(this.#options.compressors, parameters.compression, this.#isClient);
    this.#incoming.compressor = this.#compressor;
    this.#outgoing.allow(parameters.sessionWindow);
    this.#streams.begin(parameters.streamWindow);
    this.#incoming.onMaxStreams(parameters.maxStreams);
    this.#events.push({ type: "established" });
    for (const stream of this.#streams.values()) if (stream.blocked) this.#sayWritable(stream);
  }

  payloadBytesChanged(_payloadBytes: number, nowMs: number): void {
    this.#exchange.seal(nowMs);
    this.#datagramsOut.roomChanged();
  }

  pathChanged(_remote: Address, restarted: boolean): void {
    if (restarted) this.#exchange.path.reset();
  }

  closed(reason: CloseReason): void {
    this.#state = "over";
    this.#events.push({ type: "closed", reason });
  }

  #deliver(symbol: Uint8Array): void {
    if (this.#state === "over") return;
    const { path } = this.#exchange;
    const fault = this.#incoming.take(symbol, this.#nowMs, path.sampled ? path.rttMs : 0);
    if (fault !== null) this.#fail(fault);
  }

  #deliverDatagrams(symbol: Uint8Array, batch: number): void {
    if (this.#state === "over") return;
    if (!this.#datagramsIn.take(symbol, batch)) this.#fail(MALFORMED_SYMBOL);
    if (this.#datagramsIn.readable) this.#events.datagram();
  }

  #fail({ code, message }: Fault): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#events.push({ type: "error", code, message });
  }

  /** Whether a source symbol can be made, and need not wait for more to share it. */
  #symbolReady(nowMs: number): boolean {
    const { mergeMs } = this.#options;
    const creditDue = this.#incoming.credit.due;
    const maySend = this.#memory.maySend(this.#exchange.reliableBatches);
    if (!maySend || (creditDue && this.#memory.short)) this.#memory.retryFrom(nowMs);
    else if (this.#refused.size === 0) this.#memory.settled();
    if (!maySend) return false;
    if (creditDue && !this.#memory.short) return true;
    if (!this.#outgoing.ready) {
      this.#mergeSinceMs = Number.NaN;
      return false;
    }
    if (mergeMs === 0 || this.#outgoing.controlWaits || this.#waitingBytes() >= this.#symbolRoom) return true;
    if (Number.isNaN(this.#mergeSinceMs)) this.#mergeSinceMs = nowMs;
    return nowMs - this.#mergeSinceMs >= mergeMs;
  }

  /** Makes one source symbol of what waits; returns its length. */
  #writeSymbol(bytes: Uint8Array, at: number, room: number): number {
    this.#symbolRoom = room;
    let next = at;
    if (this.#incoming.credit.due && !this.#memory.short) {
      next = this.#incoming.credit.write(bytes, at, at + room);
    }
    next = this.#outgoing.write(bytes, at, next, at + room);
    if (next > at) this.#mergeSinceMs = Number.NaN;
    return next - at;
  }

  /** Something of a stream, or of the messages, went into a symbol. */
  #onTaken(item: Sendable): void {
    if (!(item instanceof Stream)) return;
    this.#buffered -= item.spent;
    if (item.blocked && item.send.buffered <= SEND_BUFFER_BYTES / 2) this.#sayWritable(item);
    this.#streams.forgetIfDone(item);
  }

  /** Tells of room those who were refused, once there is. */
  #sayRoom(nowMs: number): void {
    if (!this.#memory.mayBuffer(2 * this.#waitingBytes())) {
      this.#memory.retryFrom(nowMs);
      return;
    }
    for (const stream of this.#refused) this.#sayWritable(stream);
    this.#refused.clear();
    const bytes = this.#refusedMessageBytes;
    if (bytes < 0 || !this.#outgoing.messages.hasRoom(Math.max(bytes, MESSAGE_BUFFER_BYTES / 2))) return;
    this.#refusedMessageBytes = -1;
    this.#events.push({ type: "messageWritable" });
  }

  #sayWritable(stream: Stream): void {
    if (!stream.blocked || stream.send.finished) return;
    stream.blocked = false;
    this.#events.push({ type: "writable", stream: stream.id });
  }

  /** Bytes that wait to be put into symbols. */
  #waitingBytes(): number {
    return this.#buffered + this.#outgoing.messages.buffered;
  }

  #account(): void {
    const datagrams = this.#datagramsOut.bytes + this.#datagramsIn.bytes;
    this.#memory.account(this.#waitingBytes() + this.#incoming.unreadBytes + datagrams);
  }
}
