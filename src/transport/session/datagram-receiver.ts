/**
 * Datagrams as they arrive: whole ones wait to be read, parts for the rest of their datagram. Bounded: who does not read loses what
 * comes then, as with a full socket buffer; of what stays in parts the oldest gives way.
 */
import { DatagramFrame } from "./datagram-frames.ts";
import { Views } from "./views.ts";

/** Bytes of whole datagrams that wait to be read, each counted with what it costs beside its data. */
export const DATAGRAM_READ_BYTES = 4 * 2 ** 20;
const DATAGRAM_COST = 128;
/** Bytes of datagrams of which parts are missing. */
const PARTIAL_BYTES = 4 * 2 ** 20;

/**
 * Gets datagrams as they come, lent for the time of the call and not to be written to, and says whether it took them; those that it
 * did not take wait to be read. It must not call the session.
 */
export type DatagramSink = (data: Uint8Array) => boolean;

/** Of source symbols. */
const views = new Views();

interface Partial {
  readonly data: Uint8Array;
  readonly offsets: Set<number>;
  received: number;
  /** The highest batch that a part came in. */
  batch: number;
}

export class DatagramReceiver {
  /** Handed out whole, and bytes of those; whole, but not read in time; never whole; malformed. */
  readonly counts = { delivered: 0, deliveredBytes: 0, overflowed: 0, incomplete: 0, invalid: 0 };
  readonly #frame = new DatagramFrame();
  readonly #partial: Map<number, Partial> = new Map();
  #partialBytes = 0;
  #whole: Uint8Array[] = [];
  #head = 0;
  #bytes = 0;
  #lowest = 0;
  sink: DatagramSink | null = null;

  get readable(): boolean {
    return this.#head < this.#whole.length;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes + this.#partialBytes;
  }

  /** Datagrams of which something is missing. */
  get partial(): number {
    return this.#partial.size;
  }

  /** Takes a source symbol; returns false when it is malformed. */
  take(symbol: Uint8Array, batch: number): boolean {
    const frame = this.#frame;
    for (let at = 0; at < symbol.length; ) {
      at = frame.read(symbol, at);
      if (at < 0) {
        this.counts.invalid++;
        return false;
      }
      const bytes = views.of(symbol, frame.start, frame.end);
      if (frame.number < 0) this.#deliver(bytes, true);
      else this.#takePart(bytes, batch);
    }
    return true;
  }

  /** No more comes of batches below. */
  forgetBelow(batch: number): void {
    if (batch <= this.#lowest) return;
    this.#lowest = batch;
    for (const [number, partial] of this.#partial) if (partial.batch < batch) this.#drop(number, partial);
  }

  read(): Uint8Array | null {
    if (!this.readable) return null;
    const data = this.#whole[this.#head];
    this.#whole[this.#head++] = EMPTY;
    this.#bytes -= data.length + DATAGRAM_COST;
    this.counts.delivered++;
    this.counts.deliveredBytes += data.length;
    if (this.#head === this.#whole.length) {
      this.#whole.length = 0;
      this.#head = 0;
    } else if (this.#head >= 1024 && 2 * this.#head >= this.#whole.length) {
      this.#whole = this.#whole.slice(this.#head);
      this.#head = 0;
    }
    return data;
  }

  #deliver(data: Uint8Array, lent: boolean): void {
    if (this.sink?.(data) === true) {
      this.counts.delivered++;
      this.counts.deliveredBytes += data.length;
      return;
    }
    if (this.#bytes + data.length + DATAGRAM_COST > DATAGRAM_READ_BYTES) {
      this.counts.overflowed++;
      return;
    }
    this.#bytes += data.length + DATAGRAM_COST;
    this.#whole.push(lent ? data.slice() : data);
  }

  #takePart(bytes: Uint8Array, batch: number): void {
    const { number, offset, total } = this.#frame;
    const partial = this.#partial.get(number) ?? this.#begin(number, total);
    if (partial.data.length !== total || partial.offsets.has(offset)) {
      this.counts.invalid++;
      return;
    }
    partial.offsets.add(offset);
    partial.data.set(bytes, offset);
    partial.received += bytes.length;
    partial.batch = Math.max(partial.batch, batch);
    if (partial.received < total) return;
    this.#partial.delete(number);
    this.#partialBytes -= total;
    if (partial.received === total) this.#deliver(partial.data, false);
    else this.counts.invalid++;
  }

  #begin(number: number, total: number): Partial {
    for (const [oldest, partial] of this.#partial) {
      if (this.#partialBytes + total <= PARTIAL_BYTES) break;
      this.#drop(oldest, partial);
    }
    const partial: Partial = { data: new Uint8Array(total), offsets: new Set(), received: 0, batch: 0 };
    this.#partial.set(number, partial);
    this.#partialBytes += total;
    return partial;
  }

  #drop(number: number, partial: Partial): void {
    this.#partial.delete(number);
    this.#partialBytes -= partial.data.length;
    this.counts.incomplete++;
  }
}

const EMPTY = new Uint8Array();
