/**
 * Trains: TCP segments of one connection that follow one another, in one piece. It has their headers once and up to 64 KiB of data; each segment
 * has `segmentBytes` of these, the last one what is left. What Linux calls a GSO packet, and makes and takes where it would be cut anyway.
 */
import { type IpPacket, PROTOCOL_TCP } from "./ip-packet.ts";
import { ACK, ECE, FIN, PSH, TCP_DATA_OFFSET, TCP_FLAGS, TCP_HEADER_BYTES } from "./tcp.ts";

/** The longest headers of a train: IPv4 with options, and TCP with options. */
export const MOST_TRAIN_HEADER = 60 + 60;

/** Shorter segments make no trains: nobody shall have others cut what is small into very many. */
const LEAST_SEGMENT = 256;

/**
 * Bytes of a packet's headers if it may be a train: TCP with data, no extension header, no flag that is true of one segment alone but those of
 * the end (FIN, PSH). Else 0. `ip` has parsed it.
 */
export function trainHeader(packet: Uint8Array, ip: IpPacket, segmentBytes: number): number {
  const tcp = ip.transportAt;
  if (segmentBytes < LEAST_SEGMENT) return 0;
  if (ip.protocol !== PROTOCOL_TCP || ip.fragment || tcp !== ip.headerBytes) return 0;
  if (tcp + TCP_HEADER_BYTES > ip.totalBytes) return 0;
  const tcpHeaderBytes = 4 * (packet[tcp + TCP_DATA_OFFSET] >>> 4);
  if (tcpHeaderBytes < TCP_HEADER_BYTES || tcp + tcpHeaderBytes >= ip.totalBytes) return 0;
  return (packet[tcp + TCP_FLAGS] & ~(PSH | FIN | ECE)) === ACK ? tcp + tcpHeaderBytes : 0;
}

/** How many segments `dataBytes` of a train make. */
export function segmentsOf(dataBytes: number, segmentBytes: number): number {
  return Math.ceil(dataBytes / segmentBytes);
}

/** How many packets a packet (`segmentBytes` 0) or train of `bytes` is, or makes. */
export function packetsOf(bytes: number, headerBytes: number, segmentBytes: number): number {
  return segmentBytes === 0 ? 1 : segmentsOf(bytes - headerBytes, segmentBytes);
}

/** And their bytes, with the headers of each. */
export function packetBytesOf(bytes: number, headerBytes: number, segmentBytes: number): number {
  return bytes + (packetsOf(bytes, headerBytes, segmentBytes) - 1) * headerBytes;
}

/** Bytes of the longest packet that a packet (`segmentBytes` 0) or train is, or makes. */
export function largestOf(ip: IpPacket, headerBytes: number, segmentBytes: number): number {
  return segmentBytes === 0 ? ip.totalBytes : Math.min(ip.totalBytes, headerBytes + segmentBytes);
}
