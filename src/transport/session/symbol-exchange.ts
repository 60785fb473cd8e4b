/**
 * Symbols in both directions over the packets of a link: what a session gives and gets as source symbols, of the reliable class and of
 * datagrams, and what keeps them whole. Decides what goes into a packet: word that the peer waits for, repairs of known losses,
 * datagrams in turn with everything else, and repair ahead of losses when nothing else waits. Does not look into symbols.
 */
import type { SymbolPool } from "../../codec/index.ts";
import type { PacketFill } from "../link/link-user.ts";
import { varintLengthAt } from "../link/varint.ts";
import { BatchReceiver, type BatchReceiverCounts } from "./batch-receiver.ts";
import { BatchSender, type BatchSenderCounts } from "./batch-sender.ts";
import {
  BATCH_STATUS,
  GIVEN_UP,
  LEAST_ROOM_AFTER,
  readNumberFrame,
  STATUS_REQUEST,
  StatusFrame,
  SymbolFrame,
} from "./frames.ts";
import { LossOdds } from "./loss-odds.ts";
import { PathEstimate } from "./path-estimate.ts";
import { Redundancy, type RedundancyOptions } from "./redundancy.ts";
import { SentPackets } from "./sent-packets.ts";
import { MOST_BATCH_SIZE, type SessionStats } from "./session-options.ts";

/** With less room than this no symbol is begun. */
const LEAST_SYMBOL_BYTES = 64;
/** Who had nothing to send for long makes up for so much at the most. */
const MOST_LEAD_BYTES = 3000;
/** Batches of datagrams that may hold memory at the receiver. */
const MOST_UNRELIABLE_BATCHES = 256;
/** After so long without a packet of either end memory is given back that the next one would have to take again. */
const REST_MS = 10_000;

/** Where source symbols come from. */
export interface SymbolSource {
  /** Whether it has something for a symbol. */
  ready(nowMs: number): boolean;
  /** Writes a symbol of at most `room` bytes at `at`; returns its length, 0 when there is nothing. */
  write(bytes: Uint8Array, at: number, room: number, nowMs: number): number;
}

/** Datagrams have deadlines, and parts that belong together. */
export interface DatagramSource extends SymbolSource {
  /** How many symbols the next datagram takes. */
  symbols(room: number, nowMs: number): number;
  /** The latest deadline of what `write` put into a symbol. */
  readonly deadlineMs: number;
}

/** Where they go. The bytes last until it returns. */
export interface SymbolSink {
  reliable(symbol: Uint8Array): void;
  unreliable(symbol: Uint8Array, batch: number): void;
  /** No more comes of unreliable batches below. */
  unreliableBelow(batch: number): void;
}

export interface SymbolExchangeOptions {
  pool: SymbolPool;
  /** M of the batches of the reliable class that are sent. */
  batchSize: number;
  redundancy: RedundancyOptions;
  source: SymbolSource;
  datagrams: DatagramSource;
  sink: SymbolSink;
}

/** Part of what `Session.stats` says. */
export type ExchangeStats = Pick<
  SessionStats,
  | "sentSymbols"
  | "sentRepairs"
  | "receivedSymbols"
  | "redundantSymbols"
  | "droppedSymbols"
  | "liveBatches"
  | "redundancy"
>;

const NO_COUNTS: BatchReceiverCounts = { innovative: 0, redundant: 0, late: 0, invalid: 0, dropped: 0 };
/** Read and written by one at a time. */
const symbolFrame = new SymbolFrame();
const statusFrame = new StatusFrame();

export class SymbolExchange {
  readonly path = new PathEstimate();
  readonly #sender: BatchSender;
  readonly #receiver: BatchReceiver;
  /** Made for the first datagram that leaves, and for the first that comes: most sessions see none. */
  #unreliableSender: BatchSender | null = null;
  #unreliableReceiver: BatchReceiver | null = null;
  readonly #pool: SymbolPool;
  readonly #redundancy: RedundancyOptions;
  #memoryShort = false;
  readonly #source: SymbolSource;
  readonly #datagrams: DatagramSource;
  readonly #sink: SymbolSink;
  readonly #packets = new SentPackets();
  readonly #odds = new LossOdds();
  /** When it rests unless something is sent or received; Infinity when it does. */
  #restMs = Number.POSITIVE_INFINITY;
  /** Bytes of datagrams that have left beyond those of everything else, as far as that still matters. */
  #lead = 0;
  /** The peer's request for a batch status that is not answered, or 0; packets that carry an answer. */
  #requested = 0;
  #answered = 0;
  readonly #answers: Set<number> = new Set();
  readonly #deliver: (symbol: Uint8Array) => void;
  readonly #deliverUnreliable: (symbol: Uint8Array, batch: number) => void;

  constructor({ pool, batchSize, redundancy, source, datagrams, sink }: SymbolExchangeOptions) {
    this.#pool = pool;
    this.#redundancy = redundancy;
    this.#sender = this.#createSender(false, batchSize);
    this.#receiver = new BatchReceiver(pool, MOST_BATCH_SIZE);
    this.#source = source;
    this.#datagrams = datagrams;
    this.#sink = sink;
    this.#deliver = (symbol) => sink.reliable(symbol);
    this.#deliverUnreliable = (symbol, batch) => sink.unreliable(symbol, batch);
  }

  get stats(): ExchangeStats {
    const reliable = this.#sender.counts;
    const unreliable = this.#unreliableSender?.counts;
    const sum = (name: keyof BatchSenderCounts) => reliable[name] + (unreliable?.[name] ?? 0);
    const [margin, ahead, probe] = [sum("marginRepairs"), sum("aheadRepairs"), sum("probeRepairs")];
    const repairs = sum("repairs");
    const received = this.#receiver.counts;
    const datagrams = this.#unreliableReceiver?.counts ?? NO_COUNTS;
    return {
      sentSymbols: sum("sourceSymbols"),
      sentRepairs: repairs,
      receivedSymbols: received.innovative + datagrams.innovative,
      redundantSymbols: received.redundant + received.late + datagrams.redundant + datagrams.late,
      droppedSymbols: received.dropped + datagrams.dropped,
      liveBatches:
        this.#sender.liveBatches +
        this.#receiver.liveBatches +
        (this.#unreliableSender?.liveBatches ?? 0) +
        (this.#unreliableReceiver?.liveBatches ?? 0),
      redundancy: {
        sourceBytes: sum("sourceBytes"),
        repairBytes: sum("repairBytes"),
        knownLoss: repairs - margin - ahead - probe,
        margin,
        ahead,
        probe,
      },
    };
  }

  /** Whether any symbol of the reliable class is not known to have arrived. */
  get outstanding(): boolean {
    return this.#sender.outstanding;
  }

  /** Batches of the reliable class that are not done here. */
  get reliableBatches(): number {
    return this.#sender.liveBatches;
  }

  /** Batches of datagrams given up at their deadline with something missing. */
  get givenUpBatches(): number {
    return this.#unreliableSender?.counts.givenUp ?? 0;
  }

  /** The process is short of memory: only what others wait for is taken. */
  set memoryShort(short: boolean) {
    this.#receiver.short = short;
    this.#memoryShort = short;
    if (this.#unreliableReceiver !== null) this.#unreliableReceiver.short = short;
  }

  /** Whether a packet is worth sending. */
  ready(nowMs: number): boolean {
    if (nowMs >= this.#restMs) this.#rest();
    const unreliable = this.#unreliableSender;
    unreliable?.expire(nowMs);
    if (this.#requested > 0 || this.#sender.repairDue || unreliable?.repairDue === true) return true;
    if (this.#sender.requestDue(nowMs)) return true;
    return (
      this.#datagrams.ready(nowMs) ||
      this.#source.ready(nowMs) ||
      unreliable?.aheadDue(nowMs) === true ||
      this.#sender.aheadDue(nowMs)
    );
  }

  /** When `ready` may turn true by itself. */
  get nextTimeoutMs(): number {
    const nextMs = Math.min(this.#sender.nextTimeoutMs, this.#restMs);
    return this.#unreliableSender === null ? nextMs : Math.min(nextMs, this.#unreliableSender.nextTimeoutMs);
  }

  /** Writes one packet's bytes. */
  fill(packet: PacketFill, nowMs: number): void {
    const { buffer, start } = packet;
    const end = start + packet.room;
    this.#unreliableSender?.expire(nowMs);
    const tag = this.#packets.begin(nowMs);
    let at = this.#writeStatus(tag, buffer, start, end);
    const waiting = this.#datagrams.ready(nowMs) || this.#source.ready(nowMs);
    let patient = waiting;
    while (!this.#packets.isFull(tag) && end - at >= LEAST_ROOM_AFTER) {
      const before = at;
      at = this.#unreliableSender?.writeRepair(tag, buffer, at, end, patient) ?? at;
      if (at === before) at = this.#sender.writeRepair(tag, buffer, at, end, patient);
      if (at > before) continue;
      // Where symbols fill packets, words of batches only fit before.
      if (waiting) at = this.#writeWords(tag, buffer, at, end);
      const symbol = at;
      at = this.#writeNew(tag, buffer, at, end, nowMs);
      if (at > symbol) continue;
      if (!patient) break;
      patient = false;
    }
    // A repair beside the symbols that it covers is lost with them.
    if (this.#packets.count(tag) === 0) {
      if (!this.#datagrams.ready(nowMs)) at = this.#unreliableSender?.writeAhead(tag, buffer, at, end, nowMs) ?? at;
      if (this.#packets.count(tag) === 0 && !this.#source.ready(nowMs)) {
        at = this.#sender.writeAhead(tag, buffer, at, end, nowMs);
      }
    }
    const wordDue =
      at > start || this.#sender.requestDue(nowMs) || this.#sender.parts || this.#unreliableSender?.repairDue;
    if (wordDue && end - at >= LEAST_ROOM_AFTER) at = this.#writeWords(tag, buffer, at, end);
    if (at === start && packet.probe) {
      at = this.#sender.writeProbe(tag, buffer, at, end);
      if (at === start) at = this.#unreliableSender?.writeProbe(tag, buffer, at, end) ?? at;
    }
    packet.length = at - start;
    packet.tag = tag;
    // Nothing to report on.
    if (packet.length === 0) {
      this.#packets.discard(tag);
      return;
    }
    this.#restMs = nowMs + REST_MS;
    this.#packets.number(tag, this.path.packetSent());
  }

  acked(tag: number, nowMs: number): void {
    this.#answers.delete(tag);
    this.path.packetArrived(this.#packets.numberOf(tag), this.#packets.sentMs(tag), nowMs);
    this.#packets.arrived(tag, nowMs);
  }

  lost(tag: number, nowMs: number): void {
    if (this.#answers.delete(tag)) this.#requested = Math.max(this.#requested, this.#answered);
    this.path.packetLost(this.#packets.numberOf(tag));
    this.#packets.lost(tag, nowMs);
  }

  /** Reads the frame at `at`; returns the offset after it, or -1 when it is malformed. */
  receive(bytes: Uint8Array, at: number, end: number, nowMs: number): number {
    this.#restMs = nowMs + REST_MS;
    switch (bytes[at]) {
      case STATUS_REQUEST: {
        const request = readNumberFrame(bytes, at, end);
        if (request < 0) return -1;
        this.#requested = Math.max(this.#requested, request);
        return at + 1 + varintLengthAt(bytes, at + 1);
      }
      case BATCH_STATUS: {
        const next = statusFrame.read(bytes, at, end);
        if (next >= 0) this.#sender.takeStatus(statusFrame, nowMs);
        return next;
      }
      case GIVEN_UP: {
        const lowest = readNumberFrame(bytes, at, end);
        if (lowest < 0) return -1;
        this.#datagramReceiver.forgetBelow(lowest);
        this.#sink.unreliableBelow(lowest);
        return at + 1 + varintLengthAt(bytes, at + 1);
      }
      default:
        return this.#receiveSymbol(bytes, at, end);
    }
  }

  /** The most bytes of a symbol of datagrams in any packet of `payloadBytes` that carries nothing else, now and later. */
  datagramRoom(payloadBytes: number): number {
    return Math.max(0, this.#datagramSender.steadySymbolBytes(payloadBytes - 1));
  }

  /** The size of packets has changed: batches of larger symbols are sealed, so that their repairs do not outgrow packets. */
  seal(nowMs: number): void {
    this.#sender.seal(nowMs);
    this.#unreliableSender?.seal(nowMs);
  }

  /** Nothing was sent or received for long: what is kept for things to come goes. */
  #rest(): void {
    this.#restMs = Number.POSITIVE_INFINITY;
    this.#sender.rest();
    this.#unreliableSender?.rest();
    this.#receiver.rest();
    // What their source has not given up it would have repaired by now.
    this.#unreliableReceiver?.forgetAll();
    this.#unreliableReceiver?.rest();
    if (!this.#sender.outstanding) this.path.rest();
    this.#packets.rest();
    this.#odds.rest();
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#sender.destroy();
    this.#receiver.destroy();
    this.#unreliableSender?.destroy();
    this.#unreliableReceiver?.destroy();
  }

  get #datagramSender(): BatchSender {
    this.#unreliableSender ??= this.#createSender(true, MOST_BATCH_SIZE);
    return this.#unreliableSender;
  }

  get #datagramReceiver(): BatchReceiver {
    if (this.#unreliableReceiver === null) {
      this.#unreliableReceiver = new BatchReceiver(this.#pool, MOST_BATCH_SIZE, MOST_UNRELIABLE_BATCHES);
      this.#unreliableReceiver.short = this.#memoryShort;
    }
    return this.#unreliableReceiver;
  }

  #createSender(unreliable: boolean, batchSize: number): BatchSender {
    const redundancy = new Redundancy(this.path, this.#redundancy, this.#odds);
    return new BatchSender({ pool: this.#pool, batchSize, unreliable, packets: this.#packets, redundancy });
  }

  #receiveSymbol(bytes: Uint8Array, at: number, end: number): number {
    const frame = symbolFrame;
    const next = frame.read(bytes, at, end);
    if (next < 0) return next;
    if (frame.unreliable) {
      this.#sink.unreliableBelow(frame.lowestLive);
      this.#datagramReceiver.take(frame, bytes, this.#deliverUnreliable);
    } else {
      this.#receiver.take(frame, bytes, this.#deliver);
    }
    return next;
  }

  /** Answers a request for a batch status; returns the offset after the answer, or `at`. */
  #writeStatus(tag: number, buffer: Uint8Array, at: number, end: number): number {
    if (this.#requested === 0) return at;
    this.#receiver.fillStatus(statusFrame);
    if (at + statusFrame.mostBytes > end) return at;
    statusFrame.request = this.#requested;
    this.#answered = this.#requested;
    this.#requested = 0;
    this.#answers.add(tag);
    return statusFrame.write(buffer, at);
  }

  /** A request for a batch status, the end of a batch, and what was given up; returns the offset after them. */
  #writeWords(tag: number, buffer: Uint8Array, at: number, end: number): number {
    let next = this.#sender.writeRequest(tag, buffer, at, end);
    next = this.#sender.writeParting(buffer, next, end);
    return this.#unreliableSender?.writeGivenUp(tag, buffer, next, end) ?? next;
  }

  /** A source symbol. Where datagrams and others wait, each gets as many bytes: neither starves the other. */
  #writeNew(tag: number, buffer: Uint8Array, at: number, end: number, nowMs: number): number {
    const othersFirst = this.#lead > 0;
    let next = othersFirst ? this.#writeSource(tag, buffer, at, end, nowMs) : at;
    if (next > at) {
      this.#lead -= next - at;
      return next;
    }
    next = this.#writeDatagrams(tag, buffer, at, end, nowMs);
    if (next > at) {
      this.#lead = Math.min(this.#lead + next - at, MOST_LEAD_BYTES);
      return next;
    }
    if (othersFirst) return at;
    next = this.#writeSource(tag, buffer, at, end, nowMs);
    this.#lead = Math.max(this.#lead - (next - at), -MOST_LEAD_BYTES);
    return next;
  }

  #writeSource(tag: number, buffer: Uint8Array, at: number, end: number, nowMs: number): number {
    const room = this.#sender.symbolBytes(end - at);
    if (room < LEAST_SYMBOL_BYTES || !this.#source.ready(nowMs)) return at;
    const start = this.#sender.sourceStart(at, 1, nowMs);
    const length = this.#source.write(buffer, start, room, nowMs);
    return length === 0 ? at : this.#sender.writeSource(tag, buffer, at, end, start, length, 0, nowMs);
  }

  #writeDatagrams(tag: number, buffer: Uint8Array, at: number, end: number, nowMs: number): number {
    if (!this.#datagrams.ready(nowMs)) return at;
    const sender = this.#datagramSender;
    const room = sender.symbolBytes(end - at);
    if (room < LEAST_SYMBOL_BYTES) return at;
    const symbols = this.#datagrams.symbols(room, nowMs);
    const start = sender.sourceStart(at, symbols, nowMs);
    const length = this.#datagrams.write(buffer, start, room, nowMs);
    if (length === 0) return at;
    if (symbols > 1) sender.keepTogether(symbols, nowMs);
    return sender.writeSource(tag, buffer, at, end, start, length, this.#datagrams.deadlineMs, nowMs);
  }
}
