import { describe, expect, test } from "vitest";
import { TinyMt32 } from "../../src/codec/index.ts";

describe("TinyMT32", () => {
  test("seed 1 gives the numbers of RFC 8682, section 2.1", () => {
    const generator = new TinyMt32(1);
    const numbers = Array.from({ length: 15 }, () => generator.next());
    expect(numbers).toEqual([
      2545341989, 981918433, 3715302833, 2387538352, 3591001365, 3820442102, 2114400566, 2196103051, 2783359912,
      764534509, 643179475, 1822416315, 881558334, 4207026366, 3690273640,
    ]);
  });

  test("bounded numbers stay below the bound and reach every value", () => {
    const generator = new TinyMt32(7);
    const seen = new Set(Array.from({ length: 5000 }, () => generator.below(100)));
    expect(seen.size).toBe(100);
    expect(Math.max(...seen)).toBe(99);
    expect(generator.below(1)).toBe(0);
  });
});
