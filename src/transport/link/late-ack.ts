/**
 * What may be sent although the ACK that would allow it is late. A receiver that gets the processor late, or a radio that
 * gathers what goes back, holds up ACKs but not the path: who waits for them leaves it idle, for good. For a while an ACK that is
 * late therefore counts as come, in the controller's own measure of what arrives meanwhile; in a path that is gone this costs
 * no more than that while. BBR allows for the same with a window that is always larger by what came at once of late
 * (draft-ietf-ccwg-bbr, section 5.5.9), which stands in the queue while ACKs come regularly.
 * Where ACKs are always further apart, or after a pause, this one is larger too: by a packet or two, or as long as pacing has not filled it.
 */

/** An ACK is late when none came for this long: a share of the RTT (a few of those asked for in it), and no less than ... */
const USUAL_RTTS = 1 / 32;
const USUAL_LEAST_MS = 2;
/** The longest lateness that is allowed for. */
const LONGEST_MS = 16;
const ROUNDING_MS = 1e-6;

export class LateAck {
  #ackedMs = Number.NEGATIVE_INFINITY;

  /** An ACK of new packets came at `arrivedMs`. */
  onAck(arrivedMs: number): void {
    this.#ackedMs = Math.max(this.#ackedMs, arrivedMs);
  }

  /** How long an ACK has been late for, as far as that is allowed for, ms. */
  latenessMs(minRttMs: number, nowMs: number): number {
    return Math.min(Math.max(nowMs - this.#lateFromMs(minRttMs), 0), LONGEST_MS);
  }

  /** When `latenessMs` is `wantedMs`; Infinity when that is more than it ever is. */
  reachedMs(wantedMs: number, minRttMs: number): number {
    return wantedMs < LONGEST_MS - ROUNDING_MS ? this.#lateFromMs(minRttMs) + wantedMs : Number.POSITIVE_INFINITY;
  }

  #lateFromMs(minRttMs: number): number {
    return this.#ackedMs + Math.max(USUAL_RTTS * minRttMs, USUAL_LEAST_MS);
  }
}
