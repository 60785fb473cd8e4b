/** The outer code's encoder for one block: intermediate symbols in the arena, batches as products of matrices with them. */
import { type Arena, type Pointer, Region } from "../gf/index.ts";
import type { ObjectParameters } from "./object-parameters.ts";
import { OuterBatchGenerator } from "./outer-batch.ts";
import { computeParity, type PrecodeSizes, precodeSizes } from "./precode.ts";

export class BlockEncoder {
  readonly #arena: Arena;
  readonly #region: Region;
  readonly #sizes: PrecodeSizes;
  readonly #generator: OuterBatchGenerator;
  readonly #symbolSize: number;
  readonly #batchSize: number;
  /** Bytes from one symbol to the next. */
  readonly #stride: number;
  readonly #symbols: Pointer;
  /** The batch being made, the lists of pointers to its symbols and to what it combines, and its generator matrix. */
  readonly #batch: Pointer;
  readonly #targets: Pointer;
  readonly #sources: Pointer;
  readonly #matrix: Pointer;

  /** `data` is the block's part of the object; what is missing of its last symbol counts as zeros. */
  constructor(arena: Arena, parameters: ObjectParameters, symbols: number, blocks: number, data: Uint8Array) {
    const { symbolSize, batchSize } = parameters;
    this.#arena = arena;
    this.#region = new Region(arena);
    this.#sizes = precodeSizes(symbols);
    this.#generator = new OuterBatchGenerator(parameters, this.#sizes, blocks);
    this.#symbolSize = symbolSize;
    this.#batchSize = batchSize;
    this.#stride = Math.ceil(symbolSize / 16) * 16;
    const { intermediate } = this.#sizes;
    const { maximumDegree } = this.#generator;
    try {
      this.#symbols = this.#region.allocateZeroed((intermediate + 1) * this.#stride);
      this.#batch = this.#region.allocate(batchSize * this.#stride);
      this.#targets = this.#region.allocate(4 * batchSize);
      this.#sources = this.#region.allocate(4 * maximumDegree);
      this.#matrix = this.#region.allocate(batchSize * maximumDegree);
    } catch (error) {
      this.#region.release();
      throw error;
    }
    const { bytes, words } = arena;
    for (let i = 0; i < symbols; i++) {
      bytes.set(data.subarray(i * symbolSize, (i + 1) * symbolSize), this.#symbols + i * this.#stride);
    }
    for (let j = 0; j < batchSize; j++) words[(this.#targets >>> 2) + j] = this.#batch + j * this.#stride;
    const work = this.#symbols + intermediate * this.#stride;
    computeParity(this.#sizes, arena.kernel, this.#symbols, this.#stride, symbolSize, work);
  }

  /** How many of the block's batches, from its first on, are the source symbols themselves. */
  get sourceBatches(): number {
    return this.#generator.sourceBatches;
  }

  /** Makes batch `id` and writes its symbols, `symbolSize` bytes each, to `out`; returns how many there are. */
  batch(id: number, out: Uint8Array): number {
    const generator = this.#generator;
    generator.generate(id);
    const { bytes, words, kernel } = this.#arena;
    const stride = this.#stride;
    if (generator.isSource) {
      for (let j = 0; j < generator.size; j++) {
        const from = this.#symbols + generator.columns[j] * stride;
        out.set(bytes.subarray(from, from + this.#symbolSize), j * this.#symbolSize);
      }
      return generator.size;
    }
    const { degree, columns } = generator;
    generator.writeMatrix(this.#arena, this.#matrix);
    for (let j = 0; j < degree; j++) words[(this.#sources >>> 2) + j] = this.#symbols + columns[j] * stride;
    kernel.multiply(this.#targets, this.#sources, this.#matrix, this.#batchSize, degree, this.#symbolSize);
    for (let j = 0; j < this.#batchSize; j++) {
      const from = this.#batch + j * stride;
      out.set(bytes.subarray(from, from + this.#symbolSize), j * this.#symbolSize);
    }
    return this.#batchSize;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#region.release();
  }
}
