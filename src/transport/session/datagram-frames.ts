/**
 * What source symbols of datagrams hold: whole datagrams, as many as fit, or a part of one. Layout: docs/wire-format-session.md.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../link/varint.ts";

/** Length, bytes. */
export const DATAGRAM = 0x30;
/** Number, offset, total, length, bytes. */
export const DATAGRAM_PART = 0x31;

/** The longest datagram, bytes: that of UDP over IPv4. */
export const MAX_DATAGRAM_BYTES = 65_507;

/** The most bytes before a datagram's data, and before those of a part. */
export const DATAGRAM_HEADER_MOST = 1 + 4;
export const PART_HEADER_MOST = 1 + 8 + 4 + 4 + 4;

/** Writes a datagram; returns the offset after it. */
export function writeDatagram(target: Uint8Array, at: number, data: Uint8Array): number {
  const next = writeDatagramHeader(target, at, data.length);
  target.set(data, next);
  return next + data.length;
}

/** Writes what stands before a datagram of `length` bytes; returns the offset after it. */
export function writeDatagramHeader(target: Uint8Array, at: number, length: number): number {
  target[at] = DATAGRAM;
  return writeVarint(target, at + 1, length);
}

export function datagramHeaderBytes(length: number): number {
  return 1 + varintBytes(length);
}

/** Writes `length` bytes of a datagram from `offset` on; returns the offset after them. */
export function writePart(
  target: Uint8Array,
  at: number,
  number: number,
  data: Uint8Array,
  offset: number,
  length: number,
): number {
  target[at] = DATAGRAM_PART;
  let next = writeVarint(target, at + 1, number);
  next = writeVarint(target, next, offset);
  next = writeVarint(target, next, data.length);
  next = writeVarint(target, next, length);
  target.set(data.subarray(offset, offset + length), next);
  return next + length;
}

/** What a frame says; reused from frame to frame. */
export class DatagramFrame {
  /** Of a whole datagram -1. */
  number = -1;
  offset = 0;
  total = 0;
  start = 0;
  end = 0;

  /** Reads the frame at `at`; returns the offset after it, or -1 when it is malformed. */
  read(symbol: Uint8Array, at: number): number {
    const { length } = symbol;
    const part = symbol[at] === DATAGRAM_PART;
    if (!part && symbol[at] !== DATAGRAM) return -1;
    let next = at + 1;
    this.number = -1;
    this.offset = 0;
    if (part) {
      this.number = readVarint(symbol, next, length);
      if (this.number < 0) return -1;
      next += varintLengthAt(symbol, next);
      this.offset = readVarint(symbol, next, length);
      if (this.offset < 0) return -1;
      next += varintLengthAt(symbol, next);
      this.total = readVarint(symbol, next, length);
      if (this.total < 0 || this.total > MAX_DATAGRAM_BYTES) return -1;
      next += varintLengthAt(symbol, next);
    }
    const bytes = readVarint(symbol, next, length);
    if (bytes < 0) return -1;
    next += varintLengthAt(symbol, next);
    if (!part) this.total = bytes;
    this.start = next;
    this.end = next + bytes;
    if (this.end > length || this.offset + bytes > this.total || (part && bytes === 0)) return -1;
    return this.end;
  }
}
