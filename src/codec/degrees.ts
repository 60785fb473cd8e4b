/**
 * How many intermediate symbols a batch combines: by a table, or by a rule in a systematic object. The tables are in
 * `degree-tables.ts`; how they and the rule were chosen is in docs/degree-distributions.md.
 */

/**
 * A distribution of the number of intermediate symbols in a batch. Degrees above L, the number there is, mean L.
 * Batch i is best given the degree at i * 40503 mod 65536 (see `degreeOf`): that takes a fourth off the inactivations
 * that independent draws cost, and most of their spread.
 */
export interface DegreeTable {
  /** Names the table on the wire; never reused. */
  readonly id: number;
  /** M: coded symbols a batch. */
  readonly batchSize: number;
  /**
   * What it is for: "mixed" for any channel, the one to use where nothing is known; "lossy" where the mean rank of a
   * batch is at most 0.87 M (two hops of 10 %), "poor" where it is at most 0.81 M (three of 13 %). On a worse channel
   * than that a table only costs more inactivations; on a better one it costs surplus symbols.
   */
  readonly channel: string;
  /** Ascending. */
  readonly degrees: readonly number[];
  /** cumulative[i] / 65536 is the probability of a degree up to degrees[i]. The last is 65536. */
  readonly cumulative: readonly number[];
}

/** The degree at a point from 0 to 65535 of a table's cumulative distribution. */
export function degreeAt(table: DegreeTable, point: number): number {
  let i = 0;
  while (table.cumulative[i] <= point) i++;
  return table.degrees[i];
}

/** The degree of batch `id`: low-discrepancy points, so that any run of ids has nearly the degrees promised. */
export function degreeOf(table: DegreeTable, id: number): number {
  return degreeAt(table, Math.imul(40503, id) & 0xffff);
}

/**
 * The degree of coded batch `index`, from 0, of an object whose source symbols were sent first: of `intermediate`
 * symbols, `parity` = S + H of them never sent. No table, for the best degree follows how much is missing, and
 * whoever still needs batch `index` misses about M times index symbols: each batch then reaches about 5/4 M unknown
 * ones. Every fourth batch starts again at half the first degree, for receivers that lost the first ones.
 */
export function systematicDegree(index: number, batchSize: number, parity: number, intermediate: number): number {
  const falling = Math.ceil((5 * intermediate * batchSize) / (4 * (batchSize * index + parity)));
  const again = Math.ceil((5 * intermediate * batchSize) / (8 * (batchSize * (index % 4) + parity)));
  return Math.min(intermediate, Math.max(batchSize, falling, again));
}
