/**
 * Degree distributions by linear programming: the problem (P1) of S. Yang and R. W. Yeung, "Batched Sparse Codes", IEEE
 * Trans. Inform. Theory 60(9), 2014: maximise theta subject to
 *
 *   Omega(x; Psi) + theta ln(1 - x) >= 0 for 0 <= x <= eta,  sum of Psi_d = 1,  Psi_d >= 0,
 *   Omega(x; Psi) = sum_d d Psi_d sum_r hbar_r I_{d-r,r}(x),  I = 1 where d <= r.
 *
 * Belief propagation then recovers a fraction eta of the symbols from theta symbols a batch. I_{d-r,r}(x) is the
 * probability that of the d - 1 other symbols of a batch at most r - 1 are undecoded when each is decoded with
 * probability x.
 *
 * For several channels at once the constraint is imposed for each, with theta the same fraction of each mean rank, and
 * that fraction is maximised, as the paper does for several destinations.
 *
 * For finite length the constraint can be tightened to ln(1 - x - c sqrt((1 - x) / K)): A. Shokrollahi, "Raptor codes",
 * IEEE Trans. Inform. Theory 52(6), 2006, who asks that the expected ripple stays c times above its
 * standard deviation, as if symbols entered and left it at random.
 */
import highs from "highs";
import { effectiveRankDistribution, meanOf } from "./rank-distribution.ts";

export interface OptimiseOptions {
  /** The rank distribution h_0 to h_M, or several of one M that one distribution of degrees is to serve. */
  readonly rankDistributions: readonly (readonly number[])[];
  /** The fraction of symbols that belief propagation is to recover; the precode and inactivation see to the rest. */
  readonly eta: number;
  /** The largest degree. Default: ceil(M / (1 - eta)) - 1, above which a degree cannot help, as the paper shows. */
  readonly maximumDegree?: number;
  /** The least degree. Default 1. */
  readonly minimumDegree?: number;
  /** The c and K of the tightened constraint. Default: not tightened. */
  readonly slack?: { readonly c: number; readonly sourceSymbols: number };
  /** What a unit of mean degree costs in units of the fraction. Default 0. */
  readonly degreePenalty?: number;
  /** Number of points at which the constraint is imposed. Default 300. */
  readonly points?: number;
}

export interface DegreeDistribution {
  readonly degrees: readonly number[];
  readonly probabilities: readonly number[];
}

export interface Optimum extends DegreeDistribution {
  /**
   * The programme's theta as a fraction of each channel's mean rank. The constraint may miss it slightly between the
   * programme's points: see `achievedTheta`.
   */
  readonly fraction: number;
}

/**
 * The sum over r of hbar_r I_{d-r,r}(x): the probability that a symbol of a batch of degree `degree` can be decoded
 * from it when every other symbol is decoded with probability `x`. `effective` is hbar, 0 <= x < 1.
 */
export function decodable(degree: number, x: number, effective: readonly number[]): number {
  const trials = degree - 1;
  const logKnown = Math.log(x);
  const logUnknown = Math.log1p(-x);
  let logChoose = 0;
  let cumulative = 0;
  let sum = 0;
  for (let r = 1; r < effective.length; r++) {
    const unknown = r - 1;
    if (unknown > trials) cumulative = 1;
    else {
      if (unknown > 0) logChoose += Math.log((trials - unknown + 1) / unknown);
      const known = trials - unknown;
      cumulative += Math.exp(logChoose + unknown * logUnknown + (known === 0 ? 0 : known * logKnown));
    }
    sum += effective[r] * Math.min(cumulative, 1);
  }
  return sum;
}

/** I_{a,b}(x), the regularised incomplete beta function, for whole a, b >= 1. */
export function incompleteBeta(a: number, b: number, x: number): number {
  const effective = new Array<number>(b + 1).fill(0);
  effective[b] = 1;
  return x >= 1 ? 1 : decodable(a + b, x, effective);
}

/** Omega(x; Psi). `effective` is hbar. */
export function omega(x: number, distribution: DegreeDistribution, effective: readonly number[]): number {
  let sum = 0;
  for (const [i, degree] of distribution.degrees.entries()) {
    sum += degree * distribution.probabilities[i] * decodable(degree, x, effective);
  }
  return sum;
}

/** -ln(1 - x), or with slack -ln(1 - x - c sqrt((1 - x) / K)); Infinity where the slack leaves nothing. */
export function demand(x: number, slack?: OptimiseOptions["slack"]): number {
  const spare = slack === undefined ? 0 : slack.c * Math.sqrt((1 - x) / slack.sourceSymbols);
  const left = 1 - x - spare;
  return left <= 0 ? Number.POSITIVE_INFINITY : -Math.log(left);
}

/** `points` values of x from 0 to eta, evenly spaced in -ln(1 - x) and in x in turn, so denser near eta. */
export function grid(eta: number, points: number): number[] {
  const half = Math.ceil(points / 2);
  const xs = new Set<number>();
  for (let i = 0; i <= half; i++) {
    xs.add((eta * i) / half);
    xs.add(1 - (1 - eta) ** (i / half));
  }
  return [...xs].filter((x) => x <= eta).sort((a, b) => a - b);
}

/** The largest theta for which the constraint holds at `points` points up to eta. */
export function achievedTheta(
  distribution: DegreeDistribution,
  effective: readonly number[],
  eta: number,
  slack?: OptimiseOptions["slack"],
  points = 1000,
): number {
  let theta = Number.POSITIVE_INFINITY;
  for (const x of grid(eta, points)) {
    const wanted = demand(x, slack);
    if (wanted > 0) theta = Math.min(theta, omega(x, distribution, effective) / wanted);
  }
  return theta;
}

/** Every degree up to 1.25 M, then ever wider steps of about 3 %. */
function candidateDegrees(minimum: number, maximum: number, batchSize: number): number[] {
  const degrees: number[] = [];
  let degree = minimum;
  while (degree < maximum) {
    degrees.push(degree);
    degree = degree < 1.25 * batchSize ? degree + 1 : Math.max(degree + 1, Math.round(degree * 1.03));
  }
  degrees.push(maximum);
  return degrees;
}

// The package is CommonJS to TypeScript and an ES module to Node.
const loadHighs = highs as unknown as typeof highs.default;
let solver: ReturnType<typeof loadHighs> | undefined;

/**
 * Solves (P1), tightened, for several channels and with a price on degree if `options` say so. Throws an Error when
 * HiGHS finds no optimum.
 */
export async function optimise(options: OptimiseOptions): Promise<Optimum> {
  const { rankDistributions, eta, slack, degreePenalty = 0, points = 300, minimumDegree = 1 } = options;
  const batchSize = rankDistributions[0].length - 1;
  const { maximumDegree = Math.ceil(batchSize / (1 - eta)) - 1 } = options;
  const candidates = candidateDegrees(minimumDegree, maximumDegree, batchSize);
  // The variables are w_d = d Psi_d and theta as a fraction of the mean rank: coefficients are of the order of 1, and
  // HiGHS gives up on some programmes in Psi_d and theta themselves.
  const rows: string[] = [];
  for (const [channel, h] of rankDistributions.entries()) {
    const mean = meanOf(h);
    const effective = effectiveRankDistribution(h);
    for (const [i, x] of grid(eta, points).entries()) {
      const wanted = mean * demand(x, slack);
      if (wanted === 0 || wanted === Number.POSITIVE_INFINITY) continue;
      const terms: string[] = [];
      for (const degree of candidates) {
        const coefficient = decodable(degree, x, effective);
        if (coefficient > 1e-9) terms.push(`+ ${coefficient.toPrecision(12)} w${degree}`);
      }
      rows.push(` c${channel}x${i}: ${terms.join(" ")} - ${wanted.toPrecision(12)} fraction >= 0`);
    }
  }
  const price = degreePenalty === 0 ? "" : candidates.map((d) => `- ${degreePenalty} w${d}`).join(" ");
  const programme = [
    "Maximize",
    ` rate: fraction ${price}`,
    "Subject To",
    ...rows,
    ` total: ${candidates.map((d) => `+ ${(1 / d).toPrecision(12)} w${d}`).join(" ")} = 1`,
    "End",
  ].join("\n");
  solver ??= loadHighs();
  const solution = (await solver).solve(programme);
  if (solution.Status !== "Optimal") {
    throw new Error(`HiGHS says ${solution.Status} for M ${batchSize}, eta ${eta}, degrees to ${maximumDegree}`);
  }
  const degrees: number[] = [];
  const probabilities: number[] = [];
  for (const degree of candidates) {
    const probability = solution.Columns[`w${degree}`].Primal / degree;
    if (probability > 1e-9) {
      degrees.push(degree);
      probabilities.push(probability);
    }
  }
  return { degrees, probabilities, fraction: solution.Columns["fraction"].Primal };
}
