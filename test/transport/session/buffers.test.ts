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

describe("receive buffers whose readers release what they read", () => {
  interface Reader {
    buffer: ReceiveBuffer;
    written: number;
    held: { view: Uint8Array; offset: number }[];
  }
  const byteOf = (reader: number, offset: number) => (offset + 101 * reader) % 253;
  const create = (): Reader => ({ buffer: new ReceiveBuffer(), written: 0, held: [] });

  test("never write over what is held, of their own or of each other's", () => {
    const step = fc.record({
      reader: fc.integer({ min: 0, max: 1 }),
      write: fc.nat(90_000),
      reads: fc.nat(4),
      releases: fc.nat(5),
      begin: fc.boolean(),
      // A part that its reader joined with others, or keeps for good.
      skip: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 40 }), (list) => {
        const readers = [create(), create()];
        const check = (index: number, { view, offset }: Reader["held"][number]) => {
          for (let i = 0; i < view.length; i += 97)
            if (view[i] !== byteOf(index, offset + i)) throw new Error(`reader ${index}, byte ${offset + i}`);
        };
        const kept: { index: number; part: Reader["held"][number] }[] = [];
        for (const { reader: index, write, reads, releases, begin, skip } of list) {
          const reader = readers[index];
          const { buffer, held } = reader;
          const { written } = reader;
          buffer.write(
            written,
            Uint8Array.from({ length: write }, (_, i) => byteOf(index, written + i)),
          );
          reader.written += write;
          if (begin) buffer.releasing = true;
          for (let i = 0; i < reads; i++) {
            const offset = buffer.readOffset;
            const view = buffer.read(reader.written);
            if (view !== null) held.push({ view, offset });
          }
          for (let i = 0; i < releases && held.length > 0; i++) {
            const part = held.shift()!;
            check(index, part);
            if (i === skip) kept.push({ index, part });
            else buffer.release(part.view);
          }
        }
        for (const [index, { held }] of readers.entries()) for (const part of held) check(index, part);
        for (const { index, part } of kept) check(index, part);
      }),
      { numRuns: 150 },
    );
  });

  test("use a block again that was released whole, and none of a reader that does not release", () => {
    const fill = (buffer: ReceiveBuffer, from: number) => buffer.write(from, new Uint8Array(1 << 16));
    const [releasing, other] = [new ReceiveBuffer(), new ReceiveBuffer()];
    releasing.releasing = true;
    for (const buffer of [releasing, other]) {
      fill(buffer, 0);
      while (buffer.read(1 << 16) !== null);
    }
    const blocks: ArrayBufferLike[] = [];
    for (let block = 1; block <= 4; block++) {
      fill(releasing, block << 16);
      const view = releasing.read((block + 1) << 16)!;
      blocks.push(view.buffer);
      // In two parts: the first alone frees nothing.
      releasing.release(view.subarray(0, 1000));
      fill(other, block << 16);
      const others = other.read((block + 1) << 16)!;
      expect(blocks).not.toContain(others.buffer);
      other.release(others);
      releasing.release(view.subarray(1000));
    }
    expect(new Set(blocks).size).toBe(1);
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
