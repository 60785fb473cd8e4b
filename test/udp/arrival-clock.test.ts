import { expect, test } from "vitest";
import { ArrivalClock } from "../../src/udp/arrival-clock.ts";

/** The system's clock is this much ahead of the monotonic one. */
const OFFSET_MS = 1_700_000_000_000;

function take(clock: ArrivalClock, arrivedMs: number, takenMs: number, offset = OFFSET_MS): number {
  clock.begin(takenMs, takenMs + offset);
  const waited = clock.waitedMs(arrivedMs + offset, takenMs);
  clock.emptied();
  return waited;
}

test("once a datagram was taken at once, it says how long others waited", () => {
  const clock = new ArrivalClock();
  take(clock, 1000, 1000.02);
  expect(take(clock, 1001, 1021)).toBeCloseTo(20, 0);
  expect(take(clock, 1030, 1030.5)).toBeCloseTo(0.5, 1);
});

test("nothing waited longer than since there was nothing left, whatever the clocks say", () => {
  const clock = new ArrivalClock();
  take(clock, 1000, 1000);
  take(clock, 1009, 1010);
  expect(take(clock, 0, 1012)).toBe(2);
});

test("a system's clock that is set does not count as waiting", () => {
  const clock = new ArrivalClock();
  take(clock, 1000, 1000);
  expect(take(clock, 1500, 1500, OFFSET_MS - 300)).toBe(0);
  expect(take(clock, 2000, 2000.1, OFFSET_MS + 70_000)).toBe(0);
  expect(take(clock, 2500, 2504, OFFSET_MS + 70_000)).toBeCloseTo(3.9, 1);
});

test("clocks that drift apart do not add up to waiting", () => {
  const clock = new ArrivalClock();
  let most = 0;
  for (let second = 1; second < 1000; second++) {
    const nowMs = second * 1000;
    most = Math.max(most, take(clock, nowMs, nowMs, OFFSET_MS - second * 0.1));
  }
  expect(most).toBeLessThan(1);
});
