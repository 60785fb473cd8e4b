/**
 * The receiving half of a stream: puts bytes in order and grants credit. Every byte comes once, for symbols do; a peer that sends
 * bytes twice, beyond its credit or past the end breaks the protocol.
 */

/** New credit is granted in steps of this share of a window: often, so that one lost grant does not stop the peer. */
export const CREDIT_STEP = 1 / 8;

export class ReceiveStream {
  /** Credit: the peer may send bytes below this. */
  maximum: number;
  /** Its end, once known; else Infinity. */
  finalSize = Number.POSITIVE_INFINITY;
  readonly #window: number;
  readonly #segments: Map<number, Uint8Array> = new Map();
  /** In order, not read yet. */
  readonly #ready: Uint8Array[] = [];
  #next = 0;
  #read = 0;
  #received = 0;
  #highest = 0;

  /** `window` is how many bytes may be under way or waiting to be read. */
  constructor(window: number) {
    this.#window = window;
    this.maximum = window;
  }

  /** The highest offset that any byte came with: what counts against the session's credit. */
  get highest(): number {
    return this.#highest;
  }

  /** Bytes read by the application. */
  get readBytes(): number {
    return this.#read;
  }

  /** Whether all was read. */
  get done(): boolean {
    return this.#read === this.finalSize;
  }

  get readable(): boolean {
    return this.#ready.length > 0;
  }

  /** Takes bytes; returns false when they break the protocol. */
  receive(offset: number, data: Uint8Array, fin: boolean): boolean {
    const end = offset + data.length;
    if (end > this.maximum || end > this.finalSize || (fin && end < this.#highest)) return false;
    if (fin && this.finalSize !== Number.POSITIVE_INFINITY && this.finalSize !== end) return false;
    if (fin) this.finalSize = end;
    this.#highest = Math.max(this.#highest, end);
    if (data.length === 0) return true;
    if (offset < this.#next || this.#segments.has(offset)) return false;
    this.#received += data.length;
    if (this.#received > this.#highest) return false;
    this.#segments.set(offset, data.slice());
    for (let segment = this.#segments.get(this.#next); segment !== undefined; ) {
      this.#segments.delete(this.#next);
      this.#ready.push(segment);
      this.#next += segment.length;
      segment = this.#segments.get(this.#next);
    }
    return true;
  }

  /** The next bytes in order, or null when there are none. */
  read(): Uint8Array | null {
    const data = this.#ready.shift() ?? null;
    if (data !== null) this.#read += data.length;
    return data;
  }

  /** New credit, when a part of the window was read since the last; else 0. */
  grant(): number {
    const maximum = this.#read + this.#window;
    if (this.finalSize !== Number.POSITIVE_INFINITY || maximum - this.maximum < this.#window * CREDIT_STEP) return 0;
    this.maximum = maximum;
    return maximum;
  }
}
