/**
 * Watches a flow that comes in: when a client that was taking in packets should wonder why they stopped. It may have got another
 * address without knowing, and only a packet of its own tells the peer where to send.
 */

/** A flow is this many packets without a gap; a gap is this many round trips, at least this long. */
const FLOW_PACKETS = 16;
const SILENCE_RTTS = 0.75;
const SILENCE_LEAST_MS = 15;

export class FlowWatch {
  #packets = 0;
  #lastMs = 0;

  /** A packet of the flow came. */
  onPacket(rttMs: number, nowMs: number): void {
    if (nowMs > this.silentMs(rttMs)) this.#packets = 0;
    this.#packets++;
    this.#lastMs = nowMs;
  }

  /** When the flow has stopped unless something comes; Infinity when there is no flow. */
  silentMs(rttMs: number): number {
    if (this.#packets < FLOW_PACKETS) return Number.POSITIVE_INFINITY;
    return this.#lastMs + Math.max(SILENCE_RTTS * rttMs, SILENCE_LEAST_MS);
  }

  /** Its stop was noticed: the next flow counts anew. */
  reset(): void {
    this.#packets = 0;
  }
}
