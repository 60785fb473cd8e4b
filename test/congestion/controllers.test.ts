import { describe, expect, it } from "vitest";
import { Bbr } from "../../src/congestion/bbr.ts";
import type { CongestionUpdate } from "../../src/congestion/controller.ts";
import { Cubic } from "../../src/congestion/cubic.ts";
import { FixedRate } from "../../src/congestion/fixed.ts";
import {
  type Cell,
  makeBbr,
  RATE_STEPS,
  runCell,
  runCrowd,
  runFairness,
  runRecovery,
  safetyCells,
  usualLink,
} from "./cells.ts";

/** What an ideal transport would reach: 1400 bytes of payload in packets of 1500. */
const CEILING = 1400 / 1500;

describe("bbr on a path that loses packets", () => {
  it.each([
    [0, 50, 0.99, 0.001],
    [0.1, 110, 0.985, 0.005],
    [0.3, 10, 0.98, 0.005],
  ])("at loss %d and %d ms one way fills the path without filling the queue", (loss, delayMs, least, mostDrops) => {
    const result = runCell({ seed: 1, durationMs: 10_000, forward: usualLink(loss, { delayMs }) });
    expect(result.efficiency / CEILING).toBeGreaterThan(least);
    expect(result.drops).toBeLessThan(mostDrops);
    expect(result.startupDrops).toBeLessThan(0.03);
    expect(Math.abs(result.lossEstimate - loss)).toBeLessThan(0.05);
  });

  it("fills 1 Gbit/s at loss 0.1 and 50 ms one way", () => {
    const forward = usualLink(0.1, { rateMbps: 1000, delayMs: 50 });
    const result = runCell({ seed: 1, durationMs: 5000, forward });
    expect(result.efficiency / CEILING).toBeGreaterThan(0.98);
    expect(result.drops).toBeLessThan(0.01);
  });

  it.each([1, 2, 4])("takes bursts of loss for what they are, seed %d", (seed) => {
    const forward = usualLink(0, { delayMs: 50, loss: { meanLoss: 0.05, meanBurst: 8 } });
    const result = runCell({ seed, durationMs: 12_000, forward, usable: 12_500 * 0.95 });
    expect(result.efficiency).toBeGreaterThan(0.9);
    expect(result.drops).toBeLessThan(0.03);
  });

  it("follows a loss that changes, up and down", () => {
    const seen: number[] = [];
    const lossSteps = [
      { atMs: 4000, loss: 0.2 },
      { atMs: 9000, loss: 0 },
    ];
    runCell({
      seed: 1,
      durationMs: 14_000,
      forward: usualLink(0, { lossSteps }),
      watchMs: 4500,
      watch: (_nowMs, sender) => seen.push(sender.controller.metrics().lossEstimate),
    });
    expect(seen[1]).toBeCloseTo(0.2, 1);
    expect(seen[2]).toBeLessThan(0.02);
  });
});

describe("bbr does not take its own drops for the path's", () => {
  it.each([
    ["policer 50 KB", 0.13],
    ["queue 1 ms", 0.05],
    ["jitter 20 ms in order", 0.05],
    ["reordering 5 ms", 0.05],
    ["100 down, 2 up", 0.05],
  ])("%s", (name, mostDrops) => {
    for (const loss of [0, 0.1]) {
      const result = runCell({ ...safetyCells(loss)[name], seed: 1, durationMs: 10_000 });
      expect(result.efficiency).toBeGreaterThan(0.85);
      expect(result.drops).toBeLessThan(mostDrops);
      expect(Math.abs(result.lossEstimate - loss)).toBeLessThan(0.05);
    }
  });
});

describe("bbr on a path that changes", () => {
  it("finds five times the rate within 15 round trips", () => {
    const forward = usualLink(0, { rateSteps: RATE_STEPS.slice(0, 2) });
    expect(runRecovery(1, forward, 20_000, 50)).toBeLessThanOrEqual(15);
  });

  it("is back within 3 round trips of an outage of five seconds", () => {
    const forward = usualLink(0, { delayMs: 50, outages: [{ fromMs: 5000, toMs: 10_000 }] });
    expect(runRecovery(1, forward, 10_000, 100)).toBeLessThanOrEqual(3);
  });

  it("does not start up again because of a delay after an outage that cut its first drain short", () => {
    const jitter = { spreadMs: 20 };
    for (const seed of [8, 11, 12, 16]) {
      const drained = phases({ seed, durationMs: 3000, forward: usualLink(0, { jitter }) });
      expect(drained.map(({ state }) => state)).toEqual(expect.arrayContaining(["startup", "drain", "cruise"]));
      const fromMs = drained.find(({ state }) => state === "drain")!.sinceMs + 10;
      const outages = [{ fromMs, toMs: fromMs + 1000 }];
      const cut = phases({ seed, durationMs: 5000, forward: usualLink(0, { jitter, outages }) });
      expect(cut.filter(({ state }) => state === "startup")).toHaveLength(1);
      expect(cut.at(-1)!.sinceMs).toBeGreaterThan(fromMs + 1000);
    }
  });

  it("leaves room in the queue when it is marked", () => {
    const unmarked = runCell({ seed: 1, durationMs: 8000, forward: usualLink(0) });
    const marked = runCell({ seed: 1, durationMs: 8000, forward: usualLink(0, { ecnMs: 2 }) });
    expect(marked.rttMs).toBeLessThan(unmarked.rttMs - 0.5);
    expect(marked.efficiency / CEILING).toBeGreaterThan(0.98);
  });

  it("starts again on a new path", () => {
    const bbr = new Bbr({ packetBytes: 1500 });
    const windowBytes = bbr.windowBytes;
    drive(bbr, 0, 200);
    expect(bbr.metrics().bandwidth).toBeGreaterThan(0);
    bbr.onPathChange(10_000);
    expect(bbr.metrics()).toMatchObject({ state: "startup", bandwidth: 0, windowBytes, minRttMs: Infinity });
  });
});

describe("fairness, 50 Mbit/s, 40 ms, a queue of one BDP", () => {
  it("two of bbr share alike", () => {
    expect(runFairness(1, 0.02, "bbr").jain).toBeGreaterThan(0.95);
  });

  it.each([
    [0, 5],
    [0.1, 2.5],
  ])("a crowd on a short queue does not take the drops it makes for the path's, at loss %d", (loss, leastMbps) => {
    const runs = [1, 2, 3].map((seed) => runCrowd(seed, 4, loss, 30_000));
    expect(runs.reduce((sum, { drops }) => sum + drops, 0) / runs.length).toBeLessThan(0.05);
    for (const { mbps } of runs) expect(Math.min(...mbps)).toBeGreaterThan(leastMbps);
  });

  it("bbr leaves TCP CUBIC its share and takes its own", () => {
    expect(runFairness(1, 0, "cubic").jain).toBeGreaterThan(0.85);
  });
});

describe("cubic", () => {
  const controller = () => new Cubic({ packetBytes: 1500 });

  // Linux, paced by fq, in the same cells: 95.6 and 3.1 Mbit/s of TCP payload.
  it.each([
    [0, 75, 100],
    [0.02, 2, 6],
  ])("at loss %d and 10 ms one way is as fast as TCP: %d to %d Mbit/s", (loss, least, most) => {
    const forward = usualLink(loss, { delayMs: 10 });
    const { wholeEfficiency } = runCell({ seed: 1, durationMs: 10_000, forward, controller });
    const goodput = wholeEfficiency * 100 * (1 - loss);
    expect(goodput).toBeGreaterThan(least);
    expect(goodput).toBeLessThan(most);
  });

  it("shares with TCP CUBIC", () => {
    expect(runFairness(1, 0, "cubic", controller).jain).toBeGreaterThan(0.9);
  });

  it("gives back what a spurious loss took", () => {
    const cubic = controller();
    const before = cubic.windowBytes;
    for (let packet = 0; packet < 10; packet++) cubic.onPacketSent(packet, 1500, 1500 * (packet + 1), 0);
    cubic.onPacketAcked(9, 1500);
    cubic.onPacketLost(3);
    cubic.onUpdate({
      nowMs: 50,
      arrivedMs: 50,
      rttMs: 50,
      smoothedRttMs: 50,
      inFlightBytes: 12_000,
      congestionMarks: 0,
    });
    expect(cubic.windowBytes).toBeLessThan(before);
    cubic.onSpuriousLoss(3);
    expect(cubic.windowBytes).toBe(before);
  });
});

describe("fixed rate", () => {
  it("sends at its rate whatever is lost", () => {
    const controller = () => new FixedRate(80 * 125);
    const result = runCell({ seed: 1, durationMs: 5000, forward: usualLink(0.3), controller });
    expect((result.efficiency / CEILING) * 100).toBeCloseTo(80, 0);
  });

  it("refuses what is no rate", () => {
    expect(() => new FixedRate(0)).toThrow("rate is 0, wanted bytes a millisecond above 0");
  });
});

describe("bbr and an application with little to send", () => {
  it("paces no message of a thin flow, not even in experiments", () => {
    const bbr = new Bbr({ packetBytes: 1500 });
    let slowest = Number.POSITIVE_INFINITY;
    drive(bbr, 10, 2000, () => {
      slowest = Math.min(slowest, bbr.pacingRate);
    });
    // A packet of 1500 bytes within 3 ms.
    expect(slowest).toBeGreaterThan(500);
  });

  it.each([
    [40, 1, 0],
    [40, 20, 0.1],
    [95, 5, 0.02],
  ])("carries %d Mbit/s written every %d ms at loss %d and drops next to nothing", (mbps, everyMs, loss) => {
    const supply = { rate: mbps * 125, everyMs };
    const result = runCell({ seed: 1, durationMs: 6000, forward: usualLink(loss), supply });
    expect((result.efficiency / CEILING) * 100).toBeGreaterThan(mbps * 0.98);
    expect(result.drops + result.startupDrops).toBeLessThan(0.01);
  });

  it("leaves startup though a fast application pauses in every round trip", () => {
    const supply = { rate: 120 * 125, everyMs: 10 };
    const result = runCell({ seed: 1, durationMs: 6000, forward: usualLink(0), supply });
    expect(result.efficiency / CEILING).toBeGreaterThan(0.97);
    expect(result.drops).toBeLessThan(0.02);
  });

  it("repeats exactly, given the same seed", () => {
    const run = () => runCell({ seed: 7, durationMs: 4000, forward: usualLink(0.1), controller: makeBbr });
    expect(run()).toEqual(run());
  });
});

/** What a controller went through, and since when. */
function phases(cell: Cell): { state: string; sinceMs: number }[] {
  const found: { state: string; sinceMs: number }[] = [];
  const watch: Cell["watch"] = (sinceMs, { controller }) => {
    const { state } = controller.metrics();
    if (found.at(-1)?.state !== state) found.push({ state, sinceMs });
  };
  runCell({ ...cell, watchMs: 5, watch });
  return found;
}

/** One packet every `everyMs` (0: two a ms), acknowledged after 30 ms; every tenth is lost. */
function drive(bbr: Bbr, everyMs: number, packets: number, each = () => {}): void {
  const update: CongestionUpdate = {
    nowMs: 0,
    arrivedMs: 0,
    rttMs: 30,
    smoothedRttMs: 30,
    inFlightBytes: 0,
    congestionMarks: 0,
  };
  const step = everyMs > 0 ? everyMs : 0.5;
  const flight = Math.ceil(30 / step);
  for (let packet = 0; packet < packets + flight; packet++) {
    const nowMs = packet * step;
    const inFlightBytes = 1500 * Math.min(packet, flight);
    if (packet >= flight) {
      const settled = packet - flight;
      if (settled % 10 === 9) bbr.onPacketLost(settled, 1500);
      else bbr.onPacketAcked(settled, 1500, nowMs);
      update.nowMs = update.arrivedMs = nowMs;
      update.inFlightBytes = inFlightBytes;
      bbr.onUpdate(update);
    }
    bbr.onPacketSent(packet, 1500, inFlightBytes + 1500, nowMs);
    if (everyMs > 0) bbr.onAppLimited();
    if (packet > 2 * flight) each();
  }
}
