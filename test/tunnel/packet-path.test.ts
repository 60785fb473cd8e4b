import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { DatagramFeed } from "../../src/transport/session/datagram-sender.ts";
import { IpPacket } from "../../src/tun/index.ts";
import { trainHeader } from "../../src/tun/tcp-train.ts";
import { PacketPool } from "../../src/tunnel/fair-queue.ts";
import { type PacketCarrier, PacketPath, type PacketSink } from "../../src/tunnel/packet-path.ts";
import { TrainAssembler } from "../../src/tunnel/train-assembler.ts";
import { ACK, counting, FIN, onesComplement, PSH, tcpPacket, udpPacket } from "../tun/packets.ts";

class FakeCarrier implements PacketCarrier {
  datagramFeed: DatagramFeed | null = null;
  datagramSink: ((data: Uint8Array) => boolean) | null = null;
  readonly packetDatagramBytes = 1400;
  readonly rttMs = 50;
  wakeFeed(): void {}

  /** The next datagram at a time, or null. */
  take(nowMs: number, room = 1400): Uint8Array | null {
    const bytes = this.datagramFeed!.next(nowMs, room);
    if (bytes === 0) return null;
    const data = new Uint8Array(bytes);
    this.datagramFeed!.take(data, 0, bytes);
    return data;
  }
}

const paths: PacketPath[] = [];
afterEach(() => {
  for (const path of paths.splice(0)) path.close();
});

/** One end of a tunnel, and what it releases. */
function end(stream = 100) {
  const carrier = new FakeCarrier();
  const released: Uint8Array[] = [];
  const memory = { pool: new PacketPool(), assembler: new TrainAssembler() };
  const trains: { train: Uint8Array; headerBytes: number; segmentBytes: number }[] = [];
  const sink: PacketSink = {
    packet: (packet) => released.push(packet.slice()),
    train: (train, headerBytes, segmentBytes) => trains.push({ train: train.slice(), headerBytes, segmentBytes }),
  };
  const path = new PacketPath(carrier, stream, memory, sink, true);
  paths.push(path);
  const ip = new IpPacket();
  const send = (packet: Uint8Array) => {
    expect(ip.parse(packet)).toBe(true);
    path.send(packet, ip, 0);
  };
  const sendTrain = (train: Uint8Array, segmentBytes: number) => {
    expect(ip.parse(train)).toBe(true);
    path.sendTrain(train, ip, trainHeader(train, ip, segmentBytes), segmentBytes, 0);
  };
  return { carrier, path, released, trains, send, sendTrain };
}

/** What is put together in a turn is released at its end. */
const turnEnds = () => new Promise((resolve) => setImmediate(resolve));

/** A connection's data: each byte says where it is. */
function dataAt(sequence: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul((sequence + i) >>> 0, 0x9e37_79b1) >>> 24);
}

function tcp(sequence: number): Uint8Array {
  return tcpPacket(counting(1000, sequence), { sequence });
}

describe("a tunnel's path", () => {
  test("releases TCP's data in the order they were sent, whatever came of the way, and the rest at once", () => {
    const [from, to] = [end(), end()];
    const packets = [0, 1, 2, 3].map(tcp);
    const ping = udpPacket(counting(600));
    for (const packet of packets) from.send(packet);
    from.send(ping);
    const datagrams: Uint8Array[] = [];
    for (let data = from.carrier.take(1); data !== null; data = from.carrier.take(1)) datagrams.push(data);
    expect(datagrams.length).toBe(5);
    for (const data of datagrams.toReversed()) expect(to.carrier.datagramSink!(data)).toBe(true);
    expect(to.released.map(({ length }) => length)).toEqual([628, 1040, 1040, 1040, 1040]);
    expect(to.released.slice(1)).toEqual(packets);
  });

  test("sends small packets of sparse flows twice while others wait, a little apart, and releases them once", () => {
    const [from, to] = [end(), end()];
    const ping = udpPacket(counting(56), { from: 9 });
    from.send(ping);
    const alone = from.carrier.take(0)!;
    expect(alone.length).toBe(2 + ping.length);
    for (let i = 0; i < 40; i++) from.send(tcp(i));
    from.send(ping);
    const times: number[] = [];
    for (let ms = 0; ms < 30; ms++) {
      const data = from.carrier.take(ms);
      if (data === null) break;
      if (data.length < 200) times.push(ms);
      to.carrier.datagramSink!(data);
    }
    expect(times.length).toBe(2);
    expect(times[1] - times[0]).toBeGreaterThanOrEqual(5);
    expect(to.released.filter(({ length }) => length < 200)).toEqual([ping]);
    expect(from.path.counts.sentTwice).toBe(1);
  });

  test("carries trains in parts that fill packets, released in order as they come, whatever is lost", async () => {
    const flow = fc.record({ sourcePort: fc.integer({ min: 1, max: 3 }), version: fc.constantFrom<4 | 6>(4, 6) });
    const sent = fc.record({
      of: flow,
      isTrain: fc.boolean(),
      length: fc.integer({ min: 1, max: 8000 }),
      // The sender's kernel forgets what it has, as when it is too old.
      skips: fc.nat(4000),
      flags: fc.constantFrom(ACK, ACK | PSH, ACK | PSH | FIN),
    });
    const way = fc.record({
      items: fc.array(sent, { maxLength: 12 }),
      rooms: fc.array(fc.integer({ min: 400, max: 1400 }), { minLength: 1, maxLength: 20 }),
      lost: fc.array(fc.nat(60), { maxLength: 3 }),
      turn: fc.integer({ min: 1, max: 30 }),
    });
    await fc.assert(
      fc.asyncProperty(way, async ({ items, rooms, lost, turn }) => {
        const [from, to] = [end(), end()];
        const sequences = new Map<string, number>();
        for (const { of, isTrain, length, skips, flags } of items) {
          const key = JSON.stringify(of);
          const sequence = (sequences.get(key) ?? 0xffff_f000) + skips;
          const bytes = isTrain ? length : Math.min(length, 1200);
          sequences.set(key, sequence + bytes);
          const packet = tcpPacket(dataAt(sequence, bytes), { ...of, flags, sequence: sequence >>> 0 });
          if (isTrain) from.sendTrain(packet, 1000);
          else from.send(packet);
        }
        for (let i = 0; ; i++) {
          const data = from.carrier.take(1, rooms[i % rooms.length]);
          if (data === null) break;
          if (!lost.includes(i)) to.carrier.datagramSink!(data);
          if (i % turn === 0) await turnEnds();
        }
        await turnEnds();
        to.path.resequencer.expire(Number.POSITIVE_INFINITY);
        await turnEnds();
        for (const { packet, size } of [
          ...to.released.map((packet) => ({ packet, size: 0 })),
          ...to.trains.map(({ train, segmentBytes }) => ({ packet: train, size: segmentBytes })),
        ]) {
          const ip = new IpPacket();
          expect(ip.parse(packet) && ip.totalBytes === packet.length).toBe(true);
          const sequence = new DataView(packet.buffer).getUint32(ip.transportAt + 4);
          // Every byte is where it was.
          expect(packet.subarray(ip.transportAt + 20)).toEqual(dataAt(sequence, packet.length - ip.transportAt - 20));
          expect(size).toBe(size === 0 ? 0 : 1000);
          if (ip.version === 4) expect(onesComplement(packet.subarray(0, 20))).toBe(0xffff);
        }
        if (lost.length > 0) return;
        // In order: each flow's data follow each other, and end where they were pushed.
        const all = items.map(({ of, isTrain, length, flags }) => ({
          of: JSON.stringify(of),
          bytes: isTrain ? length : Math.min(length, 1200),
          flags: isTrain ? flags : 0,
        }));
        const sum = (list: number[]) => list.reduce((a, b) => a + b, 0);
        const released = sum(to.released.map((packet) => packet.length - (packet[0] >> 4 === 4 ? 40 : 60)));
        const inTrains = sum(to.trains.map(({ train, headerBytes }) => train.length - headerBytes));
        expect(released + inTrains).toBe(sum(all.map(({ bytes }) => bytes)));
        const pushed = to.trains.filter(({ train, headerBytes }) => (train[headerBytes - 7] & PSH) !== 0).length;
        expect(pushed).toBe(all.filter(({ flags }) => (flags & PSH) !== 0).length);
        expect(to.path.counts).toMatchObject({ malformed: 0, incomplete: 0 });
        // No more segments come out than went in.
        const { sentPackets, sentBytes } = from.path.counts;
        expect(to.path.counts).toMatchObject({ receivedPackets: sentPackets, receivedBytes: sentBytes });
      }),
      { numRuns: 40 },
    );
  });

  test("fills every packet that a train leaves in, with the beginning of the next train too", () => {
    const from = end();
    for (let i = 0; i < 5; i++) from.sendTrain(tcpPacket(counting(9000), { sequence: 9000 * i }), 1300);
    const lengths: number[] = [];
    for (let data = from.carrier.take(1, 1400); data !== null; data = from.carrier.take(1, 1400))
      lengths.push(data.length);
    // Each train: beginning, six whole parts and the rest.
    expect(lengths.length).toBe(35);
    expect(lengths.filter((length) => length === 1400).length).toBe(30);
    // Too little room for what is worth it: it waits.
    from.sendTrain(tcpPacket(counting(9000)), 1300);
    expect(from.carrier.datagramFeed!.next(2, 100)).toBeGreaterThan(100);
  });

  test("takes no part of a train whose beginning it has not, nor one that makes it too long, and goes on with the next", async () => {
    const to = end();
    const sink = to.carrier.datagramSink!;
    const part = (kind: number, sequence: number, ...data: number[] | Uint8Array[]) =>
      sink(Uint8Array.from([0x40, 100, kind, 0, 7, 0, 0, sequence, ...(data as number[])]));
    part(4, 0, 1, 2, 3);
    part(5, 1, 0x03, 0xe8, ...tcpPacket(counting(10)));
    part(6, 2, ...new Uint8Array(65_500));
    part(6, 3, 1, 2, 3);
    // Segments too small, no TCP, no data.
    part(7, 4, 0x00, 0xff, ...tcpPacket(counting(10)));
    part(7, 5, 0x03, 0xe8, ...udpPacket(counting(10)));
    part(7, 6, 0x03, 0xe8, ...tcpPacket(counting(0)));
    part(7, 7, 0x03, 0xe8, ...tcpPacket(counting(20)));
    await turnEnds();
    expect(to.trains.map(({ train }) => train.length)).toEqual([50, 60]);
    expect(to.path.counts).toMatchObject({ incomplete: 3, malformed: 3 });
  });

  test("goes on with a train though a part of an earlier one comes late", async () => {
    const [from, to] = [end(), end()];
    const datagrams: Uint8Array[] = [];
    for (const sequence of [0, 3000]) from.sendTrain(tcpPacket(counting(3000, sequence), { sequence }), 1000);
    from.send(tcpPacket(counting(5, 6000), { sequence: 6000 }));
    for (let data = from.carrier.take(1); data !== null; data = from.carrier.take(1)) datagrams.push(data);
    // Two trains of three parts, and a packet.
    expect(datagrams.length).toBe(7);
    const take = (i: number) => to.carrier.datagramSink!(datagrams[i]);
    for (const i of [0, 2, 3]) take(i);
    to.path.resequencer.expire(Number.POSITIVE_INFINITY);
    // The second part of the first train, whose third was dropped for it, amid the second.
    for (const i of [1, 4, 5, 6]) take(i);
    await turnEnds();
    expect(to.path.counts).toMatchObject({ incomplete: 2, malformed: 0 });
    const bytes = to.trains.reduce((sum, { train, headerBytes }) => sum + train.length - headerBytes, 0);
    expect(bytes).toBe(datagrams[0].length - 50 + 3000);
    expect(to.released.length).toBe(1);
  });

  test("reads whatever comes, and never fails", async () => {
    const data = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      // What no packet holds together with what came before.
      fc.constantFrom(255, 400, 30_000, 65_000, 65_400, 65_490).map((length) => new Uint8Array(length)),
    );
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .tuple(fc.constantFrom(1, 4, 5, 6, 7), fc.nat(1), fc.nat(3), data, fc.boolean())
        .map(([kind, flow, sequence, data, isTcp]) => {
          const rest = isTcp ? [1, 0, ...tcpPacket(data)] : data;
          return Uint8Array.from([kind, 0, flow, 0, 0, sequence, ...rest]);
        }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { maxLength: 30 }), async (datagrams) => {
        const to = end();
        for (const data of datagrams) to.path.receive(data, 0);
        await turnEnds();
        to.path.resequencer.expire(Number.POSITIVE_INFINITY);
        await turnEnds();
        const ip = new IpPacket();
        for (const { train } of to.trains) expect(ip.parse(train) && ip.totalBytes === train.length).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("does not put more to the beginning of a segment that waits than a packet holds", async () => {
    const to = end();
    const part = (kind: number, sequence: number, ...data: number[]) => [kind, 0, 7, 0, 0, sequence, ...data];
    // 1999 of a segment's 2000 bytes, and then nearly all that a packet holds, in one turn.
    to.path.receive(Uint8Array.from(part(5, 0, 2000 >> 8, 2000 & 255, ...tcpPacket(counting(1999)))), 0);
    to.path.receive(Uint8Array.from(part(4, 1, ...new Uint8Array(65_490))), 0);
    await turnEnds();
    expect(to.path.counts).toMatchObject({ incomplete: 1, malformed: 0 });
  });

  test("leaves other streams' datagrams alone, counts what it cannot read, and takes nothing once it is closed", () => {
    const { carrier, path, released } = end();
    const sink = carrier.datagramSink!;
    expect(sink(Uint8Array.from([7, 0x45]))).toBe(false);
    expect(sink(new Uint8Array(0))).toBe(false);
    for (const bytes of [[], [0], [1], [1, 0, 0, 0, 0, 0], [2, 0, 0], [0xff, 1], [1, 4, 0, 0, 0, 0, 0x45]]) {
      expect(sink(Uint8Array.from([0x40, 100, ...bytes]))).toBe(true);
    }
    expect(path.counts.malformed).toBe(7);
    path.close();
    expect(carrier.datagramFeed).toBeNull();
    expect(sink(Uint8Array.from([0x40, 100, ...udpPacket(counting(3))]))).toBe(false);
    expect(released).toEqual([]);
  });
});
