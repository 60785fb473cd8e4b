import fc from "fast-check";
import { expect, test } from "vitest";
import { FairQueue, FLOWS, PacketPool, QUEUE_BYTES } from "../../src/tunnel/fair-queue.ts";
import { tcpPacket } from "../tun/packets.ts";

function queue(): FairQueue {
  return new FairQueue(new PacketPool());
}

function drain(fair: FairQueue, nowMs: number, most = Number.POSITIVE_INFINITY): Uint8Array[] {
  const packets: Uint8Array[] = [];
  while (packets.length < most) {
    const packet = fair.peek(nowMs);
    if (packet === null) break;
    packets.push(packet.bytes.slice(0, packet.length));
    fair.shift();
  }
  return packets;
}

test("every packet comes out once, in the order of its flow, and memory is given back", () => {
  const packet = fc.record({ flow: fc.nat(5), length: fc.integer({ min: 2, max: 3000 }), take: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 200 }), (packets) => {
      const fair = queue();
      const out: Uint8Array[] = [];
      packets.forEach(({ flow, length, take }, i) => {
        const bytes = new Uint8Array(length);
        bytes.set([flow, i]);
        fair.push(bytes, flow + FLOWS * i, false, 0);
        out.push(...drain(fair, 1, take));
      });
      out.push(...drain(fair, 1));
      expect(out.length).toBe(packets.length);
      for (let flow = 0; flow <= 5; flow++) {
        const came = out.filter((bytes) => bytes[0] === flow).map((bytes) => [bytes[1], bytes.length]);
        const sent = packets.flatMap(({ flow: of, length }, i) => (of === flow ? [[i, length]] : []));
        expect(came).toEqual(sent);
      }
      expect(fair.bytes).toBe(0);
      expect(fair.packets).toBe(0);
    }),
  );
});

/** The next of a queue leaves, of a train `most` bytes; its flow and how much it was. */
function leave(fair: FairQueue, nowMs: number, most: number): { flow: number; bytes: number; begins: boolean } | null {
  const packet = fair.peek(nowMs);
  if (packet === null) return null;
  const { flow, segmentBytes, headerBytes, begun, left, length } = packet;
  if (segmentBytes === 0) {
    fair.shift();
    return { flow, bytes: length, begins: true };
  }
  const bytes = Math.min(most, left - headerBytes);
  fair.shiftPart(bytes);
  return { flow, bytes, begins: !begun };
}

test("trains leave in parts, a flow's in its order, and others take their turns between the parts", () => {
  const item = fc.record({ flow: fc.nat(3), length: fc.integer({ min: 53, max: 65_535 }), isTrain: fc.boolean() });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 40 }), fc.integer({ min: 1, max: 3000 }), (items, most) => {
      const fair = queue();
      const wanted: number[][] = [[], [], [], []];
      for (const { flow, length, isTrain } of items) {
        const bytes = new Uint8Array(isTrain ? length : Math.min(length, 1500));
        if (isTrain) fair.pushTrain(bytes, flow, 52, 1400, 0);
        else fair.push(bytes, flow, true, 0);
        wanted[flow].push(isTrain ? length - 52 : bytes.length);
      }
      const came: number[][] = [[], [], [], []];
      for (let part = leave(fair, 1, most); part !== null; part = leave(fair, 1, most)) {
        const of = came[part.flow];
        if (part.begins) of.push(part.bytes);
        else of[of.length - 1] += part.bytes;
      }
      expect(came).toEqual(wanted);
      expect(fair.bytes).toBe(0);
      expect(fair.packets).toBe(0);
    }),
  );
});

test("a train does not keep others waiting for more than a part or two, and flows of trains and of packets share alike", () => {
  const fair = queue();
  for (let i = 0; i < 20; i++) fair.pushTrain(new Uint8Array(65_000), 1, 52, 1400, 0);
  for (let i = 0; i < 900; i++) fair.push(new Uint8Array(1400), 2, true, 0);
  const bytes = [0, 0, 0, 0];
  for (let i = 0; i < 600; i++) {
    const { flow, bytes: some } = leave(fair, 1, 1390)!;
    bytes[flow] += some;
  }
  expect(bytes[1] / bytes[2]).toBeGreaterThan(0.95);
  expect(bytes[1] / bytes[2]).toBeLessThan(1.05);
  fair.push(new Uint8Array(84), 3, false, 1);
  expect([leave(fair, 1, 1390)!.flow, leave(fair, 1, 1390)!.flow, leave(fair, 1, 1390)!.flow]).toContain(3);
});

test("a train that is marked begins anew, for its headers are the mark", () => {
  const fair = queue();
  const marked = new Set<number>();
  for (let ms = 0; ms < 1000; ms += 5) {
    fair.pushTrain(tcpPacket(new Uint8Array(14_000), { trafficClass: 2 }), 1, 40, 1400, ms);
    for (let i = 0; i < 5; i++) {
      const { bytes, gone, begun } = fair.peek(ms)!;
      // What has a mark that the other end does not know of has headers.
      if (bytes[1] === 3 && !begun) marked.add(gone);
      leave(fair, ms, 1400);
    }
  }
  expect(fair.counts).toMatchObject({ early: 0, overflowed: 0, stale: 0 });
  expect(fair.counts.marked).toBeGreaterThan(3);
  // Amid trains, too.
  expect([...marked].some((gone) => gone > 0)).toBe(true);
});

test("who sends little goes before the rest of a train, at once", () => {
  // Once it is no new flow any more.
  for (let parts = 2; parts < 14; parts++) {
    const fair = queue();
    fair.pushTrain(new Uint8Array(40_000), 1, 52, 1400, 0);
    for (let i = 0; i < parts; i++) leave(fair, 1, 1390);
    fair.peek(1);
    fair.push(new Uint8Array(84), 3, false, 1);
    expect([leave(fair, 1, 1390)!.flow, leave(fair, 1, 1390)!.flow]).toEqual([1, 3]);
  }
});

test("of a train whose queue does not drain the first segment is dropped; what overflows or is too old counts as packets", () => {
  const fair = queue();
  let left = 0;
  for (let ms = 0; ms < 1000; ms += 5) {
    fair.pushTrain(tcpPacket(new Uint8Array(14_000)), 1, 40, 1400, ms);
    for (let i = 0; i < 5; i++) left += leave(fair, ms, 1400)!.bytes / 1400;
  }
  expect(fair.counts.early).toBeGreaterThan(3);
  expect(fair.counts).toMatchObject({ overflowed: 0, stale: 0, marked: 0 });
  expect(fair.peek(4000)).toBeNull();
  expect(left + fair.counts.early + fair.counts.stale).toBe(2000);
  expect(fair.counts.stale).toBeGreaterThan(500);
  for (let i = 0; i < 200; i++) fair.pushTrain(new Uint8Array(60_040), 2, 40, 1000, 4000);
  expect(fair.bytes).toBeLessThanOrEqual(QUEUE_BYTES);
  expect(fair.counts.overflowed % 60).toBe(0);
  expect(fair.counts.overflowed).toBeGreaterThan(60 * 50);
  // No more at a time than of packets: one connection would lose a whole window.
  const before = fair.counts.overflowed;
  while (fair.counts.overflowed === before) fair.pushTrain(new Uint8Array(60_040), 2, 40, 1000, 4000);
  expect(fair.counts.overflowed).toBeLessThanOrEqual(before + 120);
});

test("what is next is not handed out any more when it has become too old", () => {
  const fair = queue();
  fair.push(new Uint8Array(100), 1, false, 0);
  fair.push(new Uint8Array(200), 1, false, 1000);
  expect(fair.peek(0)!.length).toBe(100);
  expect(fair.peek(1600)!.length).toBe(200);
  expect(fair.counts.stale).toBe(1);
  expect(fair.peek(60_000)).toBeNull();
});

test("a drop takes no more than one segment, though a part of that has left", () => {
  const fair = queue();
  fair.pushTrain(tcpPacket(new Uint8Array(60_000)), 1, 40, 1000, 0);
  let gone = 0;
  for (let ms = 0; fair.counts.early === 0; ms += 10) {
    gone = fair.peek(ms)!.gone;
    if (fair.counts.early === 0) fair.shiftPart(1300);
  }
  // Before it a multiple of 1300.
  expect(gone % 1000).toBe(0);
  expect(gone % 1300).not.toBe(0);
  expect(fair.peek(0)!.packets).toBe(60 - gone / 1000);
});

test("flows share by bytes whatever the size of their packets, and one that sends little is served at once", () => {
  const fair = queue();
  for (let i = 0; i < 200; i++) fair.push(new Uint8Array(1400).fill(1), 1, false, 0);
  for (let i = 0; i < 800; i++) fair.push(new Uint8Array(350).fill(2), 2, false, 0);
  const bytes = [0, 0, 0];
  for (const packet of drain(fair, 1, 300)) bytes[packet[0]] += packet.length;
  expect(bytes[1] / bytes[2]).toBeGreaterThan(0.95);
  expect(bytes[1] / bytes[2]).toBeLessThan(1.05);
  fair.push(new Uint8Array(84).fill(3), 3, false, 1);
  // The one that was next already, then this.
  expect(drain(fair, 1, 2).some((packet) => packet[0] === 3)).toBe(true);
});

test("without room the longest flow loses, and the others nothing", () => {
  const fair = queue();
  for (let i = 0; i < 20; i++) fair.push(new Uint8Array(100).fill(2), 2, false, 0);
  for (let i = 0; i < 5000; i++) fair.push(new Uint8Array(1400).fill(1), 1, false, 0);
  expect(fair.bytes).toBeLessThanOrEqual(QUEUE_BYTES);
  expect(fair.counts.overflowed).toBeGreaterThan(1000);
  expect(drain(fair, 1).filter((packet) => packet[0] === 2).length).toBe(20);
});

test("without room a flow of tiny packets, which take as much memory as long ones, does not displace another", () => {
  const fair = queue();
  for (let i = 0; i < 150; i++) fair.push(new Uint8Array(1400).fill(1), 1, false, 0);
  for (let i = 0; i < 20_000; i++) fair.push(new Uint8Array(40).fill(2), 2, false, 0);
  expect(fair.bytes).toBeLessThanOrEqual(QUEUE_BYTES);
  expect(drain(fair, 1).filter((packet) => packet[0] === 1).length).toBe(150);
});

test("small packets count with the memory that they take", () => {
  const fair = queue();
  const buffers = new Set<ArrayBufferLike>();
  for (let i = 0; i < 20_000; i++) fair.push(new Uint8Array(40), i, false, 0);
  const { packets } = fair;
  for (let packet = fair.peek(1); packet !== null; packet = fair.peek(1)) {
    buffers.add(packet.bytes.buffer);
    fair.detach();
  }
  expect(buffers.size).toBe(packets);
  expect([...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(QUEUE_BYTES);
});

test("what waited too long makes room for what comes, though nothing leaves", () => {
  const fair = queue();
  for (let ms = 0; ms < 5000; ms += 10) fair.push(new Uint8Array(1400), 1, true, ms);
  expect(fair.packets).toBe(150);
  expect(fair.counts).toMatchObject({ stale: 350, overflowed: 0 });
});

test("a flow whose queue does not drain is marked, or loses, early; what waited for a path that was away is dropped", () => {
  for (const [trafficClass, kind] of [
    [0, "early"],
    [2, "marked"],
  ] as const) {
    const fair = queue();
    for (let ms = 0; ms < 1000; ms++) {
      // Two come while one leaves.
      for (let i = 0; i < 2; i++) fair.push(tcpPacket(new Uint8Array(1000), { trafficClass }), 1, true, ms);
      drain(fair, ms, 1);
    }
    expect(fair.counts[kind]).toBeGreaterThan(3);
    expect(fair.counts[kind]).toBeLessThan(200);
    expect(fair.counts).toMatchObject({ overflowed: 0, stale: 0 });
    drain(fair, 3000);
    expect(fair.counts.stale).toBeGreaterThan(500);
    expect(fair.packets).toBe(0);
  }
});
