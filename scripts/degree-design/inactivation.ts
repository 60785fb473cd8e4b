/**
 * A structural simulator of decoding: which symbols belief propagation reaches and how many it must inactivate, without
 * symbol data and without coefficients. Ranks are taken as generic: a batch of rank r is resolved as soon as at most r
 * of its symbols are undecided, and its spare equations go to the dense system. Not a decoder, and blind to the small
 * probability (about 1/255 at no surplus) with which the dense system over GF(256) is singular.
 *
 * The object: K source symbols, S LDPC symbols made as in RFC 6330, section 5.3.3.3 (each source symbol is in three of
 * the S rows, by circulants) and H symbols of dense rows that matter only in the final dense system; L = K + S + H in
 * all. A batch draws its distinct symbols uniformly from all L.
 */
import type { DegreeDistribution } from "./optimise.ts";
import type { Random } from "./random.ts";

export interface Precode {
  readonly sourceSymbols: number;
  readonly ldpcSymbols: number;
  readonly denseSymbols: number;
}

function isPrime(n: number): boolean {
  for (let factor = 2; factor * factor <= n; factor++) if (n % factor === 0) return false;
  return n > 1;
}

/** S as in RFC 5053, section 5.4.2.3: the least prime >= X + K / 100, with the least X for which X (X - 1) >= 2 K. */
export function precodeFor(sourceSymbols: number, denseSymbols = 12): Precode {
  let x = 1;
  while (x * (x - 1) < 2 * sourceSymbols) x++;
  let ldpcSymbols = Math.ceil(0.01 * sourceSymbols) + x;
  while (!isPrime(ldpcSymbols)) ldpcSymbols++;
  return { sourceSymbols, ldpcSymbols, denseSymbols };
}

/** The symbols of each LDPC row: its source symbols by circulants, and its own LDPC symbol, K + row. */
export function ldpcRows({ sourceSymbols: k, ldpcSymbols: s }: Precode): number[][] {
  const rows = Array.from({ length: s }, (_, row) => [k + row]);
  for (let i = 0; i < k; i++) {
    const a = 1 + Math.floor(i / s);
    for (let j = 0; j < 3; j++) {
      const row = rows[(i + j * a) % s];
      // Where a is a multiple of S the three rows coincide and the symbol is in one.
      if (row.at(-1) !== i) row.push(i);
    }
  }
  return rows;
}

/**
 * 2^16 divided by the golden ratio, odd: the multiples of this modulo 2^16 fill the circle evenly at every length, so
 * that any run of batch ids has nearly the degrees that the distribution promises.
 */
export const GOLDEN = 40503;

/** The first index whose cumulative weight exceeds the fraction `at` of all weight, 0 <= at < 1. */
export function pick(cumulative: readonly number[], at: number): number {
  const target = at * cumulative[cumulative.length - 1];
  let i = 0;
  while (cumulative[i] <= target) i++;
  return i;
}

/** Running sums. */
export function accumulate(weights: readonly number[]): number[] {
  let sum = 0;
  return weights.map((weight) => (sum += weight));
}

/** `count` distinct whole numbers below `n`. */
export function drawDistinct(count: number, n: number, random: Random): number[] {
  if (2 * count >= n) {
    const all = Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      const j = i + random.below(n - i);
      const swapped = all[i];
      all[i] = all[j];
      all[j] = swapped;
    }
    return all.slice(0, count);
  }
  const chosen = new Set<number>();
  while (chosen.size < count) chosen.add(random.below(n));
  return [...chosen];
}

export interface DecodingRun {
  /** Symbols inactivated, among them those that no equation outside the dense rows reaches. */
  readonly inactivations: number;
  /**
   * Equations that the dense system lacks: about as many coded symbols more must be received. It lacks some when
   * batches were resolved with rank to spare before enough symbols had been inactivated to spend it on.
   */
  readonly deficit: number;
  /** Symbols that no batch and no LDPC row reaches: the dense rows must supply them, and H is the most they can. */
  readonly unreached: number;
  /** Batches received. */
  readonly batches: number;
  /** Edges between batches and symbols, divided by the number of batches. */
  readonly meanDegree: number;
  /** Received rank lost because a batch has more rank than symbols, as a fraction of K. */
  readonly wastedRank: number;
}

export interface DecodingOptions {
  readonly precode: Precode;
  readonly distribution: DegreeDistribution;
  readonly rankDistribution: readonly number[];
  readonly random: Random;
  /** How a batch comes to its degree: drawn on its own, or from GOLDEN times its id. Default "golden". */
  readonly degrees?: "golden" | "random";
}

/**
 * Receives batches until their useful rank (the lesser of rank and degree) is K, the last batch cut to make it exactly
 * that, then decodes: belief propagation, and where that halts, inactivates a symbol of the batch whose undecided
 * degree exceeds its rank by least (of equal ones the larger).
 */
export function simulateDecoding(options: DecodingOptions): DecodingRun {
  const { precode, distribution, rankDistribution, random } = options;
  const { sourceSymbols, ldpcSymbols, denseSymbols } = precode;
  const total = sourceSymbols + ldpcSymbols + denseSymbols;
  const degreeCumulative = accumulate(distribution.probabilities);
  const rankCumulative = accumulate(rankDistribution);
  const golden = options.degrees !== "random";

  const members: number[][] = ldpcRows(precode);
  const ranks: number[] = new Array<number>(ldpcSymbols).fill(1);
  let id = random.below(65536);
  let innovative = 0;
  let wasted = 0;
  let edges = 0;
  while (innovative < sourceSymbols) {
    const at = golden ? ((GOLDEN * id++) & 0xffff) / 65536 : random.unit();
    const degree = Math.min(distribution.degrees[pick(degreeCumulative, at)], total);
    const received = pick(rankCumulative, random.unit());
    const rank = Math.min(degree, received, sourceSymbols - innovative);
    innovative += rank;
    wasted += received - Math.min(received, degree);
    edges += degree;
    members.push(drawDistinct(degree, total, random));
    ranks.push(rank);
  }

  const equations = members.length;
  const batches = equations - ldpcSymbols;
  const memberships: number[][] = Array.from({ length: total }, () => []);
  for (let e = 0; e < equations; e++) for (const symbol of members[e]) memberships[symbol].push(e);
  const undecided = new Int32Array(equations);
  for (let e = 0; e < equations; e++) undecided[e] = members[e].length;
  const resolved = new Uint8Array(equations);
  const decided = new Uint8Array(total);
  const ready: number[] = [];
  for (let e = 0; e < equations; e++) if (undecided[e] <= ranks[e]) ready.push(e);

  function decide(symbol: number): void {
    decided[symbol] = 1;
    for (const e of memberships[symbol]) {
      if (--undecided[e] === ranks[e] && resolved[e] === 0) ready.push(e);
    }
  }

  let inactivations = 0;
  let denseRank = 0;
  let left = total;
  for (;;) {
    for (let e = ready.pop(); e !== undefined; e = ready.pop()) {
      if (resolved[e] === 1) continue;
      resolved[e] = 1;
      // What the batch says beyond its undecided symbols, it says of the symbols inactivated so far.
      denseRank = Math.min(denseRank + ranks[e] - undecided[e], inactivations);
      for (const symbol of members[e]) {
        if (decided[symbol] === 0) {
          decide(symbol);
          left--;
        }
      }
    }
    if (left === 0) break;
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    for (let e = 0; e < equations; e++) {
      if (resolved[e] === 1 || ranks[e] === 0) continue;
      const gap = undecided[e] - ranks[e];
      if (gap < bestGap || (gap === bestGap && undecided[e] > undecided[best])) {
        best = e;
        bestGap = gap;
      }
    }
    if (best < 0) break;
    // Which of its symbols does not matter: until it is resolved the same batch stays the one with the smallest gap.
    decide(members[best].find((symbol) => decided[symbol] === 0)!);
    left--;
    inactivations++;
  }
  return {
    inactivations: inactivations + left,
    deficit: Math.max(0, inactivations + left - denseRank - denseSymbols),
    unreached: left,
    batches,
    meanDegree: edges / batches,
    wastedRank: wasted / sourceSymbols,
  };
}
