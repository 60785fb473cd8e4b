/**
 * A session over one link: streams in both directions, carried in batches of coded symbols, under credit of the session and of
 * each stream. The layer above a `Link` (its `LinkUser`); without I/O, clock or randomness of its own. No packet number, ACK or
 * key is known here.
 *
 * After any call that may have made something to send, the driver polls the link. Input from the peer never throws: a symbol
 * that breaks the protocol ends the session with an error that `poll` reports.
 */
import { SymbolPool } from "../../codec/index.ts";
import type { Arena } from "../../gf/index.ts";
import type { Address } from "../address.ts";
import type { CloseReason } from "../link/close.ts";
import type { LinkUser, PacketFill } from "../link/link-user.ts";
import type { LinkParameters } from "../link/parameters.ts";
import { varintLengthAt } from "../link/varint.ts";
import { BatchReceiver } from "./batch-receiver.ts";
import { BatchSender } from "./batch-sender.ts";
import {
  BATCH_STATUS,
  type ControlFrame,
  controlFrameBytes,
  FRAME_MAX_DATA,
  FRAME_MAX_STREAM_DATA,
  FRAME_RESET_STREAM,
  FRAME_STOP_SENDING,
  readSessionFrames,
  readStatusRequest,
  type SessionFrameHandler,
  STATUS_REQUEST,
  StatusFrame,
  SymbolFrame,
  streamHeaderBytes,
  writeControlFrame,
  writeStreamHeader,
} from "./frames.ts";
import { PathEstimate } from "./path-estimate.ts";
import type { RangeCount } from "./range-set.ts";
import { CREDIT_STEP, ReceiveStream } from "./receive-stream.ts";
import { Redundancy } from "./redundancy.ts";
import { SendStream } from "./send-stream.ts";
import { SentPackets } from "./sent-packets.ts";

/** M of live batches. */
export const SESSION_BATCH_SIZE = 64;

/** What a session's receiver lets come before it was read, bytes, when nothing else is said. */
export const DEFAULT_SESSION_WINDOW = 64 * 2 ** 20;
export const DEFAULT_STREAM_WINDOW = 64 * 2 ** 20;

/** Streams of the peer that may be open at once; one more ends the session. */
export const MAX_PEER_STREAMS = 4096;

export interface SessionOptions {
  /** Which end opens streams with even numbers: the client. */
  isClient: boolean;
  /** Where symbols live. Default: the arena that the process shares. */
  arena?: Arena;
  /** Credit for the session and for each stream, bytes. The peer must have the same settings as its credit to begin with. */
  sessionWindow?: number;
  streamWindow?: number;
}

export type SessionEvent =
  | { type: "established" }
  | { type: "stream"; stream: number }
  | { type: "readable"; stream: number }
  | { type: "writable"; stream: number }
  | { type: "reset"; stream: number; code: number }
  | { type: "stopped"; stream: number; code: number }
  | { type: "closed"; reason: CloseReason }
  | { type: "error"; message: string };

export interface SessionStats {
  sentSymbols: number;
  sentRepairs: number;
  receivedSymbols: number;
  redundantSymbols: number;
  droppedSymbols: number;
  liveBatches: number;
}

interface Stream {
  readonly send: SendStream | null;
  readonly receive: ReceiveStream | null;
  blocked: boolean;
  /** A "readable" event waits to be polled: one is enough. */
  announced: boolean;
}

export class Session implements LinkUser {
  readonly #isClient: boolean;
  readonly #sessionWindow: number;
  readonly #streamWindow: number;
  readonly #pool: SymbolPool;
  readonly #path = new PathEstimate();
  readonly #packets = new SentPackets();
  readonly #sender: BatchSender;
  readonly #receiver: BatchReceiver;
  readonly #streams: Map<number, Stream> = new Map();
  /** Streams with something to send, in turn. */
  readonly #sending: Set<number> = new Set();
  readonly #control: ControlFrame[] = [];
  readonly #gaps: RangeCount = { ranges: 0 };
  readonly #events: SessionEvent[] = [];
  readonly #frame = new SymbolFrame();
  readonly #status = new StatusFrame();
  readonly #symbol: Uint8Array;
  readonly #handler: SessionFrameHandler;
  /** The peer's request for a batch status that is not answered, or 0; packets that carry an answer. */
  #requested = 0;
  #answered = 0;
  readonly #answers: Set<number> = new Set();
  #established = false;
  #over = false;
  #nextStream: number;
  #nextPeerStream: number;
  #peerStreams = 0;
  /** Credit: stream bytes sent and allowed, received and allowed. */
  #sent = 0;
  #sendMaximum: number;
  #received = 0;
  #receiveMaximum: number;
  #read = 0;

  constructor(options: SessionOptions) {
    const { isClient, arena, sessionWindow = DEFAULT_SESSION_WINDOW, streamWindow = DEFAULT_STREAM_WINDOW } = options;
    this.#isClient = isClient;
    this.#sessionWindow = sessionWindow;
    this.#streamWindow = Math.min(streamWindow, sessionWindow);
    this.#sendMaximum = sessionWindow;
    this.#receiveMaximum = sessionWindow;
    this.#pool = new SymbolPool({ symbolSize: 1472, ...(arena === undefined ? {} : { arena }) });
    this.#sender = new BatchSender(this.#pool, SESSION_BATCH_SIZE, this.#packets, new Redundancy(this.#path));
    this.#receiver = new BatchReceiver(this.#pool, SESSION_BATCH_SIZE);
    this.#symbol = new Uint8Array(this.#pool.symbolSize);
    this.#nextStream = isClient ? 0 : 1;
    this.#nextPeerStream = isClient ? 1 : 0;
    this.#handler = {
      onStreamData: (stream, offset, data, fin) => this.#onStreamData(stream, offset, data, fin),
      onResetStream: (stream, code, finalSize) => this.#onResetStream(stream, code, finalSize),
      onStopSending: (stream, code) => this.#onStopSending(stream, code),
      onMaxData: (maximum) => this.#onMaxData(maximum),
      onMaxStreamData: (stream, maximum) => this.#onMaxStreamData(stream, maximum),
    };
  }

  /** What happened since the last call, oldest first; null when nothing did. */
  poll(): SessionEvent | null {
    const event = this.#events.shift() ?? null;
    if (event?.type === "readable") {
      const entry = this.#streams.get(event.stream);
      if (entry !== undefined) entry.announced = false;
    }
    return event;
  }

  get stats(): SessionStats {
    const { sourceSymbols, repairs } = this.#sender.counts;
    const { innovative, redundant, late, dropped } = this.#receiver.counts;
    return {
      sentSymbols: sourceSymbols,
      sentRepairs: repairs,
      receivedSymbols: innovative,
      redundantSymbols: redundant + late,
      droppedSymbols: dropped,
      liveBatches: this.#sender.liveBatches + this.#receiver.liveBatches,
    };
  }

  /** Whether all that was written was delivered. */
  get idle(): boolean {
    return this.#sending.size === 0 && this.#control.length === 0 && !this.#sender.outstanding;
  }

  /** Opens a stream for both directions; its number. */
  openStream(): number {
    const id = this.#nextStream;
    this.#nextStream += 2;
    this.#streams.set(id, this.#newStream(id));
    return id;
  }

  /** Writes to a stream; returns how many bytes were taken. After less than all a "writable" event comes. */
  write(stream: number, data: Uint8Array): number {
    const entry = this.#streams.get(stream);
    if (entry?.send == null || this.#over) return 0;
    const taken = entry.send.write(data);
    if (taken < data.length) entry.blocked = true;
    this.#queue(stream, entry.send);
    return taken;
  }

  /** Ends the sending half: what was written is still delivered. */
  finish(stream: number): void {
    const send = this.#streams.get(stream)?.send;
    if (send == null) return;
    send.finish();
    this.#queue(stream, send);
  }

  /** Gives up sending on a stream: what waits is thrown away, and the peer hears `code`. */
  reset(stream: number, code: number): void {
    const entry = this.#streams.get(stream);
    if (entry?.send == null || entry.send.done) return;
    const { offset } = entry.send;
    entry.send.abandon();
    this.#sending.delete(stream);
    this.#control.push({ type: FRAME_RESET_STREAM, fields: [stream, code, offset] });
    this.#forget(stream, entry);
  }

  /** Asks the peer to give up sending on a stream. */
  stop(stream: number, code: number): void {
    const receive = this.#streams.get(stream)?.receive;
    if (receive == null || receive.done) return;
    this.#control.push({ type: FRAME_STOP_SENDING, fields: [stream, code] });
  }

  /** The next bytes of a stream in order, or null when there are none. */
  read(stream: number): Uint8Array | null {
    const entry = this.#streams.get(stream);
    const receive = entry?.receive;
    if (entry === undefined || receive == null) return null;
    const data = receive.read();
    if (data === null) return null;
    this.#read += data.length;
    this.#grant(stream, receive);
    this.#forget(stream, entry);
    return data;
  }

  /** Whether a stream's end was reached: all was read. A stream that is forgotten has ended. */
  ended(stream: number): boolean {
    return this.#streams.get(stream)?.receive?.done ?? true;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#sender.destroy();
    this.#receiver.destroy();
    this.#pool.destroy();
  }

  // What the link calls.

  ready(): boolean {
    if (!this.#established || this.#over) return false;
    return this.#requested > 0 || this.#sender.requestDue || this.#sender.repairDue || this.#symbolReady();
  }

  nextTimeoutMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fill(packet: PacketFill, nowMs: number): void {
    if (!this.#established || this.#over) return;
    const { buffer, start } = packet;
    const end = start + packet.room;
    const tag = this.#packets.begin(this.#path.packetSent(), nowMs);
    let at = this.#writeStatus(tag, buffer, start, end);
    if (this.#sender.requestDue) at = this.#sender.writeRequest(tag, buffer, at, end);
    while (!this.#packets.isFull(tag)) {
      const before = at;
      at = this.#sender.writeRepair(tag, buffer, at, end);
      if (at === before) at = this.#writeSymbol(tag, buffer, at, end);
      if (at === before) break;
    }
    if (at === start && packet.probe) at = this.#sender.writeProbe(tag, buffer, at, end);
    packet.length = at - start;
    packet.tag = tag;
    if (packet.length === 0) this.#packets.discard(tag);
  }

  acked(tag: number, nowMs: number): void {
    this.#answers.delete(tag);
    this.#path.packetArrived(this.#packets.number(tag), this.#packets.sentMs(tag), nowMs);
    this.#packets.arrived(tag);
  }

  lost(tag: number): void {
    if (this.#answers.delete(tag)) this.#requested = Math.max(this.#requested, this.#answered);
    this.#path.packetLost(this.#packets.number(tag));
    this.#packets.lost(tag);
  }

  /** A repair has made up for it meanwhile, or is under way. */
  spurious(): void {
    this.#path.spurious();
  }

  receive(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    while (at < end && !this.#over) {
      const next = this.#receiveFrame(bytes, at, end);
      if (next < 0) {
        this.#fail("a malformed frame");
        return;
      }
      at = next;
    }
  }

  #receiveFrame(bytes: Uint8Array, at: number, end: number): number {
    switch (bytes[at]) {
      case STATUS_REQUEST: {
        const request = readStatusRequest(bytes, at, end);
        if (request < 0) return -1;
        this.#requested = Math.max(this.#requested, request);
        return at + 1 + varintLengthAt(bytes, at + 1);
      }
      case BATCH_STATUS: {
        const next = this.#status.read(bytes, at, end);
        if (next >= 0) this.#sender.takeStatus(this.#status);
        return next;
      }
      default: {
        const next = this.#frame.read(bytes, at, end);
        if (next >= 0) this.#receiver.take(this.#frame, bytes, this.#deliver);
        return next;
      }
    }
  }

  /** Answers a request for a batch status; returns the offset after the answer, or `at`. */
  #writeStatus(tag: number, buffer: Uint8Array, at: number, end: number): number {
    if (this.#requested === 0) return at;
    this.#receiver.fillStatus(this.#status);
    if (at + this.#status.mostBytes > end) return at;
    this.#status.request = this.#requested;
    this.#answered = this.#requested;
    this.#requested = 0;
    this.#answers.add(tag);
    return this.#status.write(buffer, at);
  }

  established(_peer: LinkParameters): void {
    this.#established = true;
    this.#events.push({ type: "established" });
  }

  payloadBytesChanged(): void {
    // Symbols take what room a packet has; a batch of larger ones is sealed so that its repairs do not outgrow packets.
    this.#sender.seal();
  }

  pathChanged(_remote: Address, restarted: boolean): void {
    if (restarted) this.#path.reset();
  }

  closed(reason: CloseReason): void {
    this.#over = true;
    this.#events.push({ type: "closed", reason });
  }

  readonly #deliver = (symbol: Uint8Array): void => {
    if (!this.#over && !readSessionFrames(symbol, this.#handler)) this.#fail("a session frame that is not allowed");
  };

  #fail(message: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.push({ type: "error", message });
  }

  #newStream(id: number): Stream {
    return {
      send: new SendStream(id, this.#streamWindow),
      receive: new ReceiveStream(this.#streamWindow, this.#gaps),
      blocked: false,
      announced: false,
    };
  }

  #queue(id: number, send: SendStream): void {
    if (send.ready) this.#sending.add(id);
  }

  #symbolReady(): boolean {
    if (this.#control.length > 0) return true;
    if (this.#sending.size === 0) return false;
    if (this.#sent < this.#sendMaximum) return true;
    // Without credit an end of a stream may still be said.
    for (const id of this.#sending) if (this.#streams.get(id)?.send?.sendableBytes === 0) return true;
    return false;
  }

  /** Makes one source symbol of what waits; returns the offset after its frame, or `at`. */
  #writeSymbol(tag: number, buffer: Uint8Array, at: number, end: number): number {
    const room = this.#sender.symbolBytes(end - at);
    if (room < 64) return at;
    let length = 0;
    while (this.#control.length > 0 && length + controlFrameBytes(this.#control[0]) <= room) {
      length = writeControlFrame(this.#symbol, length, this.#control.shift()!);
    }
    for (const id of this.#sending) {
      const entry = this.#streams.get(id);
      const send = entry?.send;
      if (entry === undefined || send == null) {
        this.#sending.delete(id);
        continue;
      }
      const header = streamHeaderBytes(id, send.offset);
      const bytes = Math.min(send.sendableBytes, this.#sendMaximum - this.#sent, room - length - header);
      if (bytes < 0) break;
      const fin = send.endsAfter(bytes);
      if (bytes === 0 && !fin) {
        if (room - length - header <= 0 || this.#sent >= this.#sendMaximum) break;
        this.#sending.delete(id);
        continue;
      }
      length = writeStreamHeader(this.#symbol, length, id, send.offset, bytes, fin);
      send.take(bytes, this.#symbol, length);
      length += bytes;
      this.#sent += bytes;
      // Streams take turns, one symbol each.
      this.#sending.delete(id);
      if (send.ready) this.#sending.add(id);
      if (entry.blocked && !send.finished) {
        entry.blocked = false;
        this.#events.push({ type: "writable", stream: id });
      }
      this.#forget(id, entry);
      if (room - length < 32) break;
    }
    if (length === 0) return at;
    return this.#sender.writeSource(tag, this.#symbol.subarray(0, length), buffer, at);
  }

  /** A stream that ended both ways is forgotten. */
  #forget(id: number, { send, receive }: Stream): void {
    if ((send !== null && !send.done) || (receive !== null && !receive.done)) return;
    this.#streams.delete(id);
    if (this.#isPeers(id)) this.#peerStreams--;
  }

  #isPeers(id: number): boolean {
    return (id % 2 === 1) === this.#isClient;
  }

  /** The stream that a frame names; opens it when it is a new one of the peer's; undefined when it ended or cannot be. */
  #lookUp(id: number): Stream | undefined {
    if (!this.#isPeers(id) || id < this.#nextPeerStream) return this.#streams.get(id);
    // Those in between are open too: their frames may be on their way.
    while (this.#nextPeerStream <= id) {
      if (this.#peerStreams === MAX_PEER_STREAMS) return undefined;
      const opened = this.#nextPeerStream;
      this.#nextPeerStream += 2;
      this.#peerStreams++;
      this.#streams.set(opened, this.#newStream(opened));
      this.#events.push({ type: "stream", stream: opened });
    }
    return this.#streams.get(id);
  }

  /** Whether a number may be a stream's at all: the peer's, or one that was opened here. */
  #plausible(id: number): boolean {
    if (!this.#isPeers(id)) return id < this.#nextStream;
    return id < this.#nextPeerStream + 2 * (MAX_PEER_STREAMS - this.#peerStreams);
  }

  #onStreamData(id: number, offset: number, data: Uint8Array, fin: boolean): boolean {
    if (!this.#plausible(id)) return false;
    const entry = this.#lookUp(id);
    const receive = entry?.receive;
    // Symbols come in any order: after a reset there may still come what was sent before it.
    if (entry === undefined || receive == null) return true;
    const before = receive.highest;
    if (!receive.receive(offset, data, fin)) return false;
    this.#received += receive.highest - before;
    if (this.#received > this.#receiveMaximum) return false;
    if ((receive.readable || receive.done) && !entry.announced) {
      entry.announced = true;
      this.#events.push({ type: "readable", stream: id });
    }
    this.#forget(id, entry);
    return true;
  }

  #onResetStream(id: number, code: number, finalSize: number): boolean {
    if (!this.#plausible(id)) return false;
    const entry = this.#lookUp(id);
    const receive = entry?.receive;
    if (entry === undefined || receive == null) return true;
    if (finalSize < receive.highest) return false;
    this.#received += finalSize - receive.highest;
    if (finalSize > receive.maximum || this.#received > this.#receiveMaximum) return false;
    // What was not read will not be: its credit goes back.
    this.#read += finalSize - receive.readBytes;
    this.#grantSession();
    receive.abandon();
    this.#streams.set(id, { ...entry, receive: null });
    this.#events.push({ type: "reset", stream: id, code });
    this.#forget(id, { ...entry, receive: null });
    return true;
  }

  #onStopSending(id: number, code: number): boolean {
    if (!this.#plausible(id)) return false;
    const entry = this.#lookUp(id);
    if (entry?.send == null || entry.send.done) return true;
    this.#events.push({ type: "stopped", stream: id, code });
    this.reset(id, code);
    return true;
  }

  #onMaxData(maximum: number): boolean {
    this.#sendMaximum = Math.max(this.#sendMaximum, maximum);
    return true;
  }

  #onMaxStreamData(id: number, maximum: number): boolean {
    if (!this.#plausible(id)) return false;
    const send = this.#lookUp(id)?.send;
    if (send == null) return true;
    send.maximum = Math.max(send.maximum, maximum);
    this.#queue(id, send);
    return true;
  }

  #grant(id: number, receive: ReceiveStream): void {
    const maximum = receive.grant();
    if (maximum > 0) this.#control.push({ type: FRAME_MAX_STREAM_DATA, fields: [id, maximum] });
    this.#grantSession();
  }

  #grantSession(): void {
    const maximum = this.#read + this.#sessionWindow;
    if (maximum - this.#receiveMaximum < this.#sessionWindow * CREDIT_STEP) return;
    this.#receiveMaximum = maximum;
    this.#control.push({ type: FRAME_MAX_DATA, fields: [maximum] });
  }
}
