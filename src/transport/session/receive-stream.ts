/**
 * The receiving half of a stream: puts bytes in order and grants credit. Every byte comes once, for symbols do; a peer that sends
 * bytes twice, beyond its credit or past the end breaks the protocol.
 */

import { type RangeCount, RangeSet } from "./range-set.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";

/** New credit is granted in steps of this share of a window: often, so that one lost grant does not stop the peer. */
export const CREDIT_STEP = 1 / 8;

export class ReceiveStream {
  /** Credit: the peer may send bytes below this. */
  maximum: number;
  /** Its end, once known; else Infinity. */
  finalSize = Number.POSITIVE_INFINITY;
  readonly #window: number;
  readonly #buffer = new ReceiveBuffer();
  /** What came beyond the first gap; null until there is one. */
  #beyond: RangeSet | null = null;
  readonly #shared: RangeCount;
  /** All below came. */
  #next = 0;
  #highest = 0;

  /** `window` is how many bytes may be under way or waiting to be read. */
  constructor(window: number, shared: RangeCount) {
    this.#window = window;
    this.maximum = window;
    this.#shared = shared;
  }

  /** The highest offset that any byte came with: what counts against the session's credit. */
  get highest(): number {
    return this.#highest;
  }

  /** Bytes read by the application. */
  get readBytes(): number {
    return this.#buffer.readOffset;
  }

  /** Whether all was read. */
  get done(): boolean {
    return this.#buffer.readOffset === this.finalSize;
  }

  get readable(): boolean {
    return this.#buffer.readOffset < this.#next;
  }

  /** Takes bytes; returns false when they break the protocol. */
  receive(offset: number, data: Uint8Array, fin: boolean): boolean {
    const end = offset + data.length;
    if (end > this.maximum || end > this.finalSize || (fin && end < this.#highest)) return false;
    if (fin && this.finalSize !== Number.POSITIVE_INFINITY && this.finalSize !== end) return false;
    if (fin) this.finalSize = end;
    this.#highest = Math.max(this.#highest, end);
    if (data.length === 0) return true;
    if (offset < this.#next) return false;
    if (offset === this.#next && (this.#beyond === null || this.#beyond.count === 0)) {
      this.#next = end;
    } else {
      this.#beyond ??= new RangeSet(this.#shared);
      if (!this.#beyond.add(offset, end)) return false;
      this.#next = this.#beyond.takeFrom(this.#next);
    }
    this.#buffer.write(offset, data);
    return true;
  }

  /** The next bytes in order, or null when there are none. A view that nothing is written to any more. */
  read(): Uint8Array | null {
    return this.#buffer.read(this.#next);
  }

  /** The stream is forgotten. */
  abandon(): void {
    this.#beyond?.clear();
  }

  /** New credit, when a part of the window was read since the last; else 0. */
  grant(): number {
    const maximum = this.#buffer.readOffset + this.#window;
    if (this.finalSize !== Number.POSITIVE_INFINITY || maximum - this.maximum < this.#window * CREDIT_STEP) return 0;
    this.maximum = maximum;
    return maximum;
  }
}
