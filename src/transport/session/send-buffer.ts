/**
 * Bytes that wait to be put into symbols, first in, first out: copied once when they come and once when they leave. Blocks that a
 * bulk sender fills come from a few that the process keeps; one who writes little has a small one.
 */
import { giveBlock, takeBlock } from "./block-pool.ts";

const SMALL_BLOCK_BYTES = 1 << 10;

export class SendBuffer {
  #length = 0;
  readonly #blocks: Uint8Array[] = [];
  /** Where the first block's bytes begin and the last one's end. */
  #head = 0;
  #tail = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends bytes `start` to `end` of `data`. */
  write(data: Uint8Array, start = 0, end = data.length): void {
    let from = start;
    while (from < end) {
      let block = this.#blocks.at(-1);
      if (block === undefined || this.#tail === block.length) {
        block = this.#newBlock(end - from);
        this.#blocks.push(block);
        this.#tail = 0;
      }
      const part = Math.min(end - from, block.length - this.#tail);
      block.set(part === data.length ? data : data.subarray(from, from + part), this.#tail);
      from += part;
      this.#tail += part;
    }
    this.#length += end - start;
  }

  /** Moves the first `length` bytes to `target` from `at` on. There must be as many. */
  take(length: number, target: Uint8Array, at: number): void {
    let to = at;
    let left = length;
    this.#length -= length;
    while (left > 0) {
      const block = this.#blocks[0];
      const end = this.#blocks.length === 1 ? this.#tail : block.length;
      const part = Math.min(left, end - this.#head);
      target.set(block.subarray(this.#head, this.#head + part), to);
      to += part;
      left -= part;
      this.#head += part;
      if (this.#head === end) this.#dropFirst(block);
    }
  }

  clear(): void {
    this.#length = 0;
    this.#head = 0;
    this.#tail = 0;
    for (const block of this.#blocks) giveBlock(block);
    this.#blocks.length = 0;
  }

  #newBlock(wanted: number): Uint8Array {
    if (this.#blocks.length === 0 && wanted <= SMALL_BLOCK_BYTES) return new Uint8Array(SMALL_BLOCK_BYTES);
    return takeBlock();
  }

  #dropFirst(block: Uint8Array): void {
    this.#head = 0;
    if (this.#blocks.length === 1) {
      this.#tail = 0;
      // A small one is filled again.
      if (block.length === SMALL_BLOCK_BYTES) return;
    }
    this.#blocks.shift();
    giveBlock(block);
  }
}
