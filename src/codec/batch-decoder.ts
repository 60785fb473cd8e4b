/**
 * The receiver's side of the inner code: takes source, repair and recoded symbols of one batch in any order and hands out
 * each source symbol as soon as it is known. Incremental Gauss-Jordan elimination, on coefficients only: symbols are multiplied
 * once, when a source symbol becomes computable. Knows nothing of batch ids or packets.
 *
 * A code cannot detect corruption: a symbol with a flipped bit decodes to wrong data. Authenticate symbols before
 * they come here (the transport does, packet by packet).
 *
 * The working: of every coded symbol held, `#rows` has one row
 *     sum over j of t_j (coded symbol j) = sum over i of c_i (source symbol i),
 * as 2 M bytes [t_(M-1) .. t_0 | c_0 .. c_(M-1)], so that the part in use, `#held` coded and `#covered` source symbols, is one stretch
 * about the middle. Each row has a pivot, an unknown source symbol with c = 1 that no other row has. A row with no other
 * unknown source symbol gives its pivot.
 */
import { INVERSE, type Kernel, type Pointer } from "../gf/index.ts";
import type { BatchOptions } from "./batch-encoder.ts";
import { BatchSymbols } from "./batch-symbols.ts";
import { MAX_BATCH_SIZE, REPAIR_SEEDS, repairTable } from "./coefficients.ts";
import { checkInteger } from "./errors.ts";
import { LENGTH_BYTES, type SymbolPool } from "./symbol-pool.ts";
import { type Verdict, type VerdictCounts, verdictCounts } from "./verdict.ts";

const NONE = -1;

export class BatchDecoder {
  readonly batchSize: number;
  /** What became of the symbols given since the decoder was made; `reset` leaves it. */
  readonly counts: VerdictCounts = verdictCounts();
  readonly #pool: SymbolPool;
  readonly #kernel: Kernel;
  readonly #repairTable: Pointer;
  /** Offset of c_0 in a row: M. */
  readonly #middle: number;
  /** Bytes of a row: 2 M. */
  readonly #stride: number;
  /** Coded symbol j is entry #middle - 1 - j, source symbol i entry #middle + i: the order of a row. */
  readonly #symbols: BatchSymbols;
  /** Rows of #stride bytes, one a coded symbol held, and one more to work in. */
  readonly #rows: Pointer;
  /** Rows of the symbols being computed, gathered. */
  readonly #gathered: Pointer;
  /** Pointers to where those symbols go. */
  readonly #targets: Pointer;
  readonly #pivotOfRow: Int8Array;
  readonly #rowOfPivot: Int8Array;
  /** Source symbols in the order in which they became known: handed out up to #queueHead. */
  readonly #queue: Uint8Array;
  #queueHead = 0;
  #queueTail = 0;
  #held = 0;
  #covered = 0;
  #known = 0;
  #longest = 0;

  /** Throws a CodecError for a batch size out of range. */
  constructor({ pool, batchSize }: BatchOptions) {
    checkInteger("batchSize", batchSize, 1, MAX_BATCH_SIZE);
    this.batchSize = batchSize;
    this.#pool = pool;
    this.#kernel = pool.arena.kernel;
    this.#repairTable = repairTable(pool.arena);
    this.#middle = batchSize;
    this.#stride = 2 * batchSize;
    this.#symbols = new BatchSymbols(pool, 2 * batchSize);
    this.#rows = pool.arena.allocate((batchSize + 1) * this.#stride);
    this.#gathered = pool.arena.allocate(batchSize * this.#stride);
    this.#targets = pool.arena.allocate(4 * batchSize);
    this.#pivotOfRow = new Int8Array(batchSize);
    this.#rowOfPivot = new Int8Array(batchSize).fill(NONE);
    this.#queue = new Uint8Array(batchSize);
  }

  /** k as far as it is known: how many source symbols are known to exist. */
  get covered(): number {
    return this.#covered;
  }

  /** The dimension of what has arrived: source symbols known plus coded symbols held. */
  get rank(): number {
    return this.#known + this.#held;
  }

  /** How many source symbols are known. */
  get known(): number {
    return this.#known;
  }

  /** Whether every source symbol that is known to exist is known. False for an empty batch. */
  get complete(): boolean {
    return this.#known === this.#covered && this.#covered > 0;
  }

  /** Whether source symbol `index` is known. */
  has(index: number): boolean {
    return index >= 0 && index < this.#covered && this.#symbols.has(this.#middle + index);
  }

  /** Takes source symbol `index` as it came: 0 to symbolSize bytes of data. */
  addSource(index: number, data: Uint8Array): Verdict {
    return this.#count(this.#addSource(index, data));
  }

  /** Takes the repair named (covered, seed): its payload is a coded symbol, 2 bytes of length and more. */
  addRepair(covered: number, seed: number, payload: Uint8Array): Verdict {
    if (!(Number.isInteger(seed) && seed >= 0 && seed < REPAIR_SEEDS)) return this.#count("invalid");
    if (!this.#acceptable(covered, payload)) return this.#count("invalid");
    const { bytes } = this.#pool.arena;
    const from = this.#repairTable + MAX_BATCH_SIZE * seed;
    this.#clearWorkRow();
    bytes.copyWithin(this.#workRow() + this.#middle, from, from + covered);
    return this.#count(this.#addCoded(covered, payload));
  }

  /** Takes a recoded symbol with its coefficient vector, one byte for each source symbol that it covers. */
  addRecoded(vector: Uint8Array, payload: Uint8Array): Verdict {
    if (!this.#acceptable(vector.length, payload) || isZero(vector)) return this.#count("invalid");
    this.#clearWorkRow();
    this.#pool.arena.bytes.set(vector, this.#workRow() + this.#middle);
    return this.#count(this.#addCoded(vector.length, payload));
  }

  /**
   * The index of a source symbol that became known and was not handed out yet, or -1. Each is handed out once, those that came
   * as such too.
   */
  next(): number {
    return this.#queueHead === this.#queueTail ? NONE : this.#queue[this.#queueHead++];
  }

  /** The data of a known source symbol, in place: valid until the arena's next allocation and the batch's reset. */
  symbol(index: number): Uint8Array {
    checkInteger("index", index, 0, this.#covered - 1);
    checkInteger("known", this.has(index) ? 1 : 0, 1, 1);
    return this.#pool.arena.view(this.symbolPointer(index), this.symbolLength(index));
  }

  /** Where the data of a known source symbol starts in the arena. Not checked. */
  symbolPointer(index: number): Pointer {
    return this.#symbols.slot(this.#middle + index) + LENGTH_BYTES;
  }

  /** Bytes of data of a known source symbol. Not checked. */
  symbolLength(index: number): number {
    return this.#symbols.used[this.#middle + index] - LENGTH_BYTES;
  }

  /** Empties the decoder for another batch; its slots go back to the pool. */
  reset(): void {
    this.#symbols.clear();
    this.#rowOfPivot.fill(NONE);
    this.#queueHead = 0;
    this.#queueTail = 0;
    this.#held = 0;
    this.#covered = 0;
    this.#known = 0;
    this.#longest = 0;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    const { arena } = this.#pool;
    this.#symbols.destroy();
    arena.free(this.#rows, (this.batchSize + 1) * this.#stride);
    arena.free(this.#gathered, this.batchSize * this.#stride);
    arena.free(this.#targets, 4 * this.batchSize);
  }

  #count(verdict: Verdict): Verdict {
    this.counts[verdict]++;
    return verdict;
  }

  #acceptable(covered: number, payload: Uint8Array): boolean {
    return (
      Number.isInteger(covered) &&
      covered >= 1 &&
      covered <= this.batchSize &&
      payload.length >= LENGTH_BYTES &&
      payload.length <= LENGTH_BYTES + this.#pool.symbolSize
    );
  }

  /** The row to work in comes after those in use. */
  #workRow(): Pointer {
    return this.#rows + this.#held * this.#stride;
  }

  #clearWorkRow(): void {
    const row = this.#workRow();
    this.#pool.arena.bytes.fill(0, row, row + this.#stride);
  }

  #addSource(index: number, data: Uint8Array): Verdict {
    if (!(Number.isInteger(index) && index >= 0 && index < this.batchSize)) return "invalid";
    if (data.length > this.#pool.symbolSize) return "invalid";
    if (this.#symbols.has(this.#middle + index)) return "redundant";
    if (!this.#symbols.putSource(this.#middle + index, data)) return "no-memory";
    this.#covered = Math.max(this.#covered, index + 1);
    this.#longest = Math.max(this.#longest, LENGTH_BYTES + data.length);
    this.#becameKnown(index);
    if (this.#held === 0) return "innovative";
    // A symbol that comes late may be what rows waited for, and one row too many is now held.
    const row = this.#rowOfPivot[index];
    if (row !== NONE) this.#replacePivot(row);
    return this.#resolve();
  }

  #becameKnown(index: number): void {
    this.#queue[this.#queueTail++] = index;
    this.#known++;
  }

  /** Takes the coded symbol whose coefficients stand in the work row. */
  #addCoded(covered: number, payload: Uint8Array): Verdict {
    const { arena } = this.#pool;
    const held = this.#held;
    const row = this.#workRow();
    // Rows are reduced over what they cover: a longer one widens all, with zeros that are there already.
    const start = this.#middle - 1 - held;
    const length = 1 + held + Math.max(this.#covered, covered);
    arena.bytes[row + start] = 1;
    for (let r = 0; r < held; r++) {
      const factor = arena.bytes[row + this.#middle + this.#pivotOfRow[r]];
      if (factor !== 0) this.#kernel.mulAdd(row + start, this.#rows + r * this.#stride + start, factor, length);
    }
    const pivot = this.#findPivot(row, covered);
    if (pivot === NONE) return "redundant";
    if (!this.#symbols.putCoded(start, payload)) return "no-memory";
    this.#covered = Math.max(this.#covered, covered);
    this.#longest = Math.max(this.#longest, payload.length);
    this.#held = held + 1;
    this.#setPivot(held, pivot);
    return this.#resolve();
  }

  /** The first unknown source symbol, below `limit` or covered, with a coefficient in a row. */
  #findPivot(row: Pointer, limit: number = this.#covered): number {
    const { bytes } = this.#pool.arena;
    const end = Math.max(limit, this.#covered);
    for (let i = 0; i < end; i++) {
      if (bytes[row + this.#middle + i] !== 0 && !this.#symbols.has(this.#middle + i)) return i;
    }
    return NONE;
  }

  /** Makes source symbol `pivot` the pivot of row `r`: 1 there, 0 in every other row. */
  #setPivot(r: number, pivot: number): void {
    const { bytes } = this.#pool.arena;
    const start = this.#middle - this.#held;
    const length = this.#held + this.#covered;
    const row = this.#rows + r * this.#stride;
    this.#kernel.scale(row + start, INVERSE[bytes[row + this.#middle + pivot]], length);
    for (let other = 0; other < this.#held; other++) {
      const at = this.#rows + other * this.#stride;
      const factor = bytes[at + this.#middle + pivot];
      if (other !== r && factor !== 0) this.#kernel.mulAdd(at + start, row + start, factor, length);
    }
    this.#pivotOfRow[r] = pivot;
    this.#rowOfPivot[pivot] = r;
  }

  /** Row `r` lost its pivot, which became known: another unknown symbol takes its place, or the row goes. */
  #replacePivot(r: number): void {
    this.#rowOfPivot[this.#pivotOfRow[r]] = NONE;
    const pivot = this.#findPivot(this.#rows + r * this.#stride);
    if (pivot === NONE) this.#removeRow(r);
    else this.#setPivot(r, pivot);
  }

  /**
   * Removes row `r`, whose source symbols are all known: it expresses one coded symbol by others, which takes that one's place
   * in all rows, so that its slot is free.
   */
  #removeRow(r: number): void {
    const { bytes } = this.#pool.arena;
    const last = this.#held - 1;
    const start = this.#middle - this.#held;
    const row = this.#rows + r * this.#stride;
    let coded = start;
    while (bytes[row + coded] === 0) coded++;
    this.#kernel.scale(row + start, INVERSE[bytes[row + coded]], this.#held + this.#covered);
    for (let other = 0; other <= last; other++) {
      const at = this.#rows + other * this.#stride;
      const factor = bytes[at + coded];
      if (other !== r && factor !== 0) this.#kernel.mulAdd(at + start, row + start, factor, this.#held + this.#covered);
      // The last coded symbol moves to the free place.
      bytes[at + coded] = bytes[at + start];
      bytes[at + start] = 0;
    }
    this.#symbols.drop(coded);
    if (coded !== start) this.#symbols.swap(coded, start);
    if (r !== last) {
      bytes.copyWithin(row, this.#rows + last * this.#stride, this.#rows + (last + 1) * this.#stride);
      this.#pivotOfRow[r] = this.#pivotOfRow[last];
      this.#rowOfPivot[this.#pivotOfRow[r]] = r;
    }
    this.#held = last;
  }

  /** Computes the source symbols that rows give by now. */
  #resolve(): Verdict {
    const { arena } = this.#pool;
    const start = this.#middle - this.#held;
    const count = this.#held + this.#covered;
    const first = this.#queueTail;
    let ready = 0;
    for (let r = 0; r < this.#held; r++) {
      const pivot = this.#pivotOfRow[r];
      const row = this.#rows + r * this.#stride;
      if (this.#unknownsOf(row) > 1) continue;
      const slot = this.#pool.acquire();
      // Without a slot the row stays and is tried again with the next symbol.
      if (slot === 0) break;
      const to = this.#gathered + ready * count;
      arena.bytes.copyWithin(to, row + start, row + start + count);
      arena.bytes[to + this.#held + pivot] = 0;
      arena.words[(this.#targets >> 2) + ready] = slot;
      this.#queue[first + ready] = pivot;
      ready++;
    }
    if (ready === 0) return "innovative";
    this.#symbols.pad(start, start + count, this.#longest);
    const list = this.#symbols.list + 4 * start;
    this.#kernel.multiply(this.#targets, list, this.#gathered, ready, count, this.#longest);
    if (!this.#lengthsPossible(ready)) {
      for (let i = 0; i < ready; i++) this.#pool.release(arena.words[(this.#targets >> 2) + i]);
      this.#forgetCoded();
      return "inconsistent";
    }
    for (let i = 0; i < ready; i++) {
      const index = this.#queue[first + i];
      const slot = arena.words[(this.#targets >> 2) + i];
      this.#symbols.put(this.#middle + index, slot, LENGTH_BYTES + arena.bytes[slot] + 256 * arena.bytes[slot + 1]);
      this.#becameKnown(index);
    }
    if (ready === this.#held) {
      this.#forgetCoded();
      return "innovative";
    }
    for (let i = 0; i < ready; i++) {
      const pivot = this.#queue[first + i];
      const row = this.#rowOfPivot[pivot];
      this.#rowOfPivot[pivot] = NONE;
      this.#removeRow(row);
    }
    return "innovative";
  }

  #unknownsOf(row: Pointer): number {
    const { bytes } = this.#pool.arena;
    let unknowns = 0;
    for (let i = 0; i < this.#covered; i++) {
      if (bytes[row + this.#middle + i] !== 0 && !this.#symbols.has(this.#middle + i)) unknowns++;
    }
    return unknowns;
  }

  #lengthsPossible(ready: number): boolean {
    const { bytes, words } = this.#pool.arena;
    for (let i = 0; i < ready; i++) {
      const slot = words[(this.#targets >> 2) + i];
      if (LENGTH_BYTES + bytes[slot] + 256 * bytes[slot + 1] > this.#longest) return false;
    }
    return true;
  }

  #forgetCoded(): void {
    for (let j = this.#middle - this.#held; j < this.#middle; j++) this.#symbols.drop(j);
    this.#held = 0;
    this.#rowOfPivot.fill(NONE);
  }
}

function isZero(vector: Uint8Array): boolean {
  for (let i = 0; i < vector.length; i++) if (vector[i] !== 0) return false;
  return true;
}
