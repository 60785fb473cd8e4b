import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeFrame,
  type Entry,
  encodeFrame,
  type Frame,
  HASH_BYTES,
  MAX_FRAME_BYTES,
} from "../../src/transfer/frames.ts";

const number = fc.maxSafeNat();
const text = fc.string({ maxLength: 60, unit: "grapheme" });
const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array));
const entry: fc.Arbitrary<Entry> = fc.record({
  kind: fc.constantFrom("file" as const, "directory" as const, "link" as const, "seal" as const),
  path: bytes,
  mode: fc.nat(0o7777),
  mtimeUs: number,
  sizeBytes: number,
  target: bytes,
});
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({
    type: fc.constant("hello" as const),
    role: fc.constantFrom("sender" as const, "receiver" as const),
    trustTimes: fc.boolean(),
  }),
  fc.record({ type: fc.constant("stop" as const), text }),
  fc.record({ type: fc.constant("totals" as const), files: number, bytes: number }),
  fc.record({ type: fc.constant("entry" as const), id: number, entry }),
  fc.record({ type: fc.constantFrom("same" as const, "withdrawn" as const), id: number }),
  fc.record({ type: fc.constant("omitted" as const), path: bytes, text }),
  fc.record({ type: fc.constant("done" as const), id: number, unchanged: fc.boolean() }),
  fc.record({ type: fc.constant("failed" as const), id: number, text }),
  fc.record({ type: fc.constant("progress" as const), bytes: number }),
  fc.record({ type: fc.constant("want" as const), id: number, offset: number }).map((want) => ({
    ...want,
    hash: Buffer.alloc(want.offset === 0 ? 0 : HASH_BYTES, 7),
  })),
);

describe("frames of a transfer", () => {
  it("come back as they were, wherever they stand, and not before they are whole", () => {
    fc.assert(
      fc.property(frame, bytes, bytes, fc.nat(), (value, before, behind, cut) => {
        const encoded = encodeFrame(value);
        const end = before.length + encoded.length;
        expect(decodeFrame(Buffer.concat([before, encoded, behind]), before.length)).toEqual({ frame: value, end });
        expect(decodeFrame(encoded.subarray(0, cut % encoded.length), 0)).toBe(null);
      }),
    );
  });

  it("are decoded, waited for or malformed, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (array) => {
        const decoded = decodeFrame(Buffer.from(array), 0);
        if (decoded !== null && "end" in decoded) expect(decoded.end).toBeLessThanOrEqual(array.length);
      }),
    );
  });

  it("of a type that is not known are skipped if it is even, and malformed if it is odd", () => {
    expect(decodeFrame(Buffer.of(40, 2, 1, 1), 0)).toEqual({ frame: null, end: 4 });
    expect(decodeFrame(Buffer.of(41, 2, 1, 1), 0)).toEqual({
      malformed: "a frame of type 41, which is not known here",
    });
  });

  it("are malformed before they are there when they are too long", () => {
    const length = MAX_FRAME_BYTES + 1;
    expect(decodeFrame(Buffer.of(5, 0x80, 0, length >> 8, length & 255), 0)).toMatchObject({
      malformed: expect.stringContaining("16384 is the most"),
    });
  });

  it("ask with the hash of what is there, and without one from the start", () => {
    for (const [offset, hashBytes] of [
      [0, HASH_BYTES],
      [5, 0],
      [5, HASH_BYTES - 1],
    ]) {
      const bad = encodeFrame({ type: "want", id: 1, offset, hash: Buffer.alloc(hashBytes) });
      expect(decodeFrame(bad, 0)).toMatchObject({ malformed: expect.stringContaining('"want"') });
    }
  });

  it("carry long texts cut, so that a frame is never too long", () => {
    const encoded = encodeFrame({ type: "failed", id: 1, text: "ü".repeat(100_000) });
    expect(encoded.length).toBeLessThan(MAX_FRAME_BYTES);
    expect(decodeFrame(encoded, 0)).toMatchObject({ frame: { type: "failed", id: 1 } });
  });
});
