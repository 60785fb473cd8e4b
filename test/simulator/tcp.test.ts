import { describe, expect, it } from "vitest";
import {
  createDumbbell,
  createTwoHosts,
  type LinkOptions,
  ListedLoss,
  startTcpFlow,
  type TcpFlowOptions,
} from "../../src/simulator/index.ts";

type FlowOptions = Omit<TcpFlowOptions, "from" | "to">;

function flowOver(
  forward: LinkOptions,
  options: FlowOptions = {},
  seed = 1,
  backward: LinkOptions = { delayMs: forward.delayMs ?? 0 },
) {
  const { network, a, b, link } = createTwoHosts({ seed, forward, backward });
  return { network, a, b, link, flow: startTcpFlow(network, { from: a, to: b, ...options }) };
}

/** Mean goodput over ten seconds of a transfer, losses both ways, as iperf3 measures it. */
function meanGoodput(forward: LinkOptions, seeds: number, options: FlowOptions = {}): number {
  let sum = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const { network, flow } = flowOver(forward, options, seed, forward);
    network.run(10_000 + 2 * (forward.delayMs ?? 0));
    sum += flow.goodputMbps;
  }
  return sum / seeds;
}

describe("goodput beside Linux", () => {
  // Linux 6.18, CUBIC, through an emulator with the same link model: 100 Mbit/s, 150,000 bytes of queue, loss both ways.
  it.each([
    [10, 0, 95.6],
    [50, 0, 53.1],
    [110, 0, 21.6],
    [10, 0.02, 4.07],
    [50, 0.02, 1.21],
    [110, 0.02, 0.84],
    [10, 0.1, 1.05],
    [50, 0.1, 0.36],
    [110, 0.1, 0.22],
  ])("CUBIC at %d ms one way and loss %d is within a quarter of the %d Mbit/s measured", (delayMs, loss, measured) => {
    const goodput = meanGoodput({ rateMbps: 100, delayMs, queueBytes: 150_000, loss }, loss === 0 ? 1 : 40);
    expect(Math.abs(goodput / measured - 1)).toBeLessThan(0.25);
  });

  it.each([
    [10, 0, 95.6],
    [50, 0, 88.8],
    [110, 0, 62.1],
    [10, 0.02, 3.1],
  ])(
    "paced CUBIC at %d ms one way and loss %d is within a quarter of the %d Mbit/s of iperf3",
    (delayMs, loss, measured) => {
      const link = { rateMbps: 100, delayMs, queueBytes: 150_000, loss };
      const goodput = meanGoodput(link, loss === 0 ? 1 : 40, { pacing: true });
      expect(Math.abs(goodput / measured - 1)).toBeLessThan(0.25);
    },
  );

  // Reno through the same emulator, means of three runs.
  it.each([
    [10, 4.49],
    [50, 0.92],
    [110, 0.44],
  ])("Reno at %d ms one way and loss 0.02 is within 40 % of the %d Mbit/s measured", (delayMs, measured) => {
    const goodput = meanGoodput({ rateMbps: 100, delayMs, queueBytes: 150_000, loss: 0.02 }, 40, {
      congestion: "reno",
    });
    expect(Math.abs(goodput / measured - 1)).toBeLessThan(0.4);
  });
});

describe("congestion windows", () => {
  it("starts at ten segments and doubles every round trip", () => {
    const { network, flow } = flowOver({ delayMs: 50 }, { hystart: false });
    const windows: number[] = [];
    // The handshake takes the first 100 ms.
    network.every(100, () => windows.push(flow.windowSegments), 150);
    network.run(600);
    expect(windows).toEqual([10, 20, 40, 80, 160]);
  });

  it("Reno's goodput follows 1.22 / sqrt(p) segments a round trip", () => {
    let sum = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const { network, flow } = flowOver({ delayMs: 20, loss: 0.002 }, { congestion: "reno" }, seed);
      network.run(30_000);
      sum += flow.goodputMbps / 5;
    }
    // M. Mathis et al. 1997.
    const model = ((1.22 / Math.sqrt(0.002)) * 1448 * 8) / 40_000;
    expect(Math.abs(sum / model - 1)).toBeLessThan(0.2);
  });

  it("CUBIC falls to 0.7 of the window and is back after K = cbrt(0.3 W / C) seconds", () => {
    const { network, flow } = flowOver({ delayMs: 100, loss: new ListedLoss([2000]) }, { hystart: false });
    let before = 0;
    let after = 0;
    let lossMs = 0;
    let backMs = 0;
    network.observe(({ atMs }) => {
      const window = flow.windowSegments;
      if (flow.counters.recoveries === 0) before = Math.max(before, window);
      else if (flow.state !== "open") lossMs = atMs;
      else if (after === 0) after = window;
      else if (backMs === 0 && window >= before) backMs = atMs;
    });
    network.run(15_000);
    expect(after / before).toBeCloseTo(0.7, 1);
    const k = Math.cbrt((0.3 * before) / 0.4) * 1000;
    // Linux looks one RTT ahead and rounds the distance to W down, which is 0 from cbrt(1 / C) = 1.36 s before K.
    const expected = k - 1360 - 200;
    expect(Math.abs((backMs - lossMs) / expected - 1)).toBeLessThan(0.05);
  });

  it("HyStart leaves slow start before a queue of one round trip overflows", () => {
    const lossesOf = (hystart: boolean) => {
      const { network, flow } = flowOver({ rateMbps: 50, delayMs: 40, queueMs: 80 }, { hystart });
      network.run(1000);
      return flow.counters.retransmitted;
    };
    expect(lossesOf(true)).toBe(0);
    expect(lossesOf(false)).toBeGreaterThan(100);
  });

  it("two CUBIC flows with one path share it", () => {
    const { network, left, right } = createDumbbell({
      pairs: 2,
      bottleneck: { rateMbps: 50, delayMs: 20, queueMs: 40 },
    });
    const flows = left.map((from, i) => startTcpFlow(network, { from, to: right[i], startMs: 500 * i }));
    network.run(60_000);
    const [x, y] = flows.map((flow) => flow.goodputMbps);
    expect((x + y) ** 2 / (2 * (x * x + y * y))).toBeGreaterThan(0.95);
    expect(x + y).toBeGreaterThan(45);
  });

  it("paces when asked to: what was a burst too large for a short queue fits", () => {
    const link = { rateMbps: 100, delayMs: 110, queueBytes: 150_000 };
    expect(meanGoodput(link, 1, { pacing: true })).toBeGreaterThan(2 * meanGoodput(link, 1, { pacing: false }));
  });
});

describe("loss recovery", () => {
  it("repairs one loss by one retransmission, without a timeout", () => {
    const { network, flow } = flowOver({ delayMs: 20, loss: new ListedLoss([40]) }, { bytes: 200 * 1448 });
    network.run(1000);
    expect(flow.counters).toMatchObject({ sent: 201, retransmitted: 1, recoveries: 1, timeouts: 0, undos: 0 });
    expect(flow.deliveredBytes).toBe(200 * 1448);
  });

  it("repairs a loss within the two segments after it, by RACK's timer", () => {
    // SYN, then five segments of which the third is lost: two SACKs are below the duplicate threshold.
    const { network, flow } = flowOver({ delayMs: 20, loss: new ListedLoss([3]) }, { bytes: 5 * 1448 });
    network.run(1000);
    expect(flow.counters).toMatchObject({ retransmitted: 1, recoveries: 1, timeouts: 0, probes: 0 });
  });

  it("repairs a lost retransmission without a timeout", () => {
    const { network, link, flow } = flowOver({ delayMs: 20, loss: new ListedLoss([40]) }, { bytes: 2000 * 1448 });
    let retransmissions = 0;
    const sent = new Set<unknown>();
    // Loses the first retransmission of segment 39, wherever it falls.
    const places: number[] = [];
    network.observe(({ event, packet }) => {
      const segment = packet.model as { kind: string; sequence: number };
      if (event !== "send" || segment.kind !== "data") return;
      if (sent.has(segment.sequence) && retransmissions++ === 0) places.push(link.forward.counters.offered.packets);
      sent.add(segment.sequence);
    });
    network.run(3000);
    const again = flowOver({ delayMs: 20, loss: new ListedLoss([40, places[0]]) }, { bytes: 2000 * 1448 });
    again.network.run(3000);
    expect(flow.counters).toMatchObject({ retransmitted: 1 });
    expect(again.flow.counters).toMatchObject({ retransmitted: 2, timeouts: 0 });
    expect(again.flow.deliveredBytes).toBe(2000 * 1448);
  });

  it("repairs a lost tail by a probe after two round trips, not by a timeout", () => {
    const { network, flow } = flowOver({ delayMs: 20, loss: new ListedLoss([10]) }, { bytes: 10 * 1448 });
    let doneMs = 0;
    network.every(1, (nowMs) => {
      if (doneMs === 0 && flow.deliveredBytes === 14_480) doneMs = nowMs;
    });
    network.run(2000);
    expect(flow.counters).toMatchObject({ retransmitted: 1, probes: 1, timeouts: 0 });
    // Handshake 40, window 20; then the ACK at 80, a probe 80 + 8 ms later (or the timeout, if sooner), 20 to arrive.
    expect(doneMs).toBeLessThan(80 + 2 * 40 + 200 + 20);
  });

  it("backs off its timeouts by doubling while nothing comes through, and recovers when it does", () => {
    const { network, flow } = flowOver({ delayMs: 20, rateMbps: 10, outages: [{ fromMs: 1000, toMs: 6000 }] });
    const retransmitMs: number[] = [];
    let highest = -1;
    network.observe(({ event, packet, atMs }) => {
      const segment = packet.model as { kind: string; sequence: number };
      if (event !== "send" || segment.kind !== "data") return;
      if (segment.sequence <= highest && atMs > 1300 && atMs < 6000) retransmitMs.push(atMs);
      highest = Math.max(highest, segment.sequence);
    });
    network.run(30_000);
    const gaps = retransmitMs.slice(1).map((atMs, i) => atMs - retransmitMs[i]);
    expect(gaps.length).toBeGreaterThanOrEqual(2);
    for (let i = 1; i < gaps.length; i++) expect(gaps[i] / gaps[i - 1]).toBeCloseTo(2, 6);
    expect(flow.counters.timeouts).toBeGreaterThanOrEqual(3);
    // The rest of the run at nearly the full rate.
    expect(flow.goodputMbps).toBeGreaterThan(7);
  });

  it("takes a reduction back when the delay jumped and nothing was lost", () => {
    const { network, flow } = flowOver(
      {
        delayMs: 20,
        rateMbps: 10,
        queueMs: 100,
        delaySteps: [
          { atMs: 2000, delayMs: 600 },
          { atMs: 2600, delayMs: 20 },
        ],
      },
      {},
    );
    let before = 0;
    network.at(1999, () => {
      before = flow.windowSegments;
    });
    network.run(4500);
    expect(flow.counters.timeouts).toBeGreaterThan(0);
    expect(flow.counters.undos).toBeGreaterThan(0);
    expect(flow.windowSegments).toBeGreaterThanOrEqual(before * 0.7);
  });

  it.each([
    ["nothing was lost but ACKs", []],
    ["one segment was lost, all others arrived", [0]],
  ])("takes a timeout back by F-RTO when %s", (_case, places) => {
    const { network, flow } = flowOver(
      { delayMs: 20, rateMbps: 10, queueMs: 100, lossSteps: [{ atMs: 2000, loss: new ListedLoss(places) }] },
      {},
      1,
      { delayMs: 20, outages: [{ fromMs: 2000, toMs: 2700 }] },
    );
    let before = 0;
    let after = 0;
    network.at(2000, () => {
      before = flow.windowSegments;
    });
    network.observe(() => {
      if (flow.counters.undos === 1 && after === 0) after = flow.windowSegments;
    });
    network.run(3500);
    expect(flow.counters.timeouts).toBeGreaterThan(0);
    expect(after).toBeGreaterThanOrEqual(before);
  });

  it("learns to live with reordering", () => {
    const goodput = (reorder: boolean) => {
      const { network, flow } = flowOver({ rateMbps: 20, delayMs: 30, queueMs: 60, jitter: { spreadMs: 5, reorder } });
      network.run(20_000);
      return flow.goodputMbps;
    };
    expect(goodput(true)).toBeGreaterThan(0.7 * goodput(false));
  });

  it("delivers every byte exactly once whatever the path does", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const faults: LinkOptions = {
        rateMbps: 20,
        delayMs: 15,
        queueBytes: 30_000,
        loss: { meanLoss: 0.05, meanBurst: 3 },
        duplication: 0.02,
        corruption: 0.02,
        jitter: { spreadMs: 8, reorder: seed % 2 === 0 },
        outages: [{ fromMs: 300, toMs: 700 }],
      };
      const congestion = seed % 3 === 0 ? "reno" : "cubic";
      const { network, flow } = flowOver(faults, { bytes: 400_001, congestion }, seed, faults);
      // Bursts last by packets, not by time: a lone retransmission may lose several times, and timeouts reach minutes.
      network.run(3_600_000);
      expect(flow.deliveredBytes).toBe(400_001);
      expect(flow.acknowledgedBytes).toBe(400_001);
      expect(flow.inFlightSegments).toBe(0);
    }
  });
});

describe("connections", () => {
  it("is established after one round trip, or a second later when the SYN is lost", () => {
    const first = flowOver({ delayMs: 20 }, { startMs: 5 });
    first.network.run(100);
    expect(first.flow.establishedMs).toBe(45);
    const second = flowOver({ delayMs: 20, loss: new ListedLoss([0]) });
    second.network.run(2000);
    expect(second.flow.establishedMs).toBe(1040);
  });

  it("sends nothing new after stopMs", () => {
    const { network, flow } = flowOver({ delayMs: 20, rateMbps: 10 }, { stopMs: 500 });
    network.run(1000);
    const at = flow.counters.sent;
    network.run(2000);
    expect(flow.counters.sent).toBe(at);
    expect(flow.inFlightSegments).toBe(0);
  });

  it("acknowledges every second segment, and every one at the start", () => {
    const { network, link, flow } = flowOver({ delayMs: 20, rateMbps: 10 }, { bytes: 1000 * 1448 });
    network.run(10_000);
    expect(flow.deliveredBytes).toBe(1000 * 1448);
    // SYN-ACK, 16 quick ACKs, then one for two.
    expect(link.backward.counters.offered.packets).toBe(1 + 16 + (1000 - 16) / 2);
  });

  it("keeps within the receiver's window", () => {
    const { network, flow } = flowOver({ delayMs: 50 }, { receiveWindowBytes: 20 * 1448 });
    let most = 0;
    network.every(1, () => {
      most = Math.max(most, flow.inFlightSegments);
    });
    network.run(5000);
    expect(most).toBe(20);
    expect(flow.goodputMbps).toBeCloseTo((20 * 1448 * 8) / 100_000, 1);
  });
});
