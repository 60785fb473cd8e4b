import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  createDumbbell,
  createLine,
  createTwoHosts,
  type Endpoint,
  formatAddress,
  type LinkCounters,
  type LinkOptions,
  Network,
  type Node,
  SimulatorOptionError,
  startTcpFlow,
  traceJson,
} from "../../src/simulator/index.ts";
import { Sender, Sink, steady } from "./endpoints.ts";

/** offered + duplicated - delivered - dropped - in flight: zero, in packets and bytes. */
function imbalance({ offered, duplicated, delivered, dropped, inFlight }: LinkCounters) {
  const of = (unit: "packets" | "bytes") =>
    offered[unit] +
    duplicated[unit] -
    delivered[unit] -
    inFlight[unit] -
    Object.values(dropped).reduce((sum, tally) => sum + tally[unit], 0);
  return [of("packets"), of("bytes")];
}

describe("routes", () => {
  it("carries packets over a line and adds the delay of every hop", () => {
    const { network, nodes, links } = createLine({ hops: 4, forward: (hop) => ({ delayMs: hop + 1 }) });
    const sink = new Sink();
    const socket = nodes[4].attach(sink);
    nodes[0].attach(new Sender(socket.localAddress, [0], 100));
    network.run(100);
    expect(sink.times).toEqual([1 + 2 + 3 + 4]);
    expect(links.map((link) => link.forward.counters.delivered.packets)).toEqual([1, 1, 1, 1]);
  });

  it("takes the way of fewest hops unless a route says otherwise", () => {
    const build = (override: boolean) => {
      const network = new Network();
      const [a, b, c] = ["a", "b", "c"].map((name) => network.addNode(name));
      network.addLink(a, c, { delayMs: 50 });
      const ab = network.addLink(a, b, { delayMs: 10 });
      network.addLink(b, c, { delayMs: 10 });
      if (override) network.setRoute(a, c, ab);
      const sink = new Sink();
      const socket = c.attach(sink);
      a.attach(new Sender(socket.localAddress, [0], 100));
      network.run(100);
      return sink.times;
    };
    expect(build(false)).toEqual([50]);
    expect(build(true)).toEqual([20]);
  });

  it("sends and receives over the link to which an address is bound", () => {
    const network = new Network();
    const a = network.addNode("a");
    const b = network.addNode("b");
    const wifi = network.addLink(a, b, { delayMs: 5 });
    const radio = network.addLink(a, b, { delayMs: 40 });
    const sink = new Sink({ replyBytes: 50 });
    const server = b.attach(sink);
    const sender = new Sender(server.localAddress, [0, 100], 100);
    a.attach(sender, [
      { ip: "192.168.0.2", link: wifi },
      { ip: "172.16.0.2", link: radio },
    ]);
    network.at(50, () => {
      sender.source = { ip: "172.16.0.2", port: 4433 };
    });
    network.run(1000);
    expect(sink.times).toEqual([5, 140]);
    expect(sender.replies.map((reply) => [reply.atMs, formatAddress(reply.destination)])).toEqual([
      [10, "192.168.0.2:4433"],
      [180, "172.16.0.2:4433"],
    ]);
    expect(radio.backward.counters.delivered.packets).toBe(1);
  });

  it("delivers to an endpoint on the same node, after the call that sent", () => {
    const network = new Network();
    const a = network.addNode("a");
    const sink = new Sink();
    const socket = a.attach(sink);
    a.attach(new Sender(socket.localAddress, [3], 100));
    network.run(10);
    expect(sink.times).toEqual([3]);
  });

  it("counts packets that lead nowhere, with the cause", () => {
    const network = new Network();
    const a = network.addNode("a");
    const lines: string[] = [];
    traceJson(network, (line) => lines.push(line), { events: ["drop"] });
    const sender = new Sender({ ip: "203.0.113.1", port: 9 }, [1, 5], 100);
    a.attach(sender);
    network.at(3, () => {
      sender.source = { ip: "203.0.113.7", port: 1 };
    });
    network.run(10);
    expect(network.counters.dropped.unreachable).toEqual({ packets: 1, bytes: 128 });
    expect(network.counters.dropped.source.packets).toBe(1);
    expect(lines.map((line) => JSON.parse(line).cause)).toEqual(["unreachable", "source"]);
  });

  it("ends a loop of routes instead of running for ever", () => {
    const { network, nodes, links } = createLine({ hops: 3, forward: { delayMs: 1 } });
    network.setRoute(nodes[2], nodes[3], links[1]);
    const socket = nodes[3].attach(new Sink());
    nodes[0].attach(new Sender(socket.localAddress, [0], 100));
    network.run(1000);
    expect(network.counters.dropped.unreachable.packets).toBe(1);
  });

  it("counts 48 bytes of headers over IPv6", () => {
    const { network, a, b, link } = createTwoHosts();
    const socket = b.attach(new Sink(), { ip: "2001:db8::2" });
    a.attach(new Sender(socket.localAddress, [0], 100), { ip: "2001:db8::1" });
    network.run(1);
    expect(link.forward.counters.delivered.bytes).toBe(148);
  });

  it("shares a bottleneck among all pairs of a dumbbell", () => {
    const { network, left, right, bottleneck } = createDumbbell({
      pairs: 3,
      bottleneck: { rateMbps: 10, queueMs: 50 },
    });
    right.forEach((node, i) => {
      const socket = node.attach(new Sink());
      left[i].attach(new Sender(socket.localAddress, steady(1000, 1), 972));
    });
    network.run(1000);
    expect(bottleneck.forward.counters.offered.packets).toBe(3000);
    expect(bottleneck.forward.counters.delivered.bytes).toBeLessThanOrEqual(1.25e6);
    expect(bottleneck.forward.counters.delivered.bytes).toBeGreaterThan(1.24e6);
  });
});

describe("address changes", () => {
  const build = (visible: boolean) => {
    const { network, a, b } = createTwoHosts({ forward: { delayMs: 10 } });
    const sink = new Sink({ replyBytes: 20 });
    const server = b.attach(sink);
    const sender = new Sender(server.localAddress, steady(10, 10), 100);
    const client = a.attach(sender, { port: 5000 });
    network.at(45, () => client.changeAddress({ port: 6000, visible }));
    network.run(1000);
    return { network, sink, sender };
  };

  it("behind a NAT only the peer sees the new port, and answers to the old one are lost", () => {
    const { network, sink, sender } = build(false);
    expect(sink.sources.map(({ port }) => port)).toEqual([5000, 5000, 5000, 5000, 5000, 6000, 6000, 6000, 6000, 6000]);
    // Answers to what was sent at 30 and 40 were under way to, or sent to, the old port.
    expect(sender.replies.map(({ atMs }) => atMs)).toEqual([20, 30, 40, 70, 80, 90, 100, 110]);
    expect(new Set(sender.replies.map(({ destination }) => destination.port))).toEqual(new Set([5000]));
    expect(network.counters.dropped.unreachable.packets).toBe(2);
  });

  it("shows the endpoint its new address when the change is visible", () => {
    const { sender } = build(true);
    expect(sender.replies.map(({ destination }) => destination.port)).toEqual([
      5000, 5000, 5000, 6000, 6000, 6000, 6000, 6000,
    ]);
  });

  it("moves to a new IP address, which routes then lead to", () => {
    const { network, a, b } = createTwoHosts({ forward: { delayMs: 10 } });
    const sink = new Sink({ replyBytes: 20 });
    const server = b.attach(sink);
    const sender = new Sender(server.localAddress, [0, 100], 100);
    const client = a.attach(sender);
    network.at(50, () => client.changeAddress({ ip: "198.51.100.1" }));
    network.run(1000);
    expect(sink.sources.map(({ ip }) => ip)).toEqual(["10.0.0.1", "198.51.100.1"]);
    expect(sender.replies).toHaveLength(2);
    expect(formatAddress(client.outerAddress)).toBe("198.51.100.1:4433");
    expect(formatAddress(client.localAddress)).toBe("10.0.0.1:4433");
  });
});

describe("driving endpoints", () => {
  const idle: Endpoint = {
    handleDatagram() {},
    handleTimeout() {},
    pollTransmit: () => false,
    nextTimeoutMs: () => Number.POSITIVE_INFINITY,
  };

  it("calls handleTimeout at the time asked for, also when that moves back or forth", () => {
    const calls: number[] = [];
    let timeout = 100;
    const { network, a } = createTwoHosts();
    a.attach({
      ...idle,
      handleTimeout(nowMs) {
        calls.push(nowMs);
        timeout = nowMs === 30 ? 70 : Number.POSITIVE_INFINITY;
      },
      nextTimeoutMs: () => timeout,
    });
    network.at(10, () => {
      timeout = 30;
    });
    network.at(60, () => {
      timeout = 90;
    });
    network.run(1000);
    expect(calls).toEqual([30, 90]);
  });

  it("splits a transmit into datagrams of segmentBytes", () => {
    const { network, a, b } = createTwoHosts();
    const sizes: number[] = [];
    const server = b.attach({ ...idle, handleDatagram: ({ bytes }) => sizes.push(bytes.length) });
    let sent = false;
    a.attach({
      ...idle,
      pollTransmit(transmit) {
        if (sent) return false;
        sent = true;
        transmit.length = 2500;
        transmit.segmentBytes = 1200;
        transmit.destination = server.localAddress;
        return true;
      },
    });
    network.run(1);
    expect(sizes).toEqual([1200, 1200, 100]);
  });

  it("stops an endpoint that transmits or times out without end", () => {
    const { network, a } = createTwoHosts();
    a.attach({ ...idle, nextTimeoutMs: () => 5 });
    expect(() => network.run(10)).toThrow(/10\.0\.0\.1:4433 asks for a timeout without end/);
  });

  it("polls endpoints after a callback, so that an application may act in it", () => {
    const { network, a, b } = createTwoHosts();
    const sink = new Sink();
    const server = b.attach(sink);
    const times: number[] = [];
    const sender = new Sender(server.localAddress, times, 100);
    a.attach(sender);
    network.at(25, () => times.push(25));
    network.run(100);
    expect(sink.times).toEqual([25]);
  });

  it("pauses by stop and goes on by run, and steps event by event to the same end", () => {
    const build = () => {
      const { network, a, b, link } = createTwoHosts({ forward: { rateMbps: 5, delayMs: 3, loss: 0.1 } });
      const sink = new Sink({ replyBytes: 30 });
      const server = b.attach(sink);
      a.attach(new Sender(server.localAddress, steady(200, 1), 500));
      return { network, sink, link };
    };
    const whole = build();
    whole.network.run(1000);
    const paused = build();
    paused.network.at(50.5, () => paused.network.stop());
    paused.network.run(1000);
    expect(paused.network.nowMs).toBe(50.5);
    paused.network.run(1000);
    const stepped = build();
    while (stepped.network.step());
    expect(paused.sink.times).toEqual(whole.sink.times);
    expect(stepped.sink.times).toEqual(whole.sink.times);
  });

  it("samples at exact multiples and ends when cancelled", () => {
    const { network } = createTwoHosts();
    const times: number[] = [];
    const cancel = network.every(0.1, (nowMs) => times.push(nowMs));
    network.run(100);
    expect(times[999]).toBeCloseTo(100, 9);
    expect(times.length).toBeGreaterThanOrEqual(999);
    cancel();
    network.run(200);
    expect(times.length).toBeLessThanOrEqual(1000);
  });
});

describe("options", () => {
  const two = createTwoHosts();
  it.each<[string, () => unknown, string]>([
    ["seed", () => new Network({ seed: -1 }), "seed is -1, wanted a seed from 0 to 9007199254740991"],
    ["rateMbps", () => createTwoHosts({ forward: { rateMbps: 0 } }), "rateMbps is 0, wanted Mbit/s above 0"],
    ["delayMs", () => createTwoHosts({ forward: { delayMs: -1 } }), "delayMs is -1, wanted ms from 0"],
    ["loss", () => createTwoHosts({ forward: { loss: 1.5 } }), "loss is 1.5, wanted a share from 0 to 1"],
    [
      "loss.meanBurst",
      () => createTwoHosts({ forward: { loss: { meanLoss: 0.1, meanBurst: 0.5 } } }),
      "packets from 1",
    ],
    ["corruption", () => createTwoHosts({ forward: { corruption: Number.NaN } }), "corruption is NaN, wanted a share"],
    ["queueMs", () => createTwoHosts({ forward: { queueMs: 1, queueBytes: 1 } }), "wanted nothing beside queueBytes"],
    ["outages[0].toMs", () => createTwoHosts({ forward: { outages: [{ fromMs: 5, toMs: 1 }] } }), "wanted ms from 5"],
    ["policer.burstBytes", () => createTwoHosts({ forward: { policer: { rateMbps: 1, burstBytes: 0 } } }), "above 0"],
    [
      "jitter.distribution",
      () => createTwoHosts({ forward: { jitter: { distribution: "x" as "normal", spreadMs: 1 } } }),
      '"x"',
    ],
    [
      "rateSteps[1].atMs",
      () =>
        createTwoHosts({
          forward: {
            rateMbps: 1,
            rateSteps: [
              { atMs: 5, rateMbps: 1 },
              { atMs: 4, rateMbps: 1 },
            ],
          },
        }),
      "ms from 5",
    ],
    ["hops", () => createLine({ hops: 0 }), "hops is 0, wanted hops from 1"],
    ["name", () => two.network.addNode("a"), "a name that no other node has"],
    [
      "congestion",
      () => startTcpFlow(two.network, { from: two.a, to: two.b, congestion: "vegas" as "reno" }),
      '"vegas"',
    ],
    ["atMs", () => two.network.at(-1, () => {}), "atMs is -1, wanted ms from 0"],
    ["at[0].port", () => two.a.attach(new Sink(), { port: 0 }), "at[0].port is 0, wanted a port from 1 to 65535"],
  ])("refuses a bad %s with its field, value and limit", (field, make, message) => {
    let error: unknown;
    try {
      make();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(SimulatorOptionError);
    expect((error as SimulatorOptionError).field).toBe(field);
    expect((error as SimulatorOptionError).message).toContain(message);
  });

  it("refuses an address that is taken", () => {
    const { a } = createTwoHosts();
    a.attach(new Sink(), { port: 7 });
    expect(() => a.attach(new Sink(), { port: 7 })).toThrow(/10\.0\.0\.1:7", wanted an address that nobody has/);
  });
});

const share = fc.double({ min: 0, max: 0.5, noNaN: true });
const linkOptions: fc.Arbitrary<LinkOptions> = fc
  .record({
    rateMbps: fc.constantFrom(1, 10, 100, Number.POSITIVE_INFINITY),
    queueBytes: fc.integer({ min: 0, max: 30_000 }),
    delayMs: fc.double({ min: 0, max: 50, noNaN: true }),
    loss: fc.oneof(share, fc.record({ meanLoss: share, meanBurst: fc.double({ min: 1, max: 10, noNaN: true }) })),
    duplication: share,
    corruption: share,
    jitter: fc.record({
      distribution: fc.constantFrom("uniform" as const, "normal" as const),
      spreadMs: fc.double({ min: 0, max: 20, noNaN: true }),
      reorder: fc.boolean(),
    }),
    outages: fc.constantFrom([], [{ fromMs: 20, toMs: 90 }]),
    policer: fc.constantFrom(undefined, { rateMbps: 3, burstBytes: 4000 }),
    halt: fc.boolean(),
  })
  .map(({ halt, policer, ...options }) => ({
    ...options,
    ...(policer === undefined ? {} : { policer }),
    ...(halt && options.rateMbps < 1000 ? { rateSteps: [{ atMs: 150, rateMbps: 0 }] } : {}),
  }));

/** A tree of nodes with some links more, so that all are connected; endpoints that answer, and a TCP flow. */
function randomNetwork(seed: number, parents: number[], extra: [number, number][], links: LinkOptions[]) {
  const network = new Network({ seed });
  const nodes: Node[] = [network.addNode("0")];
  let next = 0;
  const options = () => links[next++ % links.length];
  for (const parent of parents) {
    const node = network.addNode(`${nodes.length}`);
    network.addLink(node, nodes[parent % nodes.length], options(), options());
    nodes.push(node);
  }
  for (const [a, b] of extra) {
    const [from, to] = [nodes[a % nodes.length], nodes[b % nodes.length]];
    if (from !== to) network.addLink(from, to, options(), options());
  }
  const sink = new Sink({ replyBytes: 60 });
  const last = nodes[nodes.length - 1];
  const server = last.attach(sink);
  const senders = nodes.slice(0, -1).map((node, i) => {
    const sender = new Sender(server.localAddress, steady(60, 3, i), 500 + 100 * i, 2);
    const socket = node.attach(sender);
    network.at(100 + i, () => socket.changeAddress({ port: 9000 + i }));
    return sender;
  });
  startTcpFlow(network, { from: nodes[0], to: last, startMs: 5, bytes: 100_000 });
  return { network, sink, senders };
}

const networks = fc.record({
  seed: fc.nat(1000),
  parents: fc.array(fc.nat(5), { minLength: 1, maxLength: 5 }),
  extra: fc.array(fc.tuple(fc.nat(5), fc.nat(5)), { maxLength: 3 }),
  links: fc.array(linkOptions, { minLength: 1, maxLength: 6 }),
});

describe("any network with any faults", () => {
  it("loses track of no packet: all are delivered, dropped for a cause, or in flight", () => {
    fc.assert(
      fc.property(networks, fc.integer({ min: 1, max: 600 }), ({ seed, parents, extra, links }, untilMs) => {
        const { network } = randomNetwork(seed, parents, extra, links);
        network.run(untilMs);
        const { sent, received, dropped } = network.counters;
        let balance = sent.packets - received.packets;
        for (const tally of [dropped.unreachable, dropped.source]) balance -= tally.packets;
        for (const link of network.links) {
          for (const { counters, queueLimitBytes } of [link.forward, link.backward]) {
            expect(imbalance(counters)).toEqual([0, 0]);
            expect(counters.inFlight.packets).toBeGreaterThanOrEqual(0);
            expect(counters.maxQueueBytes).toBeLessThanOrEqual(queueLimitBytes);
            balance += counters.duplicated.packets - counters.inFlight.packets;
            for (const tally of Object.values(counters.dropped)) balance -= tally.packets;
          }
        }
        expect(balance).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it("does the same again for the same seed, to the last byte of its trace", () => {
    fc.assert(
      fc.property(networks, ({ seed, parents, extra, links }) => {
        const run = () => {
          const { network, sink } = randomNetwork(seed, parents, extra, links);
          const lines: string[] = [];
          traceJson(network, (line) => lines.push(line));
          network.run(400);
          return [lines.join("\n"), sink.times];
        };
        expect(run()).toEqual(run());
      }),
      { numRuns: 25 },
    );
  });

  it("tells the time forwards only, in traces and to endpoints", () => {
    fc.assert(
      fc.property(networks, ({ seed, parents, extra, links }) => {
        const { network, sink } = randomNetwork(seed, parents, extra, links);
        let last = 0;
        network.observe((event) => {
          expect(event.atMs).toBeGreaterThanOrEqual(last);
          expect(event.atMs).toBe(network.nowMs);
          last = event.atMs;
        });
        network.run(400);
        expect(sink.times).toEqual([...sink.times].sort((a, b) => a - b));
      }),
      { numRuns: 25 },
    );
  });

  it("gives another seed another run", () => {
    const run = (seed: number) => {
      const { network, sink } = randomNetwork(seed, [0, 1], [], [{ delayMs: 3, loss: 0.3 }]);
      network.run(400);
      return sink.times;
    };
    expect(run(1)).not.toEqual(run(2));
  });
});
