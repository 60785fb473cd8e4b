/**
 * The contract of the vector operations over GF(2^8), and the choice of who carries them out. Not the operations
 * themselves: those are in `assembly/kernel.ts` (SIMD) and `scalar-kernel.ts`.
 */
import { createScalarKernel } from "./scalar-kernel.ts";
import { createSimdKernel, simdSupported } from "./simd-kernel.ts";

/** A byte offset into an arena's memory. 0 is never a valid one. */
export type Pointer = number;

/** What a kernel works on: linear memory that can grow, after which `buffer` is a new object. */
export interface LinearMemory {
  readonly buffer: ArrayBufferLike;
  /** Adds pages of 64 KiB. Throws a RangeError when there are no more. */
  grow(pages: number): number;
}

/**
 * Vector operations on rows of bytes in an arena's memory. Every pointer and length must lie inside the memory;
 * nothing is checked. Lengths are in bytes and may be any number from 0. `c` is a field element. Rows that are written
 * must not overlap rows that are read, except that `xor` and `mulAdd` allow y = x.
 */
export interface Kernel {
  readonly name: "simd" | "scalar";
  /** The first byte of memory that the kernel leaves to others. */
  readonly scratchEnd: Pointer;
  /** y += x */
  xor(y: Pointer, x: Pointer, length: number): void;
  /** y = c y */
  scale(y: Pointer, c: number, length: number): void;
  /** y += c x */
  mulAdd(y: Pointer, x: Pointer, c: number, length: number): void;
  /**
   * y = sum of c_i x_i, one pass over memory for all sources. `sources` points to `count` 32-bit pointers (a multiple
   * of 4), `coefficients` to `count` bytes. `count` 0 writes zeros.
   */
  combine(y: Pointer, sources: Pointer, coefficients: Pointer, count: number, length: number): void;
  /** y += sum of c_i x_i. */
  combineAdd(y: Pointer, sources: Pointer, coefficients: Pointer, count: number, length: number): void;
  /**
   * y_r = sum of c_ri x_i for each of `rows` rows: the product of a matrix and the sources. `ys` points to `rows` 32-bit
   * pointers, `coefficients` to rows x count bytes, row by row. From four rows on about twice as fast as as many `combine`.
   */
  multiply(ys: Pointer, sources: Pointer, coefficients: Pointer, rows: number, count: number, length: number): void;
  /** y_r += sum of c_ri x_i. */
  multiplyAdd(ys: Pointer, sources: Pointer, coefficients: Pointer, rows: number, count: number, length: number): void;
}

/** Which kernel an arena uses: "auto" is "simd" where WebAssembly SIMD works, else "scalar". */
export type KernelChoice = "auto" | "simd" | "scalar";

/** Builds the chosen kernel over `memory`. Throws an Error when "simd" is asked for and the runtime has none. */
export function createKernel(choice: KernelChoice, memory: LinearMemory): Kernel {
  if (choice === "scalar" || (choice === "auto" && !simdSupported())) return createScalarKernel(memory);
  return createSimdKernel(memory);
}
