/**
 * Bytes of a stream that came, at their place, until they are read: one copy from the symbol, none to the application, which gets
 * views. Blocks of 2 KiB that grow to 64 KiB, so that a short stream is small and a peer that leaves gaps makes no more memory
 * used than its credit says, but for a block. Which bytes came is the stream's affair.
 */

const FIRST_BLOCK_BITS = 11;
const LAST_BLOCK_BITS = 16;
const LAST_BLOCK_BYTES = 1 << LAST_BLOCK_BITS;
/** Blocks below the first of the last size: [0, 2 KiB), then each to the next power of two. */
const GROWING_BLOCKS = LAST_BLOCK_BITS - FIRST_BLOCK_BITS;

function blockOf(offset: number): number {
  if (offset >= LAST_BLOCK_BYTES) return GROWING_BLOCKS + Math.floor(offset / LAST_BLOCK_BYTES);
  return Math.max(0, 32 - FIRST_BLOCK_BITS - Math.clz32(offset));
}

function blockStart(block: number): number {
  if (block > GROWING_BLOCKS) return (block - GROWING_BLOCKS) * LAST_BLOCK_BYTES;
  return block === 0 ? 0 : 1 << (FIRST_BLOCK_BITS - 1 + block);
}

export class ReceiveBuffer {
  /** From block #first on; null where nothing came yet. */
  readonly #blocks: (Uint8Array | null)[] = [];
  #first = 0;
  #read = 0;

  /** Where reading goes on. */
  get readOffset(): number {
    return this.#read;
  }

  /** Puts `data` at `offset`, which must not be below what was read. */
  write(offset: number, data: Uint8Array): void {
    let from = 0;
    while (from < data.length) {
      const block = blockOf(offset + from);
      const start = blockStart(block);
      const room = blockStart(block + 1) - offset - from;
      const bytes = this.#block(block, start);
      if (from === 0 && data.length <= room) {
        bytes.set(data, offset - start);
        return;
      }
      const part = Math.min(room, data.length - from);
      bytes.set(data.subarray(from, from + part), offset + from - start);
      from += part;
    }
  }

  /** The next bytes below `end`, up to the end of their block, all of which must have come; null when there are none. */
  read(end: number): Uint8Array | null {
    const at = this.#read;
    if (at >= end) return null;
    const start = blockStart(this.#first);
    const blockEnd = blockStart(this.#first + 1);
    const to = Math.min(end, blockEnd);
    const data = this.#blocks[0]!.subarray(at - start, to - start);
    this.#read = to;
    if (to === blockEnd) {
      this.#blocks.shift();
      this.#first++;
    }
    return data;
  }

  #block(block: number, start: number): Uint8Array {
    const index = block - this.#first;
    while (this.#blocks.length <= index) this.#blocks.push(null);
    let bytes = this.#blocks[index];
    if (bytes === null) {
      bytes = newBlock(blockStart(block + 1) - start);
      this.#blocks[index] = bytes;
    }
    return bytes;
  }
}

/** Not zeroed: nothing is read but what came. */
function newBlock(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
