/**
 * When an ACK leaves: after `threshold` packets or `delayMs`, whichever is first, but ACKs together stay within a share of the
 * bytes they acknowledge, and sparse flows have an allowance. Threshold and delay are the peer's wish (`ack-frequency.ts`).
 */

/** Share of received bytes that ACK packets may take: below the 3 % promised, for the headers not counted here. */
const BYTE_SHARE = 0.022;
/** Bytes a millisecond that ACKs may take whatever comes in: 32 kbit/s. */
const SPARSE_ALLOWANCE = 4;
const MAX_CREDIT = 4096;
/** Without credit an ACK waits this many times its delay, at least OVERDRAWN_LEAST_MS. */
const OVERDRAWN_DELAYS = 2;
const OVERDRAWN_LEAST_MS = 10;
/** IP and UDP headers of a packet, for the byte counts (IPv4, RFC 791 and RFC 768). */
export const IP_UDP_BYTES = 28;

export const DEFAULT_ACK_THRESHOLD = 2;
export const DEFAULT_ACK_DELAY_MS = 5;
/** The longest delay that this receiver keeps to, and tells its peer. */
export const MAX_ACK_DELAY_MS = 25;
export const MAX_ACK_THRESHOLD = 64;

export class AckPolicy {
  /** Ack-eliciting packets since the last ACK. */
  #pending = 0;
  #oldestMs = Number.POSITIVE_INFINITY;
  #immediate = false;
  #credit = MAX_CREDIT;
  #creditMs = Number.NaN;
  #sequence = -1;
  threshold = DEFAULT_ACK_THRESHOLD;
  delayMs = DEFAULT_ACK_DELAY_MS;

  /** Whether anything waits for an ACK. */
  get pending(): boolean {
    return this.#pending > 0;
  }

  /** An ack-eliciting packet of `bytes` came. */
  onReceived(bytes: number, nowMs: number): void {
    this.#earn(nowMs);
    this.#credit = Math.min(MAX_CREDIT, this.#credit + BYTE_SHARE * (bytes + IP_UDP_BYTES));
    if (this.#pending++ === 0) this.#oldestMs = nowMs;
  }

  /** The sender wants an ACK at once: a probe, or a mark of congestion. */
  demand(): void {
    this.#immediate = this.#pending > 0;
  }

  /** The sender's wishes; an older frame that comes late changes nothing. */
  onFrequency(sequence: number, threshold: number, delayMs: number): void {
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.threshold = Math.min(Math.max(threshold, 1), MAX_ACK_THRESHOLD);
    this.delayMs = Math.min(Math.max(delayMs, 1), MAX_ACK_DELAY_MS);
  }

  /** Whether an ACK should leave now, in a packet of its own if need be. */
  due(nowMs: number): boolean {
    return this.dueMs(nowMs) <= nowMs;
  }

  /** Whether an ACK is worth its bytes in a packet that leaves anyway. */
  worthwhile(nowMs: number): boolean {
    return this.#pending >= Math.max(1, this.threshold / 2) || nowMs >= this.#oldestMs + this.delayMs / 2;
  }

  /** When an ACK is due if nothing more comes; Infinity when nothing waits. */
  dueMs(nowMs: number): number {
    if (this.#pending === 0) return Number.POSITIVE_INFINITY;
    if (this.#immediate) return nowMs;
    this.#earn(nowMs);
    const wanted = this.#pending >= this.threshold ? this.#oldestMs : this.#oldestMs + this.delayMs;
    if (this.#credit >= 0) return wanted;
    const latest = this.#oldestMs + latestAckDelayMs(this.delayMs);
    return Math.max(wanted, Math.min(latest, nowMs - this.#credit / SPARSE_ALLOWANCE));
  }

  /** An ACK left. `ownBytes` is what it cost: the whole packet when it is for ACKs alone, else the frame. */
  onSent(ownBytes: number, nowMs: number): void {
    this.#earn(nowMs);
    this.#credit = Math.max(-MAX_CREDIT, this.#credit - ownBytes);
    this.#pending = 0;
    this.#immediate = false;
    this.#oldestMs = Number.POSITIVE_INFINITY;
  }

  #earn(nowMs: number): void {
    if (nowMs > this.#creditMs) {
      this.#credit = Math.min(MAX_CREDIT, this.#credit + SPARSE_ALLOWANCE * (nowMs - this.#creditMs));
    }
    this.#creditMs = nowMs;
  }
}

/** How long an ACK may wait at the most where `delayMs` was asked for. */
export function latestAckDelayMs(delayMs: number): number {
  return Math.max(OVERDRAWN_LEAST_MS, OVERDRAWN_DELAYS * delayMs);
}
