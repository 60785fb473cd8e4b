import { describe, expect, test } from "vitest";
import { bulk } from "./bulk.ts";

// Virtual time makes the figures exact: they change only with the code.

describe("a stream over a session, a link and a lossy path", () => {
  test.each([
    { loss: 0, delayMs: 50, least: 0.93 },
    { loss: 0.1, delayMs: 110, least: 0.92 },
    { loss: 0.3, delayMs: 10, least: 0.9 },
  ])("gets most of what the path carries at $loss loss and $delayMs ms one way", ({ loss, delayMs, least }) => {
    const outcome = bulk({ hop: { rateMbps: 100, delayMs, queueMs: 10, loss }, seconds: 9, fromMs: 3000, seed: 5 });
    expect(outcome.log).toEqual([]);
    expect(outcome.wrong).toBe(0);
    const goodputMbps = ((outcome.total - outcome.early) * 8) / 6000 / 1000;
    expect(goodputMbps / (100 * (1 - loss))).toBeGreaterThan(least);
    expect(outcome.queueDrops / outcome.packets).toBeLessThan(0.03);
  });

  test("goes on after an outage, with nothing lost", () => {
    const hop = { rateMbps: 20, delayMs: 20, queueMs: 20, loss: 0.05, outages: [{ fromMs: 2000, toMs: 5000 }] };
    const outcome = bulk({ hop, seconds: 9, fromMs: 5500, seed: 5 });
    expect(outcome.log).toEqual([]);
    expect(outcome.wrong).toBe(0);
    const goodputMbps = ((outcome.total - outcome.early) * 8) / 3500 / 1000;
    expect(goodputMbps / (20 * 0.95)).toBeGreaterThan(0.7);
  });
});
