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

  /** As `Arena.allocate`. */
  allocate(size: number): Pointer {
    const pointer = this.arena.allocate(size);
    this.#pointers.push(pointer);
    this.#sizes.push(size);
    return pointer;
  }

  /** As `Arena.allocateZeroed`. */
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
