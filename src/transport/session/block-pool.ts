/**
 * Blocks of 64 KiB for a stream's bytes that wait at either end, used again: allocated anew for every 64 KiB of a fast stream, they make
 * V8 collect everything ten times a second. One pool serves all of a process, and keeps no more than a few. Not zeroed.
 */

export const BLOCK_BYTES = 1 << 16;
/** What is given back beyond is left to the garbage collector. */
const MOST_SPARE = 64;

const spare: Uint8Array[] = [];

export function takeBlock(): Uint8Array {
  return spare.pop() ?? new Uint8Array(Buffer.allocUnsafeSlow(BLOCK_BYTES).buffer);
}

/** Nobody may read or write it any more. One of another length is not kept. */
export function giveBlock(block: Uint8Array): void {
  if (block.length === BLOCK_BYTES && spare.length < MOST_SPARE) spare.push(block);
}
