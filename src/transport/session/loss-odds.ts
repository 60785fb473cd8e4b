/**
 * The chance that of n packets more than m are lost, in Gilbert's model (see `path-estimate.ts`), and what follows from it: how many
 * repairs must be under way so that enough arrive. A table, made anew when the model has changed.
 */

/** Packets that are counted together at the most; of more, the chance is that of this many in proportion. */
const MOST_PACKETS = 128;
const STRIDE = MOST_PACKETS + 1;
/** Changes of the model below these are let be. */
const LOSS_STEP = 0.1;
const LEAST_LOSS_STEP = 0.0002;
const PERSISTENCE_STEP = 0.04;

export class LossOdds {
  #loss = Number.NaN;
  #persistence = Number.NaN;
  /** [n * STRIDE + m]: the chance that more than m of n are lost. */
  #tail = new Float32Array(0);
  readonly #good = new Float64Array(STRIDE);
  readonly #bad = new Float64Array(STRIDE);

  /** The model from now on, as far as it differs. */
  update(loss: number, persistence: number): void {
    const step = Math.max(LEAST_LOSS_STEP, LOSS_STEP * this.#loss);
    if (Math.abs(loss - this.#loss) < step && Math.abs(persistence - this.#persistence) < PERSISTENCE_STEP) return;
    this.#loss = loss;
    this.#persistence = persistence;
    this.#compute();
  }

  /** The chance that more than `most` of `packets` are lost. */
  moreLost(most: number, packets: number): number {
    if (most < 0) return 1;
    if (most >= packets) return 0;
    if (packets <= MOST_PACKETS) return this.#tail[packets * STRIDE + most];
    return this.#tail[MOST_PACKETS * STRIDE + Math.floor((most * MOST_PACKETS) / packets)];
  }

  /** How many of `packets` arrive beyond `wanted` on average. */
  surplus(wanted: number, packets: number): number {
    let sum = 0;
    for (let lost = 0; lost < packets - wanted; lost++) sum += 1 - this.moreLost(lost, packets);
    return sum;
  }

  /** Counts losses packet by packet, apart for whether the last one was lost. */
  #compute(): void {
    if (this.#tail.length === 0) this.#tail = new Float32Array(STRIDE * STRIDE);
    const good = this.#good.fill(0);
    const bad = this.#bad.fill(0);
    const loss = this.#loss;
    const stay = this.#persistence;
    const fall = loss < 1 ? Math.min(1, (loss * (1 - stay)) / (1 - loss)) : 1;
    good[0] = 1 - loss;
    bad[1] = loss;
    for (let n = 1; n <= MOST_PACKETS; n++) {
      if (n > 1) {
        for (let m = n; m >= 0; m--) {
          const before = m > 0 ? good[m - 1] * fall + bad[m - 1] * stay : 0;
          good[m] = good[m] * (1 - fall) + bad[m] * (1 - stay);
          bad[m] = before;
        }
      }
      let more = 0;
      for (let m = n; m >= 0; m--) {
        this.#tail[n * STRIDE + m] = more;
        more += good[m] + bad[m];
      }
    }
  }
}
