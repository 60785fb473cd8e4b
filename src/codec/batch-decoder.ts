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
import { ArenaFullError, INVERSE, type Kernel, type Pointer, Region } from "../gf/index.ts";
import type { BatchOptions } from "./batch-encoder.ts";
import { BatchSymbols } from "./batch-symbols.ts";
import { MAX_BATCH_SIZE, REPAIR_SEEDS, repairTable } from "./coefficients.ts";
import { CodecError, checkInteger } from "./errors.ts";
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
  /** Bytes of a row: 2 M. */
  readonly #stride: number;
  /** Coded symbol j is entry M - 1 - j, source symbol i entry M + i: the order of a row. */
  readonly #region: Region;
  readonly #symbols: BatchSymbols;
  /** What elimination needs, below; none before the first coded symbol that may tell something. */
  readonly #elimination: Region;
  /** Rows of #stride bytes, one a coded symbol held, and one more to work in; 0 before there are any. */
  #rows: Pointer = 0;
  /** Rows of the symbols being computed, gathered. */
  #gathered: Pointer = 0;
  /** Pointers to where those symbols go. */
  #targets: Pointer = 0;
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

  /** Throws a CodecError for a batch size out of range and an ArenaFullError when the arena is. */
  constructor({ pool, batchSize }: BatchOptions) {
    checkInteger("batchSize", batchSize, 1, MAX_BATCH_SIZE);
    this.batchSize = batchSize;
    this.#pool = pool;
    this.#kernel = pool.arena.kernel;
    this.#repairTable = repairTable(pool.arena);
    this.#stride = 2 * batchSize;
    this.#region = new Region(pool.arena);
    this.#symbols = new BatchSymbols(this.#region, pool, 2 * batchSize);
    this.#elimination = new Region(pool.arena);
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
    return index >= 0 && index < this.#covered && this.#symbols.has(this.batchSize + index);
  }

  /** Takes source symbol `index` as it came: 0 to symbolSize bytes of data. */
  addSource(index: number, data: Uint8Array): Verdict {
    return this.#count(this.#addSource(index, data));
  }

  /** Takes the repair named (covered, seed): its payload is a coded symbol, 2 bytes of length and more. */
  addRepair(covered: number, seed: number, payload: Uint8Array): Verdict {
    if (!(Number.isInteger(seed) && seed >= 0 && seed < REPAIR_SEEDS)) return this.#count("invalid");
    if (!this.#acceptable(covered, payload)) return this.#count("invalid");
    if (this.#knows(covered)) return this.#count("redundant");
    const coded = this.#prepared(payload);
    if (coded === null) return this.#count("no-memory");
    const { bytes } = this.#pool.arena;
    const from = this.#repairTable + MAX_BATCH_SIZE * seed;
    this.#clearWorkRow();
    bytes.copyWithin(this.#workRow() + this.batchSize, from, from + covered);
    return this.#count(this.#addCoded(covered, coded));
  }

  /** Takes a recoded symbol with its coefficient vector, one byte for each source symbol that it covers. */
  addRecoded(vector: Uint8Array, payload: Uint8Array): Verdict {
    const covered = vector.length;
    if (!this.#acceptable(covered, payload) || isZero(vector)) return this.#count("invalid");
    if (this.#knows(covered)) return this.#count("redundant");
    const row = this.#rows === 0 ? vector.slice() : vector;
    const coded = this.#prepared(payload);
    if (coded === null) return this.#count("no-memory");
    this.#clearWorkRow();
    this.#pool.arena.bytes.set(row, this.#workRow() + this.batchSize);
    return this.#count(this.#addCoded(covered, coded));
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
    if (!this.has(index)) throw new CodecError("ERR_STATE", "index", index, "that of a known source symbol");
    return this.#pool.arena.view(this.symbolPointer(index), this.symbolLength(index));
  }

  /** Where the data of a known source symbol starts in the arena. Not checked. */
  symbolPointer(index: number): Pointer {
    return this.#symbols.slot(this.batchSize + index) + LENGTH_BYTES;
  }

  /** Bytes of data of a known source symbol. Not checked. */
  symbolLength(index: number): number {
    return this.#symbols.used[this.batchSize + index] - LENGTH_BYTES;
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
    this.#symbols.clear();
    this.#region.release();
    this.#elimination.release();
  }

  #count(verdict: Verdict): Verdict {
    // Nearly always: a key that is known is faster.
    if (verdict === "innovative") this.counts.innovative++;
    else this.counts[verdict]++;
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

  /** Whether the first `covered` source symbols are known, and nothing else is waited for. */
  #knows(covered: number): boolean {
    return this.#known === this.#covered && covered <= this.#covered;
  }

  /**
   * Has the memory for elimination; null when that cannot be had. Returns `payload`, or a fresh view of it where it was one of the
   * arena's that this made stale.
   */
  #prepared(payload: Uint8Array): Uint8Array | null {
    if (this.#rows !== 0) return payload;
    const { arena } = this.#pool;
    const { byteOffset, length } = payload;
    const own = payload.buffer === arena.bytes.buffer;
    const region = this.#elimination;
    try {
      const rows = region.allocate((this.batchSize + 1) * this.#stride);
      this.#gathered = region.allocate(this.batchSize * this.#stride);
      this.#targets = region.allocate(4 * this.batchSize);
      this.#rows = rows;
    } catch (error) {
      if (error instanceof ArenaFullError) return null;
      throw error;
    }
    return own ? arena.view(byteOffset, length) : payload;
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
    if (this.#symbols.has(this.batchSize + index)) return "redundant";
    if (!this.#symbols.putSource(this.batchSize + index, data)) return "no-memory";
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
    const start = this.batchSize - 1 - held;
    const length = 1 + held + Math.max(this.#covered, covered);
    arena.bytes[row + start] = 1;
    for (let r = 0; r < held; r++) {
      const factor = arena.bytes[row + this.batchSize + this.#pivotOfRow[r]];
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
    const { used } = this.#symbols;
    const { batchSize } = this;
    const end = batchSize + Math.max(limit, this.#covered);
    for (let i = batchSize; i < end; i++) {
      if (used[i] === 0 && bytes[row + i] !== 0) return i - batchSize;
    }
    return NONE;
  }

  /** Makes source symbol `pivot` the pivot of row `r`: 1 there, 0 in every other row. */
  #setPivot(r: number, pivot: number): void {
    const { bytes } = this.#pool.arena;
    const start = this.batchSize - this.#held;
    const length = this.#held + this.#covered;
    const row = this.#rows + r * this.#stride;
    this.#kernel.scale(row + start, INVERSE[bytes[row + this.batchSize + pivot]], length);
    for (let other = 0; other < this.#held; other++) {
      const at = this.#rows + other * this.#stride;
      const factor = bytes[at + this.batchSize + pivot];
      if (other !== r && factor !== 0) this.#kernel.mulAdd(at + start, row + start, factor, length);
    }
    this.#pivotOfRow[r] = pivot;
    this.#rowOfPivot[pivot] = r;
  }

  /** Row `r` lost its pivot, which became known: another unknown symbol takes its place, or the row goes. */
  #replacePivot(r: number): void {
    const pivot = this.#findPivot(this.#rows + r * this.#stride);
    if (pivot === NONE) {
      this.#removeRow(r);
    } else {
      this.#rowOfPivot[this.#pivotOfRow[r]] = NONE;
      this.#setPivot(r, pivot);
    }
  }

  /**
   * Removes row `r`, whose source symbols are all known: it expresses one coded symbol by others, which takes that one's place
   * in all rows, so that its slot is free.
   */
  #removeRow(r: number): void {
    const { bytes } = this.#pool.arena;
    const last = this.#held - 1;
    const start = this.batchSize - this.#held;
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
    this.#rowOfPivot[this.#pivotOfRow[r]] = NONE;
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
    const first = this.#queueTail;
    let ready = 0;
    for (let r = 0; r < this.#held; r++) {
      if (this.#givesPivot(this.#rows + r * this.#stride)) this.#queue[first + ready++] = this.#pivotOfRow[r];
    }
    if (ready === 0) return "innovative";
    if (!this.#acquireTargets(ready)) return this.#resolveOneByOne(ready);
    this.#combineReady(first, ready);
    if (!this.#lengthsPossible(ready)) {
      this.#releaseTargets(ready);
      this.#forgetCoded();
      return "inconsistent";
    }
    for (let i = 0; i < ready; i++) this.#putDecoded(this.#queue[first + i], arena.words[(this.#targets >>> 2) + i]);
    if (ready === this.#held) {
      this.#forgetCoded();
      return "innovative";
    }
    for (let i = 0; i < ready; i++) this.#removeRow(this.#rowOfPivot[this.#queue[first + i]]);
    return "innovative";
  }

  /**
   * The same where the pool has no slot left: each symbol is computed aside, and takes the slot of the coded symbol that it makes
   * superfluous.
   */
  #resolveOneByOne(ready: number): Verdict {
    const { arena, scratch } = this.#pool;
    const first = this.#queueTail;
    for (let i = 0; i < ready; i++) {
      const index = this.#queue[first + i];
      arena.words[this.#targets >>> 2] = scratch;
      this.#combineReady(first + i, 1);
      if (!this.#lengthsPossible(1)) {
        this.#forgetCoded();
        return "inconsistent";
      }
      // Known from here on, so that the row has no unknown left and goes.
      this.#putDecoded(index, scratch);
      this.#removeRow(this.#rowOfPivot[index]);
      const slot = this.#pool.acquire();
      arena.bytes.copyWithin(slot, scratch, scratch + this.#pool.slotBytes);
      this.#putSlot(index, slot);
    }
    return "innovative";
  }

  /** Takes `ready` slots, or none when there are not as many. */
  #acquireTargets(ready: number): boolean {
    for (let i = 0; i < ready; i++) {
      const slot = this.#pool.acquire();
      if (slot === 0) {
        this.#releaseTargets(i);
        return false;
      }
      this.#pool.arena.words[(this.#targets >>> 2) + i] = slot;
    }
    return true;
  }

  #releaseTargets(count: number): void {
    const { words } = this.#pool.arena;
    for (let i = 0; i < count; i++) this.#pool.release(words[(this.#targets >>> 2) + i]);
  }

  /** Computes `ready` source symbols, whose indices stand in the queue from `first` on, to the targets. */
  #combineReady(first: number, ready: number): void {
    const { bytes } = this.#pool.arena;
    const start = this.batchSize - this.#held;
    const count = this.#held + this.#covered;
    for (let i = 0; i < ready; i++) {
      const pivot = this.#queue[first + i];
      const from = this.#rows + this.#rowOfPivot[pivot] * this.#stride + start;
      const to = this.#gathered + i * count;
      bytes.copyWithin(to, from, from + count);
      bytes[to + this.#held + pivot] = 0;
    }
    this.#symbols.pad(start, start + count, this.#longest);
    const list = this.#symbols.list + 4 * start;
    this.#kernel.multiply(this.#targets, list, this.#gathered, ready, count, this.#longest);
  }

  #putDecoded(index: number, slot: Pointer): void {
    this.#putSlot(index, slot);
    this.#becameKnown(index);
  }

  #putSlot(index: number, slot: Pointer): void {
    const { bytes } = this.#pool.arena;
    this.#symbols.put(this.batchSize + index, slot, LENGTH_BYTES + bytes[slot] + 256 * bytes[slot + 1]);
  }

  /** Whether a row has no unknown source symbol but its pivot. Most have, and soon. */
  #givesPivot(row: Pointer): boolean {
    const { bytes } = this.#pool.arena;
    const { used } = this.#symbols;
    const { batchSize } = this;
    const end = batchSize + this.#covered;
    let unknowns = 0;
    for (let i = batchSize; i < end; i++) {
      if (used[i] === 0 && bytes[row + i] !== 0 && ++unknowns === 2) return false;
    }
    return true;
  }

  #lengthsPossible(ready: number): boolean {
    const { bytes, words } = this.#pool.arena;
    for (let i = 0; i < ready; i++) {
      const slot = words[(this.#targets >>> 2) + i];
      if (LENGTH_BYTES + bytes[slot] + 256 * bytes[slot + 1] > this.#longest) return false;
    }
    return true;
  }

  #forgetCoded(): void {
    for (let j = this.batchSize - this.#held; j < this.batchSize; j++) this.#symbols.drop(j);
    this.#held = 0;
    this.#rowOfPivot.fill(NONE);
  }
}

function isZero(vector: Uint8Array): boolean {
  for (let i = 0; i < vector.length; i++) if (vector[i] !== 0) return false;
  return true;
}
