/**
 * Compression by raw DEFLATE (RFC 1951) of Node's zlib, one piece at a time, for the session's `Compressor`: no dictionary is kept from
 * one to the next, so that pieces may come in any order and nothing leaks between them. Do not compress together what an
 * attacker chooses and what is secret.
 */
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { COMPRESSION_DEFLATE_RAW, type Compressor } from "../transport/session/compressor.ts";

/** Fast, for what is sent at line rate. */
const LEVEL = 1;

export const deflateRaw: Compressor = {
  algorithm: COMPRESSION_DEFLATE_RAW,

  compress(data: Uint8Array): Uint8Array | null {
    const packed = deflateRawSync(data, { level: LEVEL, finishFlush: constants.Z_FINISH });
    return packed.length < data.length ? asBytes(packed) : null;
  },

  decompress(data: Uint8Array, plainLength: number): Uint8Array | null {
    try {
      const plain = inflateRawSync(data, { maxOutputLength: Math.max(1, plainLength) });
      return plain.length === plainLength ? asBytes(plain) : null;
    } catch {
      return null;
    }
  },
};

/** A plain view: a Buffer's `slice` means something else. */
function asBytes({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}
