import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { COALESCER_BYTES, Coalescer } from "../../src/tun/coalescer.ts";
import { IpPacket } from "../../src/tun/index.ts";
import { Segmenter } from "../../src/tun/segmenter.ts";
import { segmentsOf, trainHeader } from "../../src/tun/tcp-train.ts";
import { TrainCutter } from "../../src/tun/train-cutter.ts";
import { ACK, CWR, counting, FIN, PSH, type TcpFields, tcpPacket, transportAt, udpPacket } from "./packets.ts";

const fields = fc.record({
  version: fc.constantFrom<4 | 6>(4, 6),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  identification: fc.integer({ min: 0, max: 0xffff }),
  flags: fc.constantFrom(ACK, ACK | PSH, ACK | FIN | PSH),
  options: fc.constantFrom(new Uint8Array(0), counting(12), counting(40)),
});
const trains = fc.record({
  data: fc.uint8Array({ minLength: 1, maxLength: 5000 }),
  size: fc.integer({ min: 256, max: 1460 }),
  fields,
});

/** What a sender without offload would have made. */
function parts(data: Uint8Array, size: number, of: TcpFields): Uint8Array[] {
  const count = segmentsOf(data.length, size);
  return Array.from({ length: count }, (_, i) =>
    tcpPacket(data.subarray(i * size, (i + 1) * size), {
      ...of,
      sequence: (of.sequence! + i * size) >>> 0,
      identification: (of.identification! + i) & 0xffff,
      flags: of.flags! & (i === count - 1 ? 0xff : ~(FIN | PSH)),
    }),
  );
}

function withoutChecksum(train: Uint8Array): Uint8Array {
  const bytes = train.slice();
  new DataView(bytes.buffer).setUint16(transportAt(bytes) + 16, 0xdead);
  return bytes;
}

describe("a train of TCP segments", () => {
  test("is cut into the packets that a sender without offload would have made, whatever its checksum", () => {
    const cutter = new TrainCutter();
    fc.assert(
      fc.property(trains, ({ data, size, fields }) => {
        const packets: Uint8Array[] = [];
        const follows: boolean[] = [];
        const train = withoutChecksum(tcpPacket(data, fields));
        const before = train.slice();
        const isCut = cutter.cut(train, size, (packet, isNext) => {
          packets.push(packet.slice());
          follows.push(isNext);
        });
        expect(isCut).toBe(true);
        expect(packets).toEqual(parts(data, size, fields));
        expect(follows).toEqual(packets.map((_, i) => i > 0));
        expect(train).toEqual(before);
      }),
    );
  });

  test("goes to the kernel whole, as what the kernel's side cuts into the same packets", () => {
    fc.assert(
      fc.property(trains, ({ data, size, fields }) => {
        const bytes = new Uint8Array(COALESCER_BYTES);
        const emitted: Uint8Array[] = [];
        const coalescer = new Coalescer(bytes, (start, end) => emitted.push(bytes.slice(start, end)));
        const train = withoutChecksum(tcpPacket(data, fields));
        expect(coalescer.addTrain(train, size)).toBe(train.length - data.length);
        expect(emitted.length).toBe(1);
        const segmenter = new Segmenter(emitted[0]);
        expect(segmenter.begin(0, emitted[0].length)).toBe(true);
        const packets: Uint8Array[] = [];
        while (segmenter.next()) packets.push(emitted[0].slice(segmenter.start, segmenter.end));
        expect(packets).toEqual(parts(data, size, fields));
      }),
    );
  });

  test("does not overtake what is being put together of its flow, and leaves the rest to that", () => {
    const bytes = new Uint8Array(COALESCER_BYTES);
    const emitted: Uint8Array[] = [];
    const coalescer = new Coalescer(bytes, (start, end) => emitted.push(bytes.slice(start + 10, end)));
    const [first, train] = [tcpPacket(counting(1000)), tcpPacket(counting(3000, 1000), { sequence: 1000 })];
    coalescer.add(tcpPacket(counting(77), { sourcePort: 9 }));
    coalescer.add(first);
    expect(emitted).toEqual([]);
    coalescer.addTrain(train, 1000);
    expect(emitted.map(({ length }) => length)).toEqual([1040, 3040]);
  });

  test("is none without data, with flags of one segment alone, with tiny segments, of another protocol, or cut short", () => {
    const ip = new IpPacket();
    const header = (packet: Uint8Array, size = 1000) => (ip.parse(packet) ? trainHeader(packet, ip, size) : -1);
    expect(header(tcpPacket(counting(1)))).toBe(40);
    expect(header(tcpPacket(counting(1), { version: 6, options: counting(12) }))).toBe(72);
    for (const flags of [0, ACK | CWR, ACK | 2, ACK | 4, ACK | 0x20]) {
      expect(header(tcpPacket(counting(10), { flags }))).toBe(0);
    }
    expect(header(tcpPacket(counting(0)))).toBe(0);
    expect(header(tcpPacket(counting(10)), 255)).toBe(0);
    expect(header(udpPacket(counting(3000)))).toBe(0);
    const fragment = tcpPacket(counting(100));
    fragment[6] = 0x20;
    expect(header(fragment)).toBe(0);
    const coalescer = new Coalescer(new Uint8Array(COALESCER_BYTES), () => expect.unreachable());
    const cutter = new TrainCutter();
    for (const bytes of [new Uint8Array(0), tcpPacket(counting(3000)).subarray(0, 2000), udpPacket(counting(3000))]) {
      expect(coalescer.addTrain(bytes, 1000)).toBe(0);
      expect(cutter.cut(bytes, 1000, () => expect.unreachable())).toBe(false);
    }
  });
});
