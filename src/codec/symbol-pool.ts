/**
 * Slots of one size for symbols in an arena: taken and given back in a few nanoseconds, no garbage, with a limit that many
 * encoders and decoders share. Not a general allocator: that is the arena.
 *
 * A slot holds a symbol as it is coded: its length in two bytes, little-endian, then its data, then zeros where a longer
 * symbol of its batch needs them. That is what makes a decoder return exact lengths.
 */
import { type Arena, ArenaFullError, type Pointer, sharedArena } from "../gf/index.ts";
import { CodecError, checkInteger } from "./errors.ts";

/** Bytes of a slot, and of a coded symbol, before the data: the length. */
export const LENGTH_BYTES = 2;

/** The longest symbol that a two-byte length can say, in bytes of data. */
export const MAX_SYMBOL_BYTES = 65535;

export interface SymbolPoolOptions {
  /** The longest symbol, in bytes of data, 1 to 65535. */
  symbolSize: number;
  /** Where the slots live. Default: the arena that the process shares. */
  arena?: Arena;
  /**
   * How many slots may be out at once. Default: as many as the arena gives. A decoder needs as many as a batch has symbols.
   */
  maximumSlots?: number;
  /** Where slots come from and go back to, instead of memory of its own: so that several share what none of them needs any more. */
  parent?: SymbolPool;
}

/** Memory is taken from the arena in chunks of up to 64 slots or about this many bytes. */
const CHUNK_BYTES = 1 << 18;
const NO_SLOTS = new Uint32Array(0);

export class SymbolPool {
  readonly arena: Arena;
  readonly symbolSize: number;
  readonly maximumSlots: number;
  readonly #stride: number;
  /** Slots a chunk. */
  readonly #chunk: number;
  readonly #chunks: Pointer[] = [];
  #free: Uint32Array = NO_SLOTS;
  #scratch: Pointer = 0;
  #freeCount = 0;
  readonly #parent: SymbolPool | null;
  /** Slots of the parent's. */
  #lent = 0;

  /** Throws a CodecError for options out of range. */
  constructor(options: SymbolPoolOptions) {
    const { symbolSize, parent, maximumSlots = Number.MAX_SAFE_INTEGER } = options;
    const { arena = parent?.arena ?? sharedArena() } = options;
    checkInteger("symbolSize", symbolSize, 1, MAX_SYMBOL_BYTES);
    checkInteger("maximumSlots", maximumSlots, 1, Number.MAX_SAFE_INTEGER);
    if (parent !== undefined && (parent.symbolSize !== symbolSize || parent.arena !== arena)) {
      throw new CodecError("ERR_RANGE", "parent", parent.symbolSize, "a pool of the same arena and symbol size");
    }
    this.#parent = parent ?? null;
    this.arena = arena;
    this.symbolSize = symbolSize;
    this.maximumSlots = maximumSlots;
    this.#stride = Math.ceil((LENGTH_BYTES + symbolSize) / 64) * 64;
    this.#chunk = Math.min(maximumSlots, 64, Math.max(1, Math.floor(CHUNK_BYTES / this.#stride)));
  }

  /** Bytes a slot, at least 2 + symbolSize. */
  get slotBytes(): number {
    return this.#stride;
  }

  /** Slots taken and not given back. */
  get slotsInUse(): number {
    return this.#parent === null ? this.#chunks.length * this.#chunk - this.#freeCount : this.#lent;
  }

  /** A slot with whatever content it had, or 0 when the limit is reached. May make views of the arena stale. */
  acquire(): Pointer {
    if (this.slotsInUse >= this.maximumSlots) return 0;
    if (this.#parent !== null) return this.#lend(this.#parent.acquire());
    if (this.#freeCount === 0 && !this.#grow()) return 0;
    return this.#free[--this.#freeCount];
  }

  /**
   * A slot with `data` from offset `at` on, or 0 when the limit is reached. `data` may be a view of the pool's own arena, which
   * taking the slot may make stale.
   */
  acquireCopy(data: Uint8Array, at: number): Pointer {
    if (this.#parent !== null) {
      return this.#lent >= this.maximumSlots ? 0 : this.#lend(this.#parent.acquireCopy(data, at));
    }
    // Nearly always there is a free slot, nothing grows, and the view stays good.
    if (this.#freeCount > 0) {
      const slot = this.acquire();
      if (slot !== 0) this.arena.bytes.set(data, slot + at);
      return slot;
    }
    const { length, byteOffset } = data;
    const own = data.buffer === this.arena.bytes.buffer;
    const slot = this.acquire();
    if (slot === 0) return 0;
    const { bytes } = this.arena;
    if (own) bytes.copyWithin(slot + at, byteOffset, byteOffset + length);
    else bytes.set(data, slot + at);
    return slot;
  }

  /**
   * One slot for whoever needs room for a symbol until it returns: shared, so that nothing in it lasts. Throws an ArenaFullError
   * when it cannot be had; once had, it stays.
   */
  get scratch(): Pointer {
    if (this.#parent !== null) return this.#parent.scratch;
    if (this.#scratch === 0) this.#scratch = this.arena.allocate(this.#stride);
    return this.#scratch;
  }

  /** Gives a slot back. It must be one of this pool's, and not given back before: not checked. */
  release(slot: Pointer): void {
    if (this.#parent === null) {
      this.#free[this.#freeCount++] = slot;
    } else {
      this.#lent--;
      this.#parent.release(slot);
    }
  }

  /** Gives all memory back to the arena. Throws a CodecError when slots are still in use. */
  destroy(): void {
    const { slotsInUse } = this;
    if (slotsInUse > 0) throw new CodecError("ERR_STATE", "slotsInUse", slotsInUse, "0: all slots given back");
    for (const chunk of this.#chunks) this.arena.free(chunk, this.#chunk * this.#stride);
    if (this.#scratch !== 0) this.arena.free(this.#scratch, this.#stride);
    this.#scratch = 0;
    this.#chunks.length = 0;
    this.#freeCount = 0;
  }

  #lend(slot: Pointer): Pointer {
    if (slot !== 0) this.#lent++;
    return slot;
  }

  #grow(): boolean {
    let chunk: Pointer;
    try {
      chunk = this.arena.allocate(this.#chunk * this.#stride);
    } catch (error) {
      if (error instanceof ArenaFullError) return false;
      throw error;
    }
    this.#chunks.push(chunk);
    const capacity = this.#chunks.length * this.#chunk;
    if (this.#free.length < capacity) {
      const larger = new Uint32Array(2 * capacity);
      larger.set(this.#free);
      this.#free = larger;
    }
    // Lowest address on top, so that neighbours in time are neighbours in memory.
    for (let i = this.#chunk - 1; i >= 0; i--) this.#free[this.#freeCount++] = chunk + i * this.#stride;
    return true;
  }
}
