import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeAnswer,
  decodeOpen,
  encodeAnswer,
  encodeOpen,
  MAX_HEADER_BYTES,
  type OpenHeader,
} from "../../src/proxy/open-header.ts";

const text = fc.string({ maxLength: 60 });
const listener = fc.nat();
const source = fc.option(text, { nil: undefined });
const header: fc.Arbitrary<OpenHeader> = fc
  .oneof(
    fc.record({ type: fc.constantFrom("connect" as const, "flow" as const), target: text, source }),
    fc.record({ type: fc.constant("listen" as const), endpoint: text, listener }),
    fc.record({
      type: fc.constant("tunnel" as const),
      addresses: fc.array(fc.ipV4(), { minLength: 1, maxLength: 3 }),
      routes: fc.array(fc.ipV4(), { maxLength: 3 }),
      trains: fc.option(fc.constant(true as const), { nil: undefined }),
    }),
    fc.record({ type: fc.constantFrom("accepted-connect" as const, "accepted-flow" as const), listener, source }),
  )
  .map((value) => JSON.parse(JSON.stringify(value)) as OpenHeader);

describe("headers", () => {
  it("come back as they were, with data behind them, and not before they are whole", () => {
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 20 }), fc.nat(), (value, data, cut) => {
        const bytes = encodeOpen(value);
        expect(decodeOpen(Buffer.concat([bytes, data]))).toEqual({ header: value, end: bytes.length });
        expect(decodeOpen(bytes.subarray(0, cut % bytes.length))).toBe(null);
      }),
    );
  });

  it("answer with done, an address, or a refusal in words", () => {
    for (const answer of [
      { type: "done" },
      { type: "done", address: "tcp:127.0.0.1:5" },
      { type: "done", address: "10.0.0.1/32", trains: true },
      { type: "refused", reason: "not-allowed", message: "no: ü" },
    ] as const) {
      expect(decodeAnswer(encodeAnswer(answer))).toMatchObject({ header: answer });
    }
  });

  it("are decoded, waited for or malformed, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        for (const decoded of [decodeOpen(bytes), decodeAnswer(bytes)]) {
          if (decoded !== null && "end" in decoded) expect(decoded.end).toBeLessThanOrEqual(bytes.length);
        }
      }),
    );
  });

  it("skip fields of even tags that they do not know, and refuse those of odd ones", () => {
    const known = [1, 1, 0x61];
    expect(decodeOpen(Uint8Array.of(1, 6, ...known, 40, 1, 0))).toMatchObject({
      header: { type: "connect", target: "a" },
    });
    expect(decodeOpen(Uint8Array.of(1, 6, ...known, 41, 1, 0))).toEqual({
      malformed: "field 41, which this version does not know",
    });
  });

  it("are refused when they are longer than any can be, before they arrive", () => {
    const length = MAX_HEADER_BYTES + 1;
    expect(decodeOpen(Uint8Array.of(1, 0x40 | (length >> 8), length & 255))).toMatchObject({
      malformed: expect.stringContaining("4097"),
    });
  });

  it("take a refusal of an unknown reason as one", () => {
    expect(decodeAnswer(Uint8Array.of(33, 6, 5, 1, 63, 6, 1, 0x78))).toMatchObject({
      header: { type: "refused", reason: "unavailable", message: "x" },
    });
  });
});
