/**
 * RACK (RFC 8985, sections 6.2 and 7) as Linux does it: a segment is lost when one sent later has been delivered and
 * its own time, one RTT and a reordering window, is over. Finds lost retransmissions too. Not its tail loss probe: see
 * `sender.ts`.
 */
import { LOST, RETRANSMITTED, RETRANSMITTING, type Scoreboard } from "./scoreboard.ts";

const DUPLICATE_THRESHOLD = 3;
const MOST_STEPS = 255;
/** Recoveries for which a wider window stays. */
const PERSIST = 16;

export class Rack {
  /** A delivery moved the state since the last look for losses. */
  advanced = false;
  reorderingSeen = false;
  /** Segments by which others were overtaken, at most 300; from 3. */
  reordering = DUPLICATE_THRESHOLD;
  /** How long until more segments turn out lost, found by `detect`; 0 for none. */
  waitMs = 0;
  #rttMs = 0;
  // Number of the latest transmission known to have been delivered.
  #sending = 0;
  #steps = 1;
  #persist = 0;
  #adjustedMs = Number.NEGATIVE_INFINITY;

  /** A segment with `flags`, last sent at `sentMs` as transmission number `sending`, was delivered. */
  onDelivered(flags: number, sentMs: number, sending: number, minimumRttMs: number, nowMs: number): void {
    const rttMs = nowMs - sentMs;
    // Too fast to be the retransmission: it was the original.
    if ((flags & (RETRANSMITTED | RETRANSMITTING)) !== 0 && rttMs < minimumRttMs) return;
    this.advanced = true;
    this.#rttMs = rttMs;
    if (sending > this.#sending) this.#sending = sending;
  }

  /** A segment was overtaken by `distance` others. */
  onReordering(distance: number): void {
    this.reordering = Math.min(Math.max(this.reordering, distance), 300);
    this.reorderingSeen = true;
  }

  /** A DSACK: a retransmission was needless, so wait longer. At most one step a round trip. */
  onDuplicate(smoothedRttMs: number, nowMs: number): void {
    if (nowMs - this.#adjustedMs < smoothedRttMs) return;
    this.#adjustedMs = nowMs;
    this.#steps = Math.min(this.#steps + 1, MOST_STEPS);
    this.#persist = PERSIST;
  }

  onRecovered(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#steps = 1;
  }

  windowMs(board: Scoreboard, inRecovery: boolean, minimumRttMs: number, smoothedRttMs: number): number {
    if (!this.reorderingSeen && (inRecovery || board.sackedOut >= this.reordering)) return 0;
    return Math.min((minimumRttMs / 4) * this.#steps, smoothedRttMs);
  }

  /** Whether a segment sent at `sentMs` is out of time, and by how much not yet: at most 0 means lost. */
  remainingMs(sentMs: number, windowMs: number, nowMs: number): number {
    return this.#rttMs + windowMs - (nowMs - sentMs);
  }

  /** Marks what is lost and sets `waitMs`; returns how many marks were made. */
  detect(board: Scoreboard, windowMs: number, nowMs: number): number {
    let marked = 0;
    this.waitMs = 0;
    let segment = board.oldest;
    while (segment >= 0) {
      const following = board.later(segment);
      const flags = board.flags(segment);
      if ((flags & LOST) === 0 || (flags & RETRANSMITTING) !== 0) {
        if (board.sending(segment) >= this.#sending) break;
        const remaining = this.remainingMs(board.sentMs(segment), windowMs, nowMs);
        if (remaining <= 0) {
          if (board.markLost(segment)) marked++;
          board.forgetSending(segment);
        } else if (remaining > this.waitMs) {
          this.waitMs = remaining;
        }
      }
      segment = following;
    }
    return marked;
  }
}
