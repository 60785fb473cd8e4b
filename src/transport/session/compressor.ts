/** The contract of a compression algorithm. Implementations are outside the transport: `src/compression/`. */

/** Wire numbers of algorithms. */
export const COMPRESSION_DEFLATE_RAW = 1;

export interface Compressor {
  /** Its wire number, 1 to 255. */
  readonly algorithm: number;
  /** Returns `data` compressed, or null when that is not shorter. */
  compress(data: Uint8Array): Uint8Array | null;
  /** Returns the `plainLength` bytes that `data` stand for, or null when they are not exactly that; never makes more. */
  decompress(data: Uint8Array, plainLength: number): Uint8Array | null;
}

/** Data shorter than this are not tried. */
export const LEAST_COMPRESSED_BYTES = 64;

/** The algorithm of a session: the first of the client's that the server knows too; null when there is none. */
export function agreeOn(own: readonly Compressor[], peer: readonly number[], isClient: boolean): Compressor | null {
  if (isClient) return own.find(({ algorithm }) => peer.includes(algorithm)) ?? null;
  for (const wanted of peer) {
    const found = own.find(({ algorithm }) => algorithm === wanted);
    if (found !== undefined) return found;
  }
  return null;
}
