/**
 * The chance that of n packets more than m are lost, in Gilbert's model (see `path-estimate.ts`), and what follows from it: how many
 * repairs must be under way so that enough arrive. A table, made anew when the model has changed, and only as far as it is asked for: a
 * thin flow asks for a few packets at a time.
 */

/** Packets that are counted together at the most; of more, the chance is that of this many in proportion. */
const MOST_PACKETS = 128;
const FIRST_ROWS = 8;
const NO_CHANCES = new Float32Array(0);
const NO_COUNTS = new Float64Array(0);
/** Changes of the model below these are let be. */
const LOSS_STEP = 0.1;
const LEAST_LOSS_STEP = 0.00005;
const PERSISTENCE_STEP = 0.04;

export class LossOdds {
  #loss = Number.NaN;
  #persistence = Number.NaN;
  /** Row n, from `rowStart(n)` on: the chances that more than 0 to n of n are lost. */
  #tail = NO_CHANCES;
  /** Rows that are made, and how many the arrays have room for. */
  #rows = 0;
  #capacity = 0;
  /** Of the last row: the chance that m were lost, where the last packet arrived, and where it did not. */
  #good = NO_COUNTS;
  #bad = NO_COUNTS;

  /** The model from now on, as far as it differs. */
  update(loss: number, persistence: number): void {
    const step = Math.max(LEAST_LOSS_STEP, LOSS_STEP * this.#loss);
    if (Math.abs(loss - this.#loss) < step && Math.abs(persistence - this.#persistence) < PERSISTENCE_STEP) return;
    this.#loss = loss;
    this.#persistence = persistence;
    this.#rows = 0;
  }

  /** Gives the table's memory back until it is asked for anew. */
  rest(): void {
    this.#tail = NO_CHANCES;
    this.#good = NO_COUNTS;
    this.#bad = NO_COUNTS;
    this.#rows = 0;
    this.#capacity = 0;
  }

  /** The chance that more than `most` of `packets` are lost. */
  moreLost(most: number, packets: number): number {
    if (most < 0) return 1;
    if (most >= packets) return 0;
    const n = Math.min(packets, MOST_PACKETS);
    if (n > this.#rows) this.#compute(n);
    return this.#tail[rowStart(n) + (n === packets ? most : Math.floor((most * MOST_PACKETS) / packets))];
  }

  /** How many of `packets` arrive beyond `wanted` on average. */
  surplus(wanted: number, packets: number): number {
    let sum = 0;
    for (let lost = 0; lost < packets - wanted; lost++) sum += 1 - this.moreLost(lost, packets);
    return sum;
  }

  /** Counts losses packet by packet, apart for whether the last one was lost: the rows up to `last`. */
  #compute(last: number): void {
    if (last > this.#capacity) this.#grow(last);
    const good = this.#good;
    const bad = this.#bad;
    const tail = this.#tail;
    const loss = this.#loss;
    const stay = this.#persistence;
    const fall = loss < 1 ? Math.min(1, (loss * (1 - stay)) / (1 - loss)) : 1;
    for (let n = this.#rows + 1; n <= last; n++) {
      if (n === 1) {
        good[0] = 1 - loss;
        good[1] = 0;
        bad[0] = 0;
        bad[1] = loss;
      } else {
        good[n] = 0;
        bad[n] = 0;
        for (let m = n; m >= 0; m--) {
          const before = m > 0 ? good[m - 1] * fall + bad[m - 1] * stay : 0;
          good[m] = good[m] * (1 - fall) + bad[m] * (1 - stay);
          bad[m] = before;
        }
      }
      let more = 0;
      const start = rowStart(n);
      for (let m = n; m >= 0; m--) {
        tail[start + m] = more;
        more += good[m] + bad[m];
      }
    }
    this.#rows = last;
  }

  /** Makes room for rows up to `last`. */
  #grow(last: number): void {
    let rows = Math.max(this.#capacity, FIRST_ROWS);
    while (rows < last) rows *= 2;
    const grown = <A extends Float32Array | Float64Array>(old: A, larger: A): A => {
      larger.set(old);
      return larger;
    };
    this.#tail = grown(this.#tail, new Float32Array(rowStart(rows + 1)));
    this.#good = grown(this.#good, new Float64Array(rows + 1));
    this.#bad = grown(this.#bad, new Float64Array(rows + 1));
    this.#capacity = rows;
  }
}

/** Row n has n + 1 entries. */
function rowStart(n: number): number {
  return (n * (n + 1)) >> 1;
}
