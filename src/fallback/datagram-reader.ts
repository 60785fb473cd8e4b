/**
 * Datagrams in a stream of bytes: each behind its length, two bytes in network order, 1 to 65,535. Takes the stream in pieces of any size and
 * keeps at most one datagram.
 */
export const LENGTH_BYTES = 2;
const LARGEST_BYTES = 65_535;

export class DatagramReader {
  readonly #onDatagram: (bytes: Uint8Array) => void;
  #kept: Buffer | null = null;
  #keptBytes = 0;

  /** `onDatagram` may write to the bytes, and has them for the time of the call. */
  constructor(onDatagram: (bytes: Uint8Array) => void) {
    this.#onDatagram = onDatagram;
  }

  /** False: this is no stream of datagrams. */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#keptBytes === 0 && at + LENGTH_BYTES <= chunk.length) {
        const length = chunk.readUInt16BE(at);
        if (length === 0) return false;
        const end = at + LENGTH_BYTES + length;
        if (end <= chunk.length) {
          this.#onDatagram(chunk.subarray(at + LENGTH_BYTES, end));
          at = end;
          continue;
        }
      }
      const taken = this.#keep(chunk, at);
      if (taken < 0) return false;
      at += taken;
    }
    return true;
  }

  /** Adds what belongs to the datagram that is not whole yet; how much that was, or -1. */
  #keep(chunk: Buffer, at: number): number {
    this.#kept ??= Buffer.allocUnsafeSlow(LENGTH_BYTES + LARGEST_BYTES);
    const kept = this.#kept;
    const wanted = this.#keptBytes < LENGTH_BYTES ? LENGTH_BYTES : LENGTH_BYTES + kept.readUInt16BE(0);
    const taken = chunk.copy(kept, this.#keptBytes, at, at + wanted - this.#keptBytes);
    this.#keptBytes += taken;
    if (this.#keptBytes === LENGTH_BYTES && kept.readUInt16BE(0) === 0) return -1;
    if (this.#keptBytes > LENGTH_BYTES && this.#keptBytes === wanted) {
      this.#keptBytes = 0;
      this.#onDatagram(kept.subarray(LENGTH_BYTES, wanted));
    }
    return taken;
  }
}
