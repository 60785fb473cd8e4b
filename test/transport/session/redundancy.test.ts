import { expect, test } from "vitest";
import { TinyMt32 } from "../../../src/codec/index.ts";
import { LossOdds } from "../../../src/transport/session/loss-odds.ts";
import { PathEstimate } from "../../../src/transport/session/path-estimate.ts";
import { Redundancy } from "../../../src/transport/session/redundancy.ts";
import type { SendBatch } from "../../../src/transport/session/send-batch.ts";

/** Gives an estimate the fates of `packets`, of which a share is lost, in bursts of `burst` on average, each when `flight` more have left. */
function travel(path: PathEstimate, packets: number, loss: number, burst: number, flight = 0): void {
  const generator = new TinyMt32(3);
  const chance = () => generator.next() / 2 ** 32;
  const sent: number[] = [];
  let lost = false;
  for (let i = 0; i < packets + flight; i++) {
    sent.push(path.packetSent());
    if (i < flight) continue;
    lost = chance() < (lost ? 1 - 1 / burst : loss / burst / (1 - loss));
    if (lost) path.packetLost(sent[i - flight]);
    else path.packetArrived(sent[i - flight], i, i + 30);
  }
}

test("a path's loss, its bursts and its round trip are found from the fates of packets", () => {
  for (const [loss, burst] of [
    [0.06, 1 / 0.94],
    [0.2, 1 / 0.8],
    [0.1, 2],
    [0.05, 8],
  ]) {
    for (const flight of [0, 50, 3000]) {
      const path = new PathEstimate();
      travel(path, 20_000, loss, burst, flight);
      expect(path.rttMs).toBeCloseTo(30);
      expect(Math.abs(path.loss - loss)).toBeLessThan(0.5 * loss);
      expect(Math.abs(path.persistence - (1 - 1 / burst))).toBeLessThan(0.1);
    }
  }
});

test("what became of a link's own packets is known of a path before a session sends, and forgotten with it", () => {
  const path = new PathEstimate();
  const { loss } = path;
  path.sample(12, 4);
  expect(path.loss).toBeGreaterThan(0.12);
  expect(path.loss).toBeLessThan(0.25);
  // Later ones hardly count, for in an outage they are the only ones.
  path.sample(16, 0);
  const before = path.loss;
  path.sample(0, 500);
  expect(path.loss).toBe(before);
  path.reset();
  expect(path.loss).toBe(loss);
});

test("the odds of independent losses are binomial, and bursts make many losses likelier", () => {
  const odds = new LossOdds();
  odds.update(0.1, 0.1);
  expect(odds.moreLost(0, 1)).toBeCloseTo(0.1);
  expect(odds.moreLost(0, 10)).toBeCloseTo(1 - 0.9 ** 10);
  expect(odds.moreLost(1, 2)).toBeCloseTo(0.01);
  expect(odds.moreLost(-1, 5)).toBe(1);
  expect(odds.moreLost(5, 5)).toBe(0);
  expect(odds.surplus(0, 10)).toBeCloseTo(9);
  const independent = odds.moreLost(6, 20);
  odds.update(0.1, 0.8);
  expect(odds.moreLost(6, 20)).toBeGreaterThan(5 * independent);
});

test("the margin of repair is nothing to speak of in a batch's first round where many are in flight, and large in the next", () => {
  const path = new PathEstimate();
  travel(path, 5000, 0.1, 1 / 0.9);
  const margin = (symbolMs: number, missing: number, round: number) => {
    const redundancy = new Redundancy(path);
    for (let batch = 0; batch < 100; batch++) redundancy.batchSealed(64, batch * 64 * symbolMs);
    return redundancy.margin(missing, missing, round);
  };
  // 3000 symbols in a round trip: 30 are lost twice.
  const many = path.rttMs / 3000;
  expect(margin(many, 6, 0)).toBe(0);
  expect(margin(many, 6, 1)).toBeGreaterThanOrEqual(1);
  // With ten times as many a third round delays ten times as much.
  expect(margin(many / 10, 6, 1)).toBeGreaterThan(margin(many, 6, 1));
  // With three there hardly ever is one, and a first round is worth as much as the next.
  expect(margin(path.rttMs / 3, 6, 0)).toBeGreaterThanOrEqual(margin(path.rttMs / 3, 6, 1));
  // Nothing to gain where nothing is lost.
  const clean = new PathEstimate();
  travel(clean, 20_000, 0, 1);
  expect(new Redundancy(clean).margin(1, 1, 2)).toBe(0);
});

test("a second round of datagrams, which may be their last, has more margin", () => {
  const path = new PathEstimate();
  travel(path, 5000, 0.2, 1 / 0.8);
  const redundancy = new Redundancy(path);
  expect(redundancy.margin(2, 2, 1, true)).toBeGreaterThan(redundancy.margin(2, 2, 1));
});

test("most of the repair that a full batch will need leaves with it, and none in vain where little is lost", () => {
  const advance = (loss: number) => {
    const path = new PathEstimate();
    travel(path, 20_000, loss, 1 / (1 - loss));
    return new Redundancy(path).advance(64, 64);
  };
  // 64 / 0.8 - 64 would make up for all losses on average.
  expect(advance(0.2)).toBeGreaterThanOrEqual(7);
  expect(advance(0.2)).toBeLessThan(14);
  expect(advance(0.01)).toBe(0);
  expect(advance(0)).toBe(0);
});

test("a flow below 64 kbit/s may have all the repair it takes whatever the preset, a faster one its share", () => {
  const afforded = (intervalMs: number) => {
    const path = new PathEstimate();
    travel(path, 5000, 0.1, 1 / 0.9);
    const redundancy = new Redundancy(path, { preset: "throughput" });
    let repairs = 0;
    for (let symbol = 0; symbol < 500; symbol++) {
      redundancy.sourceSent(500, symbol * intervalMs);
      // Three for each, as thin flows want at most.
      for (let i = 0; i < 3 && redundancy.affordsAhead; i++) {
        redundancy.repairSent(500);
        repairs++;
      }
    }
    return repairs / 500;
  };
  // 40 and 400 kbit/s.
  expect(afforded(100)).toBe(3);
  // 5 % beyond the ninth that losses take, and what may be saved up and owed at the beginning.
  expect(afforded(10)).toBeLessThan(0.25);
});

test("symbols most of which come far apart have paused after a millisecond, others, bursts too, after three", () => {
  const redundancy = new Redundancy(new PathEstimate());
  let nowMs = 1000;
  const flow = (symbols: number, gapMs: number) => {
    for (let i = 0; i < symbols; i++) {
      nowMs += gapMs;
      redundancy.sourceSent(1000, nowMs);
    }
    return redundancy.pauseMs;
  };
  expect(flow(50, 1)).toBe(3);
  expect(flow(1, 10_000)).toBe(3);
  expect(flow(50, 10)).toBe(1);
  expect(flow(50, 4)).toBe(3);
  expect(flow(1, 10_000)).toBe(3);
  for (const [burst, gapMs] of [
    [2, 18],
    [3, 16],
    [5, 25],
  ]) {
    for (let i = 0; i < 20; i++) {
      flow(1, gapMs);
      expect(flow(burst - 1, 2)).toBe(3);
    }
  }
});

test("datagrams that flow have more repair while one could be in time that no feedback helps, and not for one that is late anyhow", () => {
  const path = new PathEstimate();
  travel(path, 1000, 0.05, 1);
  expect([path.rttMs, path.oneWayMs].map(Math.round)).toEqual([30, 15]);
  const redundancy = new Redundancy(path);
  const wants = (firstDeadlineMs: number, deadlineMs: number): boolean => {
    const batch = { sealed: false, deadlineMs, firstDeadlineMs, odds: () => 0.05 };
    return redundancy.wantsAhead(batch as unknown as SendBatch, true, true, 0);
  };
  expect([60, 40, 20, 10, -5].map((first) => wants(first, 1000))).toEqual([false, true, true, false, false]);
  expect([60, 40, 20, 10].map((last) => wants(-5, last))).toEqual([false, true, true, false]);
});
