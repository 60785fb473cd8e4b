/**
 * The source's side of the outer code: a rateless encoder for an object that is sent without feedback or to many receivers.
 * Any batch can be made at any time, by its id; a receiver needs any that together carry little more than the object.
 * Not here: which batches are sent, and how. Sources: Yang & Yeung 2014; RFC 9426.
 */
import { type Arena, sharedArena } from "../gf/index.ts";
import { BlockEncoder } from "./block-encoder.ts";
import { DEGREE_TABLES } from "./degree-tables.ts";
import { CodecError, checkInteger } from "./errors.ts";
import {
  checkParameters,
  OBJECT_BATCH_SIZES,
  type ObjectBlock,
  type ObjectParameters,
  partition,
  SYSTEMATIC,
  writeParameters,
} from "./object-parameters.ts";

export interface ObjectEncoderOptions {
  /** T, the length of every symbol, in bytes, 2 to 65535. Default 1350. */
  symbolSize?: number;
  /** M, coded symbols a batch: 8, 16, 32 or 64. Default 32. */
  batchSize?: number;
  /** Send the source symbols first, then coded batches. Default true. */
  systematic?: boolean;
  /** 32 bits that tell this object's symbols from another's. Default: random. */
  tag?: number;
  /** Where not systematic: the `id` of a degree table for this batch size. Default: the one for any channel. */
  degreeTable?: number;
  /** Where symbols live. Default: the arena that the process shares. */
  arena?: Arena;
}

/** The id of the degree table for any channel, which comes first of those for a batch size. Throws a CodecError for a batch size without one. */
function defaultDegreeTable(batchSize: number): number {
  const table = DEGREE_TABLES.find((candidate) => candidate.batchSize === batchSize);
  if (table === undefined) {
    throw new CodecError("ERR_RANGE", "batchSize", batchSize, `one of ${OBJECT_BATCH_SIZES.join(", ")}`);
  }
  return table.id;
}

export class ObjectEncoder {
  readonly parameters: ObjectParameters;
  /** The blocks of the object; batch `id` belongs to block id mod their number. */
  readonly blocks: readonly ObjectBlock[];
  readonly #arena: Arena;
  readonly #encoders: BlockEncoder[] = [];

  /**
   * Copies `data`, 1 byte and more, into the arena and computes the precode. Throws a CodecError for values out of range and an
   * ArenaFullError when the arena cannot grow that far.
   */
  constructor(data: Uint8Array, options: ObjectEncoderOptions = {}) {
    const { symbolSize = 1350, batchSize = 32, systematic = true, arena = sharedArena() } = options;
    const { tag = crypto.getRandomValues(new Uint32Array(1))[0], degreeTable = defaultDegreeTable(batchSize) } =
      options;
    this.parameters = {
      objectSize: data.length,
      symbolSize,
      batchSize,
      degreeTable: systematic ? SYSTEMATIC : degreeTable,
      tag,
    };
    checkParameters(this.parameters);
    if (!systematic && degreeTable === SYSTEMATIC) {
      throw new CodecError("ERR_RANGE", "degreeTable", degreeTable, "that of a table where systematic is false");
    }
    this.#arena = arena;
    // Allocating would make a view of the same arena stale.
    const bytes = data.buffer === arena.bytes.buffer ? data.slice() : data;
    this.blocks = partition(this.parameters);
    try {
      for (const { firstSymbol, symbols } of this.blocks) {
        const part = bytes.subarray(firstSymbol * symbolSize, (firstSymbol + symbols) * symbolSize);
        this.#encoders.push(new BlockEncoder(this.#arena, this.parameters, symbols, this.blocks.length, part));
      }
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** The parameter block, 20 bytes, that a receiver needs beside the symbols. */
  get parameterBlock(): Uint8Array {
    return writeParameters(this.parameters);
  }

  /** How many source symbols the object has, all blocks together. */
  get sourceSymbols(): number {
    return this.blocks.reduce((sum, { symbols }) => sum + symbols, 0);
  }

  /**
   * How many batches, from 0 on, it takes to send every source symbol once; 0 when not systematic. With several blocks of unequal
   * size the last of them may be coded batches already.
   */
  get sourceBatches(): number {
    return this.blocks.length * (this.#encoders[0]?.sourceBatches ?? 0);
  }

  /**
   * The symbols of batch `id`, 0 to 2^32 - 1, one after the other, T bytes each: M of them, except that a source batch holds
   * what is left of its block: symbol j is batch symbol j, with the unit vector j. Writes to the front of `out`, where
   * given (M x T bytes), and returns the part written. Throws a CodecError for an id out of range or an `out` too short.
   */
  batch(id: number, out?: Uint8Array): Uint8Array {
    checkInteger("id", id, 0, 0xffffffff);
    const { symbolSize, batchSize } = this.parameters;
    const target = out ?? new Uint8Array(batchSize * symbolSize);
    if (target.length < batchSize * symbolSize) {
      throw new CodecError("ERR_LENGTH", "out.length", target.length, `at least ${batchSize * symbolSize} bytes`);
    }
    const count = this.#encoders[id % this.blocks.length].batch(id, target);
    return target.subarray(0, count * symbolSize);
  }

  /** Gives all memory back; nothing may be called afterwards. */
  destroy(): void {
    for (const encoder of this.#encoders) encoder.destroy();
    this.#encoders.length = 0;
  }
}
