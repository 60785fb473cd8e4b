/**
 * The inner code at a node between source and receiver: holds coded symbols of one batch, whatever they are combinations of,
 * and makes fresh random combinations of them. Never decodes. A source symbol is best forwarded as it came; what it
 * cannot restore by itself, a recoded symbol does.
 *
 * The symbols of an object (`ObjectEncoder`) have no length field: give all of them to `addRecoded`, symbol j with the unit
 * vector j, from a pool whose symbol size is T; examples/object-transfer.mjs shows it. Sources: RFC 9426, section on recoding; Yang & Yeung 2014.
 */
import { type Kernel, type Pointer, Region } from "../gf/index.ts";
import type { BatchOptions } from "./batch-encoder.ts";
import { BatchSymbols } from "./batch-symbols.ts";
import { MAX_BATCH_SIZE, REPAIR_SEEDS, repairCoefficients } from "./coefficients.ts";
import { CodecError, checkInteger } from "./errors.ts";
import { RankTracker } from "./rank-tracker.ts";
import { LENGTH_BYTES, type SymbolPool } from "./symbol-pool.ts";
import { TinyMt32 } from "./tinymt32.ts";
import { type Verdict, type VerdictCounts, verdictCounts } from "./verdict.ts";

/** A source of random 32-bit whole numbers, such as the `random` of a `TinyMt32`; not `Math.random`. */
export type Random32 = () => number;

export interface RecoderOptions extends BatchOptions {
  /** Where the combinations come from; the same numbers give the same symbols. Default: a TinyMt32 with a random seed. */
  random?: Random32;
}

export class BatchRecoder {
  readonly batchSize: number;
  /** What became of the symbols given since the recoder was made; `reset` leaves it. */
  readonly counts: VerdictCounts = verdictCounts();
  readonly #pool: SymbolPool;
  readonly #kernel: Kernel;
  readonly #random: Random32;
  readonly #region: Region;
  readonly #symbols: BatchSymbols;
  /** Coefficient vectors of the symbols held, M bytes each, and the list of pointers to them. */
  readonly #vectors: Pointer;
  readonly #vectorList: Pointer;
  /** The weights of one combination, its vector. */
  readonly #weights: Pointer;
  readonly #vector: Pointer;
  readonly #tracker: RankTracker;
  readonly #unit: Uint8Array;
  #held = 0;
  #covered = 0;
  #longest = 0;

  /** Throws a CodecError for a batch size out of range and an ArenaFullError when the arena is. */
  constructor({ pool, batchSize, random = randomlySeeded() }: RecoderOptions) {
    checkInteger("batchSize", batchSize, 1, MAX_BATCH_SIZE);
    const { arena } = pool;
    this.batchSize = batchSize;
    this.#pool = pool;
    this.#kernel = arena.kernel;
    this.#random = random;
    this.#region = new Region(arena);
    this.#symbols = new BatchSymbols(this.#region, pool, batchSize);
    this.#vectors = this.#region.allocate(batchSize * batchSize);
    this.#vectorList = this.#region.allocate(4 * batchSize);
    this.#weights = this.#region.allocate(batchSize);
    this.#vector = this.#region.allocate(batchSize);
    for (let i = 0; i < batchSize; i++) arena.words[(this.#vectorList >>> 2) + i] = this.#vectors + i * batchSize;
    this.#tracker = new RankTracker(batchSize);
    this.#unit = new Uint8Array(batchSize);
  }

  /** How many linearly independent symbols are held. */
  get rank(): number {
    return this.#held;
  }

  /** How many source symbols the held symbols cover: the length of a recoded symbol's vector, in bytes. */
  get covered(): number {
    return this.#covered;
  }

  /** The length of a recoded symbol's payload, in bytes; 0 while nothing is held. */
  get payloadLength(): number {
    return this.#longest;
  }

  /** Takes source symbol `index` as it came: 0 to symbolSize bytes of data. */
  addSource(index: number, data: Uint8Array): Verdict {
    const valid =
      Number.isInteger(index) && index >= 0 && index < this.batchSize && data.length <= this.#pool.symbolSize;
    if (!valid) return this.#count("invalid");
    this.#unit.fill(0);
    this.#unit[index] = 1;
    if (!this.#tracker.test(this.#unit)) return this.#count("redundant");
    if (!this.#symbols.putSource(this.#held, data)) return this.#count("no-memory");
    const vector = this.#nextVector();
    vector[index] = 1;
    return this.#keep(index + 1, LENGTH_BYTES + data.length);
  }

  /** Takes the repair named (covered, seed): its payload is a coded symbol, 2 bytes of length and more. */
  addRepair(covered: number, seed: number, payload: Uint8Array): Verdict {
    const valid =
      Number.isInteger(covered) &&
      covered >= 1 &&
      covered <= this.batchSize &&
      Number.isInteger(seed) &&
      seed >= 0 &&
      seed < REPAIR_SEEDS;
    if (!valid) return this.#count("invalid");
    return this.addRecoded(repairCoefficients(seed).subarray(0, covered), payload);
  }

  /** Takes a recoded symbol with its coefficient vector, one byte for each source symbol that it covers. */
  addRecoded(vector: Uint8Array, payload: Uint8Array): Verdict {
    const valid =
      vector.length >= 1 &&
      vector.length <= this.batchSize &&
      payload.length >= LENGTH_BYTES &&
      payload.length <= LENGTH_BYTES + this.#pool.symbolSize;
    if (!valid) return this.#count("invalid");
    const covered = significantLength(vector);
    if (covered === 0) return this.#count("invalid");
    if (!this.#tracker.test(vector)) return this.#count("redundant");
    if (!this.#symbols.putCoded(this.#held, payload)) return this.#count("no-memory");
    this.#nextVector().set(vector);
    return this.#keep(covered, payload.length);
  }

  /**
   * Makes one fresh combination of all that is held: writes its vector (`covered` bytes, then zeros) and its payload
   * (`payloadLength` bytes). Never a zero vector. Throws a CodecError when nothing is held (ERR_STATE) or a buffer is too short (ERR_LENGTH).
   */
  recode(vector: Uint8Array, payload: Uint8Array): void {
    if (vector.length < this.#covered) {
      throw new CodecError("ERR_LENGTH", "vector.length", vector.length, `at least ${this.#covered} bytes`);
    }
    if (payload.length < this.#longest) {
      throw new CodecError("ERR_LENGTH", "payload.length", payload.length, `at least ${this.#longest} bytes`);
    }
    const { arena, scratch } = this.#pool;
    this.recodeInto(this.#vector, scratch);
    vector.set(arena.view(this.#vector, this.#covered));
    vector.fill(0, this.#covered);
    payload.set(arena.view(scratch, this.#longest));
  }

  /** Like `recode`, into `covered` and `payloadLength` bytes of the arena. */
  recodeInto(vector: Pointer, payload: Pointer): void {
    const held = this.#held;
    if (held === 0) throw new CodecError("ERR_STATE", "rank", 0, "at least one symbol to recode");
    this.#drawWeights();
    this.#symbols.pad(0, held, this.#longest);
    this.#kernel.combine(vector, this.#vectorList, this.#weights, held, this.#covered);
    this.#kernel.combine(payload, this.#symbols.list, this.#weights, held, this.#longest);
  }

  /** Empties the recoder for another batch; its slots go back to the pool. */
  reset(): void {
    this.#symbols.clear();
    this.#tracker.reset();
    this.#held = 0;
    this.#covered = 0;
    this.#longest = 0;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    this.#symbols.clear();
    this.#region.release();
  }

  #count(verdict: Verdict): Verdict {
    this.counts[verdict]++;
    return verdict;
  }

  #nextVector(): Uint8Array {
    return this.#pool.arena.view(this.#vectors + this.#held * this.batchSize, this.batchSize).fill(0);
  }

  #keep(covered: number, payloadLength: number): Verdict {
    this.#tracker.add();
    this.#held++;
    this.#covered = Math.max(this.#covered, covered);
    this.#longest = Math.max(this.#longest, payloadLength);
    return this.#count("innovative");
  }

  /** Random weights, not all zero. */
  #drawWeights(): void {
    const { bytes } = this.#pool.arena;
    let any = 0;
    for (let i = 0; i < this.#held; i += 4) {
      const word = this.#random();
      if (!Number.isInteger(word)) throw new CodecError("ERR_RANGE", "random()", word, "a 32-bit whole number");
      for (let j = i; j < this.#held && j < i + 4; j++) {
        const weight = (word >>> (8 * (j - i))) & 255;
        bytes[this.#weights + j] = weight;
        any |= weight;
      }
    }
    if (any === 0) bytes[this.#weights] = 1;
  }
}

function randomlySeeded(): Random32 {
  return new TinyMt32(crypto.getRandomValues(new Uint32Array(1))[0]).random;
}

/** The length of a vector without the zeros at its end. */
function significantLength(vector: Uint8Array): number {
  let length = vector.length;
  while (length > 0 && vector[length - 1] === 0) length--;
  return length;
}
