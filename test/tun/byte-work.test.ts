import fc from "fast-check";
import { expect, test } from "vitest";
import { scalarWork, workMemory } from "../../src/tun/byte-work.ts";

test("the fast sum of any stretch of memory is the plain one", () => {
  const { buffer, work } = workMemory(80_000);
  const bytes = new Uint8Array(buffer);
  const plain = scalarWork(bytes);
  const stretch = fc.tuple(fc.nat(70_000), fc.nat(300), fc.constantFrom(0, 0xff, -1), fc.nat(255));
  fc.assert(
    fc.property(stretch, ([start, length, filling, seed]) => {
      for (let i = 0; i < length; i++) bytes[start + i] = filling < 0 ? seed + 31 * i : filling;
      expect(work.sum(start, start + length)).toBe(plain.sum(start, start + length));
    }),
  );
});

test("the sum of 64 KiB of ones does not overflow, and is 0 only of zeros", () => {
  const { buffer, work } = workMemory(65_536);
  const bytes = new Uint8Array(buffer);
  expect(work.sum(0, 65_536)).toBe(0);
  bytes[65_535] = 1;
  expect(work.sum(0, 65_536)).toBe(1);
  bytes.fill(0xff);
  expect(work.sum(0, 65_536)).toBe(0xffff);
  expect(work.sum(1, 65_535)).toBe(0xffff);
});

test("copies overlap either way as if they went over other memory", () => {
  const { buffer, work } = workMemory(65_536);
  const bytes = new Uint8Array(buffer);
  const plain = Uint8Array.from({ length: 4096 }, (_, i) => i * 31);
  fc.assert(
    fc.property(fc.nat(2000), fc.nat(2000), fc.nat(2000), (to, from, length) => {
      bytes.set(plain);
      work.move(to, from, length);
      const wanted = plain.slice();
      wanted.set(plain.slice(from, from + length), to);
      expect(bytes.subarray(0, plain.length)).toEqual(wanted);
    }),
  );
});
