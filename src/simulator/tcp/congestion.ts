/**
 * The congestion window of the TCP model and the interface of the algorithms that move it, after Linux's
 * `tcp_congestion_ops`. Recovery (which segments are lost, PRR) is not here: see `sender.ts`.
 */

/** Window and threshold, in segments, with the arithmetic common to all algorithms. */
export class CongestionWindow {
  size: number;
  threshold = Number.POSITIVE_INFINITY;
  /** ACKed segments since the last increase in congestion avoidance. */
  count = 0;

  constructor(initial: number) {
    this.size = initial;
  }

  get inSlowStart(): boolean {
    return this.size < this.threshold;
  }

  /** Grows by what was ACKed, up to the threshold (RFC 5681, RFC 3465 without a limit); returns what is left over. */
  slowStart(acked: number): number {
    const before = this.size;
    this.size = Math.min(before + acked, this.threshold);
    return acked - (this.size - before);
  }

  /** One segment more for each `per` ACKed. */
  increase(per: number, acked: number): void {
    if (this.count >= per) {
      this.count = 0;
      this.size++;
    }
    this.count += acked;
    if (this.count >= per) {
      const steps = Math.floor(this.count / per);
      this.count -= steps * per;
      this.size += steps;
    }
  }
}

/** What an algorithm may know of its sender. */
export interface SenderView {
  readonly window: CongestionWindow;
  /** First segment not yet ACKed. */
  readonly acknowledged: number;
  /** Next segment to be sent for the first time. */
  readonly nextSequence: number;
  readonly smoothedRttMs: number;
  readonly segmentBytes: number;
  readonly pacing: boolean;
}

export interface CongestionAlgorithm {
  /** Segments were ACKed while growth is allowed and the window was the limit. */
  onAcked(sender: SenderView, acked: number, nowMs: number): void;
  /** An RTT sample, once an ACK. */
  onRttSample(sender: SenderView, rttMs: number, nowMs: number): void;
  /** A loss or timeout: the new threshold, from the present window. */
  reduce(sender: SenderView): number;
  /** After a retransmission timeout has reduced the window. */
  onTimeout(sender: SenderView, nowMs: number): void;
}
