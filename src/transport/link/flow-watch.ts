/**
 * Watches a flow that comes in, of packets or of ACKs: when whoever takes it in should wonder why it stopped. It, or its peer, may
 * have got another address without knowing, and only a packet of its own tells the peer where to send.
 */

/** A flow is this many arrivals without a silence. */
const FLOW_ARRIVALS = 16;
/** A silence is this many round trips, and this many times the usual gap, and this long at least. */
const SILENCE_RTTS = 0.125;
const SILENCE_GAPS = 6;
const SILENCE_LEAST_MS = 10;
/** How fast the usual gap follows, arrivals. */
const GAP_ARRIVALS = 16;

export class FlowWatch {
  #arrivals = 0;
  #lastMs = 0;
  #gapMs = 0;

  /** Something of the flow came. */
  onArrival(rttMs: number, nowMs: number): void {
    if (nowMs > this.silentMs(rttMs)) this.#arrivals = 0;
    if (this.#arrivals > 0)
      this.#gapMs += (nowMs - this.#lastMs - this.#gapMs) / Math.min(this.#arrivals, GAP_ARRIVALS);
    this.#arrivals++;
    this.#lastMs = nowMs;
  }

  /** When the flow has stopped unless something comes; Infinity when there is no flow. */
  silentMs(rttMs: number): number {
    if (this.#arrivals < FLOW_ARRIVALS) return Number.POSITIVE_INFINITY;
    return this.#lastMs + Math.max(SILENCE_RTTS * rttMs, SILENCE_GAPS * this.#gapMs, SILENCE_LEAST_MS);
  }

  /** Its stop was noticed: the next flow counts anew. */
  reset(): void {
    this.#arrivals = 0;
  }
}
