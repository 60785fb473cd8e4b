import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { divide, EXP, INVERSE, inverse, LOG, multiply, POLYNOMIAL, power } from "../../src/gf/index.ts";

const element = fc.integer({ min: 0, max: 255 });
const nonZero = fc.integer({ min: 1, max: 255 });

/** Carry-less multiplication and reduction, bit by bit: the definition, without tables. */
function multiplyByDefinition(x: number, y: number): number {
  let product = 0;
  for (let bit = 0; bit < 8; bit++) if ((y >> bit) & 1) product ^= x << bit;
  for (let bit = 14; bit >= 8; bit--) if ((product >> bit) & 1) product ^= POLYNOMIAL << (bit - 8);
  return product;
}

describe("GF(2^8) with polynomial 0x11D", () => {
  test("all 65,536 products are those of the definition", () => {
    for (let x = 0; x < 256; x++) {
      for (let y = 0; y < 256; y++) expect(multiply(x, y)).toBe(multiplyByDefinition(x, y));
    }
  });

  test("multiplication is associative and commutative and distributes over XOR", () => {
    fc.assert(
      fc.property(element, element, element, (x, y, z) => {
        expect(multiply(multiply(x, y), z)).toBe(multiply(x, multiply(y, z)));
        expect(multiply(x, y)).toBe(multiply(y, x));
        expect(multiply(x, y ^ z)).toBe(multiply(x, y) ^ multiply(x, z));
      }),
    );
  });

  test("every element but 0 has one inverse, and division undoes multiplication", () => {
    for (let x = 1; x < 256; x++) expect(multiply(x, INVERSE[x])).toBe(1);
    fc.assert(fc.property(element, nonZero, (x, y) => divide(multiply(x, y), y) === x));
  });

  test("2 generates the multiplicative group", () => {
    expect(new Set(EXP.subarray(0, 255)).size).toBe(255);
    for (let x = 1; x < 256; x++) expect(EXP[LOG[x]]).toBe(x);
  });

  test("the first entries of the tables are those of RFC 6330, sections 5.7.3 and 5.7.4", () => {
    expect([...EXP.subarray(0, 16)]).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 29, 58, 116, 232, 205, 135, 19, 38]);
    expect([...LOG.subarray(1, 9)]).toEqual([0, 1, 25, 2, 50, 26, 198, 3]);
  });

  test("a power is the repeated product", () => {
    fc.assert(
      fc.property(element, fc.integer({ min: 0, max: 600 }), (x, exponent) => {
        let product = 1;
        for (let i = 0; i < exponent; i++) product = multiply(product, x);
        expect(power(x, exponent)).toBe(product);
      }),
    );
  });

  test("what has no answer is a RangeError", () => {
    expect(() => inverse(0)).toThrow(RangeError);
    expect(() => divide(7, 0)).toThrow(RangeError);
    expect(() => power(3, -1)).toThrow(/exponent is -1/);
    expect(() => power(3, 0.5)).toThrow(RangeError);
  });
});
