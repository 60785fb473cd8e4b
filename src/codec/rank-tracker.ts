/**
 * Tells which coefficient vectors of a batch are linearly independent of those before: a row echelon form, built vector by
 * vector. Holds no symbols and keeps no transform.
 */
import { INVERSE, PRODUCT } from "../gf/index.ts";

export class RankTracker {
  readonly width: number;
  /** Row p, where there is one, has its first non-zero, a 1, at column p. */
  readonly #echelon: Uint8Array;
  readonly #hasPivot: Uint8Array;
  readonly #work: Uint8Array;
  #rank = 0;

  /** `width` is the length of the vectors, in bytes. */
  constructor(width: number) {
    this.width = width;
    this.#echelon = new Uint8Array(width * width);
    this.#hasPivot = new Uint8Array(width);
    this.#work = new Uint8Array(width);
  }

  get rank(): number {
    return this.#rank;
  }

  /** Whether a vector of up to `width` bytes (the rest counts as zeros) is independent of those added. Adds nothing. */
  test(vector: Uint8Array): boolean {
    if (this.#rank === this.width) return false;
    const { width } = this;
    const work = this.#work;
    work.fill(0);
    work.set(vector);
    let independent = false;
    for (let column = 0; column < width; column++) {
      const factor = work[column] << 8;
      if (factor === 0) continue;
      if (this.#hasPivot[column] === 0) {
        independent = true;
        continue;
      }
      const row = column * width;
      for (let i = column; i < width; i++) work[i] ^= PRODUCT[factor | this.#echelon[row + i]];
    }
    return independent;
  }

  /** Adds the vector that `test` was last called with, which must have been independent. */
  add(): void {
    const { width } = this;
    const work = this.#work;
    let pivot = 0;
    while (work[pivot] === 0) pivot++;
    const factor = INVERSE[work[pivot]] << 8;
    for (let i = pivot; i < width; i++) this.#echelon[pivot * width + i] = PRODUCT[factor | work[i]];
    this.#hasPivot[pivot] = 1;
    this.#rank++;
  }

  /** Forgets all vectors. */
  reset(): void {
    this.#hasPivot.fill(0);
    this.#rank = 0;
  }
}
