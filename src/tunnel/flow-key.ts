/** Which flow a packet belongs to, and whether it must be released in order there. */
import { type IpPacket, PROTOCOL_TCP, PROTOCOL_UDP } from "../tun/ip-packet.ts";
import { FIN, RST, SYN, TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES } from "../tun/tcp.ts";

/**
 * A hash of addresses, protocol and ports; of a fragment without ports, so that all of a packet's are in one flow. `seed` keeps
 * outsiders from aiming at a flow.
 */
export function hashFlow(packet: Uint8Array, ip: IpPacket, seed: number): number {
  let hash = Math.imul(seed ^ ip.protocol, 0x9e37_79b1);
  const end = ip.version === 4 ? 20 : 40;
  for (let at = ip.version === 4 ? 12 : 8; at < end; at += 4) hash = mix(hash, packet, at);
  const ports = ip.protocol === PROTOCOL_TCP || ip.protocol === PROTOCOL_UDP;
  if (ports && !ip.fragment && ip.transportAt + 4 <= ip.totalBytes) hash = mix(hash, packet, ip.transportAt);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** TCP's data, and what begins and ends a connection. Acknowledgements alone may overtake each other, and the last one says it all. */
export function isOrdered(packet: Uint8Array, ip: IpPacket): boolean {
  const tcp = ip.transportAt;
  if (ip.protocol !== PROTOCOL_TCP || ip.fragment || tcp + TCP_HEADER_BYTES > ip.totalBytes) return false;
  if ((packet[tcp + TCP_FLAGS] & (SYN | FIN | RST)) !== 0) return true;
  return tcp + 4 * (packet[tcp + TCP_DATA_OFFSET] >>> 4) < ip.totalBytes;
}

function mix(hash: number, packet: Uint8Array, at: number): number {
  const word = (packet[at] << 24) | (packet[at + 1] << 16) | (packet[at + 2] << 8) | packet[at + 3];
  hash = Math.imul(hash ^ word, 0xcc9e_2d51);
  return (hash << 15) | (hash >>> 17);
}
