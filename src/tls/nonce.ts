/** The nonce of a packet: its number as 96 bits, big-endian, XOR the IV (RFC 9001, section 5.3). */

const NONCE_BYTES = 12;

/** Writes it to `out[at .. at + 12)`. `packetNumber` is a safe integer. */
export function writeNonce(out: Uint8Array, at: number, iv: Uint8Array, packetNumber: number): void {
  for (let i = 0; i < NONCE_BYTES; i++) out[at + i] = iv[i];
  let rest = packetNumber;
  for (let i = NONCE_BYTES - 1; rest > 0; i--) {
    out[at + i] ^= rest % 256;
    rest = Math.floor(rest / 256);
  }
}
