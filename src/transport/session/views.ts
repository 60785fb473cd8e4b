/**
 * Views into arrays that are used over and over, such as the memory of a socket: a view costs more than what is done with it, and
 * packets of a flow mostly lie at the same places. Holds on to a few arrays; not for the arena's memory, which may move.
 *
 * Hot: once a symbol.
 */

/** Stretches that are told apart, by where they begin: packets of a train lie further apart than this many bytes. */
const SLOTS = 1024;
const SLOT_BITS = 10;
const EMPTY = new Uint8Array(0);

export class Views {
  readonly #arrays: Uint8Array[] = new Array(SLOTS).fill(EMPTY);
  readonly #starts = new Uint32Array(SLOTS);
  readonly #ends = new Uint32Array(SLOTS);
  readonly #views: Uint8Array[] = new Array(SLOTS).fill(EMPTY);

  /** `bytes` from `start` to `end`. */
  of(bytes: Uint8Array, start: number, end: number): Uint8Array {
    const slot = ((bytes.byteOffset + start) >>> SLOT_BITS) & (SLOTS - 1);
    if (this.#arrays[slot] === bytes && this.#starts[slot] === start && this.#ends[slot] === end)
      return this.#views[slot];
    const made = bytes.subarray(start, end);
    this.#arrays[slot] = bytes;
    this.#starts[slot] = start;
    this.#ends[slot] = end;
    this.#views[slot] = made;
    return made;
  }
}
