import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { repairTable } from "../../../src/codec/coefficients.ts";
import { TinyMt32 } from "../../../src/codec/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { DATAGRAM_READ_BYTES } from "../../../src/transport/session/datagram-receiver.ts";
import { DATAGRAM_QUEUE_BYTES } from "../../../src/transport/session/datagram-sender.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { FLOW_BEGINS_MS, paced, percentile } from "./paced.ts";
import { Pipe, type PipeOptions } from "./pipe.ts";

const arena = new Arena();

function pair() {
  return { client: new Session({ isClient: true, arena }), server: new Session({ isClient: false, arena }) };
}

/** A datagram that says which it is and is its own checksum. */
function datagram(number: number, length: number): Uint8Array {
  const generator = new TinyMt32(number);
  const data = Uint8Array.from({ length }, () => generator.next());
  new DataView(data.buffer).setUint32(0, number);
  return data;
}

const perfect: PipeOptions = { seed: 1, loss: 0, delay: 3, jitter: 0, window: 40, packetBytes: 1400 };

describe("datagrams", () => {
  test("are copied when they are sent: a Buffer may be used again at once", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, perfect);
    pipe.step();
    const shared = Buffer.alloc(4);
    for (let number = 0; number < 3; number++) {
      shared.writeUInt32BE(number);
      client.sendDatagram(shared);
    }
    const received: number[] = [];
    for (let step = 0; step < 100; step++) {
      pipe.step();
      for (let data = server.readDatagram(); data !== null; data = server.readDatagram()) received.push(data[3]);
    }
    expect(received).toEqual([0, 1, 2]);
    client.destroy();
    server.destroy();
  });

  test("arrive whole, once and in time or not at all, beside a stream that is exact, and leave nothing behind", () => {
    const path = fc.record({
      seed: fc.integer(),
      loss: fc.double({ min: 0, max: 0.6, noNaN: true }),
      delay: fc.integer({ min: 1, max: 20 }),
      jitter: fc.nat(20),
      window: fc.integer({ min: 20, max: 200 }),
      packetBytes: fc.integer({ min: 600, max: 1440 }),
    });
    const flow = fc.array(fc.record({ length: fc.oneof(fc.integer({ min: 4, max: 1500 }), fc.constant(65_507)) }), {
      minLength: 1,
      maxLength: 40,
    });
    fc.assert(
      fc.property(path, flow, fc.integer({ min: 20, max: 400 }), (options, pieces, deadlineMs) => {
        repairTable(arena);
        const before = arena.allocatedBytes;
        const { client, server } = pair();
        const pipe = new Pipe(client, server, options);
        const stream = client.openStream();
        const content = datagram(1_000_000, 50_000);
        let written = 0;
        const sentAt: number[] = [];
        const seen = new Set<number>();
        const parts: Uint8Array[] = [];
        const errors: string[] = [];
        const longest = deadlineMs + 3 * (options.delay + options.jitter) + 2;
        let finished = false;
        for (let step = 0; step < 40_000; step++) {
          const next = sentAt.length;
          if (next < pieces.length && client.sendDatagram(datagram(next, pieces[next].length), { deadlineMs })) {
            sentAt.push(step);
          }
          written += client.write(stream, content.subarray(written));
          if (written === content.length && !finished) {
            client.finish(stream);
            finished = true;
          }
          pipe.step();
          while (client.poll() !== null);
          for (let event = server.poll(); event !== null; event = server.poll()) {
            if (event.type === "error") errors.push(event.message);
            if (event.type === "datagram") {
              for (let data = server.readDatagram(); data !== null; data = server.readDatagram()) {
                const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
                expect(Buffer.compare(data, datagram(number, pieces[number].length))).toBe(0);
                expect(seen.has(number)).toBe(false);
                seen.add(number);
                expect(step - sentAt[number]).toBeLessThanOrEqual(longest);
              }
            }
            if (event.type !== "readable") continue;
            for (let data = server.read(event.stream); data !== null; data = server.read(event.stream))
              parts.push(data);
          }
          const given = sentAt.length === pieces.length && step > sentAt[sentAt.length - 1] + longest;
          if (given && client.idle && server.ended(stream)) break;
        }
        expect(errors).toEqual([]);
        expect(Buffer.compare(Buffer.concat(parts), content)).toBe(0);
        const sums = client.stats.datagrams;
        expect(sums.sent).toBe(pieces.length);
        if (options.loss === 0 && sums.expired + sums.givenUpBatches === 0) expect(seen.size).toBe(pieces.length);
        client.destroy();
        server.destroy();
        expect(arena.allocatedBytes).toBe(before);
      }),
      { numRuns: 60 },
    );
  });

  test("of 65,507 bytes arrive without loss, small ones share a packet, and too long ones are refused with an error", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, perfect);
    for (let i = 0; i < 5; i++) client.sendDatagram(datagram(i, 65_507));
    for (let i = 5; i < 105; i++) client.sendDatagram(datagram(i, 20));
    for (let step = 0; step < 100; step++) pipe.step();
    const lengths: number[] = [];
    for (let data = server.readDatagram(); data !== null; data = server.readDatagram()) lengths.push(data.length);
    expect(lengths).toEqual([...new Array(5).fill(65_507), ...new Array(100).fill(20)]);
    // Parts fill packets, and the hundred take two or three.
    expect(client.stats.sentSymbols).toBeLessThan(5 * 49 + 5);
    expect(() => client.sendDatagram(new Uint8Array(65_508))).toThrow(/65508 bytes, wanted at most 65507/);
    expect(() => client.sendDatagram(new Uint8Array(1), { deadlineMs: 0 })).toThrow(/deadlineMs is 0/);
    client.destroy();
    server.destroy();
  });

  test("of a feed are asked for when they can leave, share packets, and travel in parts where they must", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, { ...perfect, window: 4 });
    const lengths = [...new Array(40).fill(30), 1300, 1300, 9000, 10, 1350, 1350];
    let asked = 0;
    const feed = {
      lifeMs: 1000,
      next: () => (asked < lengths.length ? lengths[asked] : 0),
      take: (target: Uint8Array, at: number) => target.set(datagram(asked, lengths[asked++]), at),
    };
    client.datagramFeed = feed;
    pipe.step();
    // What the window holds, and no more.
    expect(asked).toBeGreaterThan(40);
    expect(asked).toBeLessThan(44);
    for (let step = 0; step < 100; step++) pipe.step();
    for (let i = 0; i < lengths.length; i++) expect(server.readDatagram()).toEqual(datagram(i, lengths[i]));
    expect(server.readDatagram()).toBeNull();
    const bytes = lengths.reduce((sum, length) => sum + length);
    expect(client.stats.datagrams).toMatchObject({ sent: lengths.length, sentBytes: bytes, expired: 0 });
    expect(server.stats.datagrams).toMatchObject({ delivered: lengths.length, deliveredBytes: bytes });
    client.destroy();
    server.destroy();
  });

  test("go to a sink as they come, which may leave some to be read, and a full batch brings the repairs that it will need", () => {
    const repairs: number[] = [];
    for (const promptTarget of [1, 0.1]) {
      const client = new Session({ isClient: true, arena, redundancy: { promptTarget } });
      const server = new Session({ isClient: false, arena });
      const pipe = new Pipe(client, server, { ...perfect, loss: 0.1, delay: 40, window: 200 });
      let sent = 0;
      let sunk = 0;
      client.datagramFeed = { lifeMs: 500, next: () => 1300, take: (target, at) => target.fill(sent++, at, at + 1300) };
      server.datagramSink = (data) => data[0] % 2 === 0 && ++sunk > 0;
      for (let step = 0; step < 1500; step++) pipe.step();
      let read = 0;
      for (let data = server.readDatagram(); data !== null; data = server.readDatagram()) read += data[0] % 2;
      expect(sunk + read + 400).toBeGreaterThan(0.98 * sent);
      expect(server.stats.datagrams).toMatchObject({
        delivered: sunk + read,
        deliveredBytes: 1300 * (sunk + read),
      });
      expect(client.stats.datagrams.sentBytes).toBe(1300 * client.stats.datagrams.sent);
      const { repairBytes, sourceBytes } = client.stats.redundancy;
      repairs.push(repairBytes / sourceBytes);
      client.destroy();
      server.destroy();
    }
    // Losses alone take 0.11.
    expect(repairs[1]).toBeLessThan(0.24);
    expect(repairs[1]).toBeGreaterThan(repairs[0]);
  });

  test("without room the newest is refused, and what waited past its deadline makes room", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, { ...perfect, window: 0 });
    let taken = 0;
    while (client.sendDatagram(new Uint8Array(1000), { deadlineMs: 50 })) taken++;
    expect(taken).toBe(Math.floor(DATAGRAM_QUEUE_BYTES / 1000));
    for (let step = 0; step < 60; step++) {
      pipe.step();
      client.ready(step);
    }
    expect(client.sendDatagram(new Uint8Array(1000))).toBe(true);
    expect(client.stats.datagrams).toMatchObject({ refused: 1, expired: taken, sent: taken + 1 });
    client.destroy();
    server.destroy();
  });

  test("in a flood leave half of the path to streams", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, perfect);
    const stream = client.openStream();
    let bytes = 0;
    for (let step = 0; step < 400; step++) {
      while (client.sendDatagram(new Uint8Array(1200), { deadlineMs: 20 }));
      client.write(stream, new Uint8Array(50_000));
      pipe.step();
      while (server.readDatagram() !== null);
      for (let data = server.read(stream); data !== null; data = server.read(stream)) bytes += data.length;
    }
    const datagrams = 1200 * server.stats.datagrams.delivered;
    expect(bytes / (bytes + datagrams)).toBeGreaterThan(0.4);
    expect(bytes / (bytes + datagrams)).toBeLessThan(0.65);
    expect(client.stats.datagrams.expired).toBeGreaterThan(0);
    client.destroy();
    server.destroy();
  });

  test("who does not read loses the newest beyond a bound", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, { ...perfect, window: 400 });
    for (let step = 0; step < 300; step++) {
      while (client.sendDatagram(new Uint8Array(30_000)));
      pipe.step();
    }
    let bytes = 0;
    for (let data = server.readDatagram(); data !== null; data = server.readDatagram()) bytes += data.length;
    expect(bytes).toBeLessThanOrEqual(DATAGRAM_READ_BYTES);
    expect(bytes).toBeGreaterThan(0.9 * DATAGRAM_READ_BYTES);
    expect(server.stats.datagrams.overflowed).toBeGreaterThan(0);
    client.destroy();
    server.destroy();
  });

  test("that lost something past their deadline are given up, and the receiver forgets them at once", () => {
    const { client, server } = pair();
    const options = { ...perfect, loss: 0.7, seed: 5 };
    const pipe = new Pipe(client, server, options);
    client.sendDatagram(datagram(1, 60_000), { deadlineMs: 40 });
    for (let step = 0; step < 30; step++) pipe.step();
    expect(server.stats.liveBatches).toBeGreaterThan(0);
    options.loss = 1;
    for (let step = 0; step < 20; step++) pipe.step();
    options.loss = 0;
    for (let step = 0; step < 100; step++) pipe.step();
    expect(client.stats.datagrams.givenUpBatches).toBeGreaterThan(0);
    expect(client.stats.liveBatches + server.stats.liveBatches).toBe(0);
    expect(server.stats.datagrams).toMatchObject({ incomplete: 1 });
    client.destroy();
    server.destroy();
  });
});

describe("repair ahead of losses", () => {
  test("brings what a thin flow loses within milliseconds, and what a faster one loses, each in its budget", () => {
    const thin = paced({
      hop: { rateMbps: 100, delayMs: 16, queueMs: 10, jitter: { spreadMs: 3 }, loss: 0.06 },
      seed: 1,
      by: "message",
      bytes: 1024,
      intervalMs: 10,
      count: 3000,
    });
    expect([thin.wrong, thin.lost, thin.log]).toEqual([0, 0, []]);
    expect(percentile(thin, 0.99)).toBeLessThan(16 + 8);
    expect(thin.packets / thin.symbols).toBeLessThan(2.1);
    const dense = paced({
      hop: { rateMbps: 100, delayMs: 50, queueMs: 10, loss: 0.1 },
      seed: 1,
      by: "datagram",
      bytes: 1200,
      intervalMs: 0.96,
      count: 5000,
    });
    expect([dense.wrong, dense.log]).toEqual([0, []]);
    expect(percentile(dense, 0.99)).toBeLessThan(50 + 35);
    expect(dense.lost / 5000).toBeLessThan(0.0005);
    expect(dense.packets / dense.symbols).toBeLessThan(1.4);
    expect(dense.stats.redundancy.ahead).toBeGreaterThan(0);
  });

  test("brings them in time from a flow's first datagram on, and nothing slows the flow down below what the path carries", () => {
    const count = 6000;
    let slowest = Number.POSITIVE_INFINITY;
    const flow = paced({
      hop: { rateMbps: 100, delayMs: 50, queueMs: 10, loss: 0.1 },
      seed: 1,
      by: "datagram",
      bytes: 1200,
      intervalMs: 1,
      count,
      warmUpMs: 0,
      watch: (network, client) => {
        network.every(10, (nowMs) => {
          if (nowMs >= FLOW_BEGINS_MS) slowest = Math.min(slowest, client.congestion.pacingRate);
        });
      },
    });
    expect([flow.wrong, flow.lost, flow.log]).toEqual([0, 0, []]);
    expect(percentile(flow, 0.99)).toBeLessThan(50 + 40);
    // Bytes a millisecond, of which each datagram takes 1200 and more.
    expect(slowest).toBeGreaterThan(1500);
  });

  test("keeps up with losses that nobody expected: what a flow begins with does not make the rest of it late", () => {
    const flow = paced({
      hop: { rateMbps: 100, delayMs: 50, queueMs: 10, loss: 0.3 },
      seed: 3,
      by: "datagram",
      bytes: 1200,
      intervalMs: 1,
      count: 6000,
      warmUpMs: 0,
    });
    expect([flow.wrong, flow.log]).toEqual([0, []]);
    expect(flow.lost / 6000).toBeLessThan(0.003);
    expect(flow.packets / flow.symbols).toBeLessThan(1.9);
    const late = (from: number, to: number) =>
      flow.inOrderMs.slice(from, to).filter((delayMs) => delayMs > 50 + 40).length;
    expect(late(0, 400)).toBeLessThan(120);
    expect(late(400, 2000)).toBeLessThan(0.02 * 1600);
    expect(late(2000, 6000)).toBeLessThan(0.02 * 4000);
  });

  test("leaves sooner for datagrams whose deadline comes before a repair from feedback could, at hardly more packets", () => {
    for (const [loss, most] of [
      [0.1, 0.007],
      [0.3, 0.018],
    ]) {
      const flow = (deadlineMs?: number) =>
        paced({
          hop: { rateMbps: 100, delayMs: 50, queueMs: 10, loss },
          seed: 1,
          by: "datagram",
          bytes: 1200,
          intervalMs: 0.96,
          count: 8000,
          ...(deadlineMs === undefined ? {} : { deadlineMs }),
        });
      const short = flow(70);
      const usual = flow();
      expect([short.wrong, short.log]).toEqual([0, []]);
      const late = ({ delaysMs }: typeof short) => delaysMs.filter((delayMs) => delayMs > 70).length / 8000;
      expect(late(short)).toBeLessThan(most);
      expect(late(short)).toBeLessThan(late(usual) / 2);
      expect(short.packets / short.symbols).toBeLessThan(usual.packets / usual.symbols + 0.12);
    }
  });

  test("that is for losses to be expected waits until these are known: at first it would take the place of what is due", () => {
    const late = [2, 5].map((seed) => {
      const flow = paced({
        hop: { rateMbps: 100, delayMs: 50, queueMs: 10, loss: 0.3 },
        seed,
        by: "datagram",
        bytes: 1200,
        intervalMs: 0.96,
        count: 1500,
        warmUpMs: 0,
        redundancy: { promptTarget: 0.1, target: 0.002 },
      });
      expect([flow.wrong, flow.log]).toEqual([0, []]);
      return flow.inOrderMs.slice(0, 1000).filter((delayMs) => delayMs > 50 + 40).length;
    });
    expect(Math.max(...late)).toBeLessThan(125);
  });

  test("costs hardly anything where nothing is lost, and no more than the budget says where much is", () => {
    const flow = (loss: number, redundancy: { preset: "throughput" | "balanced" | "latency" }) =>
      paced({
        hop: { rateMbps: 100, delayMs: 20, queueMs: 10, loss },
        seed: 2,
        by: "datagram",
        bytes: 1000,
        intervalMs: 2,
        count: 3000,
        redundancy,
      });
    const clean = flow(0, { preset: "balanced" });
    expect(clean.packets / clean.symbols).toBeLessThan(1.02);
    // Beyond 1 / (1 - loss), which losses take anyhow.
    const little = flow(0.2, { preset: "throughput" });
    expect(little.packets / little.symbols).toBeLessThan(1.07 / 0.8);
    const more = flow(0.2, { preset: "balanced" });
    expect(more.packets / more.symbols).toBeLessThan(1.32 / 0.8);
    expect(percentile(more, 0.99)).toBeLessThan(percentile(little, 0.99));
    const most = flow(0.2, { preset: "latency" });
    expect(most.packets / most.symbols).toBeGreaterThan((1.1 * more.packets) / more.symbols);
    expect(most.packets / most.symbols).toBeLessThan(2.52 / 0.8);
    expect(percentile(most, 0.999)).toBeLessThan(percentile(more, 0.999));
    expect(() => new Session({ isClient: true, redundancy: { budget: -1 } })).toThrow(/budget is -1, wanted 0 to 10/);
  });
});
