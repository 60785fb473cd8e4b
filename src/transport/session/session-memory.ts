/**
 * A session's part in the memory budget: what it holds, what it does not take while the budget is short, and when to look again. What it
 * does take even then is enough to get on: a few batches, a little to send, and the oldest batch that comes.
 */
import type { SymbolPool } from "../../codec/index.ts";
import type { MemoryBudget } from "./memory-budget.ts";

/** Where the budget is short, a session makes no new symbols with more batches than this under way. */
const LEAST_BATCHES = 4;
/** And takes no more to send than this many bytes. */
const LEAST_BUFFER_BYTES = 1 << 16;
/** How often is looked whether it is short no more, ms. */
const RETRY_MS = 50;

export class SessionMemory {
  readonly #budget: MemoryBudget;
  readonly #pool: SymbolPool;
  #bytes = 0;
  #retryMs = Number.POSITIVE_INFINITY;

  constructor(budget: MemoryBudget, pool: SymbolPool) {
    this.#budget = budget;
    this.#pool = pool;
  }

  /** What the session holds. */
  get bytes(): number {
    return this.#bytes;
  }

  get short(): boolean {
    return this.#budget.short;
  }

  /** When to look again; Infinity when nothing waits for memory. */
  get retryMs(): number {
    return this.#retryMs;
  }

  /** Books what is held beside symbols. */
  account(otherBytes: number): void {
    const bytes = this.#pool.slotsInUse * this.#pool.slotBytes + otherBytes;
    if (bytes === this.#bytes) return;
    this.#budget.change(bytes - this.#bytes);
    this.#bytes = bytes;
  }

  /** Whether more may be taken to be sent, where `buffered` bytes wait. */
  mayBuffer(buffered: number): boolean {
    return !this.#budget.short || buffered < LEAST_BUFFER_BYTES;
  }

  /** Whether new symbols may be made. */
  maySend(liveBatches: number): boolean {
    return !this.#budget.short || liveBatches <= LEAST_BATCHES;
  }

  /** Something waits for memory. */
  retryFrom(nowMs: number): void {
    if (this.#retryMs <= nowMs || this.#retryMs === Number.POSITIVE_INFINITY) this.#retryMs = nowMs + RETRY_MS;
  }

  /** Nothing does any more. */
  settled(): void {
    this.#retryMs = Number.POSITIVE_INFINITY;
  }

  /** Gives all of it back. */
  release(): void {
    this.#budget.change(-this.#bytes);
    this.#bytes = 0;
  }
}
