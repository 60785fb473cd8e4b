/**
 * The symbols that a batch's encoder, recoder or decoder holds: slots of a pool, each with its length and with how far it is
 * zero-padded. Knows nothing of coefficients.
 */
import type { Arena, Pointer, Region } from "../gf/index.ts";
import { LENGTH_BYTES, type SymbolPool } from "./symbol-pool.ts";

/** Up to `capacity` symbols, whose pointers form a list in the arena that a kernel can read. */
export class BatchSymbols {
  readonly arena: Arena;
  readonly pool: SymbolPool;
  /** The list of `capacity` pointers, 0 where there is no symbol. */
  readonly list: Pointer;
  /** Bytes in a slot that are the symbol: for a source symbol its length field and data. 0 where there is none. */
  readonly used: Uint32Array;
  readonly #padded: Uint32Array;
  readonly #capacity: number;

  /** The list's memory is the region's, who releases it after `clear`. */
  constructor(region: Region, pool: SymbolPool, capacity: number) {
    this.pool = pool;
    this.arena = pool.arena;
    this.#capacity = capacity;
    this.list = region.allocateZeroed(4 * capacity);
    this.used = new Uint32Array(capacity);
    this.#padded = new Uint32Array(capacity);
  }

  has(index: number): boolean {
    return this.used[index] !== 0;
  }

  slot(index: number): Pointer {
    return this.arena.words[(this.list >>> 2) + index];
  }

  /** Makes `slot` the symbol `index`, of `used` bytes. */
  put(index: number, slot: Pointer, used: number): void {
    this.arena.words[(this.list >>> 2) + index] = slot;
    this.used[index] = used;
    this.#padded[index] = used;
  }

  /** Copies a source symbol into a new slot, with its length. Returns false when the pool has no slot. */
  putSource(index: number, data: Uint8Array): boolean {
    const { length } = data;
    const slot = this.pool.acquireCopy(data, LENGTH_BYTES);
    if (slot === 0) return false;
    const { bytes } = this.arena;
    bytes[slot] = length & 255;
    bytes[slot + 1] = length >> 8;
    this.put(index, slot, LENGTH_BYTES + length);
    return true;
  }

  /** Copies a coded symbol's payload into a new slot. Returns false when the pool has no slot. */
  putCoded(index: number, payload: Uint8Array): boolean {
    const { length } = payload;
    const slot = this.pool.acquireCopy(payload, 0);
    if (slot === 0) return false;
    this.put(index, slot, length);
    return true;
  }

  /** Zero-pads symbols `from` to `to` - 1, as far as there are any, to `length` bytes. */
  pad(from: number, to: number, length: number): void {
    const { bytes, words } = this.arena;
    for (let i = from; i < to; i++) {
      const padded = this.#padded[i];
      if (padded >= length || this.used[i] === 0) continue;
      const slot = words[(this.list >>> 2) + i];
      bytes.fill(0, slot + padded, slot + length);
      this.#padded[i] = length;
    }
  }

  /** Gives the slot of symbol `index` back. */
  drop(index: number): void {
    this.pool.release(this.slot(index));
    this.put(index, 0, 0);
  }

  /** Swaps two entries. */
  swap(a: number, b: number): void {
    const { words } = this.arena;
    const at = this.list >>> 2;
    const slot = words[at + a];
    words[at + a] = words[at + b];
    words[at + b] = slot;
    const used = this.used[a];
    this.used[a] = this.used[b];
    this.used[b] = used;
    const padded = this.#padded[a];
    this.#padded[a] = this.#padded[b];
    this.#padded[b] = padded;
  }

  /** Gives all slots back. */
  clear(): void {
    for (let i = 0; i < this.#capacity; i++) if (this.used[i] !== 0) this.drop(i);
  }
}
