import fc from "fast-check";
import { expect, test } from "vitest";
import { IpPacket, PROTOCOL_TCP, PROTOCOL_UDP } from "../../src/tun/index.ts";
import { counting, tcpPacket, udpPacket } from "./packets.ts";

const ip = new IpPacket();

/** An IPv6 packet with these extension headers before UDP. */
function extended(headers: readonly (readonly [type: number, bytes: number])[]): Uint8Array {
  const plain = udpPacket(counting(50), { version: 6 });
  const types = [...headers.map(([type]) => type), PROTOCOL_UDP];
  const parts = headers.map(([type, bytes], i) => {
    const header = new Uint8Array(bytes);
    header[0] = types[i + 1];
    header[1] = type === 51 ? bytes / 4 - 2 : type === 44 ? 0 : bytes / 8 - 1;
    return [...header];
  });
  const packet = Uint8Array.from([...plain.subarray(0, 40), ...parts.flat(), ...plain.subarray(40)]);
  packet[6] = types[0];
  new DataView(packet.buffer).setUint16(4, packet.length - 40);
  return packet;
}

test("an IPv4 packet's fields are read, wherever it lies", () => {
  const packet = tcpPacket(counting(100), { trafficClass: 0xb9, hopLimit: 7 });
  const memory = new Uint8Array(1000);
  memory.set(packet, 123);
  expect(ip.parse(memory, 123, 123 + packet.length)).toBe(true);
  expect(ip).toMatchObject({
    version: 4,
    totalBytes: 140,
    headerBytes: 20,
    transportAt: 143,
    protocol: PROTOCOL_TCP,
    trafficClass: 0xb9,
    hopLimit: 7,
    fragment: false,
    dontFragment: true,
  });
});

test("fragments are known, the first of them and the others", () => {
  const packet = udpPacket(counting(100), { dontFragment: false });
  packet.set([0x20, 0], 6);
  expect(ip.parse(packet)).toBe(true);
  expect(ip).toMatchObject({ fragment: true, fragmentOffset: 0, dontFragment: false });
  packet.set([0x00, 0x03], 6);
  ip.parse(packet);
  expect(ip).toMatchObject({ fragment: true, fragmentOffset: 24 });
});

test("extension headers of IPv6 are followed to the transport", () => {
  const packet = extended([
    [0, 8],
    [60, 24],
    [43, 16],
    [51, 24],
  ]);
  expect(ip.parse(packet)).toBe(true);
  expect(ip).toMatchObject({ version: 6, protocol: PROTOCOL_UDP, transportAt: 40 + 72, fragment: false });
  expect(ip.parse(extended([[44, 8]]))).toBe(true);
  expect(ip).toMatchObject({ protocol: PROTOCOL_UDP, transportAt: 48, fragment: true, fragmentOffset: 0 });
  const later = extended([[44, 8]]);
  later[42] = 1;
  expect(ip.parse(later)).toBe(true);
  expect(ip).toMatchObject({ fragment: true, fragmentOffset: 256 });
  expect(ip.parse(extended(Array(9).fill([60, 8])))).toBe(false);
});

test("what is cut short or contradicts itself is no packet", () => {
  for (const version of [4, 6] as const) {
    const packet = udpPacket(counting(30), { version });
    for (let length = 0; length < packet.length; length++) expect(ip.parse(packet.subarray(0, length))).toBe(false);
  }
  const packet = udpPacket(counting(30));
  for (const [at, value] of [
    [0, 0x44],
    [0, 0x55],
    [0, 0x4f],
    [2, 0xff],
    [3, 19],
  ]) {
    const bad = packet.slice();
    bad[at] = value;
    if (at === 3) bad[2] = 0;
    expect(ip.parse(bad) && at !== 0).toBe(false);
  }
});

test("no bytes make it read beyond the end", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x45, 0x4f, 0x60, 0x6f), (bytes, first) => {
      if (bytes.length > 0) bytes[0] = first;
      if (!ip.parse(bytes)) return;
      expect(ip.totalBytes).toBeLessThanOrEqual(bytes.length);
      expect(ip.transportAt).toBeLessThanOrEqual(ip.totalBytes);
    }),
    { numRuns: 3000 },
  );
});
