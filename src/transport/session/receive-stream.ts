/**
 * The receiving half of a stream: puts bytes in order, and its credit. Every byte comes once, for symbols do; a peer that sends
 * bytes twice, beyond its credit or past the end breaks the protocol.
 */
import { BlockReader } from "./compressed-blocks.ts";
import type { Compressor } from "./compressor.ts";
import { type RangeCount, RangeSet } from "./range-set.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import {
  BAD_COMPRESSION,
  BAD_FINAL_SIZE,
  BAD_STREAM_DATA,
  BEYOND_STREAM_CREDIT,
  type Fault,
  NO_COMPRESSION,
  TOO_MANY_GAPS,
} from "./session-error.ts";

export class ReceiveStream {
  readonly window: ReceiveWindow;
  /** Its end, once known; else Infinity. */
  finalSize = Number.POSITIVE_INFINITY;
  /** What reading found to be wrong. */
  fault: Fault | null = null;
  readonly #buffer = new ReceiveBuffer();
  /** What came beyond the first gap; null until there is one. */
  #beyond: RangeSet | null = null;
  readonly #shared: RangeCount;
  /** Of a compressed stream. Undefined until the first byte says which it is. */
  #blocks: BlockReader | null | undefined;
  /** All below came. */
  #next = 0;

  constructor(window: ReceiveWindow, shared: RangeCount) {
    this.window = window;
    this.#shared = shared;
  }

  /** Whether all was read. */
  get done(): boolean {
    return this.#buffer.readOffset === this.finalSize && (this.#blocks?.atEnd ?? true);
  }

  get readable(): boolean {
    return this.#buffer.readOffset < this.#next;
  }

  /** Takes bytes; returns what is wrong with them, or null. `compressor` is the session's, for a stream that is compressed. */
  receive(
    offset: number,
    data: Uint8Array,
    fin: boolean,
    compressed: boolean,
    compressor: Compressor | null,
  ): Fault | null {
    const end = offset + data.length;
    if (end > this.window.maximum) return BEYOND_STREAM_CREDIT;
    if (end > this.finalSize || (fin && end < this.window.highest)) return BAD_FINAL_SIZE;
    if (fin && this.finalSize !== Number.POSITIVE_INFINITY && this.finalSize !== end) return BAD_FINAL_SIZE;
    if (this.#blocks === undefined) {
      if (compressed && compressor === null) return NO_COMPRESSION;
      this.#blocks = compressed ? new BlockReader(compressor!) : null;
      if (compressed) this.releasing = false;
    } else if ((this.#blocks !== null) !== compressed) {
      return BAD_COMPRESSION;
    }
    if (fin) this.finalSize = end;
    this.window.highest = Math.max(this.window.highest, end);
    if (data.length === 0) return null;
    if (offset < this.#next) return BAD_STREAM_DATA;
    if (offset === this.#next && (this.#beyond === null || this.#beyond.count === 0)) {
      this.#next = end;
    } else {
      this.#beyond ??= new RangeSet(this.#shared);
      if (!this.#beyond.add(offset, end)) return this.#beyond.full ? TOO_MANY_GAPS : BAD_STREAM_DATA;
      this.#next = this.#beyond.takeFrom(this.#next);
    }
    this.#buffer.write(offset, data);
    this.window.available = this.#next;
    return null;
  }

  /** The next bytes in order, or null when there are none. A view that nothing is written to any more, until it is released. */
  read(): Uint8Array | null {
    const data = this.#blocks == null ? this.#buffer.read(this.#next) : this.#readBlock(this.#blocks);
    this.window.read = this.#buffer.readOffset;
    return data;
  }

  /** Whether what is read from now on is released when nobody looks at it any more. Of a compressed stream there is nothing to release. */
  set releasing(on: boolean) {
    this.#buffer.releasing = on && this.#blocks == null;
  }

  /** A view that `read` returned is not looked at any more: its memory may be used again. */
  release(view: Uint8Array): void {
    this.#buffer.release(view);
  }

  /** New credit is worth a frame. */
  get creditDue(): boolean {
    return this.finalSize === Number.POSITIVE_INFINITY && this.window.due;
  }

  /** The stream is forgotten. */
  abandon(): void {
    this.#beyond?.clear();
  }

  #readBlock(blocks: BlockReader): Uint8Array | null {
    for (;;) {
      const plain = blocks.next();
      if (plain !== null) return plain;
      const piece = blocks.malformed ? null : this.#buffer.read(this.#next);
      if (piece === null) break;
      blocks.feed(piece);
    }
    const cutOff = this.#buffer.readOffset === this.finalSize && !blocks.atEnd;
    if (blocks.malformed || cutOff) this.fault = BAD_COMPRESSION;
    return null;
  }
}
