/**
 * What a tunnel changes in packets that pass: the segment size of TCP's SYN (RFC 9293, section 3.7.1) so that segments fit, congestion
 * marks (RFC 3168), and the hop limit. Checksums follow by the difference (RFC 1624), but for what it changes in the headers of a part of
 * a train: there they mean nothing.
 */
import { type IpPacket, PROTOCOL_TCP } from "../tun/ip-packet.ts";
import { SYN, TCP_CHECKSUM, TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES, TCP_SEQUENCE } from "../tun/tcp.ts";
import { segmentsOf } from "../tun/tcp-train.ts";

const OPTION_END = 0;
const OPTION_NOP = 1;
const OPTION_MSS = 2;

const IPV6_HEADER_BYTES = 40;

const ECN_MASK = 0b11;
const ECN_CE = 0b11;

/** Whether `clampMss` may change a packet. */
export function isSyn(packet: Uint8Array, ip: IpPacket): boolean {
  const tcp = ip.transportAt;
  if (ip.protocol !== PROTOCOL_TCP || ip.fragmentOffset > 0 || tcp + TCP_HEADER_BYTES > ip.totalBytes) return false;
  return (packet[tcp + TCP_FLAGS] & SYN) !== 0;
}

/** Lowers the segment size that a SYN states to what `mtu` carries; whether it was changed. */
export function clampMss(packet: Uint8Array, ip: IpPacket, mtu: number): boolean {
  if (!isSyn(packet, ip)) return false;
  const tcp = ip.transportAt;
  const most = mtu - ip.headerBytes - TCP_HEADER_BYTES;
  const end = Math.min(tcp + 4 * (packet[tcp + TCP_DATA_OFFSET] >>> 4), ip.totalBytes);
  for (let at = tcp + TCP_HEADER_BYTES; at < end && packet[at] !== OPTION_END; ) {
    if (packet[at] === OPTION_NOP) {
      at++;
      continue;
    }
    const length = at + 1 < end ? packet[at + 1] : 0;
    if (length < 2 || at + length > end) return false;
    if (packet[at] === OPTION_MSS && length === 4) {
      const mss = (packet[at + 2] << 8) | packet[at + 3];
      if (mss <= most) return false;
      replaceBytes(packet, tcp, at + 2, most, tcp + TCP_CHECKSUM);
      return true;
    }
    at += length;
  }
  return false;
}

/** Says "congestion experienced" in a packet whose ends understand it; false where they do not. */
export function markCongestion(packet: Uint8Array): boolean {
  if (packet[0] >>> 4 === 4) {
    if ((packet[1] & ECN_MASK) === 0) return false;
    const word = (packet[0] << 8) | packet[1] | ECN_CE;
    replaceWord(packet, 0, word, 10);
    return true;
  }
  if (((packet[1] >>> 4) & ECN_MASK) === 0) return false;
  packet[1] |= ECN_CE << 4;
  return true;
}

/** One hop less; false when it has none left, and nothing was changed. */
export function decrementHopLimit(packet: Uint8Array, ip: IpPacket): boolean {
  if (ip.hopLimit <= 1) return false;
  if (ip.version === 6) packet[7]--;
  else replaceWord(packet, 8, ((packet[8] - 1) << 8) | packet[9], 10);
  return true;
}

/** Has the headers at `at` say that `dataBytes` and the segments that they made are not there. */
export function skipSegments(bytes: Uint8Array, at: number, dataBytes: number, segmentBytes: number): void {
  const ipv4 = bytes[at] >>> 4 === 4;
  if (ipv4) addTo(bytes, at + 4, 2, segmentsOf(dataBytes, segmentBytes));
  addTo(bytes, at + (ipv4 ? 4 * (bytes[at] & 15) : IPV6_HEADER_BYTES) + TCP_SEQUENCE, 4, dataBytes);
}

/** Adds to a number of some bytes, which wraps. */
function addTo(bytes: Uint8Array, at: number, length: number, more: number): void {
  let carry = more;
  for (let i = at + length - 1; i >= at; i--) {
    carry += bytes[i];
    bytes[i] = carry;
    carry = Math.floor(carry / 256);
  }
}

/** Writes the length of the IP packet from `at` to `end`. */
export function writeLength(bytes: Uint8Array, at: number, end: number): void {
  const ipv4 = bytes[at] >>> 4 === 4;
  const length = ipv4 ? end - at : end - at - IPV6_HEADER_BYTES;
  const field = ipv4 ? at + 2 : at + 4;
  bytes[field] = length >>> 8;
  bytes[field + 1] = length;
}

/** Puts 16 bits at `at`, aligned to the checksum's words from its start on, and mends the checksum at `checksumAt`. */
function replaceWord(packet: Uint8Array, at: number, value: number, checksumAt: number): void {
  const old = (packet[at] << 8) | packet[at + 1];
  packet[at] = value >>> 8;
  packet[at + 1] = value;
  mendChecksum(packet, old, value, checksumAt);
}

/** The same for 16 bits that may lie across two words: what is summed up lies from `base` on. */
function replaceBytes(packet: Uint8Array, base: number, at: number, value: number, checksumAt: number): void {
  if ((at - base) % 2 === 0) {
    replaceWord(packet, at, value, checksumAt);
    return;
  }
  replaceWord(packet, at - 1, (packet[at - 1] << 8) | (value >>> 8), checksumAt);
  replaceWord(packet, at + 1, ((value & 0xff) << 8) | packet[at + 2], checksumAt);
}

/** RFC 1624, equation 3. */
function mendChecksum(packet: Uint8Array, old: number, value: number, at: number): void {
  let sum = (~((packet[at] << 8) | packet[at + 1]) & 0xffff) + (~old & 0xffff) + value;
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  packet[at] = (~sum & 0xffff) >>> 8;
  packet[at + 1] = ~sum;
}
