/**
 * A list of parameters as either end tells them the other: id, length, value, of which unknown ids are skipped, so that later
 * versions can add some. What the ids mean is said by whoever owns a list. Source of the shape: RFC 9000, section 18.
 */
import { readVarint, varintLengthAt, writeVarint } from "./varint.ts";

export class ParameterWriter {
  readonly #bytes: Uint8Array;
  #at = 0;

  /** `most`: the most bytes that the list may take. */
  constructor(most: number) {
    this.#bytes = new Uint8Array(most);
  }

  bytes(id: number, value: ArrayLike<number>): void {
    this.#at = writeVarint(this.#bytes, this.#at, id);
    this.#at = writeVarint(this.#bytes, this.#at, value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  number(id: number, value: number): void {
    const scratch = new Uint8Array(8);
    this.bytes(id, scratch.subarray(0, writeVarint(scratch, 0, value)));
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }
}

/** Hands each parameter to `take`, which keeps its value or says false to what must not be; false for what is no list. */
export function readParameterList(from: Uint8Array, take: (id: number, value: Uint8Array) => boolean): boolean {
  const end = from.length;
  let at = 0;
  while (at < end) {
    const id = readVarint(from, at, end);
    if (id < 0) return false;
    at += varintLengthAt(from, at);
    const length = readVarint(from, at, end);
    if (length < 0) return false;
    at += varintLengthAt(from, at);
    if (at + length > end) return false;
    if (!take(id, from.slice(at, at + length))) return false;
    at += length;
  }
  return true;
}
