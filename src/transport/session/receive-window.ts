/**
 * Credit that a receiver grants, for a stream or for a session: how far the peer may send. It begins small and grows to what the
 * path needs, as Linux sizes its buffers ("dynamic right-sizing", Fisk and Feng, 2001): a multiple of what arrives in a round trip.
 *
 * Where the application keeps up, the multiple is granted beyond the highest that came, not beyond what was read: at high loss what was
 * read may lie round trips behind, waiting for one symbol. Where it does not keep up, credit follows its reading. Never is more
 * granted than `limit` beyond what was read. What is granted costs nothing until it comes.
 */

/** Round trips' worth of arrivals that are granted ahead: credit is one old when it is used, and rates double or treble in one. */
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
  /** Arrivals are measured from here on. */
  #sinceMs = Number.NaN;
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
    const elapsedMs = nowMs - this.#sinceMs;
    const over = roundTripMs > 0 && elapsedMs >= roundTripMs;
    const perRoundTrip = over ? (this.#arrived * roundTripMs) / elapsedMs : this.#arrived;
    this.#ahead = Math.min(this.#limit, Math.max(this.#ahead, Math.ceil(ROUND_TRIPS * perRoundTrip)));
    if (!over) return;
    this.#sinceMs = nowMs;
    this.#arrived = 0;
  }

  /** The peer needs credit up to `maximum` at once. */
  want(maximum: number): void {
    this.#wanted = Math.max(this.#wanted, maximum);
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

  #target(): number {
    const behind = this.available - this.read > this.#ahead * CREDIT_STEP;
    const target = Math.max((behind ? this.read : this.highest) + this.#ahead, this.#wanted);
    return Math.min(target, this.read + this.#limit);
  }
}
