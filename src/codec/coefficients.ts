/**
 * The coefficients of repair symbols: which linear combination a (covered, seed) names. Not those of recoded symbols, which
 * carry theirs, nor of the outer code.
 *
 * Row `seed` of a Cauchy matrix, its columns scaled so that row 0 is all ones: coefficient i is
 * (64 XOR i) / ((64 + seed) XOR i) in GF(2^8), for i from 0 to covered - 1. Any square part of such a matrix is invertible, so
 * that any e repairs that cover the same symbols restore any e of them, where random coefficients fail once in 255 times;
 * and repair 0 is a plain XOR. (Bloemer et al., "An XOR-Based Erasure-Resilient Coding Scheme", ICSI TR-95-048, 1995.)
 */
import { type Arena, divide, type Pointer } from "../gf/index.ts";

/** The most source symbols a batch may have. */
export const MAX_BATCH_SIZE = 64;

/** How many different repairs a batch has; seeds run from 0 to this less one. */
export const REPAIR_SEEDS = 192;

const COEFFICIENTS = new Uint8Array(REPAIR_SEEDS * MAX_BATCH_SIZE);
for (let seed = 0; seed < REPAIR_SEEDS; seed++) {
  for (let i = 0; i < MAX_BATCH_SIZE; i++) {
    COEFFICIENTS[seed * MAX_BATCH_SIZE + i] = divide(64 ^ i, (64 + seed) ^ i);
  }
}

/** The coefficients of the repair `seed`, for 64 covered symbols; fewer covered symbols use as many from the front. */
export function repairCoefficients(seed: number): Uint8Array {
  return COEFFICIENTS.subarray(seed * MAX_BATCH_SIZE, (seed + 1) * MAX_BATCH_SIZE);
}

const tables = new WeakMap<Arena, Pointer>();

/** Where an arena holds the coefficients of all repairs: those of seed s at 64 s. Written on first use. */
export function repairTable(arena: Arena): Pointer {
  let table = tables.get(arena);
  if (table === undefined) {
    table = arena.allocate(COEFFICIENTS.length);
    arena.bytes.set(COEFFICIENTS, table);
    tables.set(arena, table);
  }
  return table;
}
