/**
 * Bytes of a stream that came, at their place, until they are read: one copy from the symbol, none to the application, which gets
 * views. Blocks of 2 KiB that grow to 64 KiB, so that a short stream is small and a peer that leaves gaps makes no more memory
 * used than its credit says, but for a block. Which bytes came is the stream's affair.
 *
 * The blocks of a reader that says when it is done with what it read are used again; others go to the garbage collector.
 */
import { BLOCK_BYTES, giveBlock, takeBlock } from "./block-pool.ts";

const FIRST_BLOCK_BITS = 11;
/** A reader that keeps more than that has the oldest left to the garbage collector, as one that does not release them all. */
const MOST_LENT = 32;
/** Blocks below the first of the last size: [0, 2 KiB), then each to the next power of two. */
const GROWING_BLOCKS = Math.log2(BLOCK_BYTES) - FIRST_BLOCK_BITS;

function blockOf(offset: number): number {
  if (offset >= BLOCK_BYTES) return GROWING_BLOCKS + Math.floor(offset / BLOCK_BYTES);
  return Math.max(0, 32 - FIRST_BLOCK_BITS - Math.clz32(offset));
}

function blockStart(block: number): number {
  if (block > GROWING_BLOCKS) return (block - GROWING_BLOCKS) * BLOCK_BYTES;
  return block === 0 ? 0 : 1 << (FIRST_BLOCK_BITS - 1 + block);
}

export class ReceiveBuffer {
  /** From block #first on; null where nothing came yet. */
  readonly #blocks: (Uint8Array | null)[] = [];
  #first = 0;
  #read = 0;
  #releasing = false;
  /** Blocks that reading has begun, oldest first, until all of their bytes are released. */
  readonly #lent: { block: Uint8Array; left: number }[] = [];

  /** Whether the reader releases what it reads from now on. When it stops, what it has not released is left to the garbage collector. */
  set releasing(on: boolean) {
    this.#releasing = on;
    if (!on) this.#lent.length = 0;
  }

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
    const block = this.#blocks[0]!;
    this.#read = to;
    if (this.#releasing && at === start && block.length === BLOCK_BYTES) this.#lend(block);
    if (to === blockEnd) {
      this.#blocks.shift();
      this.#first++;
    }
    return block.subarray(at - start, to - start);
  }

  /** A view that was read, or a part of it, is not looked at any more. In the order in which they were read; others are let pass. */
  release(view: Uint8Array): void {
    for (let i = 0; i < this.#lent.length; i++) {
      const lent = this.#lent[i];
      if (lent.block.buffer !== view.buffer) continue;
      lent.left -= view.length;
      if (lent.left > 0) return;
      this.#lent.splice(0, i + 1);
      giveBlock(lent.block);
      return;
    }
  }

  #lend(block: Uint8Array): void {
    this.#lent.push({ block, left: block.length });
    if (this.#lent.length > MOST_LENT) this.#lent.shift();
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
  if (length === BLOCK_BYTES) return takeBlock();
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
