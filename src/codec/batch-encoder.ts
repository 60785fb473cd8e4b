/**
 * The source's side of the inner code: a systematic, open batch. Source symbols may be added while repairs are already
 * made; a repair covers the symbols so far. Not a scheduler: who sends which repair when is the transport's affair.
 * Sources: RFC 9426 (batch, inner code); docs/wire-format.md says what travels.
 */
import { type Pointer, Region } from "../gf/index.ts";
import { BatchSymbols } from "./batch-symbols.ts";
import { MAX_BATCH_SIZE, REPAIR_SEEDS, repairTable } from "./coefficients.ts";
import { CodecError, checkInteger } from "./errors.ts";
import { LENGTH_BYTES, type SymbolPool } from "./symbol-pool.ts";

export interface BatchOptions {
  /** Where symbols live; its symbol size is the longest symbol of a batch. */
  pool: SymbolPool;
  /** M, the most source symbols a batch takes: 1 to 64. */
  batchSize: number;
}

export class BatchEncoder {
  readonly batchSize: number;
  readonly #pool: SymbolPool;
  readonly #region: Region;
  readonly #symbols: BatchSymbols;
  readonly #coefficients: Pointer;
  /** longest[k]: bytes of a repair that covers k symbols. */
  readonly #longest: Uint32Array;
  #size = 0;

  /** Throws a CodecError for a batch size out of range and an ArenaFullError when the arena is. */
  constructor({ pool, batchSize }: BatchOptions) {
    checkInteger("batchSize", batchSize, 1, MAX_BATCH_SIZE);
    this.batchSize = batchSize;
    this.#pool = pool;
    this.#coefficients = repairTable(pool.arena);
    this.#region = new Region(pool.arena);
    this.#symbols = new BatchSymbols(this.#region, pool, batchSize);
    this.#longest = new Uint32Array(batchSize + 1);
  }

  /** k, how many source symbols the batch holds so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Copies a source symbol of 0 to symbolSize bytes into the batch and returns its index. Throws a CodecError when the
   * batch is full (ERR_STATE), the symbol too long (ERR_LENGTH) or the pool empty (ERR_STATE); the batch is then as before.
   */
  add(data: Uint8Array): number {
    const index = this.#size;
    if (index === this.batchSize)
      throw new CodecError("ERR_STATE", "size", index, `fewer than ${this.batchSize} symbols`);
    if (data.length > this.#pool.symbolSize) {
      throw new CodecError("ERR_LENGTH", "data.length", data.length, `at most ${this.#pool.symbolSize} bytes`);
    }
    if (!this.#symbols.putSource(index, data)) {
      throw new CodecError(
        "ERR_STATE",
        "slotsInUse",
        this.#pool.slotsInUse,
        "a free slot: the pool or its arena is full",
      );
    }
    this.#size = index + 1;
    this.#longest[index + 1] = Math.max(this.#longest[index], LENGTH_BYTES + data.length);
    return index;
  }

  /** The data of source symbol `index`, in place: valid until the arena's next allocation. */
  symbol(index: number): Uint8Array {
    if (!(index >= 0 && index < this.#size && Number.isInteger(index))) {
      throw new CodecError("ERR_RANGE", "index", index, `that of one of the ${this.#size} symbols added`);
    }
    return this.#pool.arena.view(this.#symbols.slot(index) + LENGTH_BYTES, this.#symbols.used[index] - LENGTH_BYTES);
  }

  /** Bytes of a repair that covers the first `covered` symbols: two more than the longest of them. */
  repairLength(covered: number): number {
    if (!(covered >= 1 && covered <= this.#size && Number.isInteger(covered))) {
      throw new CodecError("ERR_RANGE", "covered", covered, `1 to ${this.#size}, the symbols added so far`);
    }
    return this.#longest[covered];
  }

  /**
   * Writes the repair named (covered, seed) into `out` and returns its length in bytes. `covered` is 1 to the size of the
   * batch so far, `seed` 0 to 191 (a row of coefficients). Repairs with one `covered` and different seeds are all of use; so
   * change the seed with every repair of a batch. Throws a CodecError for values out of range and an `out` that is too short.
   */
  repair(covered: number, seed: number, out: Uint8Array): number {
    const length = this.repairLength(covered);
    if (out.length < length) {
      throw new CodecError("ERR_LENGTH", "out.length", out.length, `at least ${length} bytes`);
    }
    const { scratch } = this.#pool;
    this.repairInto(covered, seed, scratch);
    out.set(this.#pool.arena.view(scratch, length));
    return length;
  }

  /** Like `repair`, into `repairLength(covered)` bytes of the arena at `target`. */
  repairInto(covered: number, seed: number, target: Pointer): number {
    const length = this.repairLength(covered);
    checkInteger("seed", seed, 0, REPAIR_SEEDS - 1);
    this.#symbols.pad(0, covered, length);
    const coefficients = this.#coefficients + MAX_BATCH_SIZE * seed;
    this.#pool.arena.kernel.combine(target, this.#symbols.list, coefficients, covered, length);
    return length;
  }

  /** Empties the batch for the next one; its slots go back to the pool. */
  reset(): void {
    this.#symbols.clear();
    this.#size = 0;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#symbols.clear();
    this.#region.release();
  }
}
