/**
 * The dense system of inactivation decoding: equations over the inactive symbols come a few at a time, each is told to be
 * innovative or not, and at full rank the inverse is there. Blocked Gauss-Jordan elimination on coefficients; knows no symbol
 * data.
 */
import { type Arena, INVERSE, type Pointer, type Region } from "../gf/index.ts";

/** The most equations that `add` takes at once. */
export const MAX_EQUATIONS = 64;

export class InactiveSolver {
  /** How many unknowns. */
  readonly size: number;
  readonly #arena: Arena;
  /**
   * Row r: `size` coefficients, then which sum of the equations taken it is. Reduced: a row has 1 at its pivot, where all others
   * have 0. MAX_EQUATIONS more rows to work in.
   */
  readonly #rows: Pointer;
  readonly #stride: number;
  /** The row whose pivot an unknown is, or -1. */
  readonly #rowOfPivot: Int32Array;
  readonly #pivotOfRow: Int32Array;
  /** Pointers to all rows, and room for the coefficients of a product of rows. */
  readonly #rowList: Pointer;
  readonly #factors: Pointer;
  #rank = 0;

  /** Its memory is the region's, who releases it. */
  constructor(region: Region, size: number) {
    this.size = size;
    this.#arena = region.arena;
    this.#stride = Math.max(16, Math.ceil((2 * size) / 16) * 16);
    this.#rows = region.allocate((size + MAX_EQUATIONS) * this.#stride);
    this.#rowOfPivot = new Int32Array(size).fill(-1);
    this.#pivotOfRow = new Int32Array(size);
    this.#rowList = region.allocate(4 * (size + MAX_EQUATIONS));
    this.#factors = region.allocate(size * MAX_EQUATIONS);
    for (let r = 0; r < size + MAX_EQUATIONS; r++) {
      this.#arena.words[(this.#rowList >>> 2) + r] = this.#rows + r * this.#stride;
    }
  }

  get rank(): number {
    return this.#rank;
  }

  get complete(): boolean {
    return this.#rank === this.size;
  }

  /**
   * Takes `count` equations, at most MAX_EQUATIONS, whose `size` coefficients each lie `stride` bytes apart from `equations`;
   * returns the indices of those that were innovative, in the order in which they were taken.
   */
  add(equations: Pointer, stride: number, count: number): number[] {
    if (this.complete || count === 0) return [];
    const { size } = this;
    const { bytes, kernel } = this.#arena;
    const rank = this.#rank;
    const length = Math.min(2 * size, size + rank + count);
    const work = this.#rowList + 4 * rank;
    for (let e = 0; e < count; e++) {
      const row = this.#row(rank + e);
      bytes.copyWithin(row, equations + e * stride, equations + e * stride + size);
      bytes.fill(0, row + size, row + this.#stride);
      for (let r = 0; r < rank; r++) bytes[this.#factors + e * rank + r] = bytes[row + this.#pivotOfRow[r]];
    }
    kernel.multiplyAdd(work, this.#rowList, this.#factors, count, rank, length);
    const taken = this.#eliminateNew(count, length);
    const added = taken.length;
    // The new pivots leave the rows that were there before.
    for (let r = 0; r < rank; r++) {
      for (let i = 0; i < added; i++) {
        bytes[this.#factors + r * added + i] = bytes[this.#row(r) + this.#pivotOfRow[rank + i]];
      }
    }
    kernel.multiplyAdd(this.#rowList, work, this.#factors, rank, added, length);
    return taken;
  }

  /**
   * Writes the inverse to `target`, size x size bytes: unknown i is the sum of target[i size + e] times the right side of
   * equation e, in the order in which they were taken. Needs full rank.
   */
  writeInverse(target: Pointer): void {
    const { bytes } = this.#arena;
    for (let i = 0; i < this.size; i++) {
      const from = this.#row(this.#rowOfPivot[i]) + this.size;
      bytes.copyWithin(target + i * this.size, from, from + this.size);
    }
  }

  #row(r: number): Pointer {
    return this.#rows + r * this.#stride;
  }

  /** Reduces the `count` new rows among each other; those that stay move to the front and count. */
  #eliminateNew(count: number, length: number): number[] {
    const { size } = this;
    const { bytes, kernel } = this.#arena;
    const first = this.#rank;
    const taken: number[] = [];
    for (let e = 0; e < count && !this.complete; e++) {
      const rank = this.#rank;
      const row = this.#row(rank);
      if (rank !== first + e) bytes.copyWithin(row, this.#row(first + e), this.#row(first + e) + this.#stride);
      bytes[row + size + rank] = 1;
      for (let r = first; r < rank; r++) {
        const factor = bytes[row + this.#pivotOfRow[r]];
        if (factor !== 0) kernel.mulAdd(row, this.#row(r), factor, length);
      }
      let pivot = 0;
      while (pivot < size && bytes[row + pivot] === 0) pivot++;
      if (pivot === size) continue;
      kernel.scale(row, INVERSE[bytes[row + pivot]], length);
      for (let r = first; r < rank; r++) {
        const factor = bytes[this.#row(r) + pivot];
        if (factor !== 0) kernel.mulAdd(this.#row(r), row, factor, length);
      }
      this.#rowOfPivot[pivot] = rank;
      this.#pivotOfRow[rank] = pivot;
      this.#rank = rank + 1;
      taken.push(e);
    }
    return taken;
  }
}
