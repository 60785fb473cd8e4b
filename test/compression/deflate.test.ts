import { deflateRawSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deflateRaw } from "../../src/compression/deflate.ts";

describe("raw DEFLATE", () => {
  test("gives back what it compressed, and leaves alone what does not shrink", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.integer({ min: 1, max: 50 }), (piece, times) => {
        const data = new Uint8Array(Buffer.concat(Array.from({ length: times }, () => piece)));
        const packed = deflateRaw.compress(data);
        if (packed === null) return;
        expect(packed.length).toBeLessThan(data.length);
        expect(Buffer.compare(deflateRaw.decompress(packed, data.length)!, data)).toBe(0);
      }),
    );
    expect(deflateRaw.compress(Uint8Array.of(1, 2, 3))).toBeNull();
  });

  test("takes nothing that is damaged, or longer or shorter than it says", () => {
    const packed = deflateRawSync(new Uint8Array(1 << 20));
    expect(deflateRaw.decompress(packed, 1 << 20)?.length).toBe(1 << 20);
    expect(deflateRaw.decompress(packed, (1 << 20) - 1)).toBeNull();
    expect(deflateRaw.decompress(packed, (1 << 20) + 1)).toBeNull();
    expect(deflateRaw.decompress(packed, 0)).toBeNull();
    expect(deflateRaw.decompress(packed.subarray(0, 20), 1 << 20)).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(100_000), (bytes, length) => {
        const plain = deflateRaw.decompress(bytes, length);
        expect(plain === null || plain.length === length).toBe(true);
      }),
    );
  });
});
