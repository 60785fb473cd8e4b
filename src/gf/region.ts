/** Allocations of an arena that are given back together: when a part of the work is done, or when it failed half-way. */
import type { Arena } from "./arena.ts";
import type { Pointer } from "./kernel.ts";

export class Region {
  readonly arena: Arena;
  readonly #pointers: Pointer[] = [];
  readonly #sizes: number[] = [];

  constructor(arena: Arena) {
    this.arena = arena;
  }

  /** Calls `use` with a region and releases that, whether `use` returns or throws. */
  static use<T>(arena: Arena, use: (region: Region) => T): T {
    const region = new Region(arena);
    try {
      return use(region);
    } finally {
      region.release();
    }
  }

  /** As `Arena.allocate`; but when that throws, the region has given back all it had. */
  allocate(size: number): Pointer {
    let pointer: Pointer;
    try {
      pointer = this.arena.allocate(size);
    } catch (error) {
      this.release();
      throw error;
    }
    this.#pointers.push(pointer);
    this.#sizes.push(size);
    return pointer;
  }

  /** As `allocate`, filled with zeros. */
  allocateZeroed(size: number): Pointer {
    const pointer = this.allocate(size);
    this.arena.bytes.fill(0, pointer, pointer + size);
    return pointer;
  }

  /** Gives back all that was allocated; may be called again. */
  release(): void {
    while (this.#pointers.length > 0) this.arena.free(this.#pointers.pop()!, this.#sizes.pop()!);
  }
}
