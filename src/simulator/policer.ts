/**
 * A token-bucket policer (RFC 2697's single bucket without colours): drops what exceeds a rate beyond a burst and
 * delays nothing, as operators' traffic contracts do.
 */
import { checkPositive } from "./error.ts";

export interface PolicerOptions {
  /** Rate at which tokens come, 10^6 bits a second, IP headers included. */
  rateMbps: number;
  /** Size of the bucket in bytes, full at the start. A packet larger than it never passes. */
  burstBytes: number;
}

export class Policer {
  readonly #bytesPerMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledMs = 0;

  constructor(options: PolicerOptions) {
    this.#bytesPerMs = checkPositive("policer.rateMbps", options.rateMbps, "Mbit/s") * 125;
    this.#burst = checkPositive("policer.burstBytes", options.burstBytes, "bytes");
    this.#tokens = this.#burst;
  }

  /** Takes tokens for a packet of `bytes`; false, and none taken, when there are too few. */
  admit(bytes: number, nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledMs) * this.#bytesPerMs);
    this.#filledMs = nowMs;
    if (this.#tokens < bytes) return false;
    this.#tokens -= bytes;
    return true;
  }
}
