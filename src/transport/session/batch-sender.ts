/**
 * The batches of one class of a session at their source: which symbol leaves next, and what is repaired. A source symbol that is lost
 * is not sent again: a repair of its batch is, which makes up for any symbol that is missing. Knows no streams and no datagrams.
 *
 * When a repair is due: a symbol of the batch was lost, or a round of it is settled and fewer repairs are under way for the next
 * than `Redundancy` wants. When nothing else is to be sent, repair may leave ahead of losses.
 *
 * Batches of the unreliable class have a deadline, after which they are given up, and need no batch status: by what arrived they are
 * complete.
 */
import { BatchEncoder, type SymbolPool } from "../../codec/index.ts";
import {
  GIVEN_UP,
  LAST_BIT,
  LEAST_ROOM_AFTER,
  lastRepairHeaderBytes,
  NUMBER_FRAME_MOST,
  STATUS_REQUEST,
  type StatusFrame,
  SYMBOL_HEADER_MOST,
  SYMBOL_REPAIR,
  SYMBOL_REPAIR_FIRST_HALF,
  SYMBOL_REPAIR_SECOND_HALF,
  SYMBOL_SOURCE,
  sourceHeaderBytes,
  UNRELIABLE_BIT,
  writeNumberFrame,
  writeRepairHeader,
  writeSourceHeader,
} from "./frames.ts";
import type { Redundancy } from "./redundancy.ts";
import { SendBatch, type SplitRepair } from "./send-batch.ts";
import { coveredOf, repairName, roundOf, type SentPackets, type SymbolOwner } from "./sent-packets.ts";
import { Views } from "./views.ts";

/** What a repair has more than the symbols that it covers: their length. */
const REPAIR_EXCESS_BYTES = 2;
/** A later packet's number may be longer. */
const HEADER_GROWTH_BYTES = 1;
/** A repair's header with a batch number of 4 bytes and a lag of 2. */
const STEADY_HEADER_BYTES = 1 + 4 + 2 + 2;
/** A status request waits this share of a round trip for a packet to go with, and at most so long. */
const REQUEST_PATIENCE_RTTS = 0.5;
const REQUEST_PATIENCE_MS = 50;

/**
 * A batch whose last symbol left longer ago, round trips, has repair ahead of losses after all others: word of what it lacks is near.
 * Else one that was hit hard makes all that follow it late.
 */
const STALE_RTTS = 0.25;

/** Memory of batches that are done is kept for as many more as are live, and at least for these. */
const LEAST_IDLE_BATCHES = 2;

export interface BatchSenderCounts {
  sourceSymbols: number;
  sourceBytes: number;
  /** Repairs of all kinds, and their bytes. */
  repairs: number;
  repairBytes: number;
  /** Among `repairs`: those to be on the safe side with losses that were known, ahead of losses, and after a probe timeout. */
  marginRepairs: number;
  aheadRepairs: number;
  probeRepairs: number;
  /** Batches given up at their deadline with something missing. */
  givenUp: number;
}

export interface BatchSenderOptions {
  pool: SymbolPool;
  /** M, the most source symbols of a batch. */
  batchSize: number;
  unreliable: boolean;
  packets: SentPackets;
  redundancy: Redundancy;
}

/** Of the buffers that packets are made in. */
const views = new Views();

export class BatchSender implements SymbolOwner {
  readonly counts: BatchSenderCounts = {
    sourceSymbols: 0,
    sourceBytes: 0,
    repairs: 0,
    repairBytes: 0,
    marginRepairs: 0,
    aheadRepairs: 0,
    probeRepairs: 0,
    givenUp: 0,
  };
  readonly #pool: SymbolPool;
  readonly #batchSize: number;
  readonly #unreliable: boolean;
  /** Added to the types of symbol frames. */
  readonly #typeBits: number;
  readonly #packets: SentPackets;
  readonly #redundancy: Redundancy;
  /** Not done, oldest first. */
  readonly #live: Map<number, SendBatch> = new Map();
  readonly #lacking: Set<SendBatch> = new Set();
  /** Something happened to them after which repair ahead of losses may be wanted. */
  readonly #watched: Set<SendBatch> = new Set();
  readonly #idle: SendBatch[] = [];
  #open: SendBatch | null = null;
  /** The second half of a repair whose first half left in the packet before. */
  #half: { batch: SendBatch; id: number; split: SplitRepair; seed: number; payload: Uint8Array } | null = null;
  /** A repair did not fit the packet before. */
  #waited = false;
  /** Source symbols to come that belong into the open batch. */
  #together = 0;
  #nextBatch = 0;
  /** No batch below is live. */
  #lowest = 0;
  /** Batches that must be complete by what arrived, and for which no request is under way; since when there are any. */
  readonly #unasked: Set<SendBatch> = new Set();
  #unaskedMs = 0;
  #requests = 0;
  /** The request that is under way, or 0. */
  #asked = 0;
  /** No deadline is before this. */
  #expiryMs = Number.POSITIVE_INFINITY;
  /** The lowest live batch has risen without the peer having been told. */
  #unannounced = false;
  /** The last batch, if it was ended before it was full, and no source symbol has left since to tell the receiver so. */
  #parted: { id: number; size: number } | null = null;
  /** The receiver is to be told. */
  #parts = false;

  constructor({ pool, batchSize, unreliable, packets, redundancy }: BatchSenderOptions) {
    this.#pool = pool;
    this.#batchSize = batchSize;
    this.#unreliable = unreliable;
    this.#typeBits = unreliable ? UNRELIABLE_BIT : 0;
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

  /** Whether a repair is due, or word of batches that are over. */
  get repairDue(): boolean {
    return this.#lacking.size > 0 || this.#half !== null || this.#unannounced || this.#parts;
  }

  /** Whether the end of a batch is to be told. */
  get parts(): boolean {
    return this.#parts;
  }

  /** Whether repair ahead of losses is due, if nothing else is to be sent. */
  aheadDue(nowMs: number): boolean {
    return this.#nextAhead(nowMs) !== null;
  }

  /** Whether a batch status is worth a packet of its own. */
  requestDue(nowMs: number): boolean {
    return this.#requestMs() <= nowMs;
  }

  /** When `aheadDue` or `requestDue` may become true, or a deadline passes; Infinity when never. */
  get nextTimeoutMs(): number {
    let next = Math.min(this.#requestMs(), this.#expiryMs);
    if (this.#open?.watched === true && this.#redundancy.affordsAhead)
      next = Math.min(next, this.#open.lastMs + this.#redundancy.pauseMs);
    return next;
  }

  /** Asks for a batch status if one is wanted; returns the offset after the frame, or `at`. */
  writeRequest(tag: number, bytes: Uint8Array, at: number, end: number): number {
    if (this.#asked !== 0 || this.#unasked.size === 0 || at + NUMBER_FRAME_MOST > end) return at;
    this.#asked = ++this.#requests;
    for (const batch of this.#unasked) batch.ask(this.#asked);
    this.#unasked.clear();
    this.#packets.bookRequest(tag, this, this.#asked);
    return writeNumberFrame(bytes, at, STATUS_REQUEST, this.#asked);
  }

  /** Takes the receiver's word on the batches that it was asked for. */
  takeStatus(status: StatusFrame, nowMs: number): void {
    if (status.request === this.#asked) this.#asked = 0;
    let i = 0;
    for (const batch of this.#live.values()) {
      while (i < status.count && status.batches[i] < batch.id) i++;
      if (batch.request === 0 || batch.request > status.request) continue;
      const named = i < status.count && status.batches[i] === batch.id;
      if (batch.id < status.horizon) batch.answer(named ? status.ranks[i] : Number.POSITIVE_INFINITY);
      else batch.request = 0;
      this.#settle(batch, nowMs);
    }
  }

  /** The most bytes of source symbol that fit `room` bytes, so that its repairs fit too. */
  symbolBytes(room: number): number {
    // A repair says of the batch what its first symbol says; the lag only shrinks.
    const header = lastRepairHeaderBytes(this.#nextBatch, this.#lowestLive());
    return Math.min(this.#pool.symbolSize, room - header - REPAIR_EXCESS_BYTES - HEADER_GROWTH_BYTES);
  }

  /** The same however many batches there were before: what fits now fits a billion of them later. */
  steadySymbolBytes(room: number): number {
    return Math.min(this.#pool.symbolSize, room - STEADY_HEADER_BYTES - REPAIR_EXCESS_BYTES - HEADER_GROWTH_BYTES);
  }

  /** The next `symbols` source symbols will be of one batch, if a batch has as many. */
  keepTogether(symbols: number, nowMs: number): void {
    if (this.#open !== null && this.#open.size + symbols > this.#batchSize) this.#seal(this.#open, nowMs);
    this.#together = symbols;
  }

  /** Where the bytes of the next source symbol go, the first of `symbols` that belong together, if its frame begins at `at`. */
  sourceStart(at: number, symbols: number, nowMs: number): number {
    const old = this.#open;
    if (old !== null && this.#together === 0 && symbols === 1 && this.#redundancy.isOld(old, this.#unreliable, nowMs))
      this.#seal(old, nowMs);
    const id = this.#open === null ? this.#nextBatch : this.#open.id;
    return at + sourceHeaderBytes(id, this.#lowestLive(), this.#pool.symbolSize, true);
  }

  /**
   * Adds `length` bytes, which stand in the packet at `start`, where `sourceStart` said or near it, to the open batch as a source symbol
   * and makes them a frame that begins at `at`; returns the offset after it.
   */
  writeSource(
    tag: number,
    bytes: Uint8Array,
    at: number,
    end: number,
    start: number,
    length: number,
    deadlineMs: number,
    nowMs: number,
  ): number {
    if (this.#together > 0) this.#together--;
    const batch = this.#open ?? this.#openBatch(nowMs);
    this.#parts = false;
    this.#parted = null;
    const lowest = this.#announceLowest();
    const last = lastBit(end - at - sourceHeaderBytes(batch.id, lowest, length, true), length);
    const from = at + sourceHeaderBytes(batch.id, lowest, length, last !== 0);
    if (from !== start) bytes.copyWithin(from, start, start + length);
    const index = batch.encoder.add(views.of(bytes, from, from + length));
    batch.sourceSent(index);
    batch.lastMs = nowMs;
    if (this.#unreliable) {
      batch.deadlineMs = Math.max(batch.deadlineMs, deadlineMs);
      batch.firstDeadlineMs = Math.min(batch.firstDeadlineMs, deadlineMs);
      this.#expiryMs = Math.min(this.#expiryMs, batch.deadlineMs);
    }
    this.#watch(batch);
    this.#packets.book(tag, this, batch, index, null);
    this.counts.sourceSymbols++;
    this.counts.sourceBytes += length;
    this.#redundancy.sourceSent(length, nowMs);
    const final = batch.size === this.#batchSize;
    const type = SYMBOL_SOURCE | this.#typeBits | last;
    writeSourceHeader(bytes, at, type, batch.id, lowest, index, final, length);
    if (final) this.#seal(batch, nowMs);
    return from + length;
  }

  /**
   * Writes a repair that is due; returns the offset after it, or `at` when none is due or none fits. `patient`: there is something else
   * for the packet, and one that does not fit it may wait for the next.
   */
  writeRepair(tag: number, bytes: Uint8Array, at: number, end: number, patient: boolean): number {
    if (this.#half !== null) return this.#writeSecondHalf(tag, bytes, at, end);
    for (const batch of this.#lacking) {
      if (this.#lacks(batch)) {
        const margin = batch.deficit <= 0;
        const next = this.#writeRepairOf(batch, tag, bytes, at, end, patient);
        if (margin && next > at) {
          if (batch.round === 0) this.counts.aheadRepairs++;
          else this.counts.marginRepairs++;
        }
        return next;
      }
      this.#lacking.delete(batch);
      batch.lacking = false;
    }
    return at;
  }

  /** Writes a repair ahead of losses, if one is wanted; returns the offset after it, or `at`. */
  writeAhead(tag: number, bytes: Uint8Array, at: number, end: number, nowMs: number): number {
    const batch = this.#nextAhead(nowMs);
    if (batch === null) return at;
    const next = this.#writeRepairOf(batch, tag, bytes, at, end, false);
    if (next > at) this.counts.aheadRepairs++;
    return next;
  }

  /** Writes a repair of the oldest batch that has something outstanding, whether it is due or not. */
  writeProbe(tag: number, bytes: Uint8Array, at: number, end: number): number {
    for (const batch of this.#live.values()) {
      if (!batch.outstanding) continue;
      const next = this.#writeRepairOf(batch, tag, bytes, at, end, false);
      if (next !== at) this.counts.probeRepairs++;
      return next;
    }
    return at;
  }

  /** Tells the peer that batches were given up, if nothing else has told it; returns the offset after the frame, or `at`. */
  writeGivenUp(tag: number, bytes: Uint8Array, at: number, end: number): number {
    if (!this.#unannounced || this.#packets.asks(tag) || at + NUMBER_FRAME_MOST > end) return at;
    this.#packets.bookRequest(tag, this, this.#nextBatch);
    return writeNumberFrame(bytes, at, GIVEN_UP, this.#announceLowest());
  }

  /** Nothing was to be sent for long: memory kept for batches to come goes, and the receiver need not keep the last batch. */
  rest(): void {
    this.#parts = this.#parted !== null;
    this.#keepIdle(0);
  }

  /**
   * Tells the end of the last batch with an empty symbol, if that is wanted; returns the offset after it, or `at`. Where that is lost, the
   * receiver keeps the batch until the next symbol comes, and that is all.
   */
  writeParting(bytes: Uint8Array, at: number, end: number): number {
    if (!this.#parts || at + SYMBOL_HEADER_MOST > end) return at;
    const { id, size } = this.#parted!;
    this.#parts = false;
    this.#parted = null;
    // It is not live any more: the lowest live one may be above it.
    return writeSourceHeader(bytes, at, SYMBOL_SOURCE, id, Math.min(id, this.#announceLowest()), size, true, 0);
  }

  /** The open batch takes no more symbols. */
  seal(nowMs: number): void {
    if (this.#open !== null) this.#seal(this.#open, nowMs);
  }

  /** Gives up the batches whose deadline has passed. */
  expire(nowMs: number): void {
    if (nowMs < this.#expiryMs) return;
    this.#expiryMs = Number.POSITIVE_INFINITY;
    for (const batch of this.#live.values()) {
      if (batch.deadlineMs > nowMs) {
        this.#expiryMs = Math.min(this.#expiryMs, batch.deadlineMs);
        continue;
      }
      if (batch.missing > 0) {
        this.counts.givenUp++;
        this.#unannounced = true;
      }
      this.#end(batch);
    }
  }

  symbolArrived(batch: SendBatch, name: number, split: SplitRepair | null, nowMs: number): void {
    if (name >= 0) batch.sourceArrived(name);
    else if (split === null || ++split.arrived === 2) batch.repairArrived(coveredOf(name), roundOf(name));
    this.#settle(batch, nowMs);
  }

  symbolLost(batch: SendBatch, name: number, split: SplitRepair | null, nowMs: number): void {
    if (name >= 0) {
      batch.sourceLost(name);
    } else if (split === null || !split.lost) {
      batch.repairLost(coveredOf(name), roundOf(name));
      if (split !== null) split.lost = true;
    }
    this.#watch(batch);
    this.#settle(batch, nowMs);
  }

  /** Those it asked for are asked for again; what was given up is said again. */
  requestLost(request: number, nowMs: number): void {
    if (this.#unreliable) this.#unannounced = true;
    if (request !== this.#asked) return;
    this.#asked = 0;
    for (const batch of this.#live.values()) {
      if (batch.request !== request) continue;
      batch.request = 0;
      if (batch.confirmable) this.#wantStatus(batch, nowMs);
    }
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const { encoder } of this.#live.values()) encoder.destroy();
    for (const { encoder } of this.#idle) encoder.destroy();
    this.#live.clear();
    this.#lacking.clear();
    this.#watched.clear();
    this.#idle.length = 0;
  }

  #lowestLive(): number {
    while (this.#lowest < this.#nextBatch && !this.#live.has(this.#lowest)) this.#lowest++;
    return this.#lowest;
  }

  /** The lowest live batch, which the peer is told of now. */
  #announceLowest(): number {
    this.#unannounced = false;
    return this.#lowestLive();
  }

  #requestMs(): number {
    if (this.#asked !== 0 || this.#unasked.size === 0) return Number.POSITIVE_INFINITY;
    return this.#unaskedMs + Math.min(REQUEST_PATIENCE_RTTS * this.#redundancy.path.rttMs, REQUEST_PATIENCE_MS);
  }

  #openBatch(nowMs: number): SendBatch {
    const batch = this.#idle.pop() ?? new SendBatch(new BatchEncoder({ pool: this.#pool, batchSize: this.#batchSize }));
    batch.begin(this.#nextBatch++, nowMs);
    this.#live.set(batch.id, batch);
    this.#open = batch;
    return batch;
  }

  #seal(batch: SendBatch, nowMs: number): void {
    batch.sealed = true;
    this.#open = null;
    if (this.#unreliable) {
      batch.quota += this.#redundancy.prompt(batch);
    } else {
      this.#redundancy.batchSealed(batch.size, nowMs);
      if (batch.size === this.#batchSize) batch.quota += this.#redundancy.advance(batch.missing, batch.inFlight);
    }
    this.#watch(batch);
    this.#settle(batch, nowMs);
  }

  #watch(batch: SendBatch): void {
    if (batch.watched) return;
    batch.watched = true;
    this.#watched.add(batch);
  }

  #unwatch(batch: SendBatch): void {
    batch.watched = false;
    this.#watched.delete(batch);
  }

  #wantStatus(batch: SendBatch, nowMs: number): void {
    if (this.#unasked.size === 0) this.#unaskedMs = nowMs;
    this.#unasked.add(batch);
  }

  /**
   * Frees a batch that the receiver has all of; has one asked for of which it must; repairs one of which it has not. The open one is freed
   * then, too: code it shared with later symbols would say nothing of these.
   */
  #settle(batch: SendBatch, nowMs: number): void {
    if (!batch.outstanding) {
      const { id, size } = batch;
      if (id === this.#nextBatch - 1 && size < this.#batchSize) this.#parted = { id, size };
      this.#end(batch);
    } else if (batch.confirmable) {
      if (!this.#unreliable) {
        if (batch.request === 0) this.#wantStatus(batch, nowMs);
      } else if (batch.sealed) {
        this.#end(batch);
      }
    } else if (!batch.lacking && this.#lacks(batch)) {
      batch.lacking = true;
      this.#lacking.add(batch);
    }
  }

  #end(batch: SendBatch): void {
    if (batch === this.#open) this.#open = null;
    this.#live.delete(batch.id);
    this.#lacking.delete(batch);
    this.#watched.delete(batch);
    this.#unasked.delete(batch);
    batch.end();
    this.#idle.push(batch);
    this.#keepIdle(Math.max(this.#live.size, LEAST_IDLE_BATCHES));
  }

  /** Gives back the memory of all but `most` of the batches to come. */
  #keepIdle(most: number): void {
    while (this.#idle.length > most) this.#idle.pop()!.encoder.destroy();
  }

  /** Whether a repair of it should leave now. */
  #lacks(batch: SendBatch): boolean {
    if (batch.deficit > 0) return true;
    if (!batch.sealed) return false;
    const { missing } = batch;
    if (missing === 0) return false;
    if (batch.roundSettled) {
      const { repairsInFlight, round } = batch;
      batch.nextRound(this.#redundancy.margin(missing, repairsInFlight, round, this.#unreliable));
    }
    return batch.quota > 0;
  }

  /** The batch of which a repair ahead of losses should leave now. */
  #nextAhead(nowMs: number): SendBatch | null {
    if (!this.#redundancy.affordsAhead) return null;
    const staleMs = nowMs - STALE_RTTS * this.#redundancy.path.rttMs;
    const { pauseMs } = this.#redundancy;
    let stale: SendBatch | null = null;
    for (const batch of this.#watched) {
      const late = batch.lastMs < staleMs;
      if (late && stale !== null) continue;
      const flowing = !batch.sealed && nowMs < batch.lastMs + pauseMs;
      if (batch.missing > 0 && this.#redundancy.wantsAhead(batch, this.#unreliable, flowing, nowMs)) {
        if (!late) return batch;
        stale = batch;
      } else if (!flowing) {
        this.#unwatch(batch);
      }
    }
    return stale;
  }

  #writeRepairOf(batch: SendBatch, tag: number, bytes: Uint8Array, at: number, end: number, patient: boolean): number {
    const covered = batch.size;
    const length = batch.encoder.repairLength(covered);
    const { id, sealed } = batch;
    const room = end - at - lastRepairHeaderBytes(id, this.#lowestLive());
    const fits = room >= length;
    const half = Math.ceil(length / 2);
    if (!fits) {
      if (this.#packets.count(tag) > 0 || end - at - SYMBOL_HEADER_MOST < half) return at;
      // The link may have put something into this packet. If it does not fit the next one either, the MTU fell.
      this.#waited = patient && !this.#waited;
      if (this.#waited) return at;
    }
    const name = repairName(covered, batch.nextRepairRound);
    const seed = batch.repairSent();
    const lowest = this.#announceLowest();
    this.counts.repairs++;
    this.counts.repairBytes += length;
    this.#redundancy.repairSent(length);
    if (fits) {
      const type = SYMBOL_REPAIR | this.#typeBits | lastBit(room, length);
      const next = writeRepairHeader(bytes, at, type, id, lowest, covered, seed, sealed, length);
      batch.encoder.repair(covered, seed, bytes.subarray(next, next + length));
      this.#packets.book(tag, this, batch, name, null);
      return next + length;
    }
    const payload = new Uint8Array(length);
    batch.encoder.repair(covered, seed, payload);
    const split: SplitRepair = { name, covered, arrived: 0, lost: false };
    this.#half = { batch, id, split, seed, payload: payload.subarray(half) };
    const type = SYMBOL_REPAIR_FIRST_HALF | this.#typeBits;
    const next = writeRepairHeader(bytes, at, type, id, lowest, covered, seed, sealed, half);
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
    const type = SYMBOL_REPAIR_SECOND_HALF | this.#typeBits;
    const lowest = this.#announceLowest();
    // The batch may have grown since the first half.
    const final = batch.sealed && batch.size === covered;
    const next = writeRepairHeader(bytes, at, type, id, lowest, covered, seed, final, payload.length);
    bytes.set(payload, next);
    this.#packets.book(tag, this, batch, split.name, split);
    return next + payload.length;
  }
}

/** LAST_BIT for a symbol of `bytes` after which of `room` bytes so little is left that nothing follows. */
function lastBit(room: number, bytes: number): number {
  return room - bytes < LEAST_ROOM_AFTER ? LAST_BIT : 0;
}
