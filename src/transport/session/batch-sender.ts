/**
 * The batches of a session at their source: which symbol leaves next, and what is repaired. A source symbol that is lost is not
 * sent again: a repair of its batch is, which makes up for any symbol that is missing. Knows no streams.
 *
 * So far repair follows losses, and exactly: none is sent ahead of them, and none to be on the safe side.
 */
import { BatchEncoder, type SymbolPool } from "../../codec/index.ts";
import {
  type StatusFrame,
  SYMBOL_HEADER_MOST,
  SYMBOL_REPAIR,
  SYMBOL_REPAIR_FIRST_HALF,
  SYMBOL_REPAIR_SECOND_HALF,
  writeRepairHeader,
  writeSourceHeader,
  writeStatusRequest,
} from "./frames.ts";
import { SendBatch, type SentRepair } from "./send-batch.ts";

/** Symbols that one packet may carry. */
const SYMBOLS_A_PACKET = 4;

/** What one packet carried, so that its fate can be booked. */
interface SentPacket {
  count: number;
  readonly batches: (SendBatch | null)[];
  /** Index of a source symbol, where there is no repair. */
  readonly indices: Int32Array;
  readonly repairs: (SentRepair | null)[];
  /** Number of the status request, or 0. */
  request: number;
}

export interface BatchSenderCounts {
  sourceSymbols: number;
  repairs: number;
  /** Repairs that answered a probe timeout, among `repairs`. */
  probeRepairs: number;
}

export class BatchSender {
  readonly counts: BatchSenderCounts = { sourceSymbols: 0, repairs: 0, probeRepairs: 0 };
  readonly #pool: SymbolPool;
  readonly #batchSize: number;
  /** Not done, oldest first. */
  readonly #live: Map<number, SendBatch> = new Map();
  readonly #lacking: Set<SendBatch> = new Set();
  readonly #idle: BatchEncoder[] = [];
  readonly #packets: SentPacket[] = [];
  readonly #freePackets: number[] = [];
  #open: SendBatch | null = null;
  /** The second half of a repair whose first half left in the packet before. */
  #half: { batch: SendBatch; repair: SentRepair; covered: number; seed: number; payload: Uint8Array } | null = null;
  #nextBatch = 0;
  /** Batches that must be complete by what arrived, and for which no request is under way. */
  readonly #unasked: Set<SendBatch> = new Set();
  #requests = 0;
  /** The request that is under way, or 0. */
  #asked = 0;

  constructor(pool: SymbolPool, batchSize: number) {
    this.#pool = pool;
    this.#batchSize = batchSize;
  }

  /** Batches that are not done. */
  get liveBatches(): number {
    return this.#live.size;
  }

  /** Whether any symbol is not known to have arrived. */
  get outstanding(): boolean {
    for (const batch of this.#live.values()) if (batch.outstanding) return true;
    return false;
  }

  /** Whether a repair is due. */
  get repairDue(): boolean {
    return this.#lacking.size > 0 || this.#half !== null;
  }

  /** Whether a batch status should be asked for. */
  get requestDue(): boolean {
    return this.#asked === 0 && this.#unasked.size > 0;
  }

  /** Asks for a batch status; returns the offset after the frame, or `at` when it does not fit. */
  writeRequest(tag: number, bytes: Uint8Array, at: number, end: number): number {
    if (at + 9 > end) return at;
    this.#asked = ++this.#requests;
    for (const batch of this.#unasked) batch.ask(this.#asked);
    this.#unasked.clear();
    this.#packets[tag].request = this.#asked;
    return writeStatusRequest(bytes, at, this.#asked);
  }

  /** Takes the receiver's word on the batches that it was asked for. */
  takeStatus(status: StatusFrame): void {
    if (status.request === this.#asked) this.#asked = 0;
    let i = 0;
    for (const batch of this.#live.values()) {
      while (i < status.count && status.batches[i] < batch.id) i++;
      if (batch.request === 0 || batch.request > status.request) continue;
      const named = i < status.count && status.batches[i] === batch.id;
      if (batch.id < status.horizon) batch.answer(named ? status.ranks[i] : Number.POSITIVE_INFINITY);
      else batch.request = 0;
      this.#settle(batch);
    }
  }

  /** The most bytes of source symbol that fit `room` bytes, so that its repairs fit too. */
  symbolBytes(room: number): number {
    return Math.min(this.#pool.symbolSize, room - SYMBOL_HEADER_MOST - 2);
  }

  /** Begins a packet; returns its tag. */
  beginPacket(): number {
    const tag = this.#freePackets.pop();
    if (tag !== undefined) return tag;
    this.#packets.push({
      count: 0,
      batches: new Array<SendBatch | null>(SYMBOLS_A_PACKET).fill(null),
      indices: new Int32Array(SYMBOLS_A_PACKET),
      repairs: new Array<SentRepair | null>(SYMBOLS_A_PACKET).fill(null),
      request: 0,
    });
    return this.#packets.length - 1;
  }

  /** Whether the packet of a tag can carry no more symbols. */
  isFull(tag: number): boolean {
    return this.#packets[tag].count === SYMBOLS_A_PACKET;
  }

  /** Adds a source symbol to the open batch and writes its frame at `at`; returns the offset after it. */
  writeSource(tag: number, symbol: Uint8Array, bytes: Uint8Array, at: number): number {
    const batch = this.#open ?? this.#openBatch();
    const index = batch.encoder.add(symbol);
    batch.sourceSent(index);
    this.#book(tag, batch, index, null);
    this.counts.sourceSymbols++;
    const next = writeSourceHeader(bytes, at, batch.id, this.#lowestLive, index, symbol.length);
    bytes.set(symbol, next);
    if (batch.size === this.#batchSize) this.#seal(batch);
    return next + symbol.length;
  }

  /** Writes a repair that is due; returns the offset after it, or `at` when none is due or none fits. */
  writeRepair(tag: number, bytes: Uint8Array, at: number, end: number): number {
    if (this.#half !== null) return this.#writeSecondHalf(tag, bytes, at, end);
    for (const batch of this.#lacking) {
      if (batch.deficit > 0) return this.#writeRepairOf(batch, tag, bytes, at, end);
      this.#lacking.delete(batch);
    }
    return at;
  }

  /** Writes a repair of the oldest batch that has something outstanding, whether it is due or not. */
  writeProbe(tag: number, bytes: Uint8Array, at: number, end: number): number {
    for (const batch of this.#live.values()) {
      if (!batch.outstanding) continue;
      const next = this.#writeRepairOf(batch, tag, bytes, at, end);
      if (next !== at) this.counts.probeRepairs++;
      return next;
    }
    return at;
  }

  /** The open batch takes no more symbols. */
  seal(): void {
    if (this.#open !== null) this.#seal(this.#open);
  }

  packetArrived(tag: number): void {
    const packet = this.#packets[tag];
    for (let i = 0; i < packet.count; i++) {
      const batch = packet.batches[i]!;
      const repair = packet.repairs[i];
      if (!this.#live.has(batch.id)) continue;
      if (repair === null) batch.sourceArrived(packet.indices[i]);
      else batch.repairArrived(repair);
      this.#settle(batch);
    }
    this.#free(tag);
  }

  packetLost(tag: number): void {
    const packet = this.#packets[tag];
    for (let i = 0; i < packet.count; i++) {
      const batch = packet.batches[i]!;
      const repair = packet.repairs[i];
      if (!this.#live.has(batch.id)) continue;
      if (repair === null) {
        batch.sourceLost(packet.indices[i]);
      } else {
        batch.repairLost(repair);
      }
      if (batch.deficit > 0) this.#lacking.add(batch);
    }
    // Whom it asked for is asked for again.
    if (packet.request !== 0 && packet.request === this.#asked) {
      this.#asked = 0;
      for (const batch of this.#live.values()) {
        if (batch.request !== packet.request) continue;
        batch.request = 0;
        this.#settle(batch);
      }
    }
    this.#free(tag);
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const { encoder } of this.#live.values()) encoder.destroy();
    for (const encoder of this.#idle) encoder.destroy();
    this.#live.clear();
    this.#lacking.clear();
    this.#idle.length = 0;
  }

  get #lowestLive(): number {
    for (const id of this.#live.keys()) return id;
    return this.#nextBatch;
  }

  #openBatch(): SendBatch {
    const encoder = this.#idle.pop() ?? new BatchEncoder({ pool: this.#pool, batchSize: this.#batchSize });
    const batch = new SendBatch(this.#nextBatch++, encoder);
    this.#live.set(batch.id, batch);
    this.#open = batch;
    return batch;
  }

  #seal(batch: SendBatch): void {
    batch.sealed = true;
    this.#open = null;
    this.#settle(batch);
  }

  /** Frees a batch that is done; has one asked for that must be; repairs one that is not. */
  #settle(batch: SendBatch): void {
    if (batch.done) {
      this.#live.delete(batch.id);
      this.#lacking.delete(batch);
      this.#unasked.delete(batch);
      batch.encoder.reset();
      this.#idle.push(batch.encoder);
    } else if (batch.confirmable) {
      if (batch.request === 0) this.#unasked.add(batch);
    } else if (batch.deficit > 0) {
      this.#lacking.add(batch);
    }
  }

  #writeRepairOf(batch: SendBatch, tag: number, bytes: Uint8Array, at: number, end: number): number {
    const covered = batch.size;
    const length = batch.encoder.repairLength(covered);
    const room = end - at - SYMBOL_HEADER_MOST;
    const half = Math.ceil(length / 2);
    if (room < half) return at;
    // In a packet of its own it may still not fit, if the MTU fell.
    if (room < length && this.#packets[tag].count > 0) return at;
    const seed = batch.nextSeed();
    const lowest = this.#lowestLive;
    this.counts.repairs++;
    if (room >= length) {
      const next = writeRepairHeader(bytes, at, SYMBOL_REPAIR, batch.id, lowest, covered, seed, length);
      batch.encoder.repair(covered, seed, bytes.subarray(next, next + length));
      this.#book(tag, batch, -1, batch.repairSent(1));
      return next + length;
    }
    const payload = new Uint8Array(length);
    batch.encoder.repair(covered, seed, payload);
    const repair = batch.repairSent(2);
    this.#half = { batch, repair, covered, seed, payload: payload.subarray(half) };
    const next = writeRepairHeader(bytes, at, SYMBOL_REPAIR_FIRST_HALF, batch.id, lowest, covered, seed, half);
    bytes.set(payload.subarray(0, half), next);
    this.#book(tag, batch, -1, repair);
    return next + half;
  }

  #writeSecondHalf(tag: number, bytes: Uint8Array, at: number, end: number): number {
    const { batch, repair, covered, seed, payload } = this.#half!;
    if (at + SYMBOL_HEADER_MOST + payload.length > end) return at;
    this.#half = null;
    const type = SYMBOL_REPAIR_SECOND_HALF;
    const next = writeRepairHeader(
      bytes,
      at,
      type,
      batch.id,
      this.#lowestLiveOr(batch.id),
      covered,
      seed,
      payload.length,
    );
    bytes.set(payload, next);
    this.#book(tag, batch, -1, repair);
    return next + payload.length;
  }

  /** The batch may be done since: no frame names a batch below the lowest live one. */
  #lowestLiveOr(id: number): number {
    return Math.min(this.#lowestLive, id);
  }

  #book(tag: number, batch: SendBatch, index: number, repair: SentRepair | null): void {
    const packet = this.#packets[tag];
    packet.batches[packet.count] = batch;
    packet.indices[packet.count] = index;
    packet.repairs[packet.count] = repair;
    packet.count++;
  }

  #free(tag: number): void {
    const packet = this.#packets[tag];
    packet.batches.fill(null);
    packet.repairs.fill(null);
    packet.count = 0;
    packet.request = 0;
    this.#freePackets.push(tag);
  }
}
