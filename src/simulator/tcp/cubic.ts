/**
 * CUBIC's window (RFC 9438) with fast convergence and the Reno-friendly region, and HyStart (S. Ha, I. Rhee 2011), both
 * in the integer arithmetic and with the constants of Linux's tcp_cubic, which rounds the window's target down to
 * segments and looks at the clock in jiffies (here 4 ms).
 */
import type { CongestionAlgorithm, SenderView } from "./congestion.ts";

/** C of RFC 9438, section 5, as 410 / 1024. */
const C = 410 / 1024;
/** beta of RFC 9438, section 4.6, as 717 / 1024. */
const BETA = 717 / 1024;
/** ACKs for one segment more in the Reno-friendly region, as a share of the window: Linux's beta_scale, 15 / 8. */
const FRIENDLY_SHARE = 15 / 8;
const JIFFY_MS = 4;
/** A target is looked at again after this time at the latest while the window stands still. */
const REFRESH_MS = 31.25;

/** HyStart starts at this window. */
const HYSTART_LOW_WINDOW = 16;
/** ACKs closer than this belong to one train. */
const HYSTART_ACK_DELTA_MS = 2;
const HYSTART_SAMPLES = 8;
const HYSTART_DELAY_LEAST_MS = 4;
const HYSTART_DELAY_MOST_MS = 16;
/** Linux's gso_max_size, of which the ACK train may be stretched by four. */
const GSO_BYTES = 65536;

export class Cubic implements CongestionAlgorithm {
  readonly #hystart: boolean;
  #perSegment = 0;
  #lastMaximum = 0;
  #lastWindow = 0;
  #lastJiffy = 0;
  #originPoint = 0;
  #minimumDelayMs = 0;
  #kSeconds = 0;
  /** -1: no epoch under way. */
  #epochMs = -1;
  #acked = 0;
  #friendlyWindow = 0;

  #found = false;
  #roundStartMs = 0;
  #lastAckMs = 0;
  #roundEnd = 0;
  #roundRttMs = Number.POSITIVE_INFINITY;
  #samples = 0;

  constructor(hystart = true) {
    this.#hystart = hystart;
  }

  onAcked({ window }: SenderView, acked: number, nowMs: number): void {
    const rest = window.inSlowStart ? window.slowStart(acked) : acked;
    if (rest === 0) return;
    this.#update(window.size, rest, nowMs);
    window.increase(this.#perSegment, rest);
  }

  onRttSample(sender: SenderView, rttMs: number, nowMs: number): void {
    // Right after recovery delays are not those of a path in steady use.
    if (this.#epochMs >= 0 && nowMs - this.#epochMs < 1000) return;
    if (this.#minimumDelayMs === 0 || rttMs < this.#minimumDelayMs) this.#minimumDelayMs = rttMs;
    const { window } = sender;
    if (!this.#found && window.inSlowStart && this.#hystart && window.size >= HYSTART_LOW_WINDOW) {
      this.#hystartUpdate(sender, rttMs, nowMs);
    }
  }

  reduce({ window }: SenderView): number {
    this.#epochMs = -1;
    const size = window.size;
    // Fast convergence (section 4.7): a flow that lost before it was back leaves room for others.
    this.#lastMaximum = size < this.#lastMaximum ? Math.floor((size * (1 + BETA)) / 2) : size;
    return Math.max(Math.floor(size * BETA), 2);
  }

  onTimeout(sender: SenderView, nowMs: number): void {
    this.#perSegment = 0;
    this.#lastMaximum = 0;
    this.#lastWindow = 0;
    this.#lastJiffy = 0;
    this.#originPoint = 0;
    this.#minimumDelayMs = 0;
    this.#kSeconds = 0;
    this.#epochMs = -1;
    this.#acked = 0;
    this.#friendlyWindow = 0;
    this.#found = false;
    this.#hystartReset(sender, nowMs);
  }

  #update(size: number, acked: number, nowMs: number): void {
    this.#acked += acked;
    const jiffy = Math.floor(nowMs / JIFFY_MS);
    if (this.#lastWindow === size && (jiffy - this.#lastJiffy) * JIFFY_MS <= REFRESH_MS) return;
    if (this.#epochMs < 0 || jiffy !== this.#lastJiffy) {
      this.#lastWindow = size;
      this.#lastJiffy = jiffy;
      this.#retarget(size, acked, nowMs);
    }
    // The Reno-friendly region (section 4.3): never slower than Reno with the same beta.
    const perFriendly = Math.floor(size * FRIENDLY_SHARE);
    while (this.#acked > perFriendly) {
      this.#acked -= perFriendly;
      this.#friendlyWindow++;
    }
    if (this.#friendlyWindow > size) {
      this.#perSegment = Math.min(this.#perSegment, Math.floor(size / (this.#friendlyWindow - size)));
    }
    this.#perSegment = Math.max(this.#perSegment, 2);
  }

  /** Section 4.2: where the cubic function will be one minimum RTT from now. */
  #retarget(size: number, acked: number, nowMs: number): void {
    if (this.#epochMs < 0) {
      this.#epochMs = nowMs;
      this.#acked = acked;
      this.#friendlyWindow = size;
      if (this.#lastMaximum <= size) {
        this.#kSeconds = 0;
        this.#originPoint = size;
      } else {
        this.#kSeconds = Math.cbrt((this.#lastMaximum - size) / C);
        this.#originPoint = this.#lastMaximum;
      }
    }
    const offset = (nowMs - this.#epochMs + this.#minimumDelayMs) / 1000 - this.#kSeconds;
    const delta = Math.floor(Math.abs(C * offset * offset * offset));
    const target = offset < 0 ? this.#originPoint - delta : this.#originPoint + delta;
    this.#perSegment = target > size ? Math.floor(size / (target - size)) : 100 * size;
    // While the bandwidth is unknown the function would start too slowly.
    if (this.#lastMaximum === 0 && this.#perSegment > 20) this.#perSegment = 20;
  }

  #hystartReset(sender: SenderView, nowMs: number): void {
    this.#roundStartMs = nowMs;
    this.#lastAckMs = nowMs;
    this.#roundEnd = sender.nextSequence;
    this.#roundRttMs = Number.POSITIVE_INFINITY;
    this.#samples = 0;
  }

  #hystartUpdate(sender: SenderView, rttMs: number, nowMs: number): void {
    if (sender.acknowledged > this.#roundEnd) this.#hystartReset(sender, nowMs);
    if (nowMs - this.#lastAckMs <= HYSTART_ACK_DELTA_MS) {
      this.#lastAckMs = nowMs;
      const bytesPerMs = (2 * sender.window.size * sender.segmentBytes) / sender.smoothedRttMs;
      const train = this.#minimumDelayMs + Math.min(1, (4 * GSO_BYTES) / bytesPerMs);
      // Paced packets may have been held back for half a round trip.
      if (nowMs - this.#roundStartMs > (sender.pacing ? train : train / 2)) this.#leaveSlowStart(sender);
    }
    this.#roundRttMs = Math.min(this.#roundRttMs, rttMs);
    if (this.#samples < HYSTART_SAMPLES) {
      this.#samples++;
      return;
    }
    const eighth = this.#minimumDelayMs / 8;
    const tolerated = Math.min(Math.max(eighth, HYSTART_DELAY_LEAST_MS), HYSTART_DELAY_MOST_MS);
    if (this.#roundRttMs > this.#minimumDelayMs + tolerated) this.#leaveSlowStart(sender);
  }

  #leaveSlowStart({ window }: SenderView): void {
    this.#found = true;
    window.threshold = window.size;
  }
}
