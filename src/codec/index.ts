/** `bats-transport/codec`: BATS codes. The inner code for live connections, the outer code for objects. */

export { BatchDecoder } from "./batch-decoder.ts";
export { BatchEncoder, type BatchOptions } from "./batch-encoder.ts";
export { BatchRecoder, type Random32, type RecoderOptions } from "./batch-recoder.ts";
export { MAX_BATCH_SIZE, REPAIR_SEEDS, repairCoefficients } from "./coefficients.ts";
export { CodecError, type CodecErrorCode } from "./errors.ts";
export { LENGTH_BYTES, MAX_SYMBOL_BYTES, SymbolPool, type SymbolPoolOptions } from "./symbol-pool.ts";
export { TinyMt32 } from "./tinymt32.ts";
export type { Verdict, VerdictCounts } from "./verdict.ts";
