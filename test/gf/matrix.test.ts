import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { invert, multiply, rank, reduce, solve } from "../../src/gf/index.ts";

function product(a: Uint8Array, b: Uint8Array, rows: number, inner: number, columns: number): Uint8Array {
  const result = new Uint8Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (let i = 0; i < inner; i++) result[r * columns + c] ^= multiply(a[r * inner + i], b[i * columns + c]);
    }
  }
  return result;
}

function identity(size: number): Uint8Array {
  return Uint8Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
}

const matrix = (rows: number, columns: number) =>
  fc.uint8Array({ minLength: rows * columns, maxLength: rows * columns });
const square = fc.integer({ min: 1, max: 12 }).chain((size) => fc.tuple(fc.constant(size), matrix(size, size)));

describe("small matrices", () => {
  test("a matrix times its inverse is the identity, and only a matrix of full rank has one", () => {
    fc.assert(
      fc.property(square, ([size, elements]) => {
        const inverse = invert(elements, size);
        expect(inverse !== null).toBe(rank(elements, size, size) === size);
        if (inverse) expect(product(elements, inverse, size, size, size)).toEqual(identity(size));
      }),
    );
  });

  test("a solution solves", () => {
    fc.assert(
      fc.property(square, fc.integer({ min: 1, max: 5 }), fc.infiniteStream(fc.nat(255)), ([size, a], columns, s) => {
        const x = Uint8Array.from({ length: size * columns }, () => s.next().value);
        const found = solve(a, product(a, x, size, size, columns), size, columns);
        if (rank(a, size, size) === size) expect(found).toEqual(x);
        else expect(found).toBeNull();
      }),
    );
  });

  test("the product of an m x r and an r x n matrix has at most rank r, and exactly r when both factors have", () => {
    const shapes = fc.tuple(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 8 }),
    );
    fc.assert(
      fc.property(
        shapes.chain(([m, r, n]) => fc.tuple(fc.constant([m, r, n] as const), matrix(m, r), matrix(r, n))),
        ([[m, r, n], a, b]) => {
          const found = rank(product(a, b, m, r, n), m, n);
          expect(found).toBeLessThanOrEqual(Math.min(rank(a, m, r), rank(b, r, n)));
          if (rank(a, m, r) === r && rank(b, r, n) === r) expect(found).toBe(r);
        },
      ),
    );
  });

  test("reduce keeps the row space and puts the pivots in order", () => {
    fc.assert(
      fc.property(square, ([size, elements]) => {
        const reduced = elements.slice();
        const r = reduce(reduced, size, size);
        const stacked = new Uint8Array(2 * size * size);
        stacked.set(elements);
        stacked.set(reduced, size * size);
        expect(rank(stacked, 2 * size, size)).toBe(r);
        let last = -1;
        for (let row = 0; row < size; row++) {
          const pivot = reduced.subarray(row * size, (row + 1) * size).findIndex((e) => e !== 0);
          if (row >= r) expect(pivot).toBe(-1);
          else {
            expect(pivot).toBeGreaterThan(last);
            expect(reduced[row * size + pivot]).toBe(1);
            last = pivot;
          }
        }
      }),
    );
  });

  test("a wrong shape is a RangeError that names it", () => {
    expect(() => rank(new Uint8Array(5), 2, 3)).toThrow("matrix has 5 elements, wanted 2 x 3 = 6");
    expect(() => solve(new Uint8Array(4), new Uint8Array(3), 2, 2)).toThrow("right has 3 elements");
    expect(() => invert(new Uint8Array(0), -1)).toThrow(RangeError);
    expect(() => reduce(new Uint8Array(4), 2, 2, 3)).toThrow("pivotColumns is 3, wanted 0 to 2");
  });
});
