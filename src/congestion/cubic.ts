/**
 * CUBIC (RFC 9438) with appropriate byte counting, fast convergence, the Reno-friendly region and undo of spurious events
 * (4.9), slow start of RFC 5681 that leaves on delay growth (HyStart, RFC 9406 without its conservative phase), pacing as
 * in Linux. Takes every loss for congestion: on a path that loses by itself it is slow, and that is what it is for here:
 * a neighbour no worse than TCP. Without PRR: the pacing spreads what a reduced window lets out.
 */
import type { CongestionController, CongestionMetrics, CongestionOptions, CongestionUpdate } from "./controller.ts";

/** RFC 9438, 5: segments a second cubed. */
const C = 0.4;
/** RFC 9438, 4.6. */
const BETA = 0.7;
const ALPHA_RENO = (3 * (1 - BETA)) / (1 + BETA);
const INITIAL_WINDOW_PACKETS = 10;
const LEAST_WINDOW_PACKETS = 2;
const SLOW_START_PACING = 2;
const PACING = 1.2;
/** RFC 9406, 4.2. */
const RTT_SAMPLES = 8;
const LEAST_RTT_THRESHOLD_MS = 4;
const MOST_RTT_THRESHOLD_MS = 16;

export class Cubic implements CongestionController {
  readonly name = "cubic";
  windowBytes: number;
  pacingRate = Number.POSITIVE_INFINITY;
  readonly lateAckRate = 0;

  #packetBytes: number;
  #threshold = Number.POSITIVE_INFINITY;
  #smoothedRttMs = Number.NaN;
  #largestSent = -1;
  /** Losses of packets up to this one belong to the last event. */
  #recoveryEnd = -1;
  #appLimited = false;
  #inFlightBytes = 0;
  #idleSinceMs = Number.NaN;
  // The cubic epoch; NaN start when the next ACK begins one.
  #epochMs = Number.NaN;
  #maxWindow = 0;
  #originMs = 0;
  #renoWindow = 0;
  // What the last event took, to give it back.
  #undoWindow = 0;
  #undoThreshold = 0;
  #undoMaxWindow = 0;
  #eventLosses = 0;
  // HyStart's rounds.
  #roundEnd = 0;
  #roundRtt = Number.POSITIVE_INFINITY;
  #lastRoundRtt = Number.POSITIVE_INFINITY;
  #roundSamples = 0;
  #ackedBytes = 0;
  #largestAcked = -1;
  #lostPacket = -1;
  #minRtt = Number.POSITIVE_INFINITY;
  #congestionEvents = 0;
  #spurious = 0;

  constructor(options: CongestionOptions = {}) {
    this.#packetBytes = options.packetBytes ?? 1200;
    this.windowBytes = INITIAL_WINDOW_PACKETS * this.#packetBytes;
  }

  onPacketSent(packet: number, bytes: number, inFlightBytes: number, nowMs: number): void {
    this.#largestSent = packet;
    this.#inFlightBytes = inFlightBytes;
    if (inFlightBytes <= bytes && !Number.isNaN(this.#idleSinceMs)) {
      // RFC 9438, 5.8: time spent idle does not count as time of growth.
      if (!Number.isNaN(this.#epochMs)) this.#epochMs += nowMs - this.#idleSinceMs;
    }
    this.#idleSinceMs = Number.NaN;
  }

  onPacketAcked(packet: number, bytes: number): void {
    if (packet > this.#largestAcked) this.#largestAcked = packet;
    if (packet > this.#recoveryEnd) this.#ackedBytes += bytes;
  }

  onPacketLost(packet: number): void {
    if (packet > this.#recoveryEnd) this.#lostPacket = Math.max(this.#lostPacket, packet);
    else this.#eventLosses++;
  }

  onSpuriousLoss(packet: number): void {
    this.#spurious++;
    if (packet > this.#recoveryEnd || this.#eventLosses <= 0 || --this.#eventLosses > 0) return;
    // RFC 9438, 4.9.2: nothing of the event was lost.
    if (this.#undoWindow > this.windowBytes) {
      this.windowBytes = this.#undoWindow;
      this.#threshold = this.#undoThreshold;
      this.#maxWindow = this.#undoMaxWindow;
      this.#epochMs = Number.NaN;
    }
  }

  onPacketForgotten(): void {}

  onUpdate(update: CongestionUpdate): void {
    const { nowMs, rttMs } = update;
    this.#smoothedRttMs = update.smoothedRttMs;
    if (!Number.isNaN(rttMs)) this.#onRtt(rttMs);
    if (this.#lostPacket >= 0 || (update.congestionMarks > 0 && this.#largestAcked > this.#recoveryEnd)) {
      this.#reduce(this.#lostPacket >= 0 ? 1 : 0);
    } else if (this.#ackedBytes > 0 && !this.#appLimited) {
      this.#grow(this.#ackedBytes, nowMs);
    }
    this.#lostPacket = -1;
    this.#ackedBytes = 0;
    this.#appLimited = false;
    this.#inFlightBytes = update.inFlightBytes;
    if (update.inFlightBytes === 0) this.#idleSinceMs = nowMs;
    this.#setPacing();
  }

  onAppLimited(inFlightBytes: number): void {
    // RFC 9438, 5.8: a window that is not used does not grow.
    if (inFlightBytes < this.windowBytes / 2 || this.windowBytes >= this.#threshold) this.#appLimited = true;
  }

  onPersistentCongestion(): void {
    this.#threshold = Math.max(BETA * this.windowBytes, LEAST_WINDOW_PACKETS * this.#packetBytes);
    this.#maxWindow = this.windowBytes;
    this.windowBytes = LEAST_WINDOW_PACKETS * this.#packetBytes;
    this.#epochMs = Number.NaN;
    this.#undoWindow = 0;
    this.#recoveryEnd = this.#largestSent;
    this.#congestionEvents++;
    this.#setPacing();
  }

  onPathChange(): void {
    this.windowBytes = INITIAL_WINDOW_PACKETS * this.#packetBytes;
    this.pacingRate = Number.POSITIVE_INFINITY;
    this.#threshold = Number.POSITIVE_INFINITY;
    this.#recoveryEnd = this.#largestSent;
    this.#epochMs = Number.NaN;
    this.#maxWindow = this.#undoWindow = 0;
    this.#lastRoundRtt = this.#roundRtt = this.#minRtt = Number.POSITIVE_INFINITY;
  }

  setPacketBytes(packetBytes: number): void {
    this.#packetBytes = packetBytes;
  }

  metrics(): CongestionMetrics {
    const recovering = this.#largestAcked <= this.#recoveryEnd && this.#recoveryEnd >= 0;
    return {
      name: this.name,
      state: recovering ? "recovery" : this.windowBytes < this.#threshold ? "slow start" : "avoidance",
      windowBytes: this.windowBytes,
      pacingRate: this.pacingRate,
      bandwidth: 0,
      minRttMs: this.#minRtt,
      lossEstimate: 0,
      congestionEvents: this.#congestionEvents,
      spuriousLosses: this.#spurious,
    };
  }

  #onRtt(rttMs: number): void {
    if (rttMs < this.#minRtt) this.#minRtt = rttMs;
    if (this.windowBytes >= this.#threshold) return;
    if (this.#largestAcked >= this.#roundEnd) {
      this.#roundEnd = this.#largestSent + 1;
      this.#lastRoundRtt = this.#roundRtt;
      this.#roundRtt = Number.POSITIVE_INFINITY;
      this.#roundSamples = 0;
    }
    this.#roundRtt = Math.min(this.#roundRtt, rttMs);
    if (++this.#roundSamples < RTT_SAMPLES || this.#lastRoundRtt === Number.POSITIVE_INFINITY) return;
    const margin = Math.min(Math.max(this.#lastRoundRtt / 8, LEAST_RTT_THRESHOLD_MS), MOST_RTT_THRESHOLD_MS);
    if (this.#roundRtt >= this.#lastRoundRtt + margin) this.#threshold = this.windowBytes;
  }

  #grow(bytes: number, nowMs: number): void {
    if (this.windowBytes < this.#threshold) {
      this.windowBytes = Math.min(this.windowBytes + bytes, Math.max(this.#threshold, this.windowBytes));
      return;
    }
    const size = this.#packetBytes;
    const window = this.windowBytes / size;
    if (Number.isNaN(this.#epochMs)) {
      this.#epochMs = nowMs;
      this.#renoWindow = window;
      const most = this.#maxWindow / size;
      if (window < most) {
        this.#originMs = 1000 * Math.cbrt((most - window) / C);
      } else {
        this.#originMs = 0;
        this.#maxWindow = this.windowBytes;
      }
    }
    // RFC 9438, 4.2: where the curve will be one round trip from now, at most half as much again.
    const rtt = Number.isNaN(this.#smoothedRttMs) ? 0 : this.#smoothedRttMs;
    const seconds = (nowMs - this.#epochMs + rtt - this.#originMs) / 1000;
    const curve = C * seconds ** 3 + this.#maxWindow / size;
    const target = Math.min(Math.max(curve, window), 1.5 * window);
    const acked = bytes / size;
    // 4.3: as fast as Reno at least; with alpha 1 once back at the old window.
    const alpha = this.#renoWindow * size < this.#maxWindow ? ALPHA_RENO : 1;
    this.#renoWindow += (alpha * acked) / window;
    const next = window + ((target - window) / window) * acked;
    this.windowBytes = Math.max(next, this.#renoWindow) * size;
  }

  #reduce(losses: number): void {
    this.#congestionEvents++;
    this.#undoWindow = this.windowBytes;
    this.#undoThreshold = this.#threshold;
    this.#undoMaxWindow = this.#maxWindow;
    this.#eventLosses = losses;
    // 4.7: whoever met the limit earlier than last time makes room for a newcomer.
    this.#maxWindow = this.windowBytes < this.#maxWindow ? (this.windowBytes * (1 + BETA)) / 2 : this.windowBytes;
    // What was not in use is no window: reduce what was.
    const used = Math.min(this.windowBytes, Math.max(this.#inFlightBytes, this.windowBytes / 2));
    this.#threshold = Math.max(BETA * used, LEAST_WINDOW_PACKETS * this.#packetBytes);
    this.windowBytes = this.#threshold;
    this.#recoveryEnd = this.#largestSent;
    this.#epochMs = Number.NaN;
  }

  #setPacing(): void {
    if (Number.isNaN(this.#smoothedRttMs) || this.#smoothedRttMs <= 0) return;
    const gain = this.windowBytes < this.#threshold / 2 ? SLOW_START_PACING : PACING;
    this.pacingRate = (gain * this.windowBytes) / this.#smoothedRttMs;
  }
}
