/**
 * What an outer-code batch is a combination of: its degree, its intermediate symbols and its generator matrix, all from the
 * object's parameters and the batch's id. Layout of the pseudorandom numbers: docs/wire-format.md, "Batches".
 */
import type { Arena, Pointer } from "../gf/index.ts";
import { type DegreeTable, degreeOf, systematicDegree } from "./degrees.ts";
import { degreeTable, type ObjectParameters, SYSTEMATIC } from "./object-parameters.ts";
import type { PrecodeSizes } from "./precode.ts";
import { TinyMt32 } from "./tinymt32.ts";

/** Generates the batches of blocks of one size; what it generated last stands in its fields. */
export class OuterBatchGenerator {
  /** How many intermediate symbols the batch combines. */
  degree = 0;
  /** Which: the first `degree` entries. */
  readonly columns: Uint32Array;
  /** How many symbols the batch has: M, or less for the last source batch. */
  size = 0;
  /** Whether its symbols are source symbols as they are. */
  isSource = false;
  readonly #parameters: ObjectParameters;
  readonly sizes: PrecodeSizes;
  readonly #blocks: number;
  /** Undefined where the object is systematic. */
  readonly #table: DegreeTable | undefined;
  readonly #generator: TinyMt32 = new TinyMt32(0);
  /** 0 to L - 1; swaps of one batch are undone after it. */
  readonly #permutation: Uint32Array;
  readonly #swaps: Uint32Array;

  /** `blocks` is how many blocks the object has: batch ids go round them. */
  constructor(parameters: ObjectParameters, sizes: PrecodeSizes, blocks: number) {
    this.#parameters = parameters;
    this.sizes = sizes;
    this.#blocks = blocks;
    const { degreeTable: id, batchSize } = parameters;
    this.#table = id === SYSTEMATIC ? undefined : degreeTable(id, batchSize);
    this.columns = new Uint32Array(sizes.intermediate);
    this.#permutation = Uint32Array.from({ length: sizes.intermediate }, (_, i) => i);
    this.#swaps = new Uint32Array(sizes.intermediate);
  }

  /** How many batches, from the block's first on, are the source symbols themselves. */
  get sourceBatches(): number {
    return this.#table === undefined ? Math.ceil(this.sizes.source / this.#parameters.batchSize) : 0;
  }

  /** The most intermediate symbols that any batch combines, and no less than M. */
  get maximumDegree(): number {
    const { intermediate } = this.sizes;
    const degree =
      this.#table === undefined || this.sizes.hdpc === 0
        ? intermediate
        : this.#table.degrees[this.#table.degrees.length - 1];
    return Math.max(Math.min(degree, intermediate), this.#parameters.batchSize);
  }

  /** The degree of the block's coded batch `index`, from 0. */
  #degreeOf(index: number): number {
    const { ldpc, hdpc, intermediate } = this.sizes;
    if (hdpc === 0) return intermediate;
    if (this.#table !== undefined) return Math.min(degreeOf(this.#table, index), intermediate);
    return systematicDegree(index, this.#parameters.batchSize, ldpc + hdpc, intermediate);
  }

  /** Whether batch `id` has all the symbols that a vector of M bytes combines: the last source batch may be short. */
  exists(id: number, vector: Uint8Array): boolean {
    const { batchSize } = this.#parameters;
    const number = Math.floor(id / this.#blocks);
    if (number >= this.sourceBatches) return true;
    for (let j = this.sizes.source - number * batchSize; j < batchSize; j++) if (vector[j] !== 0) return false;
    return true;
  }

  /** Fills the fields for batch `id`. */
  generate(id: number): void {
    const { batchSize } = this.#parameters;
    const { source, intermediate } = this.sizes;
    const number = Math.floor(id / this.#blocks);
    this.isSource = number < this.sourceBatches;
    if (this.isSource) {
      const first = number * batchSize;
      this.size = Math.min(batchSize, source - first);
      this.degree = this.size;
      for (let j = 0; j < this.size; j++) this.columns[j] = first + j;
      return;
    }
    this.size = batchSize;
    this.#generator.seed((this.#parameters.tag + Math.imul(id, 0x9e3779b1)) | 0);
    this.degree = this.#degreeOf(number - this.sourceBatches);
    if (this.degree === intermediate) {
      this.columns.set(this.#permutation);
      return;
    }
    const permutation = this.#permutation;
    for (let j = 0; j < this.degree; j++) {
      const from = j + this.#generator.below(intermediate - j);
      const column = permutation[from];
      permutation[from] = permutation[j];
      permutation[j] = column;
      this.#swaps[j] = from;
      this.columns[j] = column;
    }
    for (let j = this.degree - 1; j >= 0; j--) {
      const from = this.#swaps[j];
      const column = permutation[from];
      permutation[from] = permutation[j];
      permutation[j] = column;
    }
  }

  /**
   * Writes the generator matrix of the batch last generated to the arena: `size` rows of `degree` bytes, row by row. Call it
   * once after `generate`, for it goes on with the same random numbers.
   */
  writeMatrix(arena: Arena, target: Pointer): void {
    const { bytes } = arena;
    if (this.isSource) {
      bytes.fill(0, target, target + this.size * this.degree);
      for (let j = 0; j < this.size; j++) bytes[target + j * this.degree + j] = 1;
      return;
    }
    for (let row = 0; row < this.size; row++) {
      const at = target + row * this.degree;
      for (let j = 0; j < this.degree; j += 4) {
        const word = this.#generator.next();
        const end = Math.min(4, this.degree - j);
        for (let i = 0; i < end; i++) bytes[at + j + i] = word >>> (8 * i);
      }
    }
  }
}
