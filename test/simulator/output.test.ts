import { describe, expect, it } from "vitest";
import {
  createTwoHosts,
  meanOf,
  plotTimeSeries,
  rateMbps,
  SimulatorOptionError,
  sample,
  startTcpFlow,
  traceJson,
} from "../../src/simulator/index.ts";
import { Sender, Sink, steady } from "./endpoints.ts";

describe("traces", () => {
  it("follows one packet from send to receive, with the times settled at the queue", () => {
    const { network, a, b } = createTwoHosts({ forward: { rateMbps: 8, delayMs: 5 } });
    const server = b.attach(new Sink());
    a.attach(new Sender(server.localAddress, [2], 972, 2));
    const lines: string[] = [];
    traceJson(network, (line) => lines.push(line));
    network.run(100);
    const common = { packet: 1, bytes: 1000, from: "10.0.0.1:4433", to: "10.0.0.2:4433", ecn: "ECT(0)" };
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { t: 2, event: "send", at: "a", ...common },
      { t: 2, event: "queue", at: "a>b", ...common, queue: 0, depart: 3, arrive: 8 },
      { t: 8, event: "deliver", at: "a>b", ...common },
      { t: 8, event: "receive", at: "b", ...common, delay: 6 },
    ]);
  });

  it("names the cause of every drop, as the counters count them", () => {
    const { network, a, b, link } = createTwoHosts({
      forward: {
        rateMbps: 5,
        queueBytes: 8000,
        loss: 0.1,
        policer: { rateMbps: 7, burstBytes: 20_000 },
        outages: [{ fromMs: 100, toMs: 200 }],
      },
    });
    const server = b.attach(new Sink());
    a.attach(new Sender(server.localAddress, steady(1000, 1), 972));
    const causes: Record<string, number> = {};
    traceJson(
      network,
      (line) => {
        const { cause } = JSON.parse(line);
        causes[cause] = (causes[cause] ?? 0) + 1;
      },
      { events: ["drop"], where: ["a>b"] },
    );
    network.run(2000);
    const { dropped } = link.forward.counters;
    expect(causes).toEqual({
      queue: dropped.queue.packets,
      policer: dropped.policer.packets,
      loss: dropped.loss.packets,
      outage: dropped.outage.packets,
    });
    expect(Math.min(...Object.values(causes))).toBeGreaterThan(0);
  });

  it("takes notes at the present time, filters, and ends when told to", () => {
    const { network, a, b } = createTwoHosts();
    const flow = startTcpFlow(network, { from: a, to: b, bytes: 100_000 });
    const lines: string[] = [];
    const trace = traceJson(network, (line) => lines.push(line), { filter: ({ packet }) => packet.id === 1 });
    network.at(0.5, () => trace.note("window", { segments: flow.windowSegments }));
    network.at(0.6, () => trace.end());
    network.run(1000);
    expect(lines.map((line) => JSON.parse(line)).map(({ event, tcp }) => tcp ?? event)).toEqual([
      "syn",
      "syn",
      "syn",
      "syn",
      "note",
    ]);
    expect(JSON.parse(lines[4])).toMatchObject({ t: 0.5, note: "window" });
  });

  it("refuses an event that does not exist", () => {
    const { network } = createTwoHosts();
    expect(() => traceJson(network, () => {}, { events: ["lost" as "drop"] })).toThrow(SimulatorOptionError);
  });
});

describe("sampling and plotting", () => {
  const run = () => {
    const { network, a, b } = createTwoHosts({ forward: { rateMbps: 10, delayMs: 10, queueMs: 40 } });
    const flow = startTcpFlow(network, { from: a, to: b });
    const sampler = sample(network, 50, {
      goodput: { unit: "Mbit/s", read: rateMbps(network, () => flow.deliveredBytes) },
      RTT: { unit: "ms", read: () => flow.smoothedRttMs },
      "in flight <packets>": { unit: "packets", read: () => flow.inFlightSegments },
    });
    network.run(3000);
    return sampler;
  };

  it("samples at the interval, and rates agree with the link", () => {
    const sampler = run();
    expect(sampler.get("RTT").timesMs.slice(0, 3)).toEqual([50, 100, 150]);
    expect(sampler.get("goodput").values).toHaveLength(60);
    expect(meanOf(sampler.get("goodput"), 1000)).toBeCloseTo(10 * (1448 / 1500), 0);
    expect(meanOf(sampler.get("goodput"), 9000)).toBeNaN();
    expect(() => sampler.get("loss")).toThrow(/wanted one of goodput, RTT/);
  });

  it("changes nothing by sampling: endpoints are called at the same times", () => {
    const calls = (sampled: boolean) => {
      const { network, a, b } = createTwoHosts({ forward: { rateMbps: 10, delayMs: 3, loss: 0.1 } });
      const server = b.attach(new Sink({ replyBytes: 30 }));
      const sender = new Sender(server.localAddress, steady(100, 1.7), 500);
      const times: number[] = [];
      const poll = sender.pollTransmit.bind(sender);
      sender.pollTransmit = (transmit, nowMs) => {
        times.push(nowMs);
        return poll(transmit, nowMs);
      };
      a.attach(sender);
      if (sampled) sample(network, 1, { sent: { unit: "datagrams", read: () => sender.sent } });
      network.run(300);
      return times;
    };
    expect(calls(true)).toEqual(calls(false));
  });

  it("draws well-formed SVG with a panel for each unit, names escaped, and no reference outside", () => {
    const svg = plotTimeSeries(run().series, { title: "a & b", marks: [{ atMs: 1500, label: "outage" }] });
    const open = svg.match(/<[a-z]+(?=[ >])/g)!.length;
    const closed = svg.match(/\/>|<\/[a-z]+>/g)!.length;
    expect(open).toBe(closed);
    for (const words of [
      "<title>a &amp; b</title>",
      "in flight &lt;packets&gt;",
      "Mbit/s",
      "time, s",
      "outage",
      ">ms<",
    ]) {
      expect(svg).toContain(words);
    }
    expect(svg).not.toMatch(/href|url\(|NaN|Infinity|undefined/);
  });

  it("puts a value where its axis says", () => {
    const series = [{ name: "x", unit: "ms", timesMs: [0, 50, 100], values: [0, 10, 5] }];
    const svg = plotTimeSeries(series, { width: 292, panelHeight: 100, fromMs: 0, toMs: 100 });
    // From x = 76 for 200 pixels, from y = 130 up to 30 for 0 to 10.
    expect(svg).toContain('d="M76 130L176 30L276 80"');
  });

  it("leaves gaps where values are not numbers and thins dense series without losing a spike", () => {
    const timesMs = Array.from({ length: 50_000 }, (_, i) => i);
    const values = timesMs.map((t) => (t === 33_333 ? 100 : t > 40_000 && t < 45_000 ? Number.NaN : 1));
    const svg = plotTimeSeries([{ name: "x", unit: "ms", timesMs, values }], { panelHeight: 100 });
    expect(svg.length).toBeLessThan(60_000);
    const curves = svg.match(/<path d="(M[^"]*L[^"]*)"/g)!;
    expect(curves).toHaveLength(2);
    // The top of the panel: 8 pixels of margin and 22 of legend.
    expect(svg).toMatch(/L[\d.]+ 30L/);
  });

  it("refuses no series, and series of unequal lengths", () => {
    expect(() => plotTimeSeries([])).toThrow(SimulatorOptionError);
    expect(() => plotTimeSeries([{ name: "x", unit: "ms", timesMs: [1, 2], values: [1] }])).toThrow(/x\.values/);
  });
});
