import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { IpPacket } from "../../src/tun/index.ts";
import { icmpError, isUnicast, mayTell } from "../../src/tunnel/icmp.ts";
import { clampMss, decrementHopLimit, markCongestion } from "../../src/tunnel/packet-edits.ts";
import { counting, onesComplement, tcpPacket, transportAt, udpPacket } from "../tun/packets.ts";

const SYN = 0x02;
const source4 = Uint8Array.from([10, 0, 0, 99]);
const source6 = Uint8Array.from([0xfd, ...new Array(14).fill(0), 99]);

function parsed(packet: Uint8Array): IpPacket {
  const ip = new IpPacket();
  expect(ip.parse(packet)).toBe(true);
  return ip;
}

/** Whether the header of IPv4, and TCP's checksum, are right. */
function intact(packet: Uint8Array): boolean {
  const at = transportAt(packet);
  const ipv4 = at === 20;
  const length = packet.length - at;
  const addresses = ipv4 ? packet.subarray(12, 20) : packet.subarray(8, 40);
  const pseudo = [...addresses, 0, 0, length >> 8, length & 0xff, 0, 6];
  const transport = onesComplement(Uint8Array.from([...pseudo, ...packet.subarray(at)])) === 0xffff;
  return transport && (!ipv4 || onesComplement(packet.subarray(0, 20)) === 0xffff);
}

describe("the segment size of a SYN", () => {
  test.each([4, 6] as const)(
    "is lowered to what the path carries, at any place among the options, in IPv%i",
    (version) => {
      fc.assert(
        fc.property(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 500, max: 9000 }), (nops, mss) => {
          const options = Uint8Array.from([
            ...new Array(nops).fill(1),
            ...[2, 4, mss >> 8, mss & 0xff],
            ...[3, 3, 7],
            ...new Array((12 - ((nops + 7) % 4)) % 4).fill(0),
          ]);
          const packet = tcpPacket(new Uint8Array(0), { version, flags: SYN, options });
          const most = 1400 - (version === 4 ? 40 : 60);
          expect(clampMss(packet, parsed(packet), 1400)).toBe(mss > most);
          const at = transportAt(packet) + 20 + nops + 2;
          expect((packet[at] << 8) | packet[at + 1]).toBe(Math.min(mss, most));
          expect(intact(packet)).toBe(true);
        }),
      );
    },
  );

  test("is left alone in other segments, and where options are malformed", () => {
    const options = Uint8Array.from([2, 4, 0x23, 0x28]);
    const data = tcpPacket(new Uint8Array(10), { options });
    expect(clampMss(data, parsed(data), 1400)).toBe(false);
    for (const bad of [
      [2, 0, 0, 0],
      [2, 40, 0, 0],
      [1, 1, 1, 2],
      [5, 1, 2, 4],
      [0, 2, 4, 9],
    ]) {
      const padded = Uint8Array.from([...bad, ...new Array((8 - bad.length) % 4).fill(0)]);
      const packet = tcpPacket(new Uint8Array(0), { flags: SYN, options: padded });
      const before = packet.slice();
      expect(clampMss(packet, parsed(packet), 1400)).toBe(false);
      expect(packet).toEqual(before);
    }
  });
});

test.each([4, 6] as const)(
  "marks and hop limits of IPv%i are changed with the checksum, and only where they may be",
  (version) => {
    for (const [trafficClass, marked] of [
      [0xb8, 0xb8],
      [0xb9, 0xbb],
      [0x02, 0x03],
      [0x03, 0x03],
    ]) {
      const packet = tcpPacket(counting(9), { version, trafficClass });
      expect(markCongestion(packet)).toBe((trafficClass & 3) !== 0);
      expect(parsed(packet).trafficClass).toBe(marked);
      expect(intact(packet)).toBe(true);
    }
    const packet = tcpPacket(counting(9), { version, hopLimit: 2 });
    expect(decrementHopLimit(packet, parsed(packet))).toBe(true);
    expect(parsed(packet).hopLimit).toBe(1);
    expect(intact(packet)).toBe(true);
    expect(decrementHopLimit(packet, parsed(packet))).toBe(false);
  },
);

describe("an ICMP error", () => {
  test("says what was too long, and for whom", () => {
    const packet = tcpPacket(counting(1400), { from: 5, to: 7 });
    const error = icmpError("too-big", packet, parsed(packet), source4, 1380);
    expect([...error.subarray(0, 28)]).toEqual([
      ...[0x45, 0xc0, 0x02, 0x40, 0, 0, 0, 0, 64, 1, error[10], error[11], 10, 0, 0, 99, 10, 0, 0, 5],
      ...[3, 4, error[22], error[23], 0, 0, 1380 >> 8, 1380 & 0xff],
    ]);
    expect(error.subarray(28)).toEqual(packet.subarray(0, 548));
    expect(onesComplement(error.subarray(0, 20))).toBe(0xffff);
    expect(onesComplement(error.subarray(20))).toBe(0xffff);
  });

  test("of IPv6 has the checksum of its pseudo-header, and no more than 1280 bytes", () => {
    const packet = udpPacket(counting(3000), { version: 6, from: 5, to: 7 });
    const error = icmpError("too-big", packet, parsed(packet), source6, 1390);
    expect(error.length).toBe(1280);
    expect(new DataView(error.buffer).getUint32(44)).toBe(1390);
    const length = error.length - 40;
    const pseudo = [...error.subarray(8, 40), 0, 0, length >> 8, length & 0xff, 0, 0, 0, 58];
    expect(onesComplement(Uint8Array.from([...pseudo, ...error.subarray(40)]))).toBe(0xffff);
  });

  test("is made for no error, no later fragment, and not for what is not one host's", () => {
    const packet = udpPacket(counting(100));
    expect(mayTell("no-route", packet, parsed(packet))).toBe(true);
    const error = icmpError("no-route", packet, parsed(packet), source4, 0);
    expect(mayTell("no-route", error, parsed(error))).toBe(false);
    const fragment = packet.slice();
    fragment[7] = 10;
    expect(mayTell("no-route", fragment, parsed(fragment))).toBe(false);
    for (const address of [
      [224, 0, 0, 1],
      [0, 0, 0, 0],
      [255, 255, 255, 255],
      [127, 0, 0, 1],
    ]) {
      const odd = packet.slice();
      odd.set(address, 12);
      expect(mayTell("no-route", odd, parsed(odd))).toBe(false);
      expect(isUnicast(odd, 12, 4)).toBe(false);
    }
  });

  test("and every edit take any bytes that parse as a packet", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 200 }), fc.boolean(), (bytes, ipv4) => {
        bytes[0] = ipv4 ? 0x45 : 0x60;
        const view = new DataView(bytes.buffer);
        if (ipv4) view.setUint16(2, bytes.length);
        else if (bytes.length >= 40) view.setUint16(4, bytes.length - 40);
        const ip = new IpPacket();
        if (!ip.parse(bytes)) return;
        clampMss(bytes, ip, 1280);
        markCongestion(bytes);
        decrementHopLimit(bytes, ip);
        if (mayTell("prohibited", bytes, ip)) icmpError("prohibited", bytes, ip, ipv4 ? source4 : source6, 0);
      }),
    );
  });
});
