/**
 * The sending half of a stream: bytes that wait for their symbol. What is in a symbol is the batch's care and leaves here, for
 * symbols are delivered exactly once. Not flow control of the session, only the stream's own limit.
 */
import { SendBuffer } from "./send-buffer.ts";

/** Bytes that wait in one stream before `write` takes no more. */
export const SEND_BUFFER_BYTES = 1 << 20;

export class SendStream {
  readonly id: number;
  /** The next byte to be put into a symbol. */
  offset = 0;
  /** The peer takes bytes below this. */
  maximum: number;
  readonly #buffer = new SendBuffer();
  #finished = false;
  #finSent = false;

  constructor(id: number, maximum: number) {
    this.id = id;
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

  /** Copies as much of `data` as there is room for; returns how many bytes that is. */
  write(data: Uint8Array): number {
    if (this.#finished) return 0;
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
    return Math.min(this.#buffer.length, this.maximum - this.offset);
  }

  /** Whether there is anything to send under the stream's limit: bytes or its end. */
  get ready(): boolean {
    return this.sendableBytes > 0 || (this.#finished && !this.#finSent && this.#buffer.length === 0);
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
}
