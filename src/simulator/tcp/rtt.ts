/**
 * RTT estimate and retransmission timeout after RFC 6298, in Linux's variant: the variation is the largest of a round
 * trip, it falls slowly, and the timeout is the smoothed RTT plus at least 200 ms.
 */

export const RTO_LEAST_MS = 200;
export const RTO_MOST_MS = 120_000;
export const RTO_INITIAL_MS = 1000;

export class RttEstimator {
  /** 0 until the first sample. */
  smoothedMs = 0;
  minimumMs = Number.POSITIVE_INFINITY;
  /** Present timeout, backed off or not. */
  timeoutMs = RTO_INITIAL_MS;
  // Four times the mean deviation, its maximum of this round, and what the timeout uses.
  #deviation = 0;
  #roundMaximum = 0;
  #variation = 0;
  #roundEnd = 0;

  /** Takes a sample and ends any back-off. */
  update(sampleMs: number, acknowledged: number, nextSequence: number): void {
    if (this.smoothedMs === 0) {
      this.smoothedMs = sampleMs;
      this.#deviation = 2 * sampleMs;
      this.#variation = Math.max(this.#deviation, RTO_LEAST_MS);
      this.#roundMaximum = this.#variation;
      this.#roundEnd = nextSequence;
    } else {
      const error = sampleMs - this.smoothedMs;
      this.smoothedMs += error / 8;
      let change = Math.abs(error) - this.#deviation / 4;
      // An RTT that falls must not raise the timeout as one that rises does.
      if (error < 0 && change > 0) change /= 8;
      this.#deviation += change;
      if (this.#deviation > this.#roundMaximum) {
        this.#roundMaximum = this.#deviation;
        this.#variation = Math.max(this.#variation, this.#roundMaximum);
      }
      if (acknowledged > this.#roundEnd) {
        if (this.#roundMaximum < this.#variation) this.#variation -= (this.#variation - this.#roundMaximum) / 4;
        this.#roundEnd = nextSequence;
        this.#roundMaximum = RTO_LEAST_MS;
      }
    }
    this.timeoutMs = Math.min(this.smoothedMs + this.#variation, RTO_MOST_MS);
  }

  backOff(): void {
    this.timeoutMs = Math.min(2 * this.timeoutMs, RTO_MOST_MS);
  }
}
