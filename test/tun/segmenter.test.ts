import fc from "fast-check";
import { expect, test } from "vitest";
import { addBytes, fold } from "../../src/tun/checksum.ts";
import { Segmenter } from "../../src/tun/segmenter.ts";
import {
  ACK,
  CWR,
  counting,
  FIN,
  onesComplement,
  PSH,
  type TcpFields,
  tcpPacket,
  transportAt,
  udpPacket,
  withPartialChecksum,
  withVirtioHeader,
} from "./packets.ts";

function cut(whole: Uint8Array, offset = 0): Uint8Array[] | null {
  const memory = new Uint8Array(offset + whole.length);
  memory.set(whole, offset);
  const segmenter = new Segmenter(memory);
  if (!segmenter.begin(offset, memory.length)) return null;
  const packets: Uint8Array[] = [];
  while (segmenter.next()) packets.push(memory.slice(segmenter.start, segmenter.end));
  return packets;
}

/** The parts of a train, each made by itself. */
function parts(data: Uint8Array, size: number, fields: TcpFields, udp: boolean): Uint8Array[] {
  const count = Math.ceil(data.length / size);
  const flags = fields.flags ?? ACK;
  return Array.from({ length: count }, (_, i) => {
    const last = i === count - 1;
    const own: TcpFields = {
      ...fields,
      sequence: ((fields.sequence ?? 0) + i * size) >>> 0,
      identification: ((fields.identification ?? 0) + i) & 0xffff,
      flags: flags & (last ? 0xff : ~(FIN | PSH)) & (i === 0 ? 0xff : ~CWR),
    };
    const part = data.subarray(i * size, (i + 1) * size);
    return udp ? udpPacket(part, own) : tcpPacket(part, own);
  });
}

const trains = fc.record({
  data: fc.uint8Array({ minLength: 1, maxLength: 5000 }),
  size: fc.integer({ min: 100, max: 1460 }),
  offset: fc.integer({ min: 0, max: 7 }),
  udp: fc.boolean(),
  fields: fc.record({
    version: fc.constantFrom<4 | 6>(4, 6),
    sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
    acknowledgement: fc.integer({ min: 0, max: 0xffff_ffff }),
    identification: fc.integer({ min: 0, max: 0xffff }),
    window: fc.integer({ min: 0, max: 0xffff }),
    flags: fc.constantFrom(ACK, ACK | PSH, ACK | FIN | PSH, ACK | CWR),
    options: fc.constantFrom(new Uint8Array(0), counting(12), counting(40)),
  }),
});

test("a train is cut into the very packets that a sender without offload would have made", () => {
  fc.assert(
    fc.property(trains, ({ data, size, offset, udp, fields }) => {
      const whole = udp ? udpPacket(data, fields) : tcpPacket(data, fields);
      const checksumOffset = udp ? 6 : 16;
      const gsoType = (udp ? 5 : fields.version === 4 ? 1 : 4) | (!udp && (fields.flags & CWR) !== 0 ? 0x80 : 0);
      const partial = withPartialChecksum(whole, checksumOffset);
      const checksumStart = transportAt(whole);
      const train = withVirtioHeader(partial, { flags: 1, gsoType, gsoSize: size, checksumStart, checksumOffset });
      expect(cut(train, offset)).toEqual(parts(data, size, fields, udp));
    }),
  );
});

test("a packet without a train gets its checksum, or passes untouched when it has one", () => {
  for (const version of [4, 6] as const) {
    for (const [packet, checksumOffset] of [
      [tcpPacket(counting(777), { version }), 16],
      [udpPacket(counting(33), { version }), 6],
    ] as const) {
      const partial = withPartialChecksum(packet, checksumOffset);
      const checksumStart = transportAt(packet);
      expect(cut(withVirtioHeader(partial, { flags: 1, checksumStart, checksumOffset }))).toEqual([packet]);
      expect(cut(withVirtioHeader(packet))).toEqual([packet]);
    }
  }
});

test("headers that lie are refused or do harmless things, never reach beyond the packet", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 10 }), fc.uint8Array({ maxLength: 200 }), (header, rest) => {
      const whole = new Uint8Array(10 + rest.length);
      whole.set(header);
      whole.set(rest, 10);
      for (const packet of cut(whole) ?? []) expect(packet.length).toBeLessThanOrEqual(rest.length);
    }),
    { numRuns: 2000 },
  );
  const packet = tcpPacket(counting(100));
  const honest = { flags: 1, gsoType: 1, gsoSize: 50, checksumStart: 20, checksumOffset: 16 };
  expect(cut(withVirtioHeader(packet, honest))?.length).toBe(2);
  for (const lie of [{ gsoSize: 0 }, { checksumStart: 19 }, { checksumStart: 130 }, { gsoType: 4 }, { gsoType: 3 }]) {
    expect(cut(withVirtioHeader(packet, { ...honest, ...lie }))).toBeNull();
  }
  expect(cut(withVirtioHeader(packet, { flags: 1, checksumStart: 60_000 }))).toBeNull();
  expect(cut(withVirtioHeader(tcpPacket(new Uint8Array(0)), honest))).toBeNull();
});

test("sums are those of the definition, whatever the length and the start", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.nat(20), (bytes, from) => {
      const start = Math.min(from, bytes.length);
      const part = bytes.slice(start);
      const sum = fold(addBytes(0, new DataView(bytes.buffer, bytes.byteOffset), start, bytes.length));
      expect(sum % 0xffff).toBe(onesComplement(part) % 0xffff);
      expect(sum === 0).toBe(part.every((byte) => byte === 0));
    }),
  );
  const full = new Uint8Array(65_535).fill(0xff);
  expect(fold(addBytes(0, new DataView(full.buffer), 0, full.length))).toBe(0xff00);
});
