/** `bats-transport/gf`: GF(2^8) arithmetic, scalar and on rows of bytes in WebAssembly memory. */
export { Arena, ArenaFullError, type ArenaOptions, sharedArena } from "./arena.ts";
export type { Kernel, KernelChoice, Pointer } from "./kernel.ts";
export { invert, rank, reduce, solve } from "./matrix.ts";
export { Region } from "./region.ts";
export { simdSupported } from "./simd-kernel.ts";
export { divide, EXP, INVERSE, inverse, LOG, multiply, POLYNOMIAL, PRODUCT, power } from "./tables.ts";
