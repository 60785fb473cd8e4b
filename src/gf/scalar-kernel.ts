/**
 * The kernel in plain JavaScript, over the 64 KiB product table: the reference for the SIMD kernel and what runs where
 * WebAssembly or its SIMD is missing. About ten times slower.
 */
import type { Kernel, LinearMemory, Pointer } from "./kernel.ts";
import { PRODUCT } from "./tables.ts";

/** Builds the scalar kernel over `memory`. */
export function createScalarKernel(memory: LinearMemory): Kernel {
  let bytes = new Uint8Array(memory.buffer);
  let words = new Uint32Array(memory.buffer);

  // Growth replaces the buffer, so every entry point looks.
  function refresh(): void {
    if (bytes.buffer === memory.buffer) return;
    bytes = new Uint8Array(memory.buffer);
    words = new Uint32Array(memory.buffer);
  }

  function xor(y: Pointer, x: Pointer, length: number): void {
    refresh();
    for (let i = 0; i < length; i++) bytes[y + i] ^= bytes[x + i];
  }

  function scale(y: Pointer, c: number, length: number): void {
    refresh();
    const row = c << 8;
    for (let i = 0; i < length; i++) bytes[y + i] = PRODUCT[row | bytes[y + i]];
  }

  function mulAdd(y: Pointer, x: Pointer, c: number, length: number): void {
    refresh();
    const row = c << 8;
    for (let i = 0; i < length; i++) bytes[y + i] ^= PRODUCT[row | bytes[x + i]];
  }

  function combine(y: Pointer, sources: Pointer, coefficients: Pointer, count: number, length: number): void {
    refresh();
    bytes.fill(0, y, y + length);
    combineAdd(y, sources, coefficients, count, length);
  }

  function combineAdd(y: Pointer, sources: Pointer, coefficients: Pointer, count: number, length: number): void {
    refresh();
    for (let s = 0; s < count; s++) mulAdd(y, words[(sources >>> 2) + s], bytes[coefficients + s], length);
  }

  function multiplyAdd(
    ys: Pointer,
    sources: Pointer,
    coefficients: Pointer,
    rows: number,
    count: number,
    length: number,
  ): void {
    refresh();
    for (let r = 0; r < rows; r++) {
      combineAdd(words[(ys >>> 2) + r], sources, coefficients + r * count, count, length);
    }
  }

  function multiply(
    ys: Pointer,
    sources: Pointer,
    coefficients: Pointer,
    rows: number,
    count: number,
    length: number,
  ): void {
    refresh();
    for (let r = 0; r < rows; r++) {
      const y = words[(ys >>> 2) + r];
      bytes.fill(0, y, y + length);
    }
    multiplyAdd(ys, sources, coefficients, rows, count, length);
  }

  return { name: "scalar", scratchEnd: 64, xor, scale, mulAdd, combine, combineAdd, multiply, multiplyAdd };
}
