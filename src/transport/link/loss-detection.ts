/**
 * Loss detection: which outstanding packets are to be given up, and when to probe. Source: RFC 9002, section 6, with
 * thresholds that grow when a loss proves spurious (as RACK's reordering window, RFC 8985, section 7.2) and shrink again.
 * Probes keep coming in an outage: RFC 9002 backs off without limit, a link must notice the path's return.
 *
 * Not here: what a loss means for congestion, and sending again: nothing is sent again but control symbols.
 */
import type { RttEstimator } from "./rtt.ts";
import {
  SENT_HANDSHAKE,
  SENT_OLD_PATH,
  type SentLedger,
  STATE_ACKED,
  STATE_LOST,
  STATE_OUTSTANDING,
} from "./sent-ledger.ts";

/** RFC 9002, section 6.1.1. */
const PACKET_THRESHOLD = 3;
/** RFC 9002, section 6.1.2. */
const TIME_THRESHOLD = 9 / 8;
/** RFC 9002, section 6.1.2: timers finer than this help nobody. */
export const GRANULARITY_MS = 1;
const MAX_PACKET_THRESHOLD = 2048;
const MAX_TIME_THRESHOLD = 2.5;
/** Round trips without a spurious loss after which the thresholds shrink. */
const CALM_RTTS = 16;
/** RFC 9002, section 7.6.1. */
const PERSISTENT_PTOS = 3;

/** Silence in which probes keep their pace. */
export const PROBE_SILENCE_MS = 30_000;
/** Probes are no further apart than a round trip or this, whichever is more. */
export const PROBE_PACE_MS = 100;
/** In a shorter silence they come closer, for most outages end soon: this many a round trip, so that a lost one costs little. */
const HASTY_SILENCE_MS = 6000;
const HASTY_RTTS = 0.125;
const HASTY_PACE_MS = 15;
const MAX_PROBE_INTERVAL_MS = 2000;

export type Epoch = 0 | 1;
export const EPOCH_HANDSHAKE: Epoch = 0;
export const EPOCH_DATA: Epoch = 1;

export interface LossListener {
  /** The packet is lost; its entry may be read until it returns. */
  packetLost(packetNumber: number): void;
}

export class LossDetector {
  readonly #ledger: SentLedger;
  readonly #rtt: RttEstimator;
  readonly #largestAcked = [-1, -1];
  readonly #lossMs = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  #packetThreshold = PACKET_THRESHOLD;
  #timeThreshold = TIME_THRESHOLD;
  #calmMs = Number.POSITIVE_INFINITY;
  /** Whether the last `detect` found an unbroken run of losses so long that congestion is persistent. */
  persistent = false;

  constructor(ledger: SentLedger, rtt: RttEstimator) {
    this.#ledger = ledger;
    this.#rtt = rtt;
  }

  get packetThreshold(): number {
    return this.#packetThreshold;
  }

  largestAcked(epoch: Epoch): number {
    return this.#largestAcked[epoch];
  }

  /** A packet of `epoch` was acknowledged. */
  onAcked(packetNumber: number, epoch: Epoch): void {
    if (packetNumber > this.#largestAcked[epoch]) this.#largestAcked[epoch] = packetNumber;
  }

  /** A packet declared lost was acknowledged: the path reorders further than was thought. */
  onSpurious(packetNumber: number, epoch: Epoch, nowMs: number): void {
    const distance = this.#largestAcked[epoch] - packetNumber + 1;
    this.#packetThreshold = Math.min(Math.max(this.#packetThreshold, distance), MAX_PACKET_THRESHOLD);
    const { estimateMs } = this.#rtt;
    const late = (1.05 * (nowMs - this.#ledger.sentMs(packetNumber))) / Math.max(estimateMs, GRANULARITY_MS);
    this.#timeThreshold = Math.min(Math.max(this.#timeThreshold, late), MAX_TIME_THRESHOLD);
    this.#calmMs = nowMs + CALM_RTTS * estimateMs;
  }

  /** The earliest time at which `detect` may find something; Infinity when never. */
  get lossMs(): number {
    return Math.min(this.#lossMs[0], this.#lossMs[1]);
  }

  /** Declares lost what is lost by `nowMs` in `epoch`, in ascending order. Returns how many. */
  detect(epoch: Epoch, nowMs: number, listener: LossListener): number {
    if (this.#calmMs < nowMs) this.#calm(nowMs);
    const ledger = this.#ledger;
    const rtt = this.#rtt;
    const largest = this.#largestAcked[epoch];
    const wanted = epoch === EPOCH_HANDSHAKE ? SENT_HANDSHAKE : 0;
    const patience = Math.max(
      this.#timeThreshold * (rtt.sampled ? Math.max(rtt.smoothedMs, rtt.latestMs) : rtt.estimateMs),
      GRANULARITY_MS,
    );
    let lost = 0;
    let runStartMs = Number.NaN;
    let next = Number.POSITIVE_INFINITY;
    this.persistent = false;
    const persistence = rtt.sampled ? PERSISTENT_PTOS * this.timeoutMs(25) : Number.POSITIVE_INFINITY;
    for (let n = ledger.lowest; n < largest; n++) {
      const state = ledger.state(n);
      if (state !== STATE_OUTSTANDING) {
        if (state === STATE_ACKED) runStartMs = Number.NaN;
        continue;
      }
      const flags = ledger.flags(n);
      if ((flags & SENT_HANDSHAKE) !== wanted) continue;
      const sentMs = ledger.sentMs(n);
      if (largest - n < this.#packetThreshold && sentMs + patience > nowMs) {
        next = Math.min(next, sentMs + patience);
        continue;
      }
      if ((flags & SENT_OLD_PATH) === 0) {
        if (Number.isNaN(runStartMs)) runStartMs = sentMs;
        else if (sentMs - runStartMs > persistence) this.persistent = true;
      }
      lost++;
      ledger.settle(n, STATE_LOST);
      listener.packetLost(n);
    }
    this.#lossMs[epoch] = next;
    return lost;
  }

  /** The epoch's packets are no longer waited for. */
  discard(epoch: Epoch): void {
    this.#lossMs[epoch] = Number.POSITIVE_INFINITY;
  }

  /** The probe timeout without back-off, RFC 9002, section 6.2.1. */
  timeoutMs(peerAckDelayMs: number): number {
    const rtt = this.#rtt;
    if (!rtt.sampled) return PROBE_PACE_MS;
    return rtt.smoothedMs + Math.max(4 * rtt.variationMs, GRANULARITY_MS) + peerAckDelayMs;
  }

  /**
   * How long after the last packet the next probe leaves, when `probes` went unanswered in `silenceMs` of silence. `urgent`: more than
   * a ping waits, or a flow has stopped.
   */
  probeIntervalMs(probes: number, silenceMs: number, urgent: boolean, peerAckDelayMs: number): number {
    const timeout = this.timeoutMs(peerAckDelayMs);
    if (probes === 0 && silenceMs <= PROBE_SILENCE_MS) return timeout;
    const backedOff = timeout * 2 ** Math.min(probes, 20);
    const { estimateMs } = this.#rtt;
    const hasty = urgent && silenceMs <= HASTY_SILENCE_MS;
    const pace = hasty ? Math.max(HASTY_RTTS * estimateMs, HASTY_PACE_MS) : Math.max(estimateMs, PROBE_PACE_MS);
    if (silenceMs <= PROBE_SILENCE_MS) return Math.min(backedOff, pace);
    return Math.min(backedOff, Math.max(pace, MAX_PROBE_INTERVAL_MS));
  }

  #calm(nowMs: number): void {
    this.#packetThreshold = Math.max(PACKET_THRESHOLD, this.#packetThreshold >> 1);
    this.#timeThreshold = Math.max(TIME_THRESHOLD, 1 + (this.#timeThreshold - 1) / 2);
    const done = this.#packetThreshold === PACKET_THRESHOLD && this.#timeThreshold === TIME_THRESHOLD;
    this.#calmMs = done ? Number.POSITIVE_INFINITY : nowMs + CALM_RTTS * this.#rtt.estimateMs;
  }
}
