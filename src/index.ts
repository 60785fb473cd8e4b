/**
 * `bats-transport`: a network-coding transport after BATS codes. So far its foundations: `codec` (also
 * `bats-transport/codec`) and `gf` (also `bats-transport/gf`).
 */
export * as codec from "./codec/index.ts";
export * as gf from "./gf/index.ts";
