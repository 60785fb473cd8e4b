import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnswerLimit } from "../../src/endpoint/answer-limit.ts";
import { ConnectionIdMap } from "../../src/endpoint/connection-id-map.ts";
import { type Timed, TimerHeap } from "../../src/endpoint/timer-heap.ts";

/** An id of 8 bytes; few different low words, so that they collide. */
function idOf(n: number): Uint8Array {
  return Uint8Array.of(n >> 8, n & 255, 0, 0, 0, 0, 0, n % 5);
}

describe("a map of connection ids", () => {
  it("behaves as a map does, however its ids collide, come and go", () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 300 }), removes: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
        const map = new ConnectionIdMap<{ n: number }>();
        const model = new Map<number, { n: number }>();
        for (const { id, removes } of steps) {
          if (removes) {
            expect(map.delete(idOf(id))).toBe(model.delete(id));
          } else if (!model.has(id)) {
            const value = { n: id };
            model.set(id, value);
            map.add(idOf(id), value);
          }
        }
        expect(map.size).toBe(model.size);
        const datagram = new Uint8Array(20);
        for (let id = 0; id <= 300; id++) {
          datagram.set(idOf(id), 3);
          expect(map.get(datagram, 3)).toBe(model.get(id) ?? null);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("a heap of timers", () => {
  it("hands out what is due in order of time, whatever was set anew or taken out before", () => {
    const step = fc.record({
      item: fc.integer({ min: 0, max: 30 }),
      dueMs: fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant(Number.POSITIVE_INFINITY)),
    });
    fc.assert(
      fc.property(fc.array(step), fc.integer({ min: 0, max: 100 }), (steps, nowMs) => {
        const heap = new TimerHeap<Timed>();
        const items = Array.from({ length: 31 }, (): Timed => ({ heapIndex: -1, dueMs: Number.POSITIVE_INFINITY }));
        const model = new Map<Timed, number>();
        for (const { item, dueMs } of steps) {
          heap.set(items[item], dueMs);
          if (dueMs === Number.POSITIVE_INFINITY) model.delete(items[item]);
          else model.set(items[item], dueMs);
          expect(heap.nextMs).toBe(Math.min(Number.POSITIVE_INFINITY, ...model.values()));
        }
        const due = [...model.values()].filter((ms) => ms <= nowMs).sort((a, b) => a - b);
        const got: number[] = [];
        for (let item = heap.pop(nowMs); item !== null; item = heap.pop(nowMs)) got.push(model.get(item)!);
        expect(got).toEqual(due);
        expect(heap.size).toBe(model.size - due.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe("a limit on answers", () => {
  it("lets a burst pass, then a steady rate", () => {
    const limit = new AnswerLimit(100, 5);
    let answered = 0;
    for (let i = 0; i < 50; i++) if (limit.take(0)) answered++;
    expect(answered).toBe(5);
    for (let ms = 1; ms <= 1000; ms++) if (limit.take(ms)) answered++;
    expect(answered).toBeGreaterThanOrEqual(104);
    expect(answered).toBeLessThanOrEqual(105);
  });
});
