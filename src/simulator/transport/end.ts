/**
 * One end of a simulated session: what an application does with it, and what it tells of itself. Whoever writes an experiment is the
 * application, and has no clock but the network's. All that comes is read at once; an end without handlers counts it and throws it
 * away.
 */
import type { Endpoint, ReceivedDatagram, Transmit } from "../../transport/endpoint.ts";
import type { Link } from "../../transport/link/index.ts";
import { MAX_DATAGRAM_BYTES } from "../../transport/session/datagram-frames.ts";
import type { DatagramOptions } from "../../transport/session/datagram-sender.ts";
import type { Session } from "../../transport/session/session.ts";
import {
  MAX_MESSAGE_BYTES,
  type MessageOptions,
  type SessionEvent,
  type StreamOptions,
} from "../../transport/session/session-options.ts";
import { type TransportStats, transportStats } from "../../transport/stats.ts";
import { checkInteger, SimulatorOptionError } from "../error.ts";
import type { EventHandler } from "../event-queue.ts";
import type { Network, Node } from "../network.ts";
import type { Socket } from "../socket.ts";
import type { LinkHolder } from "./link-holder.ts";
import { checked } from "./options.ts";

/** What `sendBulk` sends, over and over. */
const BULK = Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >>> 8) * 17) & 255);
const encoder = new TextEncoder();

/** What an end tells of itself: what a session of the socket API does, and what only somebody who sees both ends can know. */
export interface TransportEndStats extends TransportStats {
  /** "closed": by silence of `idleTimeoutMs`, or a breach of protocol. No link follows a dead one here. */
  state: "connecting" | "open" | "closed";
  /** Bytes of streams, messages and datagrams that this end sent and the peer's application has read. */
  deliveredBytes: number;
  /**
   * Mean rate of these from when the session was established to the last read of them, Mbit/s; 0 before any. So a transfer that is over
   * keeps its rate.
   */
  goodputMbps: number;
  /** Share of packets, 0 to 1, whose loss this end reckons with when it decides on repair; 0.02 before anything is known. */
  lossEstimate: number;
  /** Bytes of data and of repair that this end sent; `redundancy` is their ratio. */
  sourceBytes: number;
  repairBytes: number;
}

/** One end of a session between two nodes; `connectTransport` makes both. */
export class TransportEnd {
  /** A message came. The bytes may be kept. */
  onMessage: ((data: Uint8Array, nowMs: number) => void) | null = null;
  /** A datagram came. The bytes may be kept. */
  onDatagram: ((data: Uint8Array, nowMs: number) => void) | null = null;
  /** The next bytes of a stream came. They may be kept. */
  onData: ((stream: number, data: Uint8Array, nowMs: number) => void) | null = null;
  /**
   * The peer ended its half of a stream and all of it was read. Without this handler the other half is ended, too; that of `sendBulk`
   * once all of it was written.
   */
  onEnd: ((stream: number, nowMs: number) => void) | null = null;
  /**
   * Anything that happened to the session, after it was dealt with: "established"; "stream", the peer opened one; "writable" and
   * "messageWritable"; "closed"; "error", the peer broke the protocol.
   */
  onEvent: ((event: SessionEvent, nowMs: number) => void) | null = null;
  /** Where it is on the network: `socket.changeAddress` moves it. */
  readonly socket: Socket;
  readonly #network: Network;
  readonly #session: Session;
  readonly #holder: LinkHolder;
  /** Streams of `sendBulk` that are not done, and bytes that are still to be written to them. */
  readonly #bulk = new Map<number, number>();
  #peer: TransportEnd | null = null;
  /** Polls the socket after calls from outside its turn, once for all those of one instant. */
  readonly #turn: EventHandler = {
    handleEvent: (nowMs) => {
      this.#woken = false;
      this.socket.pump(nowMs);
    },
  };
  #readBytes = 0;
  #lastReadMs = Number.NaN;
  #establishedMs = Number.NaN;
  #polling = false;
  #woken = false;
  #closed = false;

  /** @internal Made by `connectTransport`. */
  constructor(network: Network, node: Node, session: Session, holder: LinkHolder) {
    this.#network = network;
    this.#session = session;
    this.#holder = holder;
    const endpoint: Endpoint = {
      handleDatagram: (datagram: ReceivedDatagram, nowMs: number) => holder.handleDatagram(datagram, nowMs),
      handleTimeout: (nowMs) => holder.handleTimeout(nowMs),
      pollTransmit: (transmit: Transmit, nowMs: number) => {
        this.#handleEvents(nowMs);
        return holder.pollTransmit(transmit, nowMs);
      },
      nextTimeoutMs: () => holder.nextTimeoutMs(),
    };
    this.socket = node.attach(endpoint);
  }

  /** Bytes of streams, messages and datagrams that came and were read. */
  get readBytes(): number {
    return this.#readBytes;
  }

  /** When the last of them were read, ms; NaN before. */
  get lastReadMs(): number {
    return this.#lastReadMs;
  }

  /** When the session was established here, ms; NaN before. */
  get establishedMs(): number {
    return this.#establishedMs;
  }

  /** @internal Once, by `connectTransport`. */
  set peer(peer: TransportEnd) {
    this.#peer = peer;
  }

  /** @internal */
  get link(): Link | null {
    return this.#holder.link;
  }

  /** @internal */
  get network(): Network {
    return this.#network;
  }

  /**
   * Sends `bytes` bytes over a new stream, as fast as the session takes them, and ends its half; without `bytes`, on and on. Returns
   * the stream's number. Throws a SimulatorOptionError for a number that is none, or such a priority.
   */
  sendBulk(bytes: number = Number.POSITIVE_INFINITY, { priority }: Pick<StreamOptions, "priority"> = {}): number {
    if (bytes !== Number.POSITIVE_INFINITY) checkInteger("bytes", bytes, 1, Number.MAX_SAFE_INTEGER, "bytes");
    const stream = this.openStream(priority === undefined ? {} : { priority });
    this.#bulk.set(stream, bytes);
    this.#writeBulk(stream);
    this.#wake();
    return stream;
  }

  /**
   * Opens a stream, both ways; returns its number. The peer hears of it with its first bytes. Throws a SimulatorOptionError for a
   * priority that is none.
   */
  openStream(options: StreamOptions = {}): number {
    return checked(() => this.#session.openStream(options));
  }

  /**
   * Writes to a stream; returns how many bytes were taken, of a string those of its UTF-8. After less than all an event "writable"
   * comes. Throws a SimulatorOptionError for data that are neither bytes nor a string.
   */
  write(stream: number, data: Uint8Array | string): number {
    const taken = this.#session.write(stream, bytesOf(data));
    this.#wake();
    return taken;
  }

  /** Ends this end's half of a stream: what was written is still delivered. `sendBulk` writes no more to it. */
  finish(stream: number): void {
    this.#bulk.delete(stream);
    this.#session.finish(stream);
    this.#wake();
  }

  /**
   * Sends a message: it arrives whole and once. False: not taken, for want of room, or because the session is not established yet; an
   * event "messageWritable" comes when it may be tried again. Throws a SimulatorOptionError for data that are no message, or a longer one
   * than the peer takes, and for a priority that is none.
   */
  sendMessage(data: Uint8Array | string, options: MessageOptions = {}): boolean {
    const session = this.#session;
    // How much the peer takes is known once the session is established.
    const most = session.peerParameters === null ? MAX_MESSAGE_BYTES : session.largestMessage;
    const bytes = bytesOf(data, most);
    const taken = checked(() => session.sendMessage(bytes, options));
    this.#wake();
    return taken;
  }

  /**
   * Sends a datagram: it arrives whole and once within its deadline, or not at all. False: dropped here, for want of room. Throws a
   * SimulatorOptionError for data that are no datagram, or one of more than 65,507 bytes, and for a deadline that is none.
   */
  sendDatagram(data: Uint8Array | string, options: DatagramOptions = {}): boolean {
    const bytes = bytesOf(data, MAX_DATAGRAM_BYTES);
    const taken = checked(() => this.#session.sendDatagram(bytes, options));
    this.#wake();
    return taken;
  }

  /** A snapshot of counters and estimates. */
  stats(): TransportEndStats {
    const { sourceBytes, repairBytes } = this.#session.stats.redundancy;
    const deliveredBytes = this.#peer?.readBytes ?? 0;
    const elapsedMs = (this.#peer?.lastReadMs ?? Number.NaN) - this.#establishedMs;
    return {
      state: this.#closed ? "closed" : Number.isNaN(this.#establishedMs) ? "connecting" : "open",
      ...transportStats(this.#holder.link, this.#session),
      deliveredBytes,
      goodputMbps: elapsedMs > 0 ? (deliveredBytes * 8) / 1000 / elapsedMs : 0,
      lossEstimate: this.#session.lossEstimate,
      sourceBytes,
      repairBytes,
    };
  }

  #wake(): void {
    if (this.#polling || this.#woken) return;
    this.#woken = true;
    this.#network.schedule(this.#network.nowMs, this.#turn, 0);
  }

  #handleEvents(nowMs: number): void {
    this.#polling = true;
    for (let event = this.#session.poll(); event !== null; event = this.#session.poll()) {
      if (event.type === "established") this.#establishedMs = nowMs;
      else if (event.type === "closed" || event.type === "error") this.#closed = true;
      else if (event.type === "readable") this.#readStream(event.stream, nowMs);
      else if (event.type === "message") this.#readMessages(nowMs);
      else if (event.type === "datagram") this.#readDatagrams(nowMs);
      else if (event.type === "writable") this.#writeBulk(event.stream);
      this.onEvent?.(event, nowMs);
    }
    this.#polling = false;
  }

  #readStream(stream: number, nowMs: number): void {
    const session = this.#session;
    for (let data = session.read(stream); data !== null; data = session.read(stream)) {
      this.#count(data, nowMs);
      this.onData?.(stream, data, nowMs);
    }
    if (!session.ended(stream)) return;
    if (this.onEnd !== null) this.onEnd(stream, nowMs);
    // A bulk that is under way ends its half itself.
    else if (!this.#bulk.has(stream)) session.finish(stream);
  }

  #readMessages(nowMs: number): void {
    for (let data = this.#session.readMessage(); data !== null; data = this.#session.readMessage()) {
      this.#count(data, nowMs);
      this.onMessage?.(data, nowMs);
    }
  }

  #readDatagrams(nowMs: number): void {
    for (let data = this.#session.readDatagram(); data !== null; data = this.#session.readDatagram()) {
      this.#count(data, nowMs);
      this.onDatagram?.(data, nowMs);
    }
  }

  #count(read: Uint8Array, nowMs: number): void {
    this.#readBytes += read.length;
    this.#lastReadMs = nowMs;
  }

  /** Until no more is taken: an event "writable" follows then. */
  #writeBulk(stream: number): void {
    let left = this.#bulk.get(stream) ?? 0;
    while (left > 0) {
      const piece = BULK.subarray(0, Math.min(left, BULK.length));
      const taken = this.#session.write(stream, piece);
      left -= taken;
      this.#bulk.set(stream, left);
      if (taken < piece.length) return;
    }
    if (this.#bulk.delete(stream)) this.#session.finish(stream);
  }
}

/** What an application hands over. Throws a SimulatorOptionError for what is no data, or more than `most` bytes of it. */
function bytesOf(data: Uint8Array | string, most = Number.POSITIVE_INFINITY): Uint8Array {
  const bytes = typeof data === "string" ? encoder.encode(data) : data;
  if (!(bytes instanceof Uint8Array)) throw new SimulatorOptionError("data", data, "a Uint8Array or a string");
  if (bytes.length > most) throw new SimulatorOptionError("data.length", bytes.length, `at most ${most} bytes`);
  return bytes;
}
