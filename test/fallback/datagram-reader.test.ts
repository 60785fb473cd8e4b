import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DatagramReader } from "../../src/fallback/datagram-reader.ts";

function framed(datagrams: Uint8Array[]): Buffer {
  return Buffer.concat(
    datagrams.map((bytes) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(bytes.length);
      return Buffer.concat([length, bytes]);
    }),
  );
}

describe("datagrams in a stream of bytes", () => {
  it("come out as they went in, however the stream is cut", () => {
    const datagram = fc.uint8Array({ minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(fc.array(datagram), fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, cuts) => {
        const got: Buffer[] = [];
        const reader = new DatagramReader((bytes) => {
          got.push(Buffer.from(bytes));
          bytes.fill(0);
        });
        const stream = framed(sent);
        for (let at = 0, i = 0; at < stream.length; i++) {
          const end = at + cuts[i % cuts.length];
          expect(reader.push(stream.subarray(at, end))).toBe(true);
          at = end;
        }
        expect(got.map((bytes) => bytes.toString("hex"))).toEqual(
          sent.map((bytes) => Buffer.from(bytes).toString("hex")),
        );
      }),
    );
  });

  it("may have the largest length, also in pieces", () => {
    const lengths: number[] = [];
    const reader = new DatagramReader((bytes) => lengths.push(bytes.length));
    const stream = framed([new Uint8Array(65_535), new Uint8Array(1)]);
    expect(reader.push(stream.subarray(0, 1)) && reader.push(stream.subarray(1, 40_000))).toBe(true);
    expect(reader.push(stream.subarray(40_000))).toBe(true);
    expect(lengths).toEqual([65_535, 1]);
  });

  it("are none where a length is zero", () => {
    const reader = new DatagramReader(() => {});
    expect(reader.push(Buffer.from([0, 1, 7, 0, 0]))).toBe(false);
    const other = new DatagramReader(() => {});
    expect(other.push(Buffer.from([0]))).toBe(true);
    expect(other.push(Buffer.from([0]))).toBe(false);
  });
});
