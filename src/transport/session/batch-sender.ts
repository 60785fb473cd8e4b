/**
 * The batches of a session at their source: which symbol leaves next, and what is repaired. A source symbol that is lost is not
 * sent again: a repair of its batch is, which makes up for any symbol that is missing. Knows no streams.
 *
 * When a repair is due: a symbol of the batch was lost, or a round of it is settled and fewer repairs are under way for the next
 * than `Redundancy` wants.
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
import type { Redundancy } from "./redundancy.ts";
import { SendBatch, type SplitRepair } from "./send-batch.ts";
import { coveredOf, repairName, roundOf, type SentPackets, type SymbolOwner } from "./sent-packets.ts";

export interface BatchSenderCounts {
  sourceSymbols: number;
  repairs: number;
  /** Repairs that answered a probe timeout, among `repairs`. */
  probeRepairs: number;
}

export class BatchSender implements SymbolOwner {
  readonly counts: BatchSenderCounts = { sourceSymbols: 0, repairs: 0, probeRepairs: 0 };
  readonly #pool: SymbolPool;
  readonly #batchSize: number;
  /** Not done, oldest first. */
  readonly #live: Map<number, SendBatch> = new Map();
  readonly #lacking: Set<SendBatch> = new Set();
  readonly #idle: SendBatch[] = [];
  readonly #packets: SentPackets;
  readonly #redundancy: Redundancy;
  #open: SendBatch | null = null;
  /** The second half of a repair whose first half left in the packet before. */
  #half: { batch: SendBatch; id: number; split: SplitRepair; seed: number; payload: Uint8Array } | null = null;
  #nextBatch = 0;
  /** Batches that must be complete by what arrived, and for which no request is under way. */
  readonly #unasked: Set<SendBatch> = new Set();
  #requests = 0;
  /** The request that is under way, or 0. */
  #asked = 0;

  constructor(pool: SymbolPool, batchSize: number, packets: SentPackets, redundancy: Redundancy) {
    this.#pool = pool;
    this.#batchSize = batchSize;
    this.#packets = packets;
    this.#redundancy = redundancy;
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
    this.#packets.bookRequest(tag, this, this.#asked);
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

  /** Adds a source symbol to the open batch and writes its frame at `at`; returns the offset after it. */
  writeSource(tag: number, symbol: Uint8Array, bytes: Uint8Array, at: number): number {
    const batch = this.#open ?? this.#openBatch();
    const index = batch.encoder.add(symbol);
    batch.sourceSent(index);
    this.#packets.book(tag, this, batch, index, null);
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
      if (this.#lacks(batch)) return this.#writeRepairOf(batch, tag, bytes, at, end);
      this.#lacking.delete(batch);
      batch.lacking = false;
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

  symbolArrived(batch: SendBatch, name: number, split: SplitRepair | null): void {
    if (name >= 0) batch.sourceArrived(name);
    else if (split === null || ++split.arrived === 2) batch.repairArrived(coveredOf(name), roundOf(name));
    this.#settle(batch);
  }

  symbolLost(batch: SendBatch, name: number, split: SplitRepair | null): void {
    if (name >= 0) {
      batch.sourceLost(name);
    } else if (split === null || !split.lost) {
      batch.repairLost(coveredOf(name), roundOf(name));
      if (split !== null) split.lost = true;
    }
    this.#settle(batch);
  }

  /** Those it asked for are asked for again. */
  requestLost(request: number): void {
    if (request !== this.#asked) return;
    this.#asked = 0;
    for (const batch of this.#live.values()) {
      if (batch.request !== request) continue;
      batch.request = 0;
      if (batch.confirmable) this.#unasked.add(batch);
    }
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const { encoder } of this.#live.values()) encoder.destroy();
    for (const { encoder } of this.#idle) encoder.destroy();
    this.#live.clear();
    this.#lacking.clear();
    this.#idle.length = 0;
  }

  get #lowestLive(): number {
    for (const id of this.#live.keys()) return id;
    return this.#nextBatch;
  }

  #openBatch(): SendBatch {
    const batch = this.#idle.pop() ?? new SendBatch(new BatchEncoder({ pool: this.#pool, batchSize: this.#batchSize }));
    batch.begin(this.#nextBatch++);
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
      this.#redundancy.batchDone(batch.round);
      batch.end();
      this.#idle.push(batch);
    } else if (batch.confirmable) {
      if (batch.request === 0) this.#unasked.add(batch);
    } else if (!batch.lacking && this.#lacks(batch)) {
      batch.lacking = true;
      this.#lacking.add(batch);
    }
  }

  /** Whether a repair of it should leave now. */
  #lacks(batch: SendBatch): boolean {
    if (batch.deficit > 0) return true;
    if (!batch.sealed) return false;
    const { missing } = batch;
    if (missing === 0) return false;
    if (batch.roundSettled) batch.nextRound(this.#redundancy.margin(missing, batch.repairsInFlight, batch.round));
    return batch.quota > 0;
  }

  #writeRepairOf(batch: SendBatch, tag: number, bytes: Uint8Array, at: number, end: number): number {
    const covered = batch.size;
    const length = batch.encoder.repairLength(covered);
    const room = end - at - SYMBOL_HEADER_MOST;
    const half = Math.ceil(length / 2);
    if (room < half) return at;
    // In a packet of its own it may still not fit, if the MTU fell.
    if (room < length && this.#packets.count(tag) > 0) return at;
    const name = repairName(covered, batch.nextRepairRound);
    const seed = batch.repairSent();
    const lowest = this.#lowestLive;
    this.counts.repairs++;
    if (room >= length) {
      const next = writeRepairHeader(bytes, at, SYMBOL_REPAIR, batch.id, lowest, covered, seed, length);
      batch.encoder.repair(covered, seed, bytes.subarray(next, next + length));
      this.#packets.book(tag, this, batch, name, null);
      return next + length;
    }
    const payload = new Uint8Array(length);
    batch.encoder.repair(covered, seed, payload);
    const split: SplitRepair = { name, covered, arrived: 0, lost: false };
    this.#half = { batch, id: batch.id, split, seed, payload: payload.subarray(half) };
    const next = writeRepairHeader(bytes, at, SYMBOL_REPAIR_FIRST_HALF, batch.id, lowest, covered, seed, half);
    bytes.set(payload.subarray(0, half), next);
    this.#packets.book(tag, this, batch, name, split);
    return next + half;
  }

  #writeSecondHalf(tag: number, bytes: Uint8Array, at: number, end: number): number {
    const { batch, id, split, seed, payload } = this.#half!;
    if (at + SYMBOL_HEADER_MOST + payload.length > end) return at;
    this.#half = null;
    // Done since.
    if (batch.id !== id) return at;
    const { covered } = split;
    const type = SYMBOL_REPAIR_SECOND_HALF;
    const next = writeRepairHeader(bytes, at, type, id, this.#lowestLive, covered, seed, payload.length);
    bytes.set(payload, next);
    this.#packets.book(tag, this, batch, split.name, split);
    return next + payload.length;
  }
}
