/**
 * What an IP packet says of itself, for whoever has to route, segment or classify it: IPv4 (RFC 791) or IPv6 (RFC 8200) with
 * its extension headers, as far as the first transport header. Not a validator of what the transport says.
 */
/** Bytes of the longest packet that this project handles: what IPv4 can state (jumbograms of IPv6 are none). */
export const LARGEST_PACKET = 65_535;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const AUTHENTICATION = 51;
const DESTINATION_OPTIONS = 60;

/** Extension headers that are followed before a packet counts as malformed. */
const EXTENSION_LIMIT = 8;

/** A parsed packet: used again for the next, since one is made for no packet. */
export class IpPacket {
  version: 4 | 6 = 4;
  /** What the IP header states, and the buffer holds. */
  totalBytes = 0;
  /** Of the IPv4 header with options, or of the IPv6 header without extensions. */
  headerBytes = 0;
  /** Where the transport header begins; in a fragment other than the first, where the data do. */
  transportAt = 0;
  /** Of the transport: TCP, UDP, ... */
  protocol = 0;
  /** DSCP and ECN: the byte that IPv4 calls type of service and IPv6 traffic class. */
  trafficClass = 0;
  /** A part of a packet; only that with `fragmentOffset` 0 has a transport header. */
  fragment = false;
  fragmentOffset = 0;
  /** Whether routers may not fragment it: always so with IPv6. */
  dontFragment = false;
  hopLimit = 0;

  /**
   * Reads the packet from `start` to `end`; false if it is none: neither version, cut short, lengths that contradict each other.
   * Bytes beyond the length that it states are not part of it.
   */
  parse(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
    const available = end - start;
    if (available < 20) return false;
    const version = bytes[start] >>> 4;
    if (version === 4) return this.#parseIpv4(bytes, start, available);
    if (version === 6) return this.#parseIpv6(bytes, start, available);
    return false;
  }

  #parseIpv4(bytes: Uint8Array, start: number, available: number): boolean {
    const headerBytes = 4 * (bytes[start] & 15);
    const totalBytes = (bytes[start + 2] << 8) | bytes[start + 3];
    if (headerBytes < 20 || totalBytes < headerBytes || totalBytes > available) return false;
    const flags = (bytes[start + 6] << 8) | bytes[start + 7];
    this.version = 4;
    this.totalBytes = totalBytes;
    this.headerBytes = headerBytes;
    this.transportAt = start + headerBytes;
    this.protocol = bytes[start + 9];
    this.trafficClass = bytes[start + 1];
    this.fragmentOffset = 8 * (flags & 0x1fff);
    this.fragment = (flags & 0x3fff) !== 0;
    this.dontFragment = (flags & 0x4000) !== 0;
    this.hopLimit = bytes[start + 8];
    return true;
  }

  #parseIpv6(bytes: Uint8Array, start: number, available: number): boolean {
    if (available < 40) return false;
    const totalBytes = 40 + ((bytes[start + 4] << 8) | bytes[start + 5]);
    if (totalBytes > available) return false;
    this.version = 6;
    this.totalBytes = totalBytes;
    this.headerBytes = 40;
    this.trafficClass = ((bytes[start] & 15) << 4) | (bytes[start + 1] >>> 4);
    this.fragment = false;
    this.fragmentOffset = 0;
    this.dontFragment = true;
    this.hopLimit = bytes[start + 7];
    let protocol = bytes[start + 6];
    let at = start + 40;
    const end = start + totalBytes;
    for (let i = 0; i <= EXTENSION_LIMIT; i++) {
      let length: number;
      if (protocol === HOP_BY_HOP || protocol === ROUTING || protocol === DESTINATION_OPTIONS) {
        length = at + 2 <= end ? 8 * (bytes[at + 1] + 1) : Number.POSITIVE_INFINITY;
      } else if (protocol === AUTHENTICATION) {
        length = at + 2 <= end ? 4 * (bytes[at + 1] + 2) : Number.POSITIVE_INFINITY;
      } else if (protocol === FRAGMENT) {
        if (at + 8 > end) return false;
        length = 8;
        this.fragment = true;
        this.fragmentOffset = ((bytes[at + 2] << 8) | bytes[at + 3]) & 0xfff8;
      } else {
        this.protocol = protocol;
        this.transportAt = at;
        return true;
      }
      if (at + length > end) return false;
      protocol = bytes[at];
      at += length;
      if (this.fragmentOffset > 0) {
        this.protocol = protocol;
        this.transportAt = at;
        return true;
      }
    }
    return false;
  }
}
