/**
 * Messages as they come: pieces are put together, compressed ones are unpacked, ordered ones wait for those before them, each
 * urgency by itself. All that is held was let in by the session's credit, of which a message takes all it needs with its first piece.
 */
import type { Compressor } from "./compressor.ts";
import { type RangeCount, RangeSet } from "./range-set.ts";
import { Ring } from "./ring.ts";
import { URGENCY_LEVELS } from "./scheduler.ts";
import { BAD_COMPRESSION, BAD_MESSAGE, type Fault, MESSAGE_TOO_LARGE, NO_COMPRESSION } from "./session-error.ts";
import { MESSAGE_OVERHEAD, type MessageFrame } from "./session-frames.ts";

interface PartialMessage {
  readonly bytes: Uint8Array;
  readonly plain: number;
  readonly type: number;
  readonly pieces: RangeSet;
  missing: number;
}

export class ReceiveMessages {
  readonly #largest: number;
  readonly #shared: RangeCount;
  readonly #ready: Ring<Uint8Array> = new Ring();
  /** By number: ordered ones, and unordered ones. */
  readonly #ordered: Map<number, PartialMessage> = new Map();
  readonly #unordered: Map<number, PartialMessage> = new Map();
  /** Whole ones that wait for others before them, by number. */
  readonly #early: Map<number, Uint8Array> = new Map();
  /** The number of the next ordered message of each urgency. */
  readonly #next: Float64Array = Float64Array.from({ length: URGENCY_LEVELS }, (_, urgency) => urgency);
  /** Credit of what the last frame made ready to be read. */
  readied = 0;

  /** `largest` is the most bytes of a message. */
  constructor(largest: number, shared: RangeCount) {
    this.#largest = largest;
    this.#shared = shared;
  }

  get readable(): boolean {
    return this.#ready.length > 0;
  }

  read(): Uint8Array | null {
    return this.#ready.shift() ?? null;
  }

  /** What reading a message gives back of the session's credit. */
  static creditOf(message: Uint8Array): number {
    return message.length + MESSAGE_OVERHEAD;
  }

  /** The credit that a frame takes: its message's, if it is the first of it. Asked before `take`. */
  costOf(frame: MessageFrame): number {
    const begun = frame.piece && (frame.ordered ? this.#ordered : this.#unordered).has(frame.number);
    return begun ? 0 : frame.plain + MESSAGE_OVERHEAD;
  }

  /** Takes a frame; returns what is wrong with it, or null. `compressor` is the session's. */
  take(frame: MessageFrame, data: Uint8Array, compressor: Compressor | null): Fault | null {
    this.readied = 0;
    if (frame.plain > this.#largest || frame.total > this.#largest) return MESSAGE_TOO_LARGE;
    if (frame.compressed && compressor === null) return NO_COMPRESSION;
    if (frame.compressed && frame.plain <= frame.total) return BAD_COMPRESSION;
    if (frame.ordered && frame.number < this.#next[frame.number % URGENCY_LEVELS]) return BAD_MESSAGE;
    if (frame.ordered && this.#early.has(frame.number)) return BAD_MESSAGE;
    if (frame.piece) return this.#takePiece(frame, data, compressor);
    if (frame.ordered && this.#ordered.has(frame.number)) return BAD_MESSAGE;
    return this.#finish(frame, data.slice(), compressor);
  }

  /** Everything is forgotten. */
  clear(): void {
    this.#ordered.clear();
    this.#unordered.clear();
    this.#early.clear();
    this.#ready.clear();
  }

  #takePiece(frame: MessageFrame, data: Uint8Array, compressor: Compressor | null): Fault | null {
    const { number, total, plain, offset, type } = frame;
    if (data.length === 0 || offset + data.length > total) return BAD_MESSAGE;
    const partials = frame.ordered ? this.#ordered : this.#unordered;
    let partial = partials.get(number);
    if (partial === undefined) {
      partial = { bytes: new Uint8Array(total), plain, type, pieces: new RangeSet(this.#shared), missing: total };
      partials.set(number, partial);
    }
    if (partial.type !== type || partial.plain !== plain || partial.bytes.length !== total) return BAD_MESSAGE;
    if (!partial.pieces.add(offset, offset + data.length)) return BAD_MESSAGE;
    partial.bytes.set(data, offset);
    partial.missing -= data.length;
    if (partial.missing > 0) return null;
    partials.delete(number);
    partial.pieces.clear();
    return this.#finish(frame, partial.bytes, compressor);
  }

  /** A whole message: unpacks it, and hands it out if it is its turn. */
  #finish(frame: MessageFrame, bytes: Uint8Array, compressor: Compressor | null): Fault | null {
    const message = frame.compressed ? compressor!.decompress(bytes, frame.plain) : bytes;
    if (message === null) return BAD_COMPRESSION;
    if (!frame.ordered) {
      this.#handOut(message);
      return null;
    }
    const level = frame.number % URGENCY_LEVELS;
    this.#early.set(frame.number, message);
    for (let next = this.#early.get(this.#next[level]); next !== undefined; next = this.#early.get(this.#next[level])) {
      this.#early.delete(this.#next[level]);
      this.#next[level] += URGENCY_LEVELS;
      this.#handOut(next);
    }
    return null;
  }

  #handOut(message: Uint8Array): void {
    this.#ready.push(message);
    this.readied += ReceiveMessages.creditOf(message);
  }
}
