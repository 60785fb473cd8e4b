/**
 * The header that the kernel puts before each packet of a TUN device with IFF_VNET_HDR: `struct virtio_net_hdr` (VIRTIO 1.2,
 * section 5.1.6), in the processor's byte order, which is little-endian wherever this runs. It says what was left undone, by the kernel or by
 * us, because the other can do it cheaper: the checksum, and cutting a packet of up to 64 KiB into segments.
 */
import { TCP_CHECKSUM } from "./tcp.ts";

export const VIRTIO_HEADER_BYTES = 10;

export const NEEDS_CHECKSUM = 1;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_TCPV6 = 4;
export const GSO_UDP = 5;
/** Set in the type when the first segment bears CWR (RFC 3168). */
export const GSO_ECN = 0x80;

/** Offsets. */
export const FLAGS = 0;
export const GSO_TYPE = 1;
export const HEADER_LENGTH = 2;
export const GSO_SIZE = 4;
/** Where the bytes that the checksum covers begin, from the packet's first. */
export const CHECKSUM_START = 6;
/** Where the checksum goes, from there. */
export const CHECKSUM_OFFSET = 8;

/** The header of a packet that is complete. */
export function writePlainHeader(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + VIRTIO_HEADER_BYTES);
}

/** The header of a train of TCP segments, whose headers have `ipHeaderBytes` and, with TCP's, `headerBytes`. */
export function writeTrainHeader(
  view: DataView,
  at: number,
  version: 4 | 6,
  ipHeaderBytes: number,
  headerBytes: number,
  segmentBytes: number,
): void {
  view.setUint8(at + FLAGS, NEEDS_CHECKSUM);
  view.setUint8(at + GSO_TYPE, version === 4 ? GSO_TCPV4 : GSO_TCPV6);
  view.setUint16(at + HEADER_LENGTH, headerBytes, true);
  view.setUint16(at + GSO_SIZE, segmentBytes, true);
  view.setUint16(at + CHECKSUM_START, ipHeaderBytes, true);
  view.setUint16(at + CHECKSUM_OFFSET, TCP_CHECKSUM, true);
}
