/**
 * A coded symbol of an object as it travels in a datagram or a file. Layout: docs/wire-format.md, "Object symbols". Not the
 * transport's packets, which carry symbols of live batches.
 */
import { CodecError, checkInteger } from "./errors.ts";
import type { ObjectParameters } from "./object-parameters.ts";

/** Bytes before the coefficient vector or the payload. */
export const OBJECT_SYMBOL_HEADER = 9;

/** What stands in place of the index when a vector follows. */
const RECODED = 255;

export interface ObjectSymbol {
  /** The object that it belongs to. */
  readonly tag: number;
  readonly batch: number;
  /** M coefficients, not all zero: which combination of the batch's symbols it is. */
  readonly vector: Uint8Array;
  /** T bytes. */
  readonly payload: Uint8Array;
}

/**
 * The bytes of a symbol of batch `batch`: its payload, and which it is: the index of a symbol that is as the source made it, or
 * the vector of a recoded one. Throws a CodecError for values out of range.
 */
export function writeObjectSymbol(
  { tag, batchSize, symbolSize }: ObjectParameters,
  batch: number,
  which: number | Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  checkInteger("batch", batch, 0, 0xffffffff);
  if (payload.length !== symbolSize) {
    throw new CodecError("ERR_LENGTH", "payload.length", payload.length, `${symbolSize} bytes`);
  }
  const vectorLength = typeof which === "number" ? 0 : which.length;
  if (typeof which === "number") checkInteger("index", which, 0, batchSize - 1);
  else if (vectorLength !== batchSize) {
    throw new CodecError("ERR_LENGTH", "vector.length", vectorLength, `${batchSize} bytes`);
  }
  const bytes = new Uint8Array(OBJECT_SYMBOL_HEADER + vectorLength + symbolSize);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, tag, true);
  view.setUint32(4, batch, true);
  if (typeof which === "number") bytes[8] = which;
  else {
    bytes[8] = RECODED;
    bytes.set(which, OBJECT_SYMBOL_HEADER);
  }
  bytes.set(payload, OBJECT_SYMBOL_HEADER + vectorLength);
  return bytes;
}

/** Reads such bytes; null when they cannot be a symbol of an object with these parameters but for its tag. */
export function readObjectSymbol({ batchSize, symbolSize }: ObjectParameters, bytes: Uint8Array): ObjectSymbol | null {
  if (bytes.length < OBJECT_SYMBOL_HEADER) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const index = bytes[8];
  const recoded = index === RECODED;
  const start = OBJECT_SYMBOL_HEADER + (recoded ? batchSize : 0);
  if (bytes.length !== start + symbolSize || (!recoded && index >= batchSize)) return null;
  const vector = recoded ? bytes.subarray(OBJECT_SYMBOL_HEADER, start) : new Uint8Array(batchSize);
  if (!recoded) vector[index] = 1;
  if (vector.every((element) => element === 0)) return null;
  return { tag: view.getUint32(0, true), batch: view.getUint32(4, true), vector, payload: bytes.subarray(start) };
}
