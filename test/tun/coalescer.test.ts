import fc from "fast-check";
import { expect, test } from "vitest";
import { COALESCER_BYTES, Coalescer } from "../../src/tun/coalescer.ts";
import { Segmenter } from "../../src/tun/segmenter.ts";
import { ACK, counting, FIN, PSH, type TcpFields, tcpPacket, udpPacket } from "./packets.ts";

interface Written {
  readonly header: Uint8Array;
  readonly packet: Uint8Array;
}

function setUp(): { coalescer: Coalescer; written: Written[] } {
  const memory = new Uint8Array(COALESCER_BYTES);
  const written: Written[] = [];
  const coalescer = new Coalescer(memory, (start, end) => {
    written.push({ header: memory.slice(start, start + 10), packet: memory.slice(start + 10, end) });
  });
  return { coalescer, written };
}

/** The packets that a write stands for. */
function apart({ header, packet }: Written): Uint8Array[] {
  const memory = Uint8Array.from([...header, ...packet]);
  const segmenter = new Segmenter(memory);
  if (!segmenter.begin(0, memory.length)) throw new Error("not a packet with a virtio header");
  const packets: Uint8Array[] = [];
  while (segmenter.next()) packets.push(memory.slice(segmenter.start, segmenter.end));
  return packets;
}

function flow(count: number, bytes: number, fields: TcpFields = {}): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    tcpPacket(counting(bytes, i), {
      ...fields,
      sequence: ((fields.sequence ?? 0) + i * bytes) >>> 0,
      identification: i,
    }),
  );
}

test.each([4, 6] as const)("segments of a flow over IPv%i leave as one, which stands for just them", (version) => {
  const { coalescer, written } = setUp();
  const segments = flow(40, 1400, { version, sequence: 0xffff_f000, options: counting(12) });
  for (const segment of segments) expect(coalescer.add(segment)).toBe(true);
  expect(written.length).toBe(0);
  coalescer.flush();
  expect(written.length).toBe(1);
  expect(apart(written[0])).toEqual(segments);
  coalescer.flush();
  expect(written.length).toBe(1);
});

test("a packet grows to 64 KiB and no further", () => {
  const { coalescer, written } = setUp();
  const segments = flow(100, 1400);
  for (const segment of segments) coalescer.add(segment);
  coalescer.flush();
  expect(written.map(({ packet }) => packet.length)).toEqual([40 + 46 * 1400, 40 + 46 * 1400, 40 + 8 * 1400]);
  expect(written.flatMap(apart)).toEqual(segments);
});

test("a shorter or a pushed segment ends a packet and sends it at once", () => {
  const { coalescer, written } = setUp();
  for (const segment of flow(3, 1000)) coalescer.add(segment);
  coalescer.add(tcpPacket(counting(400), { sequence: 3000 }));
  expect(written.length).toBe(1);
  for (const segment of flow(2, 1000, { sequence: 3400 })) coalescer.add(segment);
  const pushed = tcpPacket(counting(1000), { sequence: 5400, flags: ACK | PSH, identification: 2 });
  coalescer.add(pushed);
  expect(written.length).toBe(2);
  expect(apart(written[1])[2]).toEqual(pushed);
});

test("eight flows are put together side by side, and a ninth does not wait", () => {
  const { coalescer, written } = setUp();
  const flows = Array.from({ length: 9 }, (_, i) => flow(5, 900, { sourcePort: 2000 + i, from: i }));
  for (let k = 0; k < 5; k++) for (const segments of flows.slice(0, 8)) coalescer.add(segments[k]);
  expect(written.length).toBe(0);
  for (const segment of flows[8]) coalescer.add(segment);
  expect(written.length).toBe(1);
  coalescer.flush();
  expect(written.length).toBe(9);
  expect(apart(written[0])).toEqual(flows[0]);
});

test.each<[string, TcpFields]>([
  ["an acknowledgement", { acknowledgement: 7 }],
  ["a window", { window: 501 }],
  ["a traffic class", { trafficClass: 3 }],
  ["a hop limit", { hopLimit: 63 }],
  ["an option", { options: counting(12, 1) }],
  ["the length of options", { options: counting(16) }],
  ["a gap", { sequence: 1001 }],
  ["a flag", { flags: ACK | FIN }],
  ["a fragment's permission", { dontFragment: false }],
  ["an identification out of turn, where it counts", { dontFragment: false, identification: 5 }],
])("%s of its own keeps a segment apart, and in order", (_what, fields) => {
  const { coalescer, written } = setUp();
  const dontFragment = !("identification" in fields);
  const first = tcpPacket(counting(1000), { options: counting(12), dontFragment });
  const second = tcpPacket(counting(1000), { options: counting(12), sequence: 1000, ...fields });
  coalescer.add(first);
  coalescer.add(second);
  coalescer.flush();
  expect(written.map(({ packet }) => packet)).toEqual([first, second]);
  expect(written.every(({ header }) => header.every((byte) => byte === 0))).toBe(true);
});

test("a segment with a wrong checksum stays as it is, so that the kernel finds out", () => {
  for (const wrong of [0, 1, 2]) {
    for (const at of [10, 36, 500]) {
      const { coalescer, written } = setUp();
      const segments = flow(3, 1000);
      segments[wrong][at] ^= 1;
      for (const segment of segments) coalescer.add(segment);
      coalescer.flush();
      expect(written.flatMap(({ header, packet }) => (header[1] === 0 ? [packet] : apart({ header, packet })))).toEqual(
        segments,
      );
      expect(
        written.find(({ packet }) => packet === segments[wrong] || packet[at] === segments[wrong][at]),
      ).toBeDefined();
    }
  }
});

test("what is no IP packet is refused", () => {
  const { coalescer, written } = setUp();
  const packet = tcpPacket(counting(100));
  for (const bad of [
    new Uint8Array(0),
    packet.subarray(0, 19),
    packet.subarray(0, 100),
    Uint8Array.from([...packet, 0]),
  ]) {
    expect(coalescer.add(bad)).toBe(false);
  }
  expect(written).toEqual([]);
});

test("whatever is added comes out once, unchanged, and each flow in its order", () => {
  const segment = fc.record({
    port: fc.integer({ min: 1, max: 10 }),
    bytes: fc.constantFrom(0, 10, 700, 700, 1400, 1400, 1400),
    udp: fc.boolean(),
    version: fc.constantFrom<4 | 6>(4, 6),
    flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | FIN),
    jump: fc.constantFrom(0, 0, 0, 0, 1),
    flush: fc.constantFrom(false, false, false, true),
  });
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 120 }), (segments) => {
      const { coalescer, written } = setUp();
      const sequences = new Map<number, number>();
      const flows = new Map<string, Uint8Array[]>();
      for (const { port, bytes, udp, version, flags, jump, flush } of segments) {
        const key = 10 * port + version;
        const sequence = (sequences.get(key) ?? 0) + jump;
        sequences.set(key, sequence + bytes);
        const fields = { version, sourcePort: port, sequence, flags };
        const packet = udp ? udpPacket(counting(bytes), fields) : tcpPacket(counting(bytes), fields);
        const name = `${udp} ${key}`;
        flows.set(name, [...(flows.get(name) ?? []), packet]);
        coalescer.add(packet);
        if (flush) coalescer.flush();
      }
      coalescer.flush();
      const out = new Map<string, Uint8Array[]>();
      for (const packet of written.flatMap(apart)) {
        const version = packet[0] >> 4;
        const at = version === 4 ? 20 : 40;
        const name = `${packet[version === 4 ? 9 : 6] === 17} ${10 * ((packet[at] << 8) | packet[at + 1]) + version}`;
        // Identifications of a train count up where the originals stayed zero; they mean nothing here.
        if (version === 4) {
          const view = new DataView(packet.buffer);
          const sum = view.getUint16(10) + view.getUint16(4);
          view.setUint16(10, sum > 0xffff ? sum - 0xffff : sum);
          view.setUint16(4, 0);
        }
        out.set(name, [...(out.get(name) ?? []), packet]);
      }
      expect(out).toEqual(flows);
    }),
    { numRuns: 60 },
  );
});
