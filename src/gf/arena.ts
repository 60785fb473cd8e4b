/**
 * A memory arena: linear memory in which symbols live from the socket to the application, with the kernel that works on
 * it. The allocator is a first-fit list of free ranges that coalesce; it is meant for buffers that live long. Symbols
 * that come and go by the thousand belong in a `SymbolPool` (`bats-transport/codec`) on top.
 *
 * The rule for views: a pointer stays valid until it is freed. A `Uint8Array` over the memory (`bytes`, `words`, what
 * `view` returns) stays valid until the next allocation, in this arena, by anyone: growth replaces the buffer, and an
 * old view then has length 0. So keep pointers, fetch views where they are used.
 */
import { createKernel, type Kernel, type KernelChoice, type LinearMemory, type Pointer } from "./kernel.ts";

const PAGE = 65536;
/** WebAssembly's limit with 32-bit pointers, less one page so that no end pointer overflows. */
const MAXIMUM_PAGES = 65535;
/** Allocations are multiples of this and aligned to it: one cache line. */
const GRAIN = 64;

export interface ArenaOptions {
  /** Who carries out the arithmetic. Default "auto". */
  kernel?: KernelChoice;
  /** Size at the start, in bytes; it grows by itself. Default 1 MiB, or `maximumBytes` where that is less. */
  initialBytes?: number;
  /** Size that it may not grow beyond, in bytes, at most 4 GiB - 64 KiB, which is the default. */
  maximumBytes?: number;
}

/** Thrown when an arena cannot give the memory asked for; it is as before, and more may be had when some is freed. */
export class ArenaFullError extends RangeError {
  override readonly name = "ArenaFullError";
}

/** Memory for a runtime without WebAssembly. */
class HeapMemory implements LinearMemory {
  buffer: ArrayBuffer;

  constructor(pages: number) {
    this.buffer = new ArrayBuffer(pages * PAGE);
  }

  grow(pages: number): number {
    const before = this.buffer.byteLength;
    const grown = new Uint8Array(before + pages * PAGE);
    grown.set(new Uint8Array(this.buffer));
    this.buffer = grown.buffer;
    return before / PAGE;
  }
}

export class Arena {
  readonly kernel: Kernel;
  readonly #memory: LinearMemory;
  readonly #maximumPages: number;
  #bytes: Uint8Array;
  #words: Uint32Array;
  #allocated = 0;
  // Free ranges in ascending order, never adjacent: #freeStarts[i] up to, not including, #freeEnds[i].
  readonly #freeStarts: number[] = [];
  readonly #freeEnds: number[] = [];

  /** Throws a RangeError for sizes out of range and an Error when "simd" is asked for and missing. */
  constructor(options: ArenaOptions = {}) {
    const { kernel = "auto", maximumBytes = MAXIMUM_PAGES * PAGE } = options;
    const { initialBytes = Math.min(1 << 20, maximumBytes) } = options;
    this.#maximumPages = Math.floor(maximumBytes / PAGE);
    const pages = Math.min(Math.ceil(initialBytes / PAGE), this.#maximumPages);
    if (!(pages >= 1 && initialBytes <= maximumBytes && this.#maximumPages <= MAXIMUM_PAGES)) {
      throw new RangeError(
        `initialBytes is ${initialBytes} and maximumBytes ${maximumBytes}, ` +
          `wanted 1 <= initialBytes <= maximumBytes, which is ${PAGE} to ${MAXIMUM_PAGES * PAGE}`,
      );
    }
    this.#memory =
      typeof WebAssembly === "object"
        ? new WebAssembly.Memory({ initial: pages, maximum: this.#maximumPages })
        : new HeapMemory(pages);
    this.kernel = createKernel(kernel, this.#memory);
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#release(roundUp(this.kernel.scratchEnd), this.#bytes.length);
  }

  /** The whole memory as bytes. Valid until the next allocation. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** The whole memory as 32-bit words, for lists of pointers: the word of pointer p is at p / 4. Valid like `bytes`. */
  get words(): Uint32Array {
    return this.#words;
  }

  /** Bytes handed out and not freed, rounded up as allocated. */
  get allocatedBytes(): number {
    return this.#allocated;
  }

  /** Bytes of memory taken from the system; never shrinks. */
  get reservedBytes(): number {
    return this.#bytes.length;
  }

  /** A view of `length` bytes at `pointer`. Valid until the next allocation. */
  view(pointer: Pointer, length: number): Uint8Array {
    return this.#bytes.subarray(pointer, pointer + length);
  }

  /**
   * Allocates `size` bytes, aligned to 64, with whatever content they had. Throws an ArenaFullError when the arena may not
   * grow that far.
   */
  allocate(size: number): Pointer {
    if (!(Number.isInteger(size) && size >= 0)) {
      throw new RangeError(`size is ${size}, wanted a whole number of bytes from 0`);
    }
    const wanted = roundUp(Math.max(size, 1));
    let range = this.#firstFit(wanted);
    if (range < 0) {
      this.#grow(wanted);
      range = this.#firstFit(wanted);
    }
    const pointer = this.#freeStarts[range];
    this.#freeStarts[range] += wanted;
    if (this.#freeStarts[range] === this.#freeEnds[range]) {
      this.#freeStarts.splice(range, 1);
      this.#freeEnds.splice(range, 1);
    }
    this.#allocated += wanted;
    return pointer;
  }

  /** Like `allocate`, filled with zeros. */
  allocateZeroed(size: number): Pointer {
    const pointer = this.allocate(size);
    this.#bytes.fill(0, pointer, pointer + roundUp(Math.max(size, 1)));
    return pointer;
  }

  /** Gives back what `allocate(size)` returned. Throws a RangeError when (part of) it is free already. */
  free(pointer: Pointer, size: number): void {
    const length = roundUp(Math.max(size, 1));
    this.#release(pointer, pointer + length);
    this.#allocated -= length;
  }

  #firstFit(wanted: number): number {
    for (let i = 0; i < this.#freeStarts.length; i++) {
      if (this.#freeEnds[i] - this.#freeStarts[i] >= wanted) return i;
    }
    return -1;
  }

  #grow(wanted: number): void {
    const pages = this.#bytes.length / PAGE;
    const last = this.#freeEnds.length - 1;
    const tail =
      last >= 0 && this.#freeEnds[last] === this.#bytes.length ? this.#freeEnds[last] - this.#freeStarts[last] : 0;
    const needed = Math.ceil((wanted - tail) / PAGE);
    if (pages + needed > this.#maximumPages) {
      throw new ArenaFullError(
        `the arena holds ${this.#allocated} bytes and cannot give ${wanted} more: ` +
          `its maximum is ${this.#maximumPages * PAGE}`,
      );
    }
    // Doubling keeps the number of growths small; each makes every view stale.
    if (!this.#growBy(Math.min(Math.max(needed, pages), this.#maximumPages - pages)) && !this.#growBy(needed)) {
      throw new ArenaFullError(`the system has no memory for ${wanted} bytes more in the arena`);
    }
    this.#bytes = new Uint8Array(this.#memory.buffer);
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#release(pages * PAGE, this.#bytes.length);
  }

  #growBy(pages: number): boolean {
    try {
      this.#memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }

  #release(start: number, end: number): void {
    // Binary search for the first free range that starts after `start`.
    let low = 0;
    let high = this.#freeStarts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#freeStarts[middle] > start) high = middle;
      else low = middle + 1;
    }
    const overlapsBefore = low > 0 && this.#freeEnds[low - 1] > start;
    const overlapsAfter = low < this.#freeStarts.length && this.#freeStarts[low] < end;
    if (overlapsBefore || overlapsAfter || start % GRAIN !== 0 || end > this.#bytes.length || start === 0) {
      throw new RangeError(`bytes ${start} to ${end} of the arena are not allocated`);
    }
    const joinsBefore = low > 0 && this.#freeEnds[low - 1] === start;
    const joinsAfter = low < this.#freeStarts.length && this.#freeStarts[low] === end;
    if (joinsBefore && joinsAfter) {
      this.#freeEnds[low - 1] = this.#freeEnds[low];
      this.#freeStarts.splice(low, 1);
      this.#freeEnds.splice(low, 1);
    } else if (joinsBefore) {
      this.#freeEnds[low - 1] = end;
    } else if (joinsAfter) {
      this.#freeStarts[low] = start;
    } else {
      this.#freeStarts.splice(low, 0, start);
      this.#freeEnds.splice(low, 0, end);
    }
  }
}

function roundUp(size: number): number {
  return Math.ceil(size / GRAIN) * GRAIN;
}

let shared: Arena | undefined;

/** The arena that everything of a process shares unless told otherwise; made on first use. */
export function sharedArena(): Arena {
  shared ??= new Arena();
  return shared;
}
