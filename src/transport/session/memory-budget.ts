/**
 * One limit for what the sessions of a process hold between them: symbols of batches that are not done, bytes that were received and
 * not read, bytes that wait to be sent. It is a limit that is acted upon, not a wall: whoever finds it reached grants no credit, takes no
 * new writes and drops new symbols, but always takes what its oldest incomplete batch needs, so that it gets done and memory is
 * given back. So a little more than the limit may be in use: a batch and a block for each session.
 */
import { checkRange } from "./session-error.ts";

export const DEFAULT_MEMORY_BYTES = 2 ** 30;

export class MemoryBudget {
  #limitBytes: number;
  #usedBytes = 0;

  constructor(limitBytes: number = DEFAULT_MEMORY_BYTES) {
    checkRange("limitBytes", limitBytes, 2 ** 20, Number.MAX_SAFE_INTEGER);
    this.#limitBytes = limitBytes;
  }

  get limitBytes(): number {
    return this.#limitBytes;
  }

  /** May be lowered below what is in use. */
  set limitBytes(bytes: number) {
    checkRange("limitBytes", bytes, 2 ** 20, Number.MAX_SAFE_INTEGER);
    this.#limitBytes = bytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** Whether the limit is reached. */
  get short(): boolean {
    return this.#usedBytes >= this.#limitBytes;
  }

  /** What an account holds changed by `bytes`. */
  change(bytes: number): void {
    this.#usedBytes += bytes;
  }
}

/** What all sessions of the process share that are given no other. */
export const sharedMemoryBudget: MemoryBudget = new MemoryBudget();
