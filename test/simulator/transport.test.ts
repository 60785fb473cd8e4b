import { describe, expect, it } from "vitest";
import {
  connectTransport,
  createTwoHosts,
  type LinkOptions,
  meanOf,
  SimulatorOptionError,
  sample,
  startTcpFlow,
  type TransportOptions,
  transportSeries,
} from "../../src/simulator/index.ts";

const LOSSY: LinkOptions = { rateMbps: 20, delayMs: 20, loss: 0.1 };

function pair(forward: LinkOptions, options: Partial<TransportOptions> = {}, seed = 1) {
  const hosts = createTwoHosts({ seed, forward });
  return { ...hosts, ...connectTransport(hosts.network, { from: hosts.a, to: hosts.b, ...options }) };
}

type Pair = ReturnType<typeof pair>;

describe("a session in the simulator", () => {
  it("sends nearly what a lossy link carries, and says how", () => {
    const { network, client, server } = pair(LOSSY);
    client.sendBulk();
    const sampler = sample(network, 250, transportSeries(client));
    expect(client.stats().state).toBe("connecting");
    network.run(8000);
    const stats = client.stats();
    expect(stats.state).toBe("open");
    expect(stats.deliveredBytes).toBe(server.readBytes);
    expect(stats.goodputMbps).toBeCloseTo(
      (server.readBytes * 8) / 1000 / (server.lastReadMs - client.establishedMs),
      9,
    );
    expect(server.lastReadMs).toBeGreaterThan(7990);
    expect(stats.goodputMbps / (20 * 0.9)).toBeGreaterThan(0.8);
    expect(stats.minRttMs).toBeGreaterThan(40);
    expect(stats.minRttMs).toBeLessThan(42);
    expect(stats.redundancy).toBeCloseTo(stats.repairBytes / stats.sourceBytes, 9);

    const mean = (name: string) => meanOf(sampler.get(name), 3000);
    expect(mean("goodput") / (20 * 0.9)).toBeGreaterThan(0.9);
    expect(mean("RTT")).toBeGreaterThan(40);
    expect(mean("RTT")).toBeLessThan(60);
    // 20 Mbit/s over 40 ms are 100 kB.
    expect(mean("in flight")).toBeGreaterThan(80);
    expect(mean("in flight")).toBeLessThan(300);
    for (const [i, percent] of sampler.get("loss estimate").values.entries()) {
      if (sampler.get("loss estimate").timesMs[i] > 3000) expect(Math.abs(percent - 10)).toBeLessThan(5);
    }
    expect(mean("repair share")).toBeGreaterThan(9);
    expect(mean("repair share")).toBeLessThan(14);
  });

  it("is the same again for the same seed, sampled or not, and another for another", () => {
    const run = (seed: number, sampled: boolean) => {
      const { network, client, server } = pair(LOSSY, {}, seed);
      client.sendBulk();
      server.sendBulk(300_000);
      if (sampled) sample(network, 10, transportSeries(client));
      network.run(3000);
      return { client: client.stats(), server: server.stats() };
    };
    const first = run(1, false);
    expect(run(1, true)).toEqual(first);
    expect(run(2, false)).not.toEqual(first);
  });

  it("sends little repair where nothing is lost", () => {
    const { network, client } = pair({ rateMbps: 20, delayMs: 20 });
    client.sendBulk();
    network.run(5000);
    expect(client.stats().lossEstimate).toBeLessThan(0.01);
    expect(client.stats().redundancy).toBeLessThan(0.03);
  });

  it("leaves gaps in what is not known, and where nothing is sent", () => {
    const { network, client } = pair(LOSSY, { startMs: 1000 });
    const sampler = sample(network, 500, transportSeries(client, "late"));
    client.sendBulk(100_000);
    network.run(4000);
    expect(sampler.get("late: goodput").values[0]).toBe(0);
    expect(sampler.get("late: RTT").values.map(Number.isNaN)).toEqual([true, true, ...Array(6).fill(false)]);
    expect(sampler.get("late: repair share").values.map(Number.isNaN).slice(-2)).toEqual([true, true]);
  });

  it("ends a stream after as many bytes as were asked for", () => {
    const { network, client, server } = pair(LOSSY);
    const ends: number[] = [];
    let bytes = 0;
    server.onData = (_, data) => {
      bytes += data.length;
    };
    server.onEnd = (stream) => {
      ends.push(stream);
      server.write(stream, new Uint8Array([1, 2, 3]));
      server.finish(stream);
    };
    const answers: number[] = [];
    client.onData = (_, data) => answers.push(...data);
    const stream = client.sendBulk(1_000_001);
    network.run(5000);
    expect(bytes).toBe(1_000_001);
    expect(ends).toEqual([stream]);
    expect(answers).toEqual([1, 2, 3]);
  });

  it("sends all of a bulk whose peer ends its own half at once, unless it is ended here", () => {
    const { network, client, server } = pair(LOSSY);
    server.onEvent = (event) => {
      if (event.type === "stream") server.finish(event.stream);
    };
    const bytes = new Map<number, number>();
    server.onData = (stream, data) => bytes.set(stream, (bytes.get(stream) ?? 0) + data.length);
    const ended: number[] = [];
    server.onEnd = (stream) => ended.push(stream);
    const whole = client.sendBulk(3_000_000);
    const endless = client.sendBulk();
    network.at(1000, () => client.finish(endless));
    network.run(5000);
    expect(bytes.get(whole)).toBe(3_000_000);
    expect(bytes.get(endless)).toBeGreaterThan(100_000);
    expect(ended.sort()).toEqual([whole, endless].sort());
  });

  it("keeps the goodput of a transfer that is over", () => {
    const { network, client, server } = pair(LOSSY);
    client.sendBulk(1_000_000);
    expect(client.stats().goodputMbps).toBe(0);
    expect(server.lastReadMs).toBeNaN();
    network.run(3000);
    const { goodputMbps } = client.stats();
    expect(server.readBytes).toBe(1_000_000);
    expect(goodputMbps).toBeGreaterThan(5);
    network.run(60_000);
    expect(client.stats().goodputMbps).toBe(goodputMbps);
  });

  it("takes text as its UTF-8", () => {
    const { network, client, server } = pair({ rateMbps: 20, delayMs: 20 });
    const came: string[] = [];
    const read = (data: Uint8Array) => came.push(new TextDecoder().decode(data));
    server.onMessage = read;
    server.onDatagram = read;
    server.onData = (_, data) => read(data);
    const text = (name: string) => `${name}: voilà, 網絡`;
    const bytes = new TextEncoder().encode(text("stream")).length;
    client.onEvent = ({ type }) => {
      if (type === "established") client.sendMessage(text("message"));
    };
    client.sendDatagram(text("datagram"));
    expect(client.write(client.openStream(), text("stream"))).toBe(bytes);
    network.run(1000);
    expect(came.sort()).toEqual([text("datagram"), text("message"), text("stream")]);
  });

  it("lets streams and datagrams wait for the session, and takes messages from when it is established", () => {
    const { network, client, server } = pair({ rateMbps: 20, delayMs: 20 });
    const events: string[] = [];
    client.onEvent = ({ type }) => events.push(type);
    expect(client.sendMessage("early")).toBe(false);
    expect(client.sendDatagram("early")).toBe(true);
    expect(client.write(client.openStream(), "early")).toBe(5);
    network.run(1000);
    expect(events).toEqual(["established", "messageWritable"]);
    expect(client.sendMessage("now")).toBe(true);
    network.run(2000);
    expect(server.readBytes).toBe(13);
  });

  it("carries messages and datagrams, sent from callbacks and from handlers of either end", () => {
    const { network, client, server } = pair({ rateMbps: 20, delayMs: 20 });
    const delays: number[] = [];
    const echoes: number[] = [];
    const sentMs: number[] = [];
    const stop = network.every(100, (nowMs) => {
      if (!client.sendMessage(new Uint8Array([sentMs.length]))) return;
      sentMs.push(nowMs);
    });
    server.onMessage = (data, nowMs) => {
      delays.push(nowMs - sentMs[data[0]]);
      // The other end's turn, too: it need not wait for its own.
      server.sendDatagram(data);
      client.sendDatagram(data);
    };
    client.onDatagram = (data) => echoes.push(data[0]);
    const events: string[] = [];
    client.onEvent = ({ type }) => events.push(type);
    network.at(2050, stop);
    network.run(3000);
    expect(sentMs.length).toBeGreaterThan(15);
    expect(delays.length).toBe(sentMs.length);
    for (const delay of delays) expect(delay).toBeLessThan(21);
    expect(echoes).toEqual(sentMs.map((_, i) => i));
    expect(server.stats().datagramsReceived).toBe(sentMs.length);
    expect(events).toContain("established");
  });

  it("has the congestion control and the redundancy that it is given", () => {
    const outcome = (options: Partial<TransportOptions>) => {
      const { network, client, server } = pair(LOSSY, options);
      network.at(500, () => {
        network.every(10, () => client.sendMessage(new Uint8Array(1000)));
      });
      network.run(3000);
      expect(server.readBytes).toBeGreaterThan(150_000);
      return client.stats();
    };
    expect(outcome({ congestion: "cubic" }).congestion).toBe("cubic");
    const fixed = outcome({ congestion: { fixedRateBps: 5e6 } });
    expect([fixed.congestion, fixed.pacingRateBps]).toEqual(["fixed", 5e6]);
    const low = outcome({ redundancy: { budget: 0, freeBps: 0 } }).redundancy;
    expect(outcome({ redundancy: "latency" }).redundancy).toBeGreaterThan(2 * low);
    expect(outcome({ maxDatagramBytes: 1300 }).datagramBytes).toBe(1300);
  });

  /** What each does to a session, as a number that falls. */
  const TUNED: readonly [option: Partial<TransportOptions>, what: string, measure: (run: Pair) => number][] = [
    [
      { batchSize: 8 },
      "symbols of data to one of repair",
      ({ network, client }) => {
        network.every(5, () => client.sendMessage(new Uint8Array(1000)));
        network.run(3000);
        const { sentSymbols, sentRepairs } = client.stats();
        return sentSymbols / sentRepairs;
      },
    ],
    [
      { mergeMs: 100 },
      "symbols of small writes",
      ({ network, client }) => {
        const stream = client.openStream();
        network.every(10, () => client.write(stream, "small"));
        network.run(2000);
        return client.stats().sentSymbols;
      },
    ],
    [
      { compression: false },
      "bytes that compress, delivered at once",
      ({ network, client, server }) => {
        const stream = client.openStream({ compress: true });
        client.onEvent = ({ type }) => {
          if (type === "established") client.write(stream, new Uint8Array(1_000_000));
        };
        network.run(250);
        return server.readBytes;
      },
    ],
    [
      { sessionWindow: 2 ** 16 },
      "bytes of many streams in some round trips",
      ({ network, client, server }) => {
        for (let i = 0; i < 10; i++) client.sendBulk();
        network.run(1500);
        return server.readBytes;
      },
    ],
    [
      { streamWindow: 2 ** 14 },
      "bytes of one stream in some round trips",
      ({ network, client, server }) => {
        client.sendBulk();
        network.run(1500);
        return server.readBytes;
      },
    ],
    [
      { maxStreams: 1 },
      "streams that are open at once",
      ({ network, client, server }) => {
        const opened = new Set<number>();
        server.onData = (stream) => opened.add(stream);
        for (let i = 0; i < 3; i++) client.write(client.openStream(), "begin");
        network.run(1000);
        return opened.size;
      },
    ],
    [
      { largestMessage: 100 },
      "messages that the peer takes",
      ({ network, client }) => {
        network.run(1000);
        return [100, 101, 5000].filter((bytes) => {
          try {
            return client.sendMessage(new Uint8Array(bytes));
          } catch {
            return false;
          }
        }).length;
      },
    ],
  ];

  it.each(TUNED)("takes %o, and with it fewer: %s", (option, _what, measure) => {
    // Repair of losses only: nothing then hides what a batch's size costs.
    const tuned = (more: Partial<TransportOptions>) =>
      measure(pair({ ...LOSSY, delayMs: 50 }, { redundancy: { budget: 0, freeBps: 0 }, ...more }));
    expect(tuned(option)).toBeLessThan(0.9 * tuned({}));
  });

  it("shares a link with others of its kind and with TCP, and follows a host that moves", () => {
    const { network, client, server, a, b } = pair({ rateMbps: 20, delayMs: 20, queueMs: 40 });
    const other = connectTransport(network, { from: b, to: a, startMs: 100 });
    const tcp = startTcpFlow(network, { from: a, to: b });
    client.sendBulk();
    other.client.sendBulk();
    network.at(2000, () => client.socket.changeAddress({ ip: "10.9.9.9" }));
    network.run(2500);
    const moved = server.readBytes;
    network.run(6000);
    expect(server.readBytes - moved).toBeGreaterThan(1_000_000);
    expect(server.stats().pathChanges).toBe(1);
    expect(tcp.goodputMbps).toBeGreaterThan(1);
    expect(other.client.stats().goodputMbps).toBeGreaterThan(10);
  });

  it("finds a server that has moved before the client begins", () => {
    const { network, client, server } = pair(LOSSY, { startMs: 1000 });
    network.at(500, () => server.socket.changeAddress({ ip: "10.9.9.9", port: 5000 }));
    client.sendBulk(100_000);
    network.run(3000);
    expect(server.readBytes).toBe(100_000);
  });

  it("closes after its idle timeout when nothing comes through any more", () => {
    const outages = [{ fromMs: 1000, toMs: 60_000 }];
    const { network, client } = pair({ ...LOSSY, outages }, { idleTimeoutMs: 3000, keepAliveMs: 500 });
    const events: string[] = [];
    client.onEvent = ({ type }) => events.push(type);
    network.run(10_000);
    expect(client.stats().state).toBe("closed");
    expect(events).toEqual(["established", "closed"]);
  });

  it("refuses what it cannot do in one way", () => {
    const { network, a, b } = createTwoHosts();
    const refusal = (options: object) => {
      try {
        connectTransport(network, { from: a, to: b, ...options });
      } catch (error) {
        expect(error).toBeInstanceOf(SimulatorOptionError);
        return (error as Error).message;
      }
      return "";
    };
    expect(refusal({ to: a })).toBe('to is "a", wanted another node than from');
    expect(refusal({ from: createTwoHosts().a })).toBe('from is "a", wanted a node of this network, not of another');
    expect(refusal({ from: "a" })).toBe('from is "a", wanted a node of this network, not its name');
    expect(refusal({ from: {} })).toBe("from is [object Object], wanted a node of this network");
    expect(refusal({ to: undefined })).toBe("to is undefined, wanted a node of this network");
    expect(refusal({ startMs: -1 })).toMatch(/^startMs is -1, wanted ms from 0/);
    expect(refusal({ congestion: "reno" })).toMatch(/^congestion is "reno", wanted "bbr", "cubic" or/);
    expect(refusal({ congestion: { fixedRateBps: 0 } })).toBe(
      "congestion.fixedRateBps is 0, wanted bits a second above 0",
    );
    expect(refusal({ congestion: {} })).toMatch(/^congestion.fixedRateBps is undefined, wanted/);
    expect(refusal({ congestion: null })).toMatch(/^congestion is null, wanted "bbr"/);
    expect(refusal({ redundancy: "most" })).toMatch(/^redundancy.preset is "most", wanted adaptive, latency/);
    expect(refusal({ redundancy: { budget: 11 } })).toBe("redundancy.budget is 11, wanted 0 to 10");
    expect(refusal({ sessionWindow: 1 })).toMatch(/^sessionWindow is 1, wanted a whole number from 65536/);
    expect(refusal({ mergeMs: -1 })).toBe("mergeMs is -1, wanted 0 to 1000 ms");
    expect(refusal({ batchSize: 7 })).toBe("batchSize is 7, wanted a whole number from 8 to 64");
    expect(refusal({ maxDatagramBytes: 100 })).toMatch(/^maxDatagramBytes is 100, wanted bytes from 1200/);
  });

  it("refuses what an end cannot send in the same way", () => {
    const { network, client } = pair({ rateMbps: 20, delayMs: 20 }, { largestMessage: 1000 });
    const refusal = (call: () => unknown) => {
      try {
        call();
      } catch (error) {
        expect(error).toBeInstanceOf(SimulatorOptionError);
        return (error as Error).message;
      }
      return "";
    };
    const bytes = (length: number) => new Uint8Array(length);
    const sendMessage = (data: unknown) => () => client.sendMessage(data as Uint8Array);
    expect(refusal(() => client.sendBulk(0))).toMatch(/^bytes is 0, wanted bytes from 1/);
    expect(refusal(() => client.sendBulk(1, { priority: -1 }))).toBe(
      "priority is -1, wanted a whole number from 0 to 7",
    );
    expect(refusal(() => client.openStream({ priority: 8 }))).toBe("priority is 8, wanted a whole number from 0 to 7");
    expect(refusal(() => client.sendDatagram("", { deadlineMs: 0 }))).toBe("deadlineMs is 0, wanted more than 0");
    expect(refusal(() => client.sendDatagram(bytes(65_508)))).toBe("data.length is 65508, wanted at most 65507 bytes");
    expect(refusal(sendMessage(bytes(2 ** 24 + 1)))).toBe("data.length is 16777217, wanted at most 16777216 bytes");
    expect(refusal(sendMessage(bytes(1001)))).toBe("");
    network.run(1000);
    expect(refusal(sendMessage(bytes(1001)))).toBe("data.length is 1001, wanted at most 1000 bytes");
    expect(refusal(sendMessage(5))).toBe("data is 5, wanted a Uint8Array or a string");
    expect(refusal(sendMessage(undefined))).toBe("data is undefined, wanted a Uint8Array or a string");
  });
});
