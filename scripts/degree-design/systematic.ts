/**
 * A simulator of systematic use: the source symbols travel as they are, the receiver misses a random fraction of them,
 * and coded batches, which draw their symbols from all L intermediate symbols, must supply the rest. Counts the coded
 * symbols that a maximum-likelihood decoder needs beyond the number of missing source symbols, by real elimination over
 * GF(256) on coefficients; no symbol data. The precode is systematic too: source symbols are intermediate symbols, LDPC
 * symbols are sums and dense symbols random combinations of them, and none of those is ever sent.
 */
import { INVERSE, PRODUCT } from "../../src/gf/tables.ts";
import { accumulate, drawDistinct, ldpcRows, type Precode, pick } from "./inactivation.ts";
import type { Random } from "./random.ts";

/** Rows in echelon form over GF(256), added one at a time. */
export class Elimination {
  readonly #columns: number;
  readonly #pivots: (Uint8Array | undefined)[];
  rank = 0;

  constructor(columns: number) {
    this.#columns = columns;
    this.#pivots = new Array<Uint8Array | undefined>(columns).fill(undefined);
  }

  /** Adds a row, which it overwrites and keeps. Says whether the row was innovative. */
  add(row: Uint8Array): boolean {
    for (let column = 0; column < this.#columns; column++) {
      if (row[column] === 0) continue;
      const pivot = this.#pivots[column];
      if (pivot === undefined) {
        const scale = INVERSE[row[column]] << 8;
        for (let i = column; i < this.#columns; i++) row[i] = PRODUCT[scale | row[i]];
        this.#pivots[column] = row;
        this.rank++;
        return true;
      }
      const factor = row[column] << 8;
      for (let i = column; i < this.#columns; i++) row[i] ^= PRODUCT[factor | pivot[i]];
    }
    return false;
  }
}

export interface SystematicOptions {
  readonly precode: Precode;
  /** The degree of coded batch `index`, from 0. */
  readonly degree: (index: number) => number;
  readonly rankDistribution: readonly number[];
  /** The fraction of source symbols that the receiver misses. */
  readonly missing: number;
  /** How many coded batches, from the first, were lost altogether. Default 0. */
  readonly firstLost?: number;
  readonly random: Random;
}

export interface SystematicRun {
  /** Coded symbols needed beyond the number of missing source symbols, each innovative in its batch. */
  readonly surplus: number;
  /** Edges between batches and symbols, divided by the number of batches. */
  readonly meanDegree: number;
}

/** Receives coded batches, symbol by symbol, until all missing source symbols can be solved. */
export function simulateSystematic(options: SystematicOptions): SystematicRun {
  const { precode, rankDistribution, missing, random, firstLost = 0 } = options;
  const { sourceSymbols, ldpcSymbols, denseSymbols } = precode;
  const total = sourceSymbols + ldpcSymbols + denseSymbols;
  const ranks = accumulate(rankDistribution);
  const lost = drawDistinct(Math.round(missing * sourceSymbols), sourceSymbols, random);
  // The column of each unknown symbol; -1 where it is known.
  const columns = new Int32Array(total).fill(-1);
  let unknown = 0;
  for (const symbol of lost) columns[symbol] = unknown++;
  for (let symbol = sourceSymbols; symbol < total; symbol++) columns[symbol] = unknown++;

  const elimination = new Elimination(unknown);
  for (const symbols of ldpcRows(precode)) {
    const row = new Uint8Array(unknown);
    for (const symbol of symbols) if (columns[symbol] >= 0) row[columns[symbol]] = 1;
    elimination.add(row);
  }
  for (let dense = 0; dense < denseSymbols; dense++) {
    const row = new Uint8Array(unknown);
    for (let symbol = 0; symbol < sourceSymbols + ldpcSymbols; symbol++) {
      if (columns[symbol] >= 0) row[columns[symbol]] = random.below(256);
    }
    row[columns[sourceSymbols + ldpcSymbols + dense]] = 1;
    elimination.add(row);
  }
  let received = 0;
  let batches = 0;
  let edges = 0;
  while (elimination.rank < unknown) {
    const degree = Math.min(total, options.degree(firstLost + batches));
    const members = drawDistinct(degree, total, random)
      .map((symbol) => columns[symbol])
      .filter((column) => column >= 0);
    const rank = Math.min(pick(ranks, random.unit()), degree);
    batches++;
    edges += degree;
    for (let i = 0; i < rank && elimination.rank < unknown; i++) {
      const row = new Uint8Array(unknown);
      for (const column of members) row[column] = random.below(256);
      elimination.add(row);
      received++;
    }
  }
  return { surplus: received - lost.length, meanDegree: edges / Math.max(batches, 1) };
}
