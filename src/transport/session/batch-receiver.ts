/**
 * The batches of a session at its receiver: gives symbols to their decoders, hands out source symbols as they become known, and
 * frees a batch when it is complete and full, or when its source says that it is of no interest any more.
 */
import { BatchDecoder, type SymbolPool } from "../../codec/index.ts";
import {
  MAX_STATUS_BATCHES,
  type StatusFrame,
  SYMBOL_REPAIR,
  SYMBOL_REPAIR_FIRST_HALF,
  SYMBOL_SOURCE,
  type SymbolFrame,
} from "./frames.ts";
import { Views } from "./views.ts";

/** Halves of repairs that wait for their other half; the oldest gives way. */
const MAX_HALVES = 64;

/** Batches above the lowest live one that are taken; more cannot be under way within the largest window. */
export const MAX_LIVE_BATCHES = 4096;

interface ReceiveBatch {
  readonly decoder: BatchDecoder;
  /** How many symbols it has in the end; M until that is said. */
  finalSize: number;
}

/**
 * Decoders kept for batches to come: as many as batches are live, within these bounds. They are of 16 KiB each, and a session at rest
 * shall be small.
 */
const LEAST_IDLE_DECODERS = 2;
const MAX_IDLE_DECODERS = 32;

/** Of packets. */
const views = new Views();

export interface BatchReceiverCounts {
  innovative: number;
  redundant: number;
  /** Of a batch that is complete or of no interest any more. */
  late: number;
  /** Malformed, too far ahead, or impossible. */
  invalid: number;
  /** There was no memory: the source will repair it. */
  dropped: number;
}

export class BatchReceiver {
  readonly counts: BatchReceiverCounts = { innovative: 0, redundant: 0, late: 0, invalid: 0, dropped: 0 };
  readonly #pool: SymbolPool;
  readonly #batchSize: number;
  readonly #mostHeld: number;
  readonly #live: Map<number, ReceiveBatch> = new Map();
  /** Complete and full, at or above the lowest live one. */
  readonly #complete: Set<number> = new Set();
  readonly #idle: ReceiveBatch[] = [];
  /** By batch, seed and cover. */
  readonly #halves: Map<string, { type: number; bytes: Uint8Array }> = new Map();
  #lowestLive = 0;
  /** Memory is short: only symbols of the oldest incomplete batch are taken, which all that came later waits for. */
  short = false;
  /** Above all that came. */
  #horizon = 0;

  /** No more than `mostHeld` batches hold memory: the oldest give way, which only batches may do that are given up anyhow. */
  constructor(pool: SymbolPool, batchSize: number, mostHeld: number = MAX_LIVE_BATCHES + 1) {
    this.#pool = pool;
    this.#batchSize = batchSize;
    this.#mostHeld = mostHeld;
  }

  /** Batches that hold memory. */
  get liveBatches(): number {
    return this.#live.size;
  }

  /** Takes a symbol; calls `deliver` for each source symbol that it makes known, whose bytes last until that returns. */
  take(frame: SymbolFrame, bytes: Uint8Array, deliver: (symbol: Uint8Array, batch: number) => void): void {
    const { batch, lowestLive } = frame;
    this.forgetBelow(lowestLive);
    if (batch - this.#lowestLive > MAX_LIVE_BATCHES) {
      this.counts.invalid++;
      return;
    }
    if (batch < this.#lowestLive || this.#complete.has(batch)) {
      this.counts.late++;
      return;
    }
    this.#horizon = Math.max(this.#horizon, batch + 1);
    if (this.short && batch > this.#oldestIncomplete()) {
      this.counts.dropped++;
      return;
    }
    const held = this.#live.get(batch) ?? this.#open(batch);
    const { decoder } = held;
    if (frame.finalSize > 0) held.finalSize = frame.finalSize;
    const symbol = views.of(bytes, frame.start, frame.end);
    const whole = frame.type === SYMBOL_SOURCE || frame.type === SYMBOL_REPAIR ? symbol : this.#join(frame, symbol);
    if (whole === null) return;
    const verdict =
      frame.type === SYMBOL_SOURCE
        ? decoder.addSource(frame.index, whole)
        : decoder.addRepair(frame.covered, frame.seed, whole);
    if (verdict === "innovative") this.counts.innovative++;
    else if (verdict === "redundant") this.counts.redundant++;
    else if (verdict === "no-memory") this.counts.dropped++;
    else this.counts.invalid++;
    const own = frame.type === SYMBOL_SOURCE ? frame.index : -1;
    for (let i = decoder.next(); i !== -1; i = decoder.next()) deliver(i === own ? whole : decoder.symbol(i), batch);
    if (decoder.known >= held.finalSize) {
      this.#complete.add(batch);
      this.#close(batch, held);
    }
  }

  /** Fills in which batches are incomplete, as far as the frame has room. */
  fillStatus(status: StatusFrame): void {
    status.count = 0;
    status.horizon = this.#horizon;
    for (let batch = this.#lowestLive; batch < this.#horizon; batch++) {
      if (this.#complete.has(batch)) continue;
      if (status.count === MAX_STATUS_BATCHES) {
        status.horizon = batch;
        return;
      }
      status.batches[status.count] = batch;
      status.ranks[status.count++] = this.#live.get(batch)?.decoder.rank ?? 0;
    }
  }

  /** Nothing came for long: memory kept for batches to come goes. */
  rest(): void {
    this.#keepIdle(0);
    this.#halves.clear();
  }

  /** None of the batches that came so far is of interest any more. */
  forgetAll(): void {
    this.forgetBelow(this.#horizon);
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const { decoder } of this.#live.values()) decoder.destroy();
    for (const { decoder } of this.#idle) decoder.destroy();
    this.#live.clear();
    this.#idle.length = 0;
  }

  /** The repair that a half completes; null while the other half is missing. */
  #join({ type, batch, covered, seed }: SymbolFrame, half: Uint8Array): Uint8Array | null {
    const key = `${batch} ${seed} ${covered}`;
    const other = this.#halves.get(key);
    this.#halves.delete(key);
    if (other === undefined || other.type === type) {
      for (const oldest of this.#halves.keys()) {
        if (this.#halves.size < MAX_HALVES) break;
        this.#halves.delete(oldest);
      }
      this.#halves.set(key, { type, bytes: half.slice() });
      return null;
    }
    const [first, second] = type === SYMBOL_REPAIR_FIRST_HALF ? [half, other.bytes] : [other.bytes, half];
    const whole = new Uint8Array(first.length + second.length);
    whole.set(first);
    whole.set(second, first.length);
    return whole;
  }

  #oldestIncomplete(): number {
    let batch = this.#lowestLive;
    while (this.#complete.has(batch) || this.#live.get(batch)?.decoder.complete) batch++;
    return batch;
  }

  #open(batch: number): ReceiveBatch {
    for (const [oldest, held] of this.#live) {
      if (this.#live.size < this.#mostHeld) break;
      this.#complete.add(oldest);
      this.#close(oldest, held);
    }
    const held = this.#idle.pop() ?? {
      decoder: new BatchDecoder({ pool: this.#pool, batchSize: this.#batchSize }),
      finalSize: 0,
    };
    held.finalSize = this.#batchSize;
    this.#live.set(batch, held);
    return held;
  }

  #close(batch: number, held: ReceiveBatch): void {
    held.decoder.reset();
    this.#live.delete(batch);
    this.#idle.push(held);
    this.#keepIdle(Math.min(Math.max(this.#live.size, LEAST_IDLE_DECODERS), MAX_IDLE_DECODERS));
  }

  /** Gives back the memory of all but `most` of the decoders for batches to come. */
  #keepIdle(most: number): void {
    while (this.#idle.length > most) this.#idle.pop()!.decoder.destroy();
  }

  /** Batches below are of no interest any more. */
  forgetBelow(lowestLive: number): void {
    if (lowestLive <= this.#lowestLive) return;
    // Few are left below: go over what there is, not over the numbers.
    for (const [batch, held] of this.#live) if (batch < lowestLive) this.#close(batch, held);
    for (const batch of this.#complete) if (batch < lowestLive) this.#complete.delete(batch);
    this.#lowestLive = lowestLive;
  }
}
