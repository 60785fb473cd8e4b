/**
 * The sending half of a stream: bytes that wait for their symbol. What is in a symbol is the batch's care and leaves here, for
 * symbols are delivered exactly once. Not flow control of the session, only the stream's own limit.
 */
import { BLOCK_BYTES, BLOCK_HEADER_BYTES, writeBlock } from "./compressed-blocks.ts";
import type { Compressor } from "./compressor.ts";
import { SendBuffer } from "./send-buffer.ts";

/** Bytes that wait in one stream before `write` takes no more. */
export const SEND_BUFFER_BYTES = 1 << 20;

export class SendStream {
  /** The next byte to be put into a symbol. */
  offset = 0;
  /** The peer takes bytes below this. */
  maximum: number;
  /** Of a compressed stream; set before the first byte. */
  compressor: Compressor | null = null;
  readonly #buffer = new SendBuffer();
  #finished = false;
  #finSent = false;

  constructor(maximum: number) {
    this.maximum = maximum;
  }

  /** Whether its end was announced to the peer. */
  get done(): boolean {
    return this.#finSent;
  }

  /** Whether nothing may be written any more. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Bytes that wait. */
  get buffered(): number {
    return this.#buffer.length;
  }

  /** Copies as much of `data` as there is room for; returns how many bytes that is. */
  write(data: Uint8Array): number {
    if (this.#finished) return 0;
    if (this.compressor !== null) return this.#writeBlocks(data, this.compressor);
    const length = Math.min(data.length, SEND_BUFFER_BYTES - this.#buffer.length);
    this.#buffer.write(data, 0, length);
    return length;
  }

  finish(): void {
    this.#finished = true;
  }

  /** Throws away what waits; no end is announced. */
  abandon(): void {
    this.#finished = true;
    this.#finSent = true;
    this.#buffer.clear();
  }

  /** How many bytes could be sent under the stream's limit. */
  get sendableBytes(): number {
    return Math.max(0, Math.min(this.#buffer.length, this.maximum - this.offset));
  }

  /** Whether nothing but its end is left to say. */
  get ending(): boolean {
    return this.#finished && !this.#finSent && this.#buffer.length === 0;
  }

  /** Whether the next `length` bytes are its last. */
  endsAfter(length: number): boolean {
    return this.#finished && length === this.#buffer.length;
  }

  /** Moves the next `length` bytes to `target`. */
  take(length: number, target: Uint8Array, at: number): void {
    if (this.endsAfter(length)) this.#finSent = true;
    this.offset += length;
    this.#buffer.take(length, target, at);
  }

  #writeBlocks(data: Uint8Array, compressor: Compressor): number {
    let at = 0;
    while (at < data.length) {
      const room = SEND_BUFFER_BYTES - this.#buffer.length - BLOCK_HEADER_BYTES;
      const bytes = Math.min(BLOCK_BYTES, data.length - at);
      if (bytes > room) break;
      writeBlock(this.#buffer, data.subarray(at, at + bytes), compressor);
      at += bytes;
    }
    return at;
  }
}
