/**
 * A token bucket that spreads packets over time at a rate that may change at any moment. Holds no packets and no timer: it
 * says when the next packet may leave. Tokens may go below zero, so a packet never waits for more than the first byte of
 * its share; unused time is kept up to a burst only, so an idle sender does not save up a window.
 */
export class Pacer {
  /** Time that may be saved up, for drivers whose timers are coarse, ms. */
  readonly #burstMs: number;
  #tokens = 0;
  #filledMs = Number.NEGATIVE_INFINITY;

  /** `burstMs`: about the granularity of the driver's timer. 0 paces each packet by itself. */
  constructor(burstMs: number) {
    this.#burstMs = burstMs;
  }

  /** Whether a packet may leave at `nowMs`, at `rate` bytes a millisecond. */
  maySend(rate: number, nowMs: number): boolean {
    this.#fill(rate, nowMs);
    // A hair below zero is the rounding of the time that `nextMs` gave.
    return this.#tokens >= -1e-6 * rate;
  }

  onSent(bytes: number): void {
    this.#tokens -= bytes;
  }

  /** When a packet may leave, at or after `nowMs`. */
  nextMs(rate: number, nowMs: number): number {
    this.#fill(rate, nowMs);
    return this.#tokens >= -1e-6 * rate ? nowMs : nowMs - this.#tokens / rate;
  }

  #fill(rate: number, nowMs: number): void {
    const elapsed = nowMs - this.#filledMs;
    this.#filledMs = nowMs;
    if (rate === Number.POSITIVE_INFINITY) this.#tokens = 0;
    else if (elapsed > 0) this.#tokens = Math.min(this.#burstMs * rate, this.#tokens + Math.min(elapsed, 1e9) * rate);
  }
}
