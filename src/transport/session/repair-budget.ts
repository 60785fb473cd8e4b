/**
 * What repair ahead of losses may cost, in bytes: a token bucket that source symbols fill and repairs of any reason empty. The share
 * is on top of what losses make necessary anyhow, for a repair that was sent before a loss stands in for one after it.
 *
 * A thin flow may spend more: up to a rate that hardly any path is troubled by, and a sparse one as much as it takes.
 */

/** Flows below this are exempt: bytes a millisecond (64 kbit/s). */
const SPARSE_RATE = 8;
/** To a sparse flow a byte is worth as many bytes of repair. */
const SPARSE_SHARE = 8;
/** The most that a thin flow may spend, as a share. */
const THIN_SHARE = 1.5;
/** Unused allowances last as long. */
const ALLOWANCE_MS = 500;
/** What may be saved up: a batch's worth, however large; and what may be owed: little, so that losses which nobody
 * could expect, as at the beginning of a flow, do not leave what comes after them without repair. */
const LEAST_SAVING_BYTES = 6000;
const MOST_SAVING_BYTES = 64 * 1500;
const MOST_DEBT_BYTES = 4 * 1500;

export interface BudgetOptions {
  /** Bytes of repair to a byte of source symbols. */
  share: number;
  /** Up to 1.5 bytes of repair to a byte are free as long as repair takes less than this, bytes a millisecond. */
  freeRate: number;
}

export class RepairBudget {
  readonly #options: BudgetOptions;
  #tokens = LEAST_SAVING_BYTES;
  #free = 0;
  #sparse = 0;
  #lastMs = Number.NaN;

  constructor(options: BudgetOptions) {
    this.#options = options;
  }

  /** Whether a repair ahead of losses may leave. */
  get affords(): boolean {
    return this.#tokens > 0;
  }

  /** A source symbol of `bytes` leaves on a path that loses a share of `loss`. */
  earn(bytes: number, loss: number, nowMs: number): void {
    const { share, freeRate } = this.#options;
    const elapsedMs = Math.min(nowMs - this.#lastMs, ALLOWANCE_MS);
    if (elapsedMs > 0) {
      this.#free = Math.min(this.#free + freeRate * elapsedMs, freeRate * ALLOWANCE_MS);
      this.#sparse = Math.min(this.#sparse + SPARSE_RATE * elapsedMs, SPARSE_RATE * ALLOWANCE_MS);
    }
    this.#lastMs = nowMs;
    // (1 + share) / (1 - loss) of the source's bytes in all.
    const regular = bytes * ((share + loss) / (1 - loss));
    let earned = Math.max(regular, Math.min(this.#free, THIN_SHARE * bytes));
    this.#free = Math.max(0, this.#free - earned);
    this.#sparse = Math.max(this.#sparse - bytes, -SPARSE_RATE * ALLOWANCE_MS);
    if (this.#sparse >= 0) earned = Math.max(earned, SPARSE_SHARE * bytes);
    const most = Math.max(LEAST_SAVING_BYTES, Math.min(MOST_SAVING_BYTES, 64 * regular));
    this.#tokens = Math.min(this.#tokens + earned, most);
  }

  /** A repair of `bytes` leaves, whatever for. */
  spend(bytes: number): void {
    this.#tokens = Math.max(this.#tokens - bytes, -MOST_DEBT_BYTES);
  }
}
