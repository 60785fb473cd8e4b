import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_RANGES, RangeSet } from "../../../src/transport/session/range-set.ts";
import { ReceiveBuffer } from "../../../src/transport/session/receive-buffer.ts";
import { SendBuffer } from "../../../src/transport/session/send-buffer.ts";

const steps = { maxLength: 60 };

describe("a send buffer", () => {
  test("gives bytes back in the order in which they came, however they are cut", () => {
    const step = fc.record({ write: fc.nat(200_000), take: fc.nat(200_000), small: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (list) => {
        const buffer = new SendBuffer();
        const target = new Uint8Array(200_010);
        let written = 0;
        let taken = 0;
        for (const { write, take, small } of list) {
          const data = Uint8Array.from({ length: small ? write % 700 : write }, (_, i) => (written + i) % 251);
          const from = Math.min(3, data.length);
          buffer.write(data.subarray(0, from));
          buffer.write(data, from, data.length);
          written += data.length;
          const length = Math.min(take, buffer.length);
          buffer.take(length, target, 5);
          for (let i = 0; i < length; i++)
            if (target[5 + i] !== (taken + i) % 251) throw new Error(`byte ${taken + i}`);
          taken += length;
          expect(buffer.length).toBe(written - taken);
        }
        buffer.clear();
        expect(buffer.length).toBe(0);
      }),
      { numRuns: 40 },
    );
  });
});

describe("a receive buffer", () => {
  test("holds pieces at their place until all below was read", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70_000 }), { maxLength: 12 }), fc.integer(), (lengths, seed) => {
        const pieces: { offset: number; data: Uint8Array }[] = [];
        let total = 0;
        for (const length of lengths) {
          const offset = total;
          pieces.push({ offset, data: Uint8Array.from({ length }, (_, i) => (offset + i) % 253) });
          total += length;
        }
        const order = [...pieces].sort((a, b) => ((a.offset * 7919 + seed) % 1009) - ((b.offset * 7919 + seed) % 1009));
        const buffer = new ReceiveBuffer();
        const ranges = new RangeSet({ ranges: 0 });
        let next = 0;
        let read = 0;
        for (const { offset, data } of order) {
          expect(ranges.add(offset, offset + data.length)).toBe(true);
          buffer.write(offset, data);
          next = ranges.takeFrom(next);
          for (let part = buffer.read(next); part !== null; part = buffer.read(next)) {
            for (let i = 0; i < part.length; i++) if (part[i] !== (read + i) % 253) throw new Error(`byte ${read + i}`);
            read += part.length;
          }
        }
        expect(read).toBe(total);
        expect(buffer.readOffset).toBe(total);
      }),
      { numRuns: 60 },
    );
  });
});

describe("a set of ranges", () => {
  test("takes what is new, refuses what overlaps, and joins what touches", () => {
    const action = fc.record({ start: fc.nat(120), length: fc.integer({ min: 1, max: 12 }), take: fc.boolean() });
    fc.assert(
      fc.property(fc.array(action, steps), (list) => {
        const shared = { ranges: 0 };
        const set = new RangeSet(shared);
        const model = new Array<boolean>(140).fill(false);
        let next = 0;
        for (const { start, length, take } of list) {
          const from = next + start;
          while (model.length < from + length + 20) model.push(false);
          const free = !model.slice(from, from + length).includes(true);
          expect(set.add(from, from + length)).toBe(free);
          if (free) model.fill(true, from, from + length);
          if (take) {
            let end = next;
            while (model[end]) end++;
            expect(set.takeFrom(next)).toBe(end);
            next = end;
          }
          let ranges = 0;
          for (let i = next; i < model.length; i++) if (model[i] && (i === next || !model[i - 1])) ranges++;
          expect(set.count).toBe(ranges);
          expect(shared.ranges).toBe(ranges);
        }
        set.clear();
        expect(shared.ranges).toBe(0);
      }),
    );
  });

  test("has an end, which all sets of a session share", () => {
    const shared = { ranges: MAX_RANGES - 2 };
    const [one, other] = [new RangeSet(shared), new RangeSet(shared)];
    expect([one.add(0, 1), other.add(2, 3), other.add(4, 5), other.add(3, 4)]).toEqual([true, true, false, true]);
  });
});
