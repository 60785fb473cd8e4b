/**
 * How much repair: from the path's estimate, how many repairs a batch should have under way. Keeps no batches and sends nothing; who
 * sends asks each time something has become known.
 *
 * While the pipe is full every repair takes a new symbol's place, and one that turns out superfluous is waste. But a stream in
 * order waits for the slowest batch, and what few batches need may be dear: in each round of a batch's repair as many more are
 * sent than are known to miss as cost a given waste, averaged over all batches, those included that needed no such round. So the
 * first rounds have a small margin, and the last few batches a large one.
 */
import { LossOdds } from "./loss-odds.ts";
import type { PathEstimate } from "./path-estimate.ts";

/** Superfluous repairs a batch that a round may cost on average. */
const WASTE = 0.2;
/** No more repairs than make them fall short with this chance. */
const LEAST_SHORTFALL = 0.0005;
const MOST_REPAIRS = 128;
/** Rounds of repair that are told apart, the share of batches that come so far at first, and over how many it is averaged. */
const INITIAL_SHARES = [1, 0.5, 0.1, 0.03, 0.01, 0.003];
const SHARE_MEMORY = 100;

export class Redundancy {
  readonly path: PathEstimate;
  readonly #odds = new LossOdds();
  /** [round]: the share of batches that are not complete after so many rounds of repair. */
  readonly #shares = Float64Array.from(INITIAL_SHARES);

  constructor(path: PathEstimate) {
    this.path = path;
  }

  /** A batch is complete after `rounds` rounds of repair. */
  batchDone(rounds: number): void {
    for (let round = 0; round < this.#shares.length; round++) {
      this.#shares[round] += ((round < rounds ? 1 : 0) - this.#shares[round]) / SHARE_MEMORY;
    }
  }

  /** How many repairs to add to `repairs` under way for a batch that misses `missing` symbols after `round` rounds of repair. */
  margin(missing: number, repairs: number, round: number): number {
    this.#odds.update(this.path.loss, this.path.persistence);
    const waste = WASTE / Math.max(this.#shares[Math.min(round, this.#shares.length - 1)], 0.001);
    let n = Math.max(missing, repairs);
    while (n < MOST_REPAIRS) {
      if (this.#odds.moreLost(n - missing, n) <= LEAST_SHORTFALL) break;
      if (this.#odds.surplus(missing, n + 1) > waste) break;
      n++;
    }
    return n - repairs;
  }
}
