/**
 * The sending half of a stream: bytes that wait for their symbol. What is in a symbol is the batch's care and leaves here, for
 * symbols are delivered exactly once. Not flow control of the session, only the stream's own limit.
 */

/** Bytes that wait in one stream before `write` takes no more. */
export const SEND_BUFFER_BYTES = 1 << 20;

export class SendStream {
  readonly id: number;
  /** The next byte to be put into a symbol. */
  offset = 0;
  /** The peer takes bytes below this. */
  maximum: number;
  readonly #chunks: Uint8Array[] = [];
  #head = 0;
  #buffered = 0;
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
    const length = Math.min(data.length, SEND_BUFFER_BYTES - this.#buffered);
    if (length > 0) {
      this.#chunks.push(data.slice(0, length));
      this.#buffered += length;
    }
    return length;
  }

  finish(): void {
    this.#finished = true;
  }

  /** Throws away what waits; no end is announced. */
  abandon(): void {
    this.#finished = true;
    this.#finSent = true;
    this.#chunks.length = 0;
    this.#head = 0;
    this.#buffered = 0;
  }

  /** How many bytes could be sent under the stream's limit. */
  get sendableBytes(): number {
    return Math.min(this.#buffered, this.maximum - this.offset);
  }

  /** Whether there is anything to send under the stream's limit: bytes or its end. */
  get ready(): boolean {
    return this.sendableBytes > 0 || (this.#finished && !this.#finSent && this.#buffered === 0);
  }

  /** Whether the next `length` bytes are its last. */
  endsAfter(length: number): boolean {
    return this.#finished && length === this.#buffered;
  }

  /** Moves the next `length` bytes to `target`. */
  take(length: number, target: Uint8Array, at: number): void {
    if (this.endsAfter(length)) this.#finSent = true;
    this.offset += length;
    this.#buffered -= length;
    let to = at;
    let left = length;
    while (left > 0) {
      const chunk = this.#chunks[0];
      const part = Math.min(left, chunk.length - this.#head);
      target.set(chunk.subarray(this.#head, this.#head + part), to);
      to += part;
      left -= part;
      this.#head += part;
      if (this.#head === chunk.length) {
        this.#chunks.shift();
        this.#head = 0;
      }
    }
  }
}
