/**
 * What a compressed stream's bytes are: blocks of up to 64 KiB, each compressed by itself if that is shorter. A block: a varint of
 * twice the bytes that follow, plus 1 when they are compressed and the plain length comes next; then the bytes.
 */
import { readVarint, varintLengthAt, writeVarint } from "../link/varint.ts";
import { type Compressor, LEAST_COMPRESSED_BYTES } from "./compressor.ts";
import type { SendBuffer } from "./send-buffer.ts";

export const BLOCK_BYTES = 1 << 16;
/** The most bytes before a block's own. */
export const BLOCK_HEADER_BYTES = 8;

const header = new Uint8Array(16);

/** Writes `data`, at most 64 KiB, as one block. */
export function writeBlock(buffer: SendBuffer, data: Uint8Array, compressor: Compressor): void {
  const packed = data.length < LEAST_COMPRESSED_BYTES ? null : compressor.compress(data);
  const body = packed ?? data;
  let length = writeVarint(header, 0, 2 * body.length + (packed === null ? 0 : 1));
  if (packed !== null) length = writeVarint(header, length, data.length);
  buffer.write(header, 0, length);
  buffer.write(body);
}

export class BlockReader {
  /** What came is no block, or does not decompress to what it says. */
  malformed = false;
  readonly #compressor: Compressor;
  /** The piece being read, and how far. */
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;
  readonly #header = new Uint8Array(BLOCK_HEADER_BYTES);
  #headerLength = 0;
  /** The block's bytes as they come; null before its header is whole. */
  #body: Uint8Array | null = null;
  #bodyLength = 0;
  #filled = 0;
  /** 0: the block is not compressed. */
  #plainLength = 0;

  constructor(compressor: Compressor) {
    this.#compressor = compressor;
  }

  /** Whether all that came was handed out, and no block is open. */
  get atEnd(): boolean {
    return this.#at === this.#piece.length && this.#headerLength === 0;
  }

  /** The stream's next bytes; those before must be used up: `next` has said null. */
  feed(piece: Uint8Array): void {
    this.#piece = piece;
    this.#at = 0;
  }

  /** The next block's plain bytes, or null: it needs more of the stream. */
  next(): Uint8Array | null {
    while (!this.malformed && this.#at < this.#piece.length) {
      if (this.#bodyLength === 0) {
        this.#header[this.#headerLength++] = this.#piece[this.#at++];
        this.#parseHeader();
        continue;
      }
      const part = Math.min(this.#bodyLength - this.#filled, this.#piece.length - this.#at);
      const bytes = this.#piece.subarray(this.#at, this.#at + part);
      this.#at += part;
      if (part === this.#bodyLength) return this.#finish(bytes);
      this.#body ??= new Uint8Array(this.#bodyLength);
      this.#body.set(bytes, this.#filled);
      this.#filled += part;
      if (this.#filled === this.#bodyLength) return this.#finish(this.#body);
    }
    return null;
  }

  #parseHeader(): void {
    const first = readVarint(this.#header, 0, this.#headerLength);
    if (first < 0) {
      this.malformed = this.#headerLength > 4;
      return;
    }
    const length = Math.floor(first / 2);
    let plain = 0;
    if (first % 2 === 1) {
      plain = readVarint(this.#header, varintLengthAt(this.#header, 0), this.#headerLength);
      if (plain < 0) {
        this.malformed = this.#headerLength === BLOCK_HEADER_BYTES;
        return;
      }
    }
    this.malformed =
      length === 0 || length > BLOCK_BYTES || (first % 2 === 1 && (plain > BLOCK_BYTES || plain <= length));
    this.#bodyLength = length;
    this.#plainLength = plain;
  }

  #finish(bytes: Uint8Array): Uint8Array | null {
    const plainLength = this.#plainLength;
    this.#body = null;
    this.#bodyLength = 0;
    this.#filled = 0;
    this.#headerLength = 0;
    if (plainLength === 0) return bytes;
    const plain = this.#compressor.decompress(bytes, plainLength);
    this.malformed = plain === null;
    return plain;
  }
}
