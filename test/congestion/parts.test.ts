import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LossEstimate } from "../../src/congestion/loss-estimate.ts";
import { Pacer } from "../../src/congestion/pacer.ts";
import { RateSampler } from "../../src/congestion/rate-sampler.ts";
import { WindowedExtremum } from "../../src/congestion/windowed-extremum.ts";

describe("WindowedExtremum", () => {
  it.each(["max", "min"] as const)("is a value of the window, the %s while that is its newest half", (kind) => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: -50, max: 50 })), {
      minLength: 1,
      maxLength: 60,
    });
    fc.assert(
      fc.property(steps, (all) => {
        const filter = new WindowedExtremum(kind, 100);
        const seen: { time: number; value: number }[] = [];
        let time = 0;
        for (const [elapsed, value] of all) {
          time += elapsed;
          seen.push({ time, value });
          filter.update(value, time);
          const inWindow = seen.filter((one) => time - one.time <= 100);
          const recent = seen.filter((one) => time - one.time <= 25).map((one) => one.value);
          expect(inWindow.some((one) => one.value === filter.value && one.time === filter.time)).toBe(true);
          if (kind === "max") expect(filter.value).toBeGreaterThanOrEqual(Math.min(...recent));
          else expect(filter.value).toBeLessThanOrEqual(Math.max(...recent));
          const best = kind === "max" ? Math.max : Math.min;
          const extreme = best(...inWindow.map((one) => one.value));
          if (time <= 100) expect(filter.value).toBe(extreme);
        }
      }),
    );
  });

  it("is infinite when empty", () => {
    expect(new WindowedExtremum("max", 1).value).toBe(-Infinity);
    expect(new WindowedExtremum("min", 1).value).toBe(Infinity);
  });
});

describe("Pacer", () => {
  it("keeps the rate over time, however late it is asked within its burst", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 10, max: 10_000 }), (late, rate) => {
        const pacer = new Pacer(1);
        let nowMs = 0;
        let sent = 0;
        while (nowMs < 1000) {
          while (pacer.maySend(rate, nowMs)) {
            pacer.onSent(1500);
            sent += 1500;
          }
          nowMs = pacer.nextMs(rate, nowMs) + late;
        }
        expect(sent).toBeLessThanOrEqual(rate * (nowMs + 1) + 3000);
        expect(sent).toBeGreaterThanOrEqual(rate * 999 - 3000);
      }),
      { numRuns: 50 },
    );
  });

  it("lets everything go at an infinite rate", () => {
    const pacer = new Pacer(0);
    for (let i = 0; i < 100; i++) {
      expect(pacer.maySend(Number.POSITIVE_INFINITY, 0)).toBe(true);
      pacer.onSent(1500);
    }
    expect(pacer.nextMs(Number.POSITIVE_INFINITY, 0)).toBe(0);
  });
});

describe("LossEstimate", () => {
  it("pools experiments that agree", () => {
    const loss = new LossEstimate();
    for (const lost of [90, 110, 100, 95, 105]) loss.addExperiment(1000, lost, true, 0);
    expect(loss.share).toBeCloseTo(0.1, 6);
    expect(loss.experiments).toBe(5);
  });

  it("believes in less loss at once, in more only the third time, a second apart, and then in the least of the three", () => {
    const loss = new LossEstimate();
    for (let i = 0; i < 4; i++) loss.addExperiment(300, 30, true, 0);
    loss.addExperiment(300, 100, true, 5000);
    expect(loss.share).toBeCloseTo(0.1, 6);
    expect(loss.doubtful).toBe(true);
    loss.addExperiment(300, 95, true, 5500);
    expect(loss.doubtful).toBe(true);
    loss.addExperiment(300, 90, true, 6000);
    expect(loss.doubtful).toBe(true);
    loss.addExperiment(300, 99, true, 7000);
    expect(loss.share).toBeCloseTo(0.3, 6);
    expect(loss.doubtful).toBe(false);
    loss.addExperiment(300, 0, true, 8000);
    expect(loss.share).toBe(0);
  });

  it("lets no experiment through which a queue stood raise it, however little, but believes less loss", () => {
    const loss = new LossEstimate();
    for (let i = 0; i < 4; i++) loss.addExperiment(300, 30, true, 1000 * i);
    for (let i = 4; i < 40; i++) loss.addExperiment(300, i % 2 === 0 ? 33 : 150, false, 1000 * i);
    expect(loss.share).toBeCloseTo(0.1, 6);
    expect(loss.doubtful).toBe(false);
    loss.addExperiment(300, 3, false, 50_000);
    expect(loss.share).toBeCloseTo(0.01, 6);
  });

  it("takes a first experiment through which a queue stood only until there is a better one", () => {
    const loss = new LossEstimate();
    loss.addExperiment(50, 30, false, 0);
    expect(loss.provisional).toBe(true);
    loss.addExperiment(50, 27, false, 1000);
    expect(loss.share).toBeCloseTo(0.54, 6);
    loss.addExperiment(50, 30, false, 2000);
    expect(loss.share).toBeCloseTo(0.54, 6);
    loss.addExperiment(100, 10, true, 3000);
    expect(loss.share).toBeCloseTo(0.1, 6);
    expect(loss.provisional).toBe(false);
  });

  it("tolerates more when losses come in bursts", () => {
    const loss = new LossEstimate();
    loss.dispersion = 14;
    loss.addExperiment(300, 15, true, 0);
    loss.addExperiment(300, 40, true, 0);
    expect(loss.doubtful).toBe(false);
  });
});

describe("RateSampler", () => {
  /** Packets of 1000 bytes, one a ms, acknowledged 40 ms later unless `lost` says so. */
  function run(packets: number, lost: (packet: number) => boolean, first = 0) {
    const sampler = new RateSampler();
    const rates: number[] = [];
    const shares: number[] = [];
    for (let ms = 0; ms < packets + 40; ms++) {
      const acked = first + ms - 40;
      if (ms >= 40) {
        if (lost(acked)) sampler.onGone(acked);
        else {
          sampler.onAcked(acked, 1000);
          sampler.finish(ms);
          if (sampler.valid && ms >= 80) {
            rates.push(sampler.passedBytes / sampler.intervalMs);
            shares.push(1 - sampler.deliveredBytes / sampler.passedBytes);
          }
        }
      }
      if (ms < packets) sampler.onSent(first + ms, 1000, ms === 0, ms);
    }
    return { rates, shares };
  }

  it("measures the rate that passed, lost or not, and the share lost", () => {
    const { rates, shares } = run(2000, (packet) => packet % 5 === 4);
    for (const rate of rates) expect(Math.abs(rate - 1000)).toBeLessThan(60);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    expect(mean).toBeCloseTo(0.2, 2);
  });

  it("keeps its records as the ring grows", () => {
    const sampler = new RateSampler();
    for (let packet = 0; packet < 5000; packet++) sampler.onSent(7 * packet, 1000, packet === 0, packet / 100);
    for (let packet = 0; packet < 5000; packet++) {
      expect(sampler.onAcked(7 * packet, 1000)).toBe(packet / 100);
      sampler.finish(60 + packet / 100);
      expect(sampler.passed).toBe(1000 * (packet + 1));
    }
    expect(sampler.delivered).toBe(5_000_000);
  });

  it("goes on after a long pause, with a ring as small as at first", () => {
    const sampler = new RateSampler();
    for (const [startMs, first] of [
      [0, 0],
      [60_000, 500],
    ]) {
      for (let i = 0; i < 500; i++) sampler.onSent(first + i, 1000, i === 0, startMs + i);
      for (let i = 0; i < 500; i++) {
        expect(sampler.onAcked(first + i, 1000)).toBe(startMs + i);
        sampler.finish(startMs + 600 + i);
        expect(sampler.passed).toBe(1000 * (first + i + 1));
      }
    }
  });

  it("keeps no ring after a lone packet that follows a pause, and samples that packet and later ones all the same", () => {
    const sampler = new RateSampler();
    const roundTrip = (packet: number, sentMs: number) => {
      sampler.onSent(packet, 1000, true, sentMs);
      expect(sampler.onAcked(packet, 1000)).toBe(sentMs);
      sampler.finish(sentMs + 40);
      expect([sampler.valid, sampler.deliveredBytes, sampler.intervalMs]).toEqual([true, 1000, 40]);
    };
    expect(sampler.capacity).toBe(0);
    roundTrip(0, 100);
    expect(sampler.capacity).toBe(8);
    roundTrip(1, 20_000);
    expect(sampler.capacity).toBe(0);
    expect(sampler.onAcked(1, 0)).toBeNaN();
    expect(sampler.onGone(0)).toBeNaN();
    roundTrip(2, 20_100);
    expect(sampler.capacity).toBe(8);
    // Another one joins it: not what an idle link sends.
    sampler.onSent(3, 1000, true, 40_000);
    sampler.onSent(4, 1000, false, 40_001);
    sampler.onAcked(3, 1000);
    sampler.finish(40_040);
    expect([sampler.capacity, sampler.onAcked(4, 1000)]).toEqual([8, 40_001]);
  });

  it("marks samples of an application that had too little", () => {
    const sampler = new RateSampler();
    sampler.onSent(0, 1000, true, 0);
    sampler.onAppLimited();
    sampler.onSent(1, 1000, false, 1);
    sampler.onAcked(0, 1000);
    sampler.finish(40);
    expect(sampler.appLimited).toBe(false);
    sampler.onAcked(1, 1000);
    sampler.finish(41);
    expect(sampler.appLimited).toBe(true);
    sampler.onSent(2, 1000, true, 50);
    sampler.onAcked(2, 1000);
    sampler.finish(90);
    expect(sampler.appLimited).toBe(false);
  });

  it("does not count a pause", () => {
    const sampler = new RateSampler();
    sampler.onSent(0, 1000, true, 0);
    sampler.onAcked(0, 1000);
    sampler.finish(40);
    sampler.onSent(1, 1000, true, 5000);
    sampler.onAcked(1, 1000);
    sampler.finish(5040);
    expect(sampler.intervalMs).toBe(40);
  });
});
