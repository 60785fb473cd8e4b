/**
 * The receiver's side of the outer code: takes coded symbols of an object in any order and number, recoded or not, tells
 * when it is complete and gives the data back.
 *
 * Decoding happens within the `add` that makes it possible and takes about 20 to 30 microseconds a source symbol: a block of
 * 65,000 symbols keeps its thread busy for seconds. Where that matters, decode in a worker.
 *
 * A code cannot detect corruption: one flipped bit in one symbol makes the whole object wrong. Authenticate symbols before they
 * come here, or compare a hash of the object after.
 */
import { type Arena, sharedArena } from "../gf/index.ts";
import { BlockDecoder, type DecodingStatistics } from "./block-decoder.ts";
import { CodecError } from "./errors.ts";
import {
  checkParameters,
  type ObjectBlock,
  type ObjectParameters,
  partition,
  readParameters,
} from "./object-parameters.ts";
import { readObjectSymbol } from "./object-symbol.ts";
import { OuterBatchGenerator } from "./outer-batch.ts";
import { precodeSizes } from "./precode.ts";
import { SymbolPool } from "./symbol-pool.ts";
import type { Verdict } from "./verdict.ts";

/** What a decoder says of an object's symbol: as of a batch's, or that it belongs to another object. */
export type ObjectVerdict = Exclude<Verdict, "inconsistent"> | "foreign";

export interface ObjectDecoderOptions {
  /** The largest object to accept, in bytes, for the parameters may come from the network. Default 1 GiB. */
  maximumObjectSize?: number;
  /** Where symbols live. Default: the arena that the process shares. */
  arena?: Arena;
}

export class ObjectDecoder {
  readonly parameters: ObjectParameters;
  /** What became of the symbols given. */
  readonly counts: Record<ObjectVerdict, number> = {
    innovative: 0,
    redundant: 0,
    invalid: 0,
    "no-memory": 0,
    foreign: 0,
  };
  readonly #pool: SymbolPool;
  readonly #blocks: readonly ObjectBlock[];
  /** Made when the first symbol of a block comes: parameters alone, which may be anybody's, cost no memory. */
  readonly #decoders: BlockDecoder[] = [];
  /** By a block's number of symbols, of which there are at most two. */
  readonly #generators: Map<number, OuterBatchGenerator> = new Map();
  #received = 0;
  readonly #unit: Uint8Array;
  #incomplete: number;

  /** `parameters` is the parameter block of 20 bytes, or what it says. Throws a CodecError when it is not one, or too large. */
  constructor(parameters: Uint8Array | ObjectParameters, options: ObjectDecoderOptions = {}) {
    const { maximumObjectSize = 2 ** 30, arena = sharedArena() } = options;
    this.parameters = parameters instanceof Uint8Array ? readParameters(parameters) : parameters;
    checkParameters(this.parameters);
    const { objectSize, symbolSize, batchSize } = this.parameters;
    if (objectSize > maximumObjectSize) {
      throw new CodecError("ERR_RANGE", "objectSize", objectSize, `at most ${maximumObjectSize} (maximumObjectSize)`);
    }
    this.#pool = new SymbolPool({ symbolSize, arena });
    this.#blocks = partition(this.parameters);
    this.#incomplete = this.#blocks.length;
    this.#unit = new Uint8Array(batchSize);
  }

  /** Whether the whole object is known. */
  get complete(): boolean {
    return this.#incomplete === 0;
  }

  /** Innovative symbols received, and how many source symbols there are: decoding succeeds at or shortly after as many. */
  get progress(): { received: number; needed: number } {
    const { objectSize, symbolSize } = this.parameters;
    return { received: this.#received, needed: Math.ceil(objectSize / symbolSize) };
  }

  /** What decoding each block took, once it is complete. */
  get statistics(): (DecodingStatistics | undefined)[] {
    return this.#blocks.map((_, block) => this.#decoders[block]?.statistics);
  }

  /**
   * Takes a coded symbol of batch `batch`: the index of a symbol as the source made it, or the vector (M bytes) of a recoded
   * one, and the payload (T bytes), which is copied.
   */
  add(batch: number, which: number | Uint8Array, payload: Uint8Array): ObjectVerdict {
    return this.#count(this.#add(batch, which, payload));
  }

  /** Takes the bytes of an object symbol as they travelled. */
  addBytes(bytes: Uint8Array): ObjectVerdict {
    const symbol = readObjectSymbol(this.parameters, bytes);
    if (symbol === null) return this.#count("invalid");
    if (symbol.tag !== this.parameters.tag) return this.#count("foreign");
    return this.add(symbol.batch, symbol.vector, symbol.payload);
  }

  /** A copy of the object. Throws a CodecError (ERR_STATE) unless complete. */
  data(): Uint8Array {
    const { objectSize, symbolSize } = this.parameters;
    if (!this.complete) throw new CodecError("ERR_STATE", "complete", false, "a complete object");
    const data = new Uint8Array(objectSize);
    let offset = 0;
    for (const block of this.#decoders) {
      for (let i = 0; i < block.symbols; i++) {
        block.copySymbol(i, data.subarray(offset, offset + symbolSize));
        offset += symbolSize;
      }
    }
    return data;
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const block of this.#decoders) block?.destroy();
    this.#decoders.length = 0;
    this.#pool.destroy();
  }

  #count(verdict: ObjectVerdict): ObjectVerdict {
    this.counts[verdict]++;
    return verdict;
  }

  #add(batch: number, which: number | Uint8Array, payload: Uint8Array): ObjectVerdict {
    const { symbolSize, batchSize } = this.parameters;
    if (!(Number.isInteger(batch) && batch >= 0 && batch <= 0xffffffff) || payload.length !== symbolSize)
      return "invalid";
    let vector = this.#unit;
    if (typeof which !== "number") {
      if (which.length !== batchSize || which.every((element) => element === 0)) return "invalid";
      vector = which;
    } else {
      if (!(Number.isInteger(which) && which >= 0 && which < batchSize)) return "invalid";
      vector.fill(0);
      vector[which] = 1;
    }
    const block = this.#decoder(batch % this.#blocks.length);
    if (block.complete) return "redundant";
    const verdict = block.add(batch, vector, payload);
    if (verdict === "innovative") this.#received++;
    if (block.complete) this.#incomplete--;
    return verdict as ObjectVerdict;
  }

  #decoder(block: number): BlockDecoder {
    const { symbols } = this.#blocks[block];
    let generator = this.#generators.get(symbols);
    if (generator === undefined) {
      generator = new OuterBatchGenerator(this.parameters, precodeSizes(symbols), this.#blocks.length);
      this.#generators.set(symbols, generator);
    }
    this.#decoders[block] ??= new BlockDecoder(this.#pool, this.parameters, generator);
    return this.#decoders[block];
  }
}
