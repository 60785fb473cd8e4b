/**
 * The Internet checksum (RFC 1071) of IPv4 headers, TCP and UDP. Sums are plain numbers: 32-bit words added up without folding
 * stay exact for far more than a packet.
 */

/** Adds the bytes from `start` to `end` to a sum; an odd last byte counts as if a zero followed. */
export function addBytes(sum: number, view: DataView, start: number, end: number): number {
  let at = start;
  // Four words a turn into two sums: a hot loop, once over every byte that crosses the device.
  let other = 0;
  for (; at + 16 <= end; at += 16) {
    sum += view.getUint32(at) + view.getUint32(at + 4);
    other += view.getUint32(at + 8) + view.getUint32(at + 12);
  }
  sum += other;
  for (; at + 4 <= end; at += 4) sum += view.getUint32(at);
  if (at + 2 <= end) {
    sum += view.getUint16(at);
    at += 2;
  }
  if (at < end) sum += view.getUint8(at) << 8;
  return sum;
}

/** The 16 bits of a sum, not complemented: 0xffff for one's complement zero, 0 only if all was zero. */
export function fold(sum: number): number {
  const high = Math.floor(sum / 0x1_0000_0000);
  const low = sum >>> 0;
  let folded = (low >>> 16) + (low & 0xffff) + (high >>> 16) + (high & 0xffff);
  folded = (folded >>> 16) + (folded & 0xffff);
  return (folded >>> 16) + (folded & 0xffff);
}

/**
 * The sum of the pseudo-header of TCP and UDP, over IPv4 (RFC 9293, section 3.1) or IPv6 (RFC 8200, section 8.1), without the
 * length, which callers add: `ipStart` is where the IP header begins.
 */
export function addPseudoHeader(view: DataView, ipStart: number, protocol: number): number {
  const ipv4 = view.getUint8(ipStart) >>> 4 === 4;
  return ipv4
    ? addBytes(protocol, view, ipStart + 12, ipStart + 20)
    : addBytes(protocol, view, ipStart + 8, ipStart + 40);
}

/** Writes the checksum of the IPv4 header of `headerBytes` at `start`. */
export function writeIpv4Checksum(view: DataView, start: number, headerBytes: number): void {
  view.setUint16(start + 10, 0);
  view.setUint16(start + 10, ~fold(addBytes(0, view, start, start + headerBytes)) & 0xffff);
}
