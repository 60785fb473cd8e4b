/**
 * What a datagram of a tunnel holds behind the number of its control stream: an IP packet as it is, or behind a header that says
 * where it stands in its flow, or a part of a train (tun/tcp-train.ts). An IP packet's first four bits are its version, 4 or 6, so headers
 * begin with another. Layout: docs/wire-format-proxy.md.
 */
import { varintBytes, writeVarint } from "../transport/link/varint.ts";

/** Flow (2 bytes), sequence number (3 bytes): to be released in order. */
const FRAME_ORDERED = 0x01;
/** Number (2 bytes): comes twice, close together. */
const FRAME_TWICE = 0x02;
/** Flow, sequence number as above; with TRAIN_BEGINS, data of a segment (2 bytes). What follows are data of a train, at its beginning behind its headers. */
const FRAME_TRAIN = 0x04;
const TRAIN_BEGINS = 0x01;
const TRAIN_ENDS = 0x02;
export const ORDERED_HEADER_BYTES = 6;
export const TRAIN_HEADER_BYTES = 6;
export const TRAIN_BEGIN_BYTES = 8;
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

/** `segmentBytes`: of a train that begins here; 0: it goes on. */
export function writeTrainPart(
  target: Uint8Array,
  at: number,
  flow: number,
  sequence: number,
  segmentBytes: number,
  ends: boolean,
): void {
  writeOrderedHeader(target, at, flow, sequence);
  target[at] = FRAME_TRAIN | (segmentBytes > 0 ? TRAIN_BEGINS : 0) | (ends ? TRAIN_ENDS : 0);
  if (segmentBytes === 0) return;
  target[at + TRAIN_HEADER_BYTES] = segmentBytes >>> 8;
  target[at + TRAIN_HEADER_BYTES + 1] = segmentBytes;
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
  kind: "plain" | "ordered" | "twice" | "train" = "plain";
  flow = 0;
  /** In its flow, or the number of what comes twice. */
  sequence = 0;
  /** Of a train: whether this is its beginning, and its end. */
  begins = false;
  ends = false;
  /** Data of each segment of a train that begins. */
  segmentBytes = 0;
  /** Where the packet begins, or the data of a train that goes on. */
  packetAt = 0;

  /** Reads what begins at `at`. False: it is none. Says nothing about the packet itself. */
  read(data: Uint8Array, at: number): boolean {
    const length = data.length - at;
    if (length <= 0) return false;
    const first = data[at];
    const version = first >>> 4;
    this.packetAt = at;
    if (version === 4 || version === 6) {
      this.kind = "plain";
      return true;
    }
    if (first === FRAME_TWICE && length > TWICE_HEADER_BYTES) {
      this.kind = "twice";
      this.sequence = (data[at + 1] << 8) | data[at + 2];
      this.packetAt = at + TWICE_HEADER_BYTES;
      return true;
    }
    const isTrain = (first & ~(TRAIN_BEGINS | TRAIN_ENDS)) === FRAME_TRAIN;
    if ((first !== FRAME_ORDERED && !isTrain) || length <= ORDERED_HEADER_BYTES) return false;
    this.kind = isTrain ? "train" : "ordered";
    this.flow = (data[at + 1] << 8) | data[at + 2];
    this.sequence = (data[at + 3] << 16) | (data[at + 4] << 8) | data[at + 5];
    this.packetAt = at + ORDERED_HEADER_BYTES;
    if (!isTrain) return true;
    this.begins = (first & TRAIN_BEGINS) !== 0;
    this.ends = (first & TRAIN_ENDS) !== 0;
    if (!this.begins) return true;
    if (length <= TRAIN_BEGIN_BYTES) return false;
    this.segmentBytes = (data[at + TRAIN_HEADER_BYTES] << 8) | data[at + TRAIN_HEADER_BYTES + 1];
    this.packetAt = at + TRAIN_BEGIN_BYTES;
    return this.segmentBytes > 0;
  }
}
