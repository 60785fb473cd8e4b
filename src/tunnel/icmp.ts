/**
 * Errors that a router tells the sender of a packet: ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443). None is made in answer to an error, to
 * a fragment other than the first, or to what came from, or went to, more than one host (RFC 1122, section 3.2.2; RFC 4443, section
 * 2.4).
 */
import { addBytes, fold, writeIpv4Checksum } from "../tun/checksum.ts";
import { type IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from "../tun/ip-packet.ts";

export type IcmpError =
  /** It may not be fragmented and is longer than `mtu`. */
  | "too-big"
  /** Nobody has the address. */
  | "no-route"
  /** It is not allowed. */
  | "prohibited"
  /** It has been forwarded too often. */
  | "time-exceeded";

const IPV4: Record<IcmpError, readonly [type: number, code: number]> = {
  "too-big": [3, 4],
  "no-route": [3, 1],
  prohibited: [3, 13],
  "time-exceeded": [11, 0],
};
const IPV6: Record<IcmpError, readonly [type: number, code: number]> = {
  "too-big": [2, 0],
  "no-route": [1, 0],
  prohibited: [1, 1],
  "time-exceeded": [3, 0],
};

/** Types of ICMP's errors; those of ICMPv6 are less than 128. */
const ERROR_TYPES_IPV4: readonly number[] = [3, 4, 5, 11, 12];

/** RFC 1812, section 4.3.2.3, and RFC 4443, section 2.4: no longer than these. */
const LONGEST_IPV4 = 576;
const LONGEST_IPV6 = 1280;
const HOP_LIMIT = 64;

/** Whether who sent `packet` may be told of the error. */
export function mayTell(error: IcmpError, packet: Uint8Array, ip: IpPacket): boolean {
  if (ip.fragmentOffset > 0 || isIcmpError(packet, ip)) return false;
  if (ip.version === 4) return isUnicast(packet, 12, 4) && isUnicast(packet, 16, 4);
  // Too big is told even to who sent to many (RFC 4443, section 2.4).
  return isUnicast(packet, 8, 16) && (error === "too-big" || isUnicast(packet, 24, 16));
}

/** Makes the error for `packet`, of which `mayTell`, from `source` (4 or 16 bytes). */
export function icmpError(
  error: IcmpError,
  packet: Uint8Array,
  ip: IpPacket,
  source: Uint8Array,
  mtu: number,
): Uint8Array {
  return ip.version === 4 ? errorIpv4(error, packet, ip, source, mtu) : errorIpv6(error, packet, ip, source, mtu);
}

/** Who tells this machine of an error: the kernel takes nothing that claims to come from the machine itself, so where the packet went to. */
export function destinationOf(packet: Uint8Array, ip: IpPacket): Uint8Array {
  return ip.version === 4 ? packet.subarray(16, 20) : packet.subarray(24, 40);
}

/** Whether an address of 4 or 16 bytes means one host: neither many, nor none, nor this link alone. */
export function isUnicast(bytes: Uint8Array, at: number, length: number): boolean {
  if (length === 4) {
    const first = bytes[at];
    return first !== 0 && first !== 127 && first < 224 && !(first === 169 && bytes[at + 1] === 254);
  }
  if (bytes[at] === 0xff || (bytes[at] === 0xfe && (bytes[at + 1] & 0xc0) === 0x80)) return false;
  for (let i = 0; i < 15; i++) if (bytes[at + i] !== 0) return true;
  // Unspecified, and loopback.
  return false;
}

function isIcmpError(packet: Uint8Array, ip: IpPacket): boolean {
  const type = ip.transportAt < ip.totalBytes ? packet[ip.transportAt] : 0;
  if (ip.version === 4) return ip.protocol === PROTOCOL_ICMP && ERROR_TYPES_IPV4.includes(type);
  return ip.protocol === PROTOCOL_ICMPV6 && (type < 128 || type === 137);
}

function errorIpv4(error: IcmpError, packet: Uint8Array, ip: IpPacket, source: Uint8Array, mtu: number): Uint8Array {
  const quoted = Math.min(ip.totalBytes, LONGEST_IPV4 - 28);
  const bytes = new Uint8Array(28 + quoted);
  const view = new DataView(bytes.buffer);
  bytes.set([0x45, 0xc0]);
  view.setUint16(2, bytes.length);
  bytes[8] = HOP_LIMIT;
  bytes[9] = PROTOCOL_ICMP;
  bytes.set(source, 12);
  bytes.set(packet.subarray(12, 16), 16);
  writeIpv4Checksum(view, 0, 20);
  bytes.set(IPV4[error], 20);
  if (error === "too-big") view.setUint16(26, mtu);
  bytes.set(packet.subarray(0, quoted), 28);
  view.setUint16(22, ~fold(addBytes(0, view, 20, bytes.length)) & 0xffff);
  return bytes;
}

function errorIpv6(error: IcmpError, packet: Uint8Array, ip: IpPacket, source: Uint8Array, mtu: number): Uint8Array {
  const quoted = Math.min(ip.totalBytes, LONGEST_IPV6 - 48);
  const bytes = new Uint8Array(48 + quoted);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x60;
  view.setUint16(4, 8 + quoted);
  bytes[6] = PROTOCOL_ICMPV6;
  bytes[7] = HOP_LIMIT;
  bytes.set(source, 8);
  bytes.set(packet.subarray(8, 24), 24);
  bytes.set(IPV6[error], 40);
  if (error === "too-big") view.setUint32(44, mtu);
  bytes.set(packet.subarray(0, quoted), 48);
  const sum = addBytes(PROTOCOL_ICMPV6 + 8 + quoted, view, 8, bytes.length);
  view.setUint16(42, ~fold(sum) & 0xffff);
  return bytes;
}
