/**
 * Credit that a receiver grants, for a stream or for a session: how far the peer may send. It begins small and grows to what the
 * path needs, as Linux sizes its buffers ("dynamic right-sizing", Fisk and Feng, 2001): a multiple of what comes in a round trip.
 *
 * Credit goes ahead of *progress*: the highest that came, less what could be read and is not. So where the application keeps up it goes
 * ahead of what came, not of what was read, which at high loss may lie round trips behind and wait for one symbol; and where
 * the application does not keep up, it follows its reading. Never is more granted than `limit` beyond what was read. What is
 * granted costs nothing until it comes.
 */

/** Round trips' worth of progress that are granted ahead: credit is one old when it is used, and rates double or treble in one. */
const ROUND_TRIPS = 4;

/** Credit is granted in steps of this share of what is granted ahead: often, so that one lost grant does not stop the peer. */
const CREDIT_STEP = 1 / 8;

export class ReceiveWindow {
  /** The peer may send bytes below this. */
  maximum: number;
  /** The highest that came, what of it can be read or was, and what was read. */
  highest = 0;
  available = 0;
  read = 0;
  readonly #limit: number;
  #ahead: number;
  /** What the peer says it needs to go on. */
  #wanted = 0;
  /** Arrivals and progress are measured from here on. */
  #sinceMs = Number.NaN;
  #sinceProgress = 0;
  #arrived = 0;

  constructor(initial: number, limit: number) {
    this.#limit = limit;
    this.#ahead = Math.min(initial, limit);
    this.maximum = this.#ahead;
  }

  /** What is granted ahead, bytes. */
  get ahead(): number {
    return this.#ahead;
  }

  /** `bytes` came, whether in order or not. `roundTripMs` is 0 while it is not known. */
  measure(bytes: number, nowMs: number, roundTripMs: number): void {
    if (Number.isNaN(this.#sinceMs)) this.#sinceMs = nowMs;
    this.#arrived += bytes;
    const used = Math.min(this.#arrived, this.#progress() - this.#sinceProgress);
    const elapsedMs = nowMs - this.#sinceMs;
    const over = roundTripMs > 0 && elapsedMs >= roundTripMs;
    this.#widen(ROUND_TRIPS * (over ? (used * roundTripMs) / elapsedMs : used));
    if (!over) return;
    this.#sinceMs = nowMs;
    this.#sinceProgress = this.#progress();
    this.#arrived = 0;
  }

  /** The peer needs credit up to `maximum` at once, and may need as much again. */
  want(maximum: number): void {
    this.#wanted = Math.max(this.#wanted, maximum);
    this.#widen(2 * (maximum - this.#progress()));
  }

  /** Whether new credit is worth a frame. */
  get due(): boolean {
    const target = this.#target();
    return (
      target - this.maximum >= this.#ahead * CREDIT_STEP || (this.maximum < this.#wanted && target >= this.#wanted)
    );
  }

  /** Grants new credit; returns the new maximum. */
  grant(): number {
    this.maximum = Math.max(this.maximum, this.#target());
    return this.maximum;
  }

  #progress(): number {
    return this.highest - (this.available - this.read);
  }

  #target(): number {
    return Math.min(Math.max(this.#progress() + this.#ahead, this.#wanted), this.read + this.#limit);
  }

  #widen(ahead: number): void {
    this.#ahead = Math.min(this.#limit, Math.max(this.#ahead, Math.ceil(ahead)));
  }
}
