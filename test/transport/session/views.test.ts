import fc from "fast-check";
import { expect, test } from "vitest";
import { Views } from "../../../src/transport/session/views.ts";

test("a view is that of the array that was asked about, wherever others were looked at before", () => {
  const memory = new Uint8Array(8192).map((_, i) => i * 31);
  const arrays = [memory, memory.subarray(100, 5000), new Uint8Array(8192).fill(7), new Uint8Array(memory.buffer)];
  const views = new Views();
  const asked = fc.tuple(fc.nat(arrays.length - 1), fc.nat(4000), fc.nat(800));
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 20 }), (list) => {
      for (const [which, start, length] of list) {
        const bytes = arrays[which];
        const view = views.of(bytes, start, start + length);
        const wanted = bytes.subarray(start, start + length);
        expect(view.buffer).toBe(wanted.buffer);
        expect([view.byteOffset, view.length]).toEqual([wanted.byteOffset, wanted.length]);
      }
    }),
  );
});

test("the same stretch of the same array is the same view, so that none is made for a packet", () => {
  const views = new Views();
  const bytes = new Uint8Array(65_536);
  const first = Array.from({ length: 40 }, (_, i) => views.of(bytes, i * 1472, i * 1472 + 1400));
  for (const [i, view] of first.entries()) expect(views.of(bytes, i * 1472, i * 1472 + 1400)).toBe(view);
});
