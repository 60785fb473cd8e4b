import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Arena, type Kernel, multiply, simdSupported } from "../../src/gf/index.ts";

// Two arenas with the same random content and the same layout: whatever one kernel does in the first, the other must do
// in the second, to the byte, all over the playground and not only where it should write.
const SIZE = 1 << 16;
const simd = new Arena({ kernel: "simd" });
const scalar = new Arena({ kernel: "scalar" });
const simdBase = simd.allocate(SIZE);
const scalarBase = scalar.allocate(SIZE);

function fill(seed: number): void {
  let state = seed | 1;
  const bytes = simd.view(simdBase, SIZE);
  for (let i = 0; i < SIZE; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[i] = state >>> 24;
  }
  scalar.view(scalarBase, SIZE).set(bytes);
}

function bothEqual(run: (kernel: Kernel, base: number, words: Uint32Array, bytes: Uint8Array) => void): void {
  run(simd.kernel, simdBase, simd.words, simd.bytes);
  run(scalar.kernel, scalarBase, scalar.words, scalar.bytes);
  const compared = Buffer.compare(simd.view(simdBase, SIZE - 8192), scalar.view(scalarBase, SIZE - 8192));
  expect(compared).toBe(0);
}

const seed = fc.integer();
const coefficient = fc.integer({ min: 0, max: 255 });
const length = fc.oneof(fc.integer({ min: 0, max: 130 }), fc.integer({ min: 0, max: 1500 }));
const offset = fc.integer({ min: 0, max: 80 });

describe("the SIMD kernel agrees with the scalar one at every length and offset", () => {
  test("this runtime has SIMD and the default arena uses it", () => {
    expect(simdSupported()).toBe(true);
    expect(new Arena().kernel.name).toBe("simd");
  });

  test("scalar mulAdd is the field's product", () => {
    fill(7);
    const before = scalar.view(scalarBase, 64).slice();
    for (let c = 0; c < 256; c++) {
      fill(7);
      scalar.kernel.mulAdd(scalarBase, scalarBase + 32, c, 32);
      const after = scalar.view(scalarBase, 64);
      for (let i = 0; i < 32; i++) expect(after[i]).toBe(before[i] ^ multiply(c, before[32 + i]));
    }
  });

  test("xor, scale, mulAdd", () => {
    fc.assert(
      fc.property(seed, coefficient, length, offset, offset, (s, c, n, y, x) => {
        fill(s);
        bothEqual((kernel, base) => kernel.xor(base + y, base + 2048 + x, n));
        bothEqual((kernel, base) => kernel.mulAdd(base + y, base + 4096 + x, c, n));
        bothEqual((kernel, base) => kernel.scale(base + y, c, n));
      }),
      { numRuns: 500 },
    );
  });

  test("a row may be added to itself", () => {
    fc.assert(
      fc.property(seed, coefficient, length, offset, (s, c, n, y) => {
        fill(s);
        bothEqual((kernel, base) => kernel.mulAdd(base + y, base + y, c, n));
        bothEqual((kernel, base) => kernel.xor(base + y, base + y, n));
      }),
    );
  });

  test("combine and multiply, adding or not, for any number of rows and sources", () => {
    const rows = fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 100, max: 150 }));
    const count = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 60, max: 140 }));
    const short = fc.integer({ min: 0, max: 260 });
    fc.assert(
      fc.property(
        seed,
        rows,
        count,
        fc.oneof(short, length),
        offset,
        fc.boolean(),
        (s, rowCount, sourceCount, n, y, add) => {
          const width = rowCount > 6 ? n % 200 : n;
          fill(s);
          bothEqual((kernel, base, words, bytes) => {
            const list = base + SIZE - 4096;
            const coefficients = base + 36_000;
            for (let i = 0; i < sourceCount; i++) words[(list >>> 2) + i] = base + 32_000 + ((i * 37) % 2000);
            kernel.combine(base + y, list, coefficients, sourceCount, width);
            kernel.combineAdd(base + y + 5, list, coefficients + 7, sourceCount, width);
            const ys = base + SIZE - 8192;
            for (let r = 0; r < rowCount; r++) words[(ys >>> 2) + r] = base + y + r * (width + 3);
            if (add) kernel.multiplyAdd(ys, list, coefficients, rowCount, sourceCount, width);
            else kernel.multiply(ys, list, coefficients, rowCount, sourceCount, width);
            bytes.fill(0, base + SIZE - 8192, base + SIZE);
          });
        },
      ),
      { numRuns: 400 },
    );
  });

  test("rows at the very end of memory are not read beyond", () => {
    const arena = new Arena({ kernel: "simd", initialBytes: 65536, maximumBytes: 65536 });
    const size = 16384;
    const base = arena.allocate(size);
    expect(base + size).toBeLessThanOrEqual(65536);
    const end = 65536;
    const { kernel, words, bytes } = arena;
    for (let n = 0; n < 300; n++) {
      const list = base;
      for (let i = 0; i < 9; i++) words[(list >>> 2) + i] = end - n;
      bytes.fill(3, end - 16, end);
      words[(base + 64) >>> 2] = base + 1024;
      kernel.mulAdd(base + 1024, end - n, 5, n);
      kernel.combine(base + 1024, list, end - 9, 9, n);
      kernel.multiply(base + 64, list, end - 9, 1, 9, n);
      for (let r = 0; r < 4; r++) words[((base + 64) >>> 2) + r] = base + 1024 + 512 * r;
      kernel.multiply(base + 64, list, end - 36, 4, 9, n);
    }
  });
});
