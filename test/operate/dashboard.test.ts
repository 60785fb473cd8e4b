/** What the dashboard computes. How it looks and behaves in a browser: test/e2e/dashboard.test.ts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Chart, roundAxis, shapesOf } from "../../src/operate/dashboard/chart.ts";
import { Fleet } from "../../src/operate/dashboard/fleet.ts";
import { formatValue, visible } from "../../src/operate/dashboard/format.ts";
import { selects, sortMembers } from "../../src/operate/dashboard/order.ts";
import { KEPT } from "../../src/operate/dashboard/track.ts";
import { sessionStatus, statusOf } from "./fake-proxy.ts";

function fleetOf(...statuses: Parameters<Fleet["take"]>[0][]): Fleet {
  const fleet = new Fleet();
  for (const status of statuses) fleet.take(status);
  return fleet;
}

describe("the fleet", () => {
  it("has rates from the second status on, and none of a proxy that was started anew", () => {
    const first = statusOf([sessionStatus(1, { bytesSent: 1000 })], { nowMs: 1000 });
    const second = statusOf([sessionStatus(1, { bytesSent: 126_000, bytesReceived: 250 })], { nowMs: 3000 });
    const fleet = fleetOf(first);
    expect(fleet.now?.sentBps).toBeNaN();
    fleet.take(second);
    expect(fleet.now).toMatchObject({ sentBps: 500_000, receivedBps: 1000 });
    // Another process: its first session has the same number and carried less.
    fleet.take(statusOf([sessionStatus(1, { bytesSent: 10 })], { nowMs: 4000, startedMs: 3500 }));
    expect(fleet.members.get(1)?.sentBps).toBeNaN();
    expect(fleet.restartedMs).toBe(3500);
  });

  it("tells the median and the worst, of those that know", () => {
    const sessions = [10, 30, 20, null].map((rttMs, i) => sessionStatus(i, { rttMs, lossRate: i / 10 }));
    const { now } = fleetOf(statusOf(sessions));
    expect(now).toMatchObject({ medianRttMs: 20, worstRttMs: 30, worstLoss: 0.3 });
    expect(now?.medianLoss).toBeCloseTo(0.15);
    expect(fleetOf(statusOf([])).now).toMatchObject({ medianRttMs: Number.NaN, sentBps: 0, open: 0 });
  });

  it("forgets sessions that are over, and samples older than it keeps", () => {
    const fleet = new Fleet();
    for (let i = 0; i < KEPT + 10; i++) fleet.take(statusOf([sessionStatus(i)], { nowMs: 1000 * i }));
    expect(fleet.members.size).toBe(1);
    const slots = fleet.clock.slotsSince(0);
    expect(slots.length).toBe(KEPT);
    expect(fleet.clock.timeAt(slots[0])).toBe(10_000);
    expect(fleet.clock.timeAt(slots[KEPT - 1])).toBe(fleet.clock.lastMs);
  });
});

describe("the order of sessions", () => {
  const sessions = [
    sessionStatus(1, { peer: "edge-10", rttMs: 5 }),
    sessionStatus(2, { peer: "edge-9", rttMs: 50 }),
    sessionStatus(3, { peer: "edge-8", lossRate: 0.2 }),
    sessionStatus(4, { peer: "edge-7", state: "suspended", rttMs: null, address: "198.51.100.1:9" }),
  ];
  const members = [...fleetOf(statusOf(sessions)).members.values()];
  const ids = (list: typeof members) => list.map(({ status }) => status.id);

  it("has the worst first: who does not answer, who loses, who is slow", () => {
    expect(ids(sortMembers(members, "worst", false))).toEqual([4, 3, 2, 1]);
    expect(ids(sortMembers(members, "worst", true))).toEqual([1, 2, 3, 4]);
  });

  it("compares numbers in names as numbers", () => {
    expect(ids(sortMembers(members, "identity", false))).toEqual([4, 3, 2, 1]);
  });

  it("keeps those that are searched for, by identity or address", () => {
    expect(ids(members.filter((member) => selects("all", "EDGE-1", member)))).toEqual([1]);
    expect(ids(members.filter((member) => selects("all", "198.51", member)))).toEqual([4]);
    expect(ids(members.filter((member) => selects("suspended", "", member)))).toEqual([4]);
    expect(ids(members.filter((member) => selects("lossy", "", member)))).toEqual([3]);
  });
});

describe("a chart", () => {
  const chart = (values: number[], timesMs: number[]): Chart => ({
    kind: "rate",
    widthPx: 400,
    heightPx: 150,
    fromMs: 0,
    toMs: 60_000,
    timesMs,
    gapMs: 3000,
    series: [{ label: "to the peer", values }],
    formatTime: (ms) => `${ms / 1000}`,
  });
  const linesOf = (made: Chart) =>
    shapesOf(made)
      .filter(({ tag, attributes }) => tag === "path" && String(attributes["class"]).startsWith("line"))
      .map(({ attributes }) => String(attributes["d"]));

  it("has round labels with the unit that fits", () => {
    const texts = shapesOf(chart([2e6, 5.2e6], [0, 1000])).flatMap(({ text }) => text ?? []);
    expect(texts).toEqual(["0", "2", "4", "6", "Mbit/s", "15", "30", "45"]);
  });

  it("breaks its line where nothing was heard or nothing is known", () => {
    expect(linesOf(chart([1, 1, 1, 1], [0, 1000, 9000, 10_000])).length).toBe(2);
    expect(linesOf(chart([1, Number.NaN, 1, 1], [0, 1000, 2000, 3000])).length).toBe(2);
    expect(linesOf(chart([], []))).toEqual([]);
  });

  it("stays inside its frame, whatever the values", () => {
    const values = fc.array(fc.double({ min: 0, max: 1e12 }), { minLength: 2, maxLength: 50 });
    fc.assert(
      fc.property(values, (sample) => {
        const made = chart(
          sample,
          sample.map((_, i) => i * 1000),
        );
        for (const line of linesOf(made)) {
          for (const point of line.replace("h0", "").slice(1).split("L")) {
            const [x, y] = point.split(" ").map(Number);
            expect(x).toBeGreaterThanOrEqual(0);
            expect(x).toBeLessThanOrEqual(400);
            expect(y).toBeGreaterThanOrEqual(0);
            expect(y).toBeLessThanOrEqual(150);
          }
        }
      }),
    );
  });

  it("has few steps, each of a round size", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e9, noNaN: true }), fc.boolean(), (most, whole) => {
        const { top, step } = roundAxis(most, whole);
        expect(top).toBeGreaterThanOrEqual(most * 0.999);
        expect(top / step).toBeLessThanOrEqual(4.01);
        if (whole) expect(Number.isInteger(step)).toBe(true);
      }),
    );
  });
});

describe("what people read", () => {
  it("has units and three digits", () => {
    expect(formatValue("rate", 0)).toBe("0 bit/s");
    expect(formatValue("rate", 12_345_678)).toBe("12.3 Mbit/s");
    expect(formatValue("time", 1234)).toBe("1.23 s");
    expect(formatValue("share", 0.1234)).toBe("12.3 %");
    expect(formatValue("time", Number.NaN)).toBe("–");
  });

  it("shows what a name hides", () => {
    expect(visible("edge\u202e1\u0000\u200b")).toBe("edge\\u{202e}1\\u{0}\\u{200b}");
    expect(visible("Knoten-Zürich 東京")).toBe("Knoten-Zürich 東京");
  });
});
