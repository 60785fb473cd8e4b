/**
 * A token bucket over time: how many answers may go to strangers. What is over is not answered at all, so that nobody can make
 * this end send, or compute, more than a little.
 */
export class AnswerLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes one if there is one. */
  take(nowMs: number): boolean {
    const elapsedMs = Math.min(nowMs - this.#filledMs, 1e6);
    this.#filledMs = nowMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsedMs * this.#perSecond) / 1000);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
