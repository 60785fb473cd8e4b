/**
 * What a datagram of a tunnel holds behind the number of its control stream: an IP packet as it is, or behind a header that says
 * where it stands in its flow. An IP packet's first four bits are its version, 4 or 6, so headers begin with another. Layout:
 * docs/wire-format-proxy.md.
 */
import { varintBytes, writeVarint } from "../transport/link/varint.ts";

/** Flow (2 bytes), sequence number (3 bytes): to be released in order. */
const FRAME_ORDERED = 0x01;
/** Number (2 bytes): comes twice, close together. */
const FRAME_TWICE = 0x02;
export const ORDERED_HEADER_BYTES = 6;
export const TWICE_HEADER_BYTES = 3;

export const SEQUENCE_BITS = 24;
export const SEQUENCE_MASK = 2 ** SEQUENCE_BITS - 1;

/** Bytes before a packet, at most, in the tunnel of a stream. */
export function mostOverheadBytes(stream: number): number {
  return varintBytes(stream) + ORDERED_HEADER_BYTES;
}

export function writeOrderedHeader(target: Uint8Array, at: number, flow: number, sequence: number): void {
  target[at] = FRAME_ORDERED;
  target[at + 1] = flow >>> 8;
  target[at + 2] = flow;
  target[at + 3] = sequence >>> 16;
  target[at + 4] = sequence >>> 8;
  target[at + 5] = sequence;
}

export function writeTwiceHeader(target: Uint8Array, at: number, number: number): void {
  target[at] = FRAME_TWICE;
  target[at + 1] = number >>> 8;
  target[at + 2] = number;
}

export function writeStream(target: Uint8Array, at: number, stream: number): number {
  return writeVarint(target, at, stream);
}

/** Reads a datagram's payload, as it stands behind the stream's number; used again for the next. */
export class TunnelFrame {
  kind: "plain" | "ordered" | "twice" = "plain";
  flow = 0;
  /** In its flow, or the number of what comes twice. */
  sequence = 0;
  /** Where the packet begins. */
  packetAt = 0;

  /** Reads what begins at `at`. False: it is none. Says nothing about the packet itself. */
  read(data: Uint8Array, at: number): boolean {
    const length = data.length - at;
    if (length <= 0) return false;
    const version = data[at] >>> 4;
    this.packetAt = at;
    if (version === 4 || version === 6) {
      this.kind = "plain";
      return true;
    }
    if (data[at] === FRAME_TWICE && length > TWICE_HEADER_BYTES) {
      this.kind = "twice";
      this.sequence = (data[at + 1] << 8) | data[at + 2];
      this.packetAt = at + TWICE_HEADER_BYTES;
      return true;
    }
    if (data[at] !== FRAME_ORDERED || length <= ORDERED_HEADER_BYTES) return false;
    this.kind = "ordered";
    this.flow = (data[at + 1] << 8) | data[at + 2];
    this.sequence = (data[at + 3] << 16) | (data[at + 4] << 8) | data[at + 5];
    this.packetAt = at + ORDERED_HEADER_BYTES;
    return true;
  }
}
