import { describe, expect, it } from "vitest";
import { type EventHandler, EventQueue } from "../../src/simulator/event-queue.ts";
import { ListedLoss, Random, SimulatorOptionError } from "../../src/simulator/index.ts";
import { createLoss } from "../../src/simulator/loss.ts";
import { Policer } from "../../src/simulator/policer.ts";
import { RateSchedule } from "../../src/simulator/schedule.ts";

describe("errors of options", () => {
  it("say of any value what it is", () => {
    const circular: unknown[] = [];
    circular.push(circular, 1n);
    for (const [value, text] of [
      ["a", '"a"'],
      [Number.NaN, "NaN"],
      [null, "null"],
      [{}, "[object Object]"],
      [Object.create(null), "[object Object]"],
      [circular, ",1"],
    ]) {
      const error = new SimulatorOptionError("field", value, "another");
      expect(error.message).toBe(`field is ${text}, wanted another`);
      expect(error.value).toBe(value);
    }
  });
});

describe("event queue", () => {
  it("fires events in the order of their times, and those of one time in the order of their pushes", () => {
    const queue = new EventQueue();
    const random = new Random(7);
    const fired: [number, number][] = [];
    const handler: EventHandler = { handleEvent: (nowMs, tag) => fired.push([nowMs, tag]) };
    const pushed: [number, number][] = [];
    for (let tag = 0; tag < 5000; tag++) {
      const atMs = random.below(100);
      pushed.push([atMs, tag]);
      queue.push(atMs, handler, tag);
    }
    while (queue.length > 0) queue.fireNext();
    // Array.prototype.sort is stable.
    expect(fired).toEqual(pushed.sort((a, b) => a[0] - b[0]));
  });

  it("keeps the place that was reserved, however late the push", () => {
    const queue = new EventQueue();
    const fired: number[] = [];
    const handler: EventHandler = { handleEvent: (_nowMs, tag) => fired.push(tag) };
    const order = queue.reserveOrder();
    queue.push(5, handler, 2);
    queue.pushOrdered(5, order, handler, 1);
    expect(queue.nextMs).toBe(5);
    queue.fireNext();
    queue.fireNext();
    expect(fired).toEqual([1, 2]);
    expect(queue.nextMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("random numbers", () => {
  it("repeats for a seed and label and differs for another of either", () => {
    const draw = (seed: number, label: string) => {
      const random = new Random(seed, label);
      return Array.from({ length: 8 }, () => random.uint32());
    };
    expect(draw(1, "a")).toEqual(draw(1, "a"));
    expect(draw(1, "a")).not.toEqual(draw(1, "b"));
    expect(draw(1, "a")).not.toEqual(draw(2, "a"));
    expect(draw(1, "a")).not.toEqual(draw(1 + 2 ** 32, "a"));
  });

  it("is even over [0, 1), also across the first draws of neighbouring seeds", () => {
    const random = new Random(3);
    const bins = new Float64Array(20);
    const firsts = new Float64Array(20);
    const count = 40_000;
    for (let i = 0; i < count; i++) {
      bins[Math.floor(random.next() * 20)]++;
      firsts[Math.floor(new Random(i, "first").next() * 20)]++;
    }
    // Chi-square with 19 degrees of freedom exceeds 43.8 once in a thousand.
    const chiSquare = (of: Float64Array) => of.reduce((sum, n) => sum + (n - count / 20) ** 2 / (count / 20), 0);
    expect(chiSquare(bins)).toBeLessThan(43.8);
    expect(chiSquare(firsts)).toBeLessThan(43.8);
  });

  it("draws normal numbers with mean 0, variance 1 and the right tails", () => {
    const random = new Random(11);
    const count = 100_000;
    let sum = 0;
    let squares = 0;
    let beyondTwo = 0;
    for (let i = 0; i < count; i++) {
      const x = random.normal();
      sum += x;
      squares += x * x;
      if (Math.abs(x) > 2) beyondTwo++;
    }
    expect(Math.abs(sum / count)).toBeLessThan(0.013);
    expect(Math.abs(squares / count - 1)).toBeLessThan(0.018);
    expect(Math.abs(beyondTwo / count - 0.0455)).toBeLessThan(0.003);
  });
});

describe("loss models", () => {
  const runs = (options: Parameters<typeof createLoss>[1], count: number) => {
    const model = createLoss("loss", options, new Random(5, "loss"));
    const bursts: number[] = [];
    let lost = 0;
    let burst = 0;
    for (let i = 0; i < count; i++) {
      if (model.lost()) {
        lost++;
        burst++;
      } else if (burst > 0) {
        bursts.push(burst);
        burst = 0;
      }
    }
    return { share: lost / count, bursts, meanBurst: bursts.reduce((a, b) => a + b, 0) / bursts.length };
  };

  it("loses independently the share asked for, in bursts of 1 / (1 - p)", () => {
    const { share, meanBurst } = runs(0.3, 200_000);
    expect(share).toBeCloseTo(0.3, 2);
    expect(meanBurst).toBeCloseTo(1 / 0.7, 1);
  });

  it.each([
    [0.02, 2],
    [0.1, 5],
    [0.3, 10],
  ])("Gilbert-Elliott by mean loss %d and mean burst %d has both, and geometric bursts", (meanLoss, meanBurst) => {
    const found = runs({ meanLoss, meanBurst }, 1_000_000);
    expect(Math.abs(found.share / meanLoss - 1)).toBeLessThan(0.05);
    expect(Math.abs(found.meanBurst / meanBurst - 1)).toBeLessThan(0.05);
    const longer = found.bursts.filter((n) => n > meanBurst).length / found.bursts.length;
    expect(longer).toBeCloseTo((1 - 1 / meanBurst) ** meanBurst, 1);
  });

  it("Gilbert-Elliott by raw parameters loses by the steady state of its chain", () => {
    const { share } = runs({ goodToBad: 0.05, badToGood: 0.2, lossInGood: 0.01, lossInBad: 0.6 }, 1_000_000);
    expect(share).toBeCloseTo(0.8 * 0.01 + 0.2 * 0.6, 2);
  });

  it("a list loses exactly the places in it", () => {
    const model = new ListedLoss([0, 3]);
    expect(Array.from({ length: 6 }, () => model.lost())).toEqual([true, false, false, true, false, false]);
  });

  it("refuses a mean burst too short for its mean loss, and says which would do", () => {
    expect(() => runs({ meanLoss: 0.9, meanBurst: 2 }, 1)).toThrow(
      new SimulatorOptionError("loss.meanBurst", 2, "at least 9.000000000000002 packets for a meanLoss of 0.9"),
    );
  });
});

describe("rate schedule", () => {
  it("integrates its steps, and its inverse skips the times when it halts", () => {
    // 8 Mbit/s is 1000 bytes a millisecond.
    const schedule = new RateSchedule(8, [
      { atMs: 10, rateMbps: 0 },
      { atMs: 20, rateMbps: 16 },
    ]);
    expect([0, 5, 10, 15, 20, 21].map((ms) => schedule.workAt(ms))).toEqual([0, 5000, 10_000, 10_000, 10_000, 12_000]);
    expect([5000, 10_000, 10_001, 14_000].map((work) => schedule.timeOf(work))).toEqual([5, 10, 20.0005, 22]);
  });

  it("never finishes what a final halt keeps", () => {
    const schedule = new RateSchedule(8, [{ atMs: 10, rateMbps: 0 }]);
    expect(schedule.timeOf(10_001)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("policer", () => {
  it("lets a burst pass at once and then the rate, to the byte", () => {
    const policer = new Policer({ rateMbps: 8, burstBytes: 5000 });
    let passed = 0;
    for (let i = 0; i < 10; i++) if (policer.admit(1000, 0)) passed++;
    expect(passed).toBe(5);
    // 1000 bytes a millisecond, offered twice as much: half of it passes.
    for (let i = 1; i <= 2000; i++) if (policer.admit(1000, i / 2)) passed++;
    expect(passed).toBe(1005);
  });

  it("never saves up more than its burst", () => {
    const policer = new Policer({ rateMbps: 8, burstBytes: 3000 });
    let passed = 0;
    for (let i = 0; i < 10; i++) if (policer.admit(1000, 1e9)) passed++;
    expect(passed).toBe(3);
    expect(policer.admit(3001, 2e9)).toBe(false);
  });
});
