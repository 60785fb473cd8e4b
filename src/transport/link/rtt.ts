/**
 * Round-trip time: smoothed, its variation, and the least of the last while. Source: RFC 9002, section 5. Not the probe
 * timeout: that is `loss-detection.ts`.
 */

/** Assumed before the first sample, RFC 9002, section 6.2.2. */
export const INITIAL_RTT_MS = 333;
/** The minimum forgets what is older than one to two of these. */
const MIN_WINDOW_MS = 30_000;

export class RttEstimator {
  /** NaN before the first sample. */
  latestMs = Number.NaN;
  smoothedMs = Number.NaN;
  variationMs = Number.NaN;
  #minMs = Number.POSITIVE_INFINITY;
  #nextMinMs = Number.POSITIVE_INFINITY;
  #windowMs = Number.NaN;

  get sampled(): boolean {
    return !Number.isNaN(this.smoothedMs);
  }

  /** The least sample of the last 30 to 60 s; Infinity before the first. */
  get minMs(): number {
    return this.#minMs;
  }

  /** The smoothed RTT, or what is assumed. */
  get estimateMs(): number {
    return this.sampled ? this.smoothedMs : INITIAL_RTT_MS;
  }

  /** A sample: now less the time of sending, `ackDelayMs` of which the peer says it spent waiting. */
  onSample(sampleMs: number, ackDelayMs: number, nowMs: number): void {
    if (nowMs - this.#windowMs >= MIN_WINDOW_MS) {
      this.#minMs = this.#nextMinMs;
      this.#nextMinMs = Number.POSITIVE_INFINITY;
      this.#windowMs = nowMs;
    } else if (!(this.#windowMs <= nowMs)) {
      this.#windowMs = nowMs;
    }
    this.#minMs = Math.min(this.#minMs, sampleMs);
    this.#nextMinMs = Math.min(this.#nextMinMs, sampleMs);
    this.latestMs = sampleMs;
    if (!this.sampled) {
      this.smoothedMs = sampleMs;
      this.variationMs = sampleMs / 2;
      return;
    }
    const adjusted = sampleMs - ackDelayMs >= this.#minMs ? sampleMs - ackDelayMs : sampleMs;
    this.variationMs += (Math.abs(this.smoothedMs - adjusted) - this.variationMs) / 4;
    this.smoothedMs += (adjusted - this.smoothedMs) / 8;
  }

  /** A new path: nothing is known of it. */
  reset(): void {
    this.latestMs = Number.NaN;
    this.smoothedMs = Number.NaN;
    this.variationMs = Number.NaN;
    this.#minMs = Number.POSITIVE_INFINITY;
    this.#nextMinMs = Number.POSITIVE_INFINITY;
    this.#windowMs = Number.NaN;
  }
}
