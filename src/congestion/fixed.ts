/**
 * A rate given by the user, for a path whose rate is known and not shared. Controls no congestion: it never slows down,
 * whatever is lost. The window only bounds what may be unaccounted for; flow control bounds the rest. No source: it is the user's word.
 */
import type { CongestionController, CongestionMetrics, CongestionUpdate } from "./controller.ts";

/** Round trips of the rate that may be in flight. */
const WINDOW_ROUNDS = 2;
const UNKNOWN_RTT_MS = 333;
/** Allowance for delayed and lost ACKs on short paths. */
const SLACK_MS = 50;

export class FixedRate implements CongestionController {
  readonly name = "fixed";
  windowBytes: number;
  readonly pacingRate: number;
  readonly lateAckRate = 0;
  #minRtt = Number.POSITIVE_INFINITY;
  #spurious = 0;

  /** `rate` in bytes a millisecond, above 0 and finite; else a RangeError. */
  constructor(rate: number) {
    if (!(rate > 0 && rate < Number.POSITIVE_INFINITY)) {
      throw new RangeError(`rate is ${rate}, wanted bytes a millisecond above 0`);
    }
    this.pacingRate = rate;
    this.windowBytes = this.#window(UNKNOWN_RTT_MS);
  }

  onPacketSent(): void {}
  onPacketAcked(): void {}
  onPacketLost(): void {}
  onPacketForgotten(): void {}
  onAppLimited(): void {}
  onPersistentCongestion(): void {}
  setPacketBytes(): void {}

  onSpuriousLoss(): void {
    this.#spurious++;
  }

  onUpdate(update: CongestionUpdate): void {
    if (update.rttMs < this.#minRtt) this.#minRtt = update.rttMs;
    if (!Number.isNaN(update.smoothedRttMs)) this.windowBytes = this.#window(update.smoothedRttMs);
  }

  onPathChange(): void {
    this.#minRtt = Number.POSITIVE_INFINITY;
    this.windowBytes = this.#window(UNKNOWN_RTT_MS);
  }

  metrics(): CongestionMetrics {
    return {
      name: this.name,
      state: "fixed",
      windowBytes: this.windowBytes,
      pacingRate: this.pacingRate,
      bandwidth: this.pacingRate,
      minRttMs: this.#minRtt,
      lossEstimate: 0,
      congestionEvents: 0,
      spuriousLosses: this.#spurious,
    };
  }

  #window(rttMs: number): number {
    return Math.max(this.pacingRate * (WINDOW_ROUNDS * rttMs + SLACK_MS), 10 * 1500);
  }
}
