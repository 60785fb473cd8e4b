/** `bats-transport/codec`: BATS codes. The inner code for live connections, the outer code for objects. */

export { BatchDecoder } from "./batch-decoder.ts";
export { BatchEncoder, type BatchOptions } from "./batch-encoder.ts";
export { BatchRecoder, type Random32, type RecoderOptions } from "./batch-recoder.ts";
export type { DecodingStatistics } from "./block-decoder.ts";
export { MAX_BATCH_SIZE, REPAIR_SEEDS, repairCoefficients } from "./coefficients.ts";
export { DEGREE_TABLES } from "./degree-tables.ts";
export type { DegreeTable } from "./degrees.ts";
export { CodecError, type CodecErrorCode } from "./errors.ts";
export { ObjectDecoder, type ObjectDecoderOptions, type ObjectVerdict } from "./object-decoder.ts";
export { ObjectEncoder, type ObjectEncoderOptions } from "./object-encoder.ts";
export {
  OBJECT_BATCH_SIZES,
  type ObjectBlock,
  type ObjectParameters,
  PARAMETER_BYTES,
  readParameters,
  writeParameters,
} from "./object-parameters.ts";
export { OBJECT_SYMBOL_HEADER, type ObjectSymbol, readObjectSymbol, writeObjectSymbol } from "./object-symbol.ts";
export { LENGTH_BYTES, MAX_SYMBOL_BYTES, SymbolPool, type SymbolPoolOptions } from "./symbol-pool.ts";
export { TinyMt32 } from "./tinymt32.ts";
export type { Verdict, VerdictCounts } from "./verdict.ts";
