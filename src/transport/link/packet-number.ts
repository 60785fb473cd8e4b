/**
 * Packet numbers: whole numbers from 0 to 2^53 - 1 that a sender never uses twice, of which a packet carries the low 1 to 4
 * bytes. Source: RFC 9000, section 17.1 and appendices A.2 and A.3.
 */

export const MAX_PACKET_NUMBER = Number.MAX_SAFE_INTEGER;
/** How many numbers 1 to 4 bytes tell apart. */
const WINDOWS = [0, 2 ** 8, 2 ** 16, 2 ** 24, 2 ** 32];

/**
 * How many bytes of `packetNumber` a receiver needs that may have got anything from `largestAcked` on (-1: nothing known):
 * more than twice as many values as there are in between.
 */
export function packetNumberBytes(packetNumber: number, largestAcked: number): number {
  const range = 2 * (packetNumber - largestAcked) + 1;
  return range <= 0x100 ? 1 : range <= 0x1_0000 ? 2 : range <= 0x100_0000 ? 3 : 4;
}

export function writePacketNumber(bytes: Uint8Array, at: number, packetNumber: number, length: number): number {
  let rest = packetNumber;
  for (let i = length - 1; i >= 0; i--) {
    bytes[at + i] = rest & 255;
    rest = Math.floor(rest / 256);
  }
  return at + length;
}

export function readPacketNumber(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = 0; i < length; i++) value = value * 256 + bytes[at + i];
  return value;
}

/** The packet number nearest to `largest` + 1 whose low `length` bytes are `truncated`. `largest` is -1 before any came. */
export function decodePacketNumber(largest: number, truncated: number, length: number): number {
  const window = WINDOWS[length];
  const expected = largest + 1;
  // Bit operations take a number modulo 2^32, which is exact for all numbers here and faster than a remainder.
  const low = length === 4 ? expected >>> 0 : expected & (window - 1);
  const candidate = expected - low + truncated;
  if (candidate <= expected - window / 2 && candidate <= MAX_PACKET_NUMBER - window) return candidate + window;
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window;
  return candidate;
}
