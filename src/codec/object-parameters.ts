/**
 * What a receiver has to know of an object before it can decode: the parameter block, its bytes and its limits, and how an
 * object splits into blocks. Layout: docs/wire-format.md, "Object parameters".
 */
import { DEGREE_TABLES } from "./degree-tables.ts";
import type { DegreeTable } from "./degrees.ts";
import { CodecError, checkInteger } from "./errors.ts";

/** The version of the outer code that this library speaks. */
export const OBJECT_VERSION = 1;

/** Bytes of a parameter block. */
export const PARAMETER_BYTES = 20;

/** The most source symbols of a block; a larger object has several blocks. */
export const MAX_BLOCK_SYMBOLS = 65_000;

/** The largest object, in bytes: 1 TiB. What memory allows is less. */
export const MAX_OBJECT_BYTES = 2 ** 40;

/** The batch sizes that there are degree tables for. */
export const OBJECT_BATCH_SIZES: readonly number[] = [...new Set(DEGREE_TABLES.map(({ batchSize }) => batchSize))].sort(
  (a, b) => a - b,
);

/** The degree table's id that stands for a systematic object: source symbols first, then degrees by `systematicDegree`. */
export const SYSTEMATIC = 0;

export interface ObjectParameters {
  /** The object's length, in bytes, 1 to 2^40. */
  readonly objectSize: number;
  /** T, the length of every symbol, in bytes, 2 to 65535. */
  readonly symbolSize: number;
  /** M, coded symbols a batch: 8, 16, 32 or 64. */
  readonly batchSize: number;
  /**
   * The `id` of a table in `DEGREE_TABLES`, for this batch size; or 0, systematic: the first batches are the source symbols
   * themselves, and the degrees of the others follow a rule.
   */
  readonly degreeTable: number;
  /** 32 bits that tell this object's symbols from another's, and seed its batches. */
  readonly tag: number;
}

/** A run of source symbols that is coded by itself. */
export interface ObjectBlock {
  /** Index of its first source symbol in the object. */
  readonly firstSymbol: number;
  /** K, how many source symbols it has. */
  readonly symbols: number;
}

/** The degree table with an id. Throws a CodecError when there is none for the batch size. */
export function degreeTable(id: number, batchSize: number): DegreeTable {
  const table = DEGREE_TABLES.find((candidate) => candidate.id === id);
  if (table === undefined || table.batchSize !== batchSize) {
    const ids = DEGREE_TABLES.filter((candidate) => candidate.batchSize === batchSize).map((candidate) => candidate.id);
    throw new CodecError(
      "ERR_RANGE",
      "degreeTable",
      id,
      `0 (systematic) or one for M = ${batchSize}: ${ids.join(", ")}`,
    );
  }
  return table;
}

/** Throws a CodecError that names the first field out of range. */
export function checkParameters(parameters: ObjectParameters): void {
  const { objectSize, symbolSize, batchSize, degreeTable: table, tag } = parameters;
  checkInteger("objectSize", objectSize, 1, MAX_OBJECT_BYTES);
  checkInteger("symbolSize", symbolSize, 2, 65535);
  if (!OBJECT_BATCH_SIZES.includes(batchSize)) {
    throw new CodecError("ERR_RANGE", "batchSize", batchSize, `one of ${OBJECT_BATCH_SIZES.join(", ")}`);
  }
  checkInteger("tag", tag, 0, 0xffffffff);
  if (table !== SYSTEMATIC) degreeTable(table, batchSize);
  const blocks = Math.ceil(Math.ceil(objectSize / symbolSize) / MAX_BLOCK_SYMBOLS);
  if (blocks > 65536) {
    throw new CodecError("ERR_RANGE", "symbolSize", symbolSize, `at least ${Math.ceil(objectSize / 65536 / 65000)}`);
  }
}

/** The blocks of an object, of near-equal size, the larger ones first (RFC 6330, section 4.4.1.2, Partition). */
export function partition({ objectSize, symbolSize }: ObjectParameters): ObjectBlock[] {
  const total = Math.ceil(objectSize / symbolSize);
  const count = Math.ceil(total / MAX_BLOCK_SYMBOLS);
  const small = Math.floor(total / count);
  const larger = total - small * count;
  return Array.from({ length: count }, (_, block) => ({
    firstSymbol: block * small + Math.min(block, larger),
    symbols: small + (block < larger ? 1 : 0),
  }));
}

/** The 20 bytes of a parameter block. Throws a CodecError for values out of range. */
export function writeParameters(parameters: ObjectParameters): Uint8Array {
  checkParameters(parameters);
  const bytes = new Uint8Array(PARAMETER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, OBJECT_VERSION);
  view.setUint8(2, parameters.batchSize);
  view.setUint8(3, parameters.degreeTable);
  view.setUint16(4, parameters.symbolSize, true);
  view.setBigUint64(8, BigInt(parameters.objectSize), true);
  view.setUint32(16, parameters.tag, true);
  return bytes;
}

/**
 * Reads a parameter block. Throws a CodecError when it is truncated or too long (ERR_LENGTH), of another version or with
 * reserved bytes in use (ERR_FORMAT), or out of range (ERR_RANGE).
 */
export function readParameters(bytes: Uint8Array): ObjectParameters {
  if (bytes.length !== PARAMETER_BYTES) {
    throw new CodecError("ERR_LENGTH", "parameters.length", bytes.length, `${PARAMETER_BYTES} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint8(0);
  if (version !== OBJECT_VERSION) throw new CodecError("ERR_FORMAT", "version", version, `${OBJECT_VERSION}`);
  const reserved = view.getUint8(1) | view.getUint16(6, true);
  if (reserved !== 0) throw new CodecError("ERR_FORMAT", "reserved", reserved, "0");
  const parameters = {
    objectSize: Number(view.getBigUint64(8, true)),
    symbolSize: view.getUint16(4, true),
    batchSize: view.getUint8(2),
    degreeTable: view.getUint8(3),
    tag: view.getUint32(16, true),
  };
  checkParameters(parameters);
  return parameters;
}
