/**
 * Variable-length integers, RFC 9000, section 16: the two high bits of the first byte say 1, 2, 4 or 8 bytes, big-endian. Here
 * a value is at most 2^53 - 1; a longer one that travels is malformed. Encoders write the shortest form, decoders take any.
 */

/** Bytes of the shortest form of `value`, a whole number from 0. */
export function varintBytes(value: number): number {
  return value < 0x40 ? 1 : value < 0x4000 ? 2 : value < 0x4000_0000 ? 4 : 8;
}

/** Writes the shortest form of `value` at `at` and returns the offset after it. */
export function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  if (value < 0x40) {
    bytes[at] = value;
    return at + 1;
  }
  if (value < 0x4000) {
    bytes[at] = 0x40 | (value >>> 8);
    bytes[at + 1] = value;
    return at + 2;
  }
  if (value < 0x4000_0000) {
    bytes[at] = 0x80 | (value >>> 24);
    bytes[at + 1] = value >>> 16;
    bytes[at + 2] = value >>> 8;
    bytes[at + 3] = value;
    return at + 4;
  }
  const high = Math.floor(value / 0x1_0000_0000);
  bytes[at] = 0xc0 | (high >>> 24);
  bytes[at + 1] = high >>> 16;
  bytes[at + 2] = high >>> 8;
  bytes[at + 3] = high;
  bytes[at + 4] = value >>> 24;
  bytes[at + 5] = value >>> 16;
  bytes[at + 6] = value >>> 8;
  bytes[at + 7] = value;
  return at + 8;
}

/** Bytes of the varint that starts at `at`, which must be inside `bytes`. */
export function varintLengthAt(bytes: Uint8Array, at: number): number {
  return 1 << (bytes[at] >>> 6);
}

/** Reads the varint at `at`; -1 when it reaches past `end` or is above 2^53 - 1. Its length is `varintLengthAt`. */
export function readVarint(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const first = bytes[at];
  switch (first >>> 6) {
    case 0:
      return first;
    case 1:
      return at + 2 <= end ? ((first & 0x3f) << 8) | bytes[at + 1] : -1;
    case 2:
      return at + 4 <= end ? ((first & 0x3f) << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3] : -1;
    default: {
      if (at + 8 > end) return -1;
      const high = ((first & 0x3f) << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3];
      const low = ((bytes[at + 4] << 24) | (bytes[at + 5] << 16) | (bytes[at + 6] << 8) | bytes[at + 7]) >>> 0;
      return high <= 0x1f_ffff ? high * 0x1_0000_0000 + low : -1;
    }
  }
}
