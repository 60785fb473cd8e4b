/**
 * The rank distribution of a batch: with which probability h_r the transfer matrix that the receiver sees has rank r.
 * Exact, for a line of hops: the source sends the M coded symbols of a batch, each hop loses packets independently, and
 * each intermediate node sends M random linear combinations over GF(q) of what it received.
 *
 * Source: S. Yang and R. W. Yeung, "Batched Sparse Codes", IEEE Trans. Inform. Theory 60(9), 2014, for the
 * coefficients zeta and the effective rank distribution.
 */

/** A line of hops, by the loss probability of each. */
export interface Channel {
  readonly name: string;
  readonly losses: readonly number[];
}

/** The channel of `hops` hops that each lose a packet with probability `loss`. */
export function line(hops: number, loss: number): Channel {
  return {
    name: `${hops} ${hops === 1 ? "hop" : "hops"}, ${+(100 * loss).toFixed(3)} % loss each`,
    losses: new Array<number>(hops).fill(loss),
  };
}

/**
 * zeta_r^m, the product of 1 - q^(i - m) for i from 0 to r - 1: the probability that a random r x m matrix over GF(q),
 * r <= m, has rank r.
 */
export function zeta(r: number, m: number, q = 256): number {
  let product = 1;
  for (let i = 0; i < r; i++) product *= 1 - q ** (i - m);
  return product;
}

/** The probability that a random m x n matrix over GF(q) has rank r. */
export function randomRankProbability(r: number, m: number, n: number, q = 256): number {
  if (r > Math.min(m, n)) return 0;
  return (zeta(r, m, q) * zeta(r, n, q)) / (zeta(r, r, q) * q ** ((m - r) * (n - r)));
}

/** The probabilities of 0 to n successes in n trials. */
export function binomial(n: number, success: number): number[] {
  let row = [1];
  for (let trial = 0; trial < n; trial++) {
    const next = new Array<number>(trial + 2).fill(0);
    for (let k = 0; k <= trial; k++) {
      next[k] += row[k] * (1 - success);
      next[k + 1] += row[k] * success;
    }
    row = next;
  }
  return row;
}

/** h_0 to h_M after all hops of `channel`. The first hop carries the coded symbols themselves and so draws nothing. */
export function rankDistribution(batchSize: number, channel: Channel, q = 256): number[] {
  let h = new Array<number>(batchSize + 1).fill(0);
  h[batchSize] = 1;
  for (const [hop, loss] of channel.losses.entries()) {
    const received = binomial(batchSize, 1 - loss);
    if (hop === 0) {
      h = received;
      continue;
    }
    const next = new Array<number>(batchSize + 1).fill(0);
    for (let before = 0; before <= batchSize; before++) {
      for (let n = 0; n <= batchSize; n++) {
        const weight = h[before] * received[n];
        if (weight === 0) continue;
        for (let r = 0; r <= Math.min(before, n); r++) next[r] += weight * randomRankProbability(r, before, n, q);
      }
    }
    h = next;
  }
  return h;
}

/** The mean of a distribution over 0, 1, 2, ... */
export function meanOf(distribution: readonly number[]): number {
  let mean = 0;
  for (const [value, probability] of distribution.entries()) mean += value * probability;
  return mean;
}

/**
 * hbar_1 to hbar_M, at index r: the probability that a batch whose undecoded degree falls one by one becomes decodable
 * exactly at degree r; the sum over s >= r of zeta_r^s / q^(s - r) h_s.
 */
export function effectiveRankDistribution(h: readonly number[], q = 256): number[] {
  const effective = new Array<number>(h.length).fill(0);
  for (let r = 1; r < h.length; r++) {
    for (let s = r; s < h.length; s++) effective[r] += (zeta(r, s, q) / q ** (s - r)) * h[s];
  }
  return effective;
}
