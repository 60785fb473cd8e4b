/**
 * What a datagram of a tunnel holds behind the number of its control stream: an IP packet as it is, or behind a header that says
 * where it stands in its flow. An IP packet's first four bits are its version, 4 or 6, so headers begin with another. Layout:
 * docs/wire-format-proxy.md.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../transport/link/varint.ts";

/** Flow (2 bytes), sequence number (3 bytes): to be released in order. */
export const FRAME_ORDERED = 0x01;
/** Number (2 bytes): may come more than once. */
export const FRAME_COPY = 0x02;
export const ORDERED_HEADER_BYTES = 6;
export const COPY_HEADER_BYTES = 3;

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

export function writeCopyHeader(target: Uint8Array, at: number, number: number): void {
  target[at] = FRAME_COPY;
  target[at + 1] = number >>> 8;
  target[at + 2] = number;
}

export function writeStream(target: Uint8Array, at: number, stream: number): number {
  return writeVarint(target, at, stream);
}

/** Reads a datagram's payload, as it stands behind the stream's number; used again for the next. */
export class TunnelFrame {
  kind: "plain" | "ordered" | "copy" = "plain";
  flow = 0;
  /** Of its flow, or of a copy. */
  sequence = 0;
  /** Where the packet begins. */
  packetAt = 0;

  /** False: it is none. Says nothing about the packet itself. */
  read(payload: Uint8Array): boolean {
    const { length } = payload;
    if (length === 0) return false;
    const version = payload[0] >>> 4;
    this.packetAt = 0;
    if (version === 4 || version === 6) {
      this.kind = "plain";
      return true;
    }
    if (payload[0] === FRAME_ORDERED && length > ORDERED_HEADER_BYTES) {
      this.kind = "ordered";
      this.flow = (payload[1] << 8) | payload[2];
      this.sequence = (payload[3] << 16) | (payload[4] << 8) | payload[5];
      this.packetAt = ORDERED_HEADER_BYTES;
      return true;
    }
    if (payload[0] === FRAME_COPY && length > COPY_HEADER_BYTES) {
      this.kind = "copy";
      this.sequence = (payload[1] << 8) | payload[2];
      this.packetAt = COPY_HEADER_BYTES;
      return true;
    }
    return false;
  }
}

/** The number of the stream that a datagram belongs to, and where what it says begins; -1 when it has none. */
export function readStream(data: Uint8Array): { stream: number; at: number } {
  const stream = readVarint(data, 0, data.length);
  return { stream, at: stream < 0 ? 0 : varintLengthAt(data, 0) };
}
