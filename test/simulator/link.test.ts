import { describe, expect, it } from "vitest";
import { createTwoHosts, type LinkOptions, ListedLoss, Random } from "../../src/simulator/index.ts";
import { Sender, Sink, steady } from "./endpoints.ts";

const HEADER = 28;

/** Sends `payload` bytes at each of `times` over one link and returns what came of it. */
function send(
  forward: LinkOptions,
  times: ArrayLike<number>,
  payload: number,
  untilMs: number,
  ecn: 0 | 1 | 2 | 3 = 0,
) {
  const { network, a, b, link } = createTwoHosts({ seed: 4, forward, backward: {} });
  const sink = new Sink({ keepBytes: times.length <= 10_000 });
  const destination = b.attach(sink).localAddress;
  a.attach(new Sender(destination, times, payload, ecn));
  network.run(untilMs);
  return { sink, counters: link.forward.counters, network, link };
}

describe("rate and queue", () => {
  it("spaces a burst by size over rate, IP and UDP headers included", () => {
    const { sink } = send({ rateMbps: 10, delayMs: 7 }, steady(20, 0), 972, 1000);
    const service = ((972 + HEADER) * 8) / 10_000;
    sink.times.forEach((atMs, i) => {
      expect(atMs).toBeCloseTo(7 + (i + 1) * service, 9);
    });
    expect(sink.times).toHaveLength(20);
  });

  it("holds as many packets as fit whole and drops the rest of a burst", () => {
    const { sink, counters } = send({ rateMbps: 10, queueBytes: 10_500 }, steady(30, 0), 972, 1000);
    expect(sink.numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(counters.dropped.queue).toEqual({ packets: 20, bytes: 20_000 });
    expect(counters.maxQueueBytes).toBe(10_000);
  });

  it("takes queueMs as time at the link's rate", () => {
    const { counters, link } = send({ rateMbps: 10, queueMs: 8 }, steady(30, 0), 972, 1000);
    expect(link.forward.queueLimitBytes).toBe(10_000);
    expect(counters.delivered.packets).toBe(10);
  });

  it("passes exactly its rate when offered more, and drops the difference", () => {
    // 1000 bytes every 0.5 ms are 16 Mbit/s for a link of 10.
    const { counters } = send({ rateMbps: 10, queueMs: 20 }, steady(20_000, 0.5), 972, 10_000);
    expect(counters.delivered.bytes * 8e-7).toBeCloseTo(10, 2);
    expect(counters.dropped.queue.packets / 20_000).toBeCloseTo(1 - 10 / 16, 2);
  });

  it("delays Poisson arrivals as an M/D/1 queue does", () => {
    const random = new Random(21);
    const load = 0.7;
    const serviceMs = 0.8;
    const times = new Float64Array(100_000);
    for (let i = 1; i < times.length; i++) times[i] = times[i - 1] - (Math.log(1 - random.next()) * serviceMs) / load;
    const { sink } = send({ rateMbps: 10, queueBytes: 1e9 }, times, 972, 1e9);
    const waited = sink.times.reduce((sum, atMs, i) => sum + atMs - times[i] - serviceMs, 0) / times.length;
    // Pollaczek and Khinchine.
    expect(waited / ((serviceMs * load) / (2 * (1 - load)))).toBeCloseTo(1, 1);
  });

  it("follows rate steps within the queue, and keeps a halted queue until it runs again", () => {
    const { sink } = send(
      {
        rateMbps: 8,
        rateSteps: [
          { atMs: 2.5, rateMbps: 0 },
          { atMs: 10, rateMbps: 16 },
        ],
      },
      steady(5, 0),
      972,
      100,
    );
    // 2500 bytes by 2.5 ms, then none, then 2000 bytes a millisecond.
    [1, 2, 10.25, 10.75, 11.25].forEach((atMs, i) => {
      expect(sink.times[i]).toBeCloseTo(atMs, 9);
    });
  });

  it("counts what a halted link keeps as in flight", () => {
    const { counters } = send({ rateMbps: 8, rateSteps: [{ atMs: 2.5, rateMbps: 0 }] }, steady(5, 0), 972, 1e6);
    expect(counters.delivered.packets).toBe(2);
    expect(counters.inFlight).toEqual({ packets: 3, bytes: 3000 });
  });

  it("polices ahead of the queue", () => {
    const policer = { rateMbps: 4, burstBytes: 10_000 };
    const { counters } = send({ rateMbps: 100, policer }, steady(8000, 1), 972, 8000);
    // 8 Mbit/s against a policer of 4: the burst, then half.
    expect(counters.delivered.packets).toBeCloseTo(10_000 / 1000 + 4000 - 5, -1);
    expect(counters.dropped.policer.packets).toBe(8000 - counters.delivered.packets - counters.inFlight.packets);
    expect(counters.maxQueueBytes).toBe(1000);
  });

  it("marks only ECN-capable packets, and only those behind more than the threshold", () => {
    const options = { rateMbps: 10, ecnBytes: 4000 };
    const { sink, counters } = send(options, steady(10, 0), 972, 100, 2);
    expect(sink.ecns).toEqual([2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
    expect(counters.marked).toEqual({ packets: 5, bytes: 5000 });
    expect(send(options, steady(10, 0), 972, 100, 0).counters.marked.packets).toBe(0);
  });
});

describe("delay and jitter", () => {
  it("delays every packet by the same without jitter, whatever its size", () => {
    const { sink } = send({ delayMs: 12.5 }, steady(100, 1), 400, 1000);
    sink.times.forEach((atMs, i) => {
      expect(atMs).toBeCloseTo(i + 12.5, 9);
    });
  });

  it("keeps order under jitter unless told otherwise, and lets no packet be early", () => {
    for (const distribution of ["uniform", "normal"] as const) {
      const jitter = { distribution, spreadMs: 20 };
      const { sink } = send({ delayMs: 30, jitter }, steady(5000, 1), 100, 10_000);
      expect(sink.numbers).toEqual(Array.from({ length: 5000 }, (_, i) => i));
      for (let i = 0; i < 5000; i++) expect(sink.times[i]).toBeGreaterThanOrEqual(i);
    }
  });

  it("reorders when allowed to: uniform over the spread, each packet on its own", () => {
    const jitter = { spreadMs: 20, reorder: true };
    const { sink } = send({ delayMs: 30, jitter }, steady(20_000, 1), 100, 30_000);
    const delays = sink.times.map((atMs, i) => atMs - sink.numbers[i]);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(30);
    expect(Math.max(...delays)).toBeLessThan(50);
    expect(delays.reduce((a, b) => a + b) / delays.length).toBeCloseTo(40, 0);
    const overtaken = sink.numbers.filter((n, i) => i > 0 && n < sink.numbers[i - 1]).length;
    expect(overtaken).toBeGreaterThan(5000);
    expect([...sink.numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
  });

  it("draws normal jitter around the delay with the spread as deviation", () => {
    const jitter = { distribution: "normal" as const, spreadMs: 4, reorder: true };
    const { sink } = send({ delayMs: 30, jitter }, steady(20_000, 1), 100, 30_000);
    const delays = sink.times.map((atMs, i) => atMs - sink.numbers[i]);
    const mean = delays.reduce((a, b) => a + b) / delays.length;
    const deviation = Math.sqrt(delays.reduce((sum, d) => sum + (d - mean) ** 2, 0) / delays.length);
    expect(mean).toBeCloseTo(30, 0);
    expect(deviation).toBeCloseTo(4, 0);
  });

  it("changes its delay at the steps and keeps order when the path gets shorter", () => {
    const { sink } = send({ delayMs: 50, delaySteps: [{ atMs: 20, delayMs: 10 }] }, steady(80, 1), 100, 1000);
    expect(sink.times[0]).toBeCloseTo(50, 9);
    expect(sink.times[19]).toBeCloseTo(69, 9);
    // Sent at 20, due at 30, but behind the one that arrives at 69.
    expect(sink.times[20]).toBeCloseTo(69, 9);
    expect(sink.times[79]).toBeCloseTo(89, 9);
    expect(sink.numbers).toEqual([...sink.numbers].sort((a, b) => a - b));
  });
});

describe("faults", () => {
  it("loses what leaves the queue during an outage, and nothing else", () => {
    const outages = [
      { fromMs: 10, toMs: 20 },
      { fromMs: 50, toMs: 51 },
    ];
    const { sink, counters } = send({ delayMs: 5, outages }, steady(100, 1), 100, 1000);
    const expected = Array.from({ length: 100 }, (_, i) => i).filter((i) => !((i >= 10 && i < 20) || i === 50));
    expect(sink.numbers).toEqual(expected);
    expect(counters.dropped.outage.packets).toBe(11);
  });

  it("spends the rate on packets that it then loses", () => {
    const { sink } = send({ rateMbps: 8, loss: new ListedLoss([0, 1]) }, steady(3, 0), 972, 100);
    expect(sink.numbers).toEqual([2]);
    expect(sink.times[0]).toBeCloseTo(3, 9);
  });

  it("changes its loss at the steps", () => {
    const { sink } = send({ loss: 0, lossSteps: [{ atMs: 100, loss: 1 }] }, steady(200, 1), 100, 1000);
    expect(sink.numbers).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it("doubles packets with bytes of their own", () => {
    const { sink, counters } = send({ duplication: 1, corruption: 1, delayMs: 1 }, steady(50, 1), 200, 1000);
    expect(counters.duplicated.packets).toBe(50);
    expect(sink.times).toHaveLength(100);
    // One of each pair is damaged, the other as it was sent.
    const damaged = sink.copies.filter((bytes) => bytes.some((byte, i) => i >= 8 && byte !== 0xa5));
    expect(damaged.length).toBeGreaterThan(40);
    expect(damaged.length).toBeLessThanOrEqual(50);
  });

  it("damages one byte of the share of packets asked for", () => {
    const { sink, counters } = send({ corruption: 0.1 }, steady(5000, 1), 1000, 10_000);
    const wrong = sink.copies.map((bytes, n) => {
      const whole = new Uint8Array(1000).fill(0xa5);
      new DataView(whole.buffer).setFloat64(0, n);
      return bytes.filter((byte, i) => byte !== whole[i]).length;
    });
    expect(wrong.filter((n) => n === 1)).toHaveLength(counters.corrupted.packets);
    expect(wrong.filter((n) => n > 1)).toHaveLength(0);
    expect(counters.corrupted.packets / 5000).toBeCloseTo(0.1, 1);
  });

  it("draws one fault without shifting another: adding damage loses the same packets", () => {
    const lossy = send({ loss: 0.2 }, steady(1000, 1), 100, 2000).sink.times;
    const both = send({ loss: 0.2, corruption: 0.5, duplication: 0 }, steady(1000, 1), 100, 2000).sink.times;
    expect(both).toEqual(lossy);
  });
});
