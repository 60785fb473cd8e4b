/**
 * Silence: when a link is dead of it (idle timeout, RFC 9000, section 10.1), and when a ping keeps it, and the NAT bindings on
 * its way, alive.
 */
/** Pings in an idle timeout: one may be late without the link's end. */
const PINGS_PER_TIMEOUT = 3;
/** A server's interval to a client's. With the same both ends would ask at the same time, for both hear of the other at the same time. */
const SERVER_PATIENCE = 9 / 8;

export class IdleTimer {
  readonly #keepAliveMs: number;
  readonly #patience: number;
  #timeoutMs: number;
  #receivedMs: number;
  #sentMs = Number.NEGATIVE_INFINITY;
  // The first ack-eliciting packet after the last receipt restarts the timer once.
  #startMs: number;
  #sentSinceReceived = false;

  /** Times in ms; 0 means never. */
  constructor(timeoutMs: number, keepAliveMs: number, isClient: boolean, nowMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#keepAliveMs = keepAliveMs;
    this.#patience = isClient ? 1 : SERVER_PATIENCE;
    this.#receivedMs = nowMs;
    this.#startMs = nowMs;
  }

  /** When the last genuine packet came. */
  get receivedMs(): number {
    return this.#receivedMs;
  }

  /** Since when nothing came though something could: the last genuine packet, or the first question after it. */
  get waitingSinceMs(): number {
    return this.#startMs;
  }

  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** The peer has a timeout of its own: the smaller counts. */
  negotiate(peerTimeoutMs: number): void {
    if (peerTimeoutMs > 0)
      this.#timeoutMs = this.#timeoutMs > 0 ? Math.min(this.#timeoutMs, peerTimeoutMs) : peerTimeoutMs;
  }

  onReceived(nowMs: number): void {
    this.#receivedMs = nowMs;
    this.#startMs = nowMs;
    this.#sentSinceReceived = false;
  }

  /** An ack-eliciting packet left. */
  onSent(nowMs: number): void {
    this.#sentMs = nowMs;
    if (!this.#sentSinceReceived) {
      this.#sentSinceReceived = true;
      this.#startMs = nowMs;
    }
  }

  /** When the link is dead, unless something comes; never sooner than three probe timeouts after the last start. */
  deadMs(probeTimeoutMs: number): number {
    if (this.#timeoutMs === 0) return Number.POSITIVE_INFINITY;
    return this.#startMs + Math.max(this.#timeoutMs, 3 * probeTimeoutMs);
  }

  /** When a ping is due: nothing came or asked for an ACK for the keep-alive interval, or for much of either end's patience. */
  get keepAliveMs(): number {
    if (this.#keepAliveMs === 0) return Number.POSITIVE_INFINITY;
    const most = this.#timeoutMs === 0 ? Number.POSITIVE_INFINITY : this.#timeoutMs / PINGS_PER_TIMEOUT;
    return Math.max(this.#receivedMs, this.#sentMs) + this.#patience * Math.min(this.#keepAliveMs, most);
  }
}
