import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { precodeFor, simulateDecoding } from "../../scripts/degree-design/inactivation.ts";
import {
  DESIGNS,
  distributionOf,
  ETA,
  MODULE_PATH,
  makeModule,
  meanDegree,
} from "../../scripts/degree-design/make-tables.ts";
import { grid, incompleteBeta, omega, optimise } from "../../scripts/degree-design/optimise.ts";
import { Random } from "../../scripts/degree-design/random.ts";
import {
  effectiveRankDistribution,
  line,
  meanOf,
  randomRankProbability,
  rankDistribution,
} from "../../scripts/degree-design/rank-distribution.ts";
import { simulateSystematic } from "../../scripts/degree-design/systematic.ts";
import { DEGREE_TABLES } from "../../src/codec/degree-tables.ts";
import { degreeAt, degreeOf, systematicDegree } from "../../src/codec/degrees.ts";
import { PRODUCT, rank } from "../../src/gf/index.ts";

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** The product of a rows x inner and an inner x columns matrix over GF(2^8). */
function product(a: Uint8Array, b: Uint8Array, rows: number, inner: number, columns: number): Uint8Array {
  const result = new Uint8Array(rows * columns);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < inner; i++) {
      for (let c = 0; c < columns; c++) {
        result[r * columns + c] ^= PRODUCT[(a[r * inner + i] << 8) | b[i * columns + c]];
      }
    }
  }
  return result;
}

function randomMatrix(size: number, random: Random): Uint8Array {
  return Uint8Array.from({ length: size }, () => random.below(256));
}

describe("the incomplete beta function", () => {
  it("has the values of its closed forms", () => {
    for (const x of [0.01, 0.3, 0.77, 0.999]) {
      expect(incompleteBeta(1, 1, x)).toBeCloseTo(x, 12);
      expect(incompleteBeta(7, 1, x)).toBeCloseTo(x ** 7, 12);
      expect(incompleteBeta(1, 9, x)).toBeCloseTo(1 - (1 - x) ** 9, 12);
      expect(incompleteBeta(12, 5, x)).toBeCloseTo(1 - incompleteBeta(5, 12, 1 - x), 12);
    }
    expect(incompleteBeta(20, 20, 0.5)).toBeCloseTo(0.5, 12);
    expect(incompleteBeta(3, 2, 0)).toBe(0);
    expect(incompleteBeta(3, 2, 1)).toBe(1);
  });

  it("has the values of exact rational arithmetic", () => {
    // The upper tail of a binomial distribution, summed in fractions.
    expect(incompleteBeta(2, 3, 0.4)).toBeCloseTo(0.5248, 12);
    expect(incompleteBeta(50, 5, 0.9)).toBeCloseTo(0.36144713972737785, 11);
    expect(incompleteBeta(968, 32, 0.96)).toBeCloseTo(0.08213301715462555, 10);
  });
});

describe("the rank distribution", () => {
  it("sums to 1 and has no rank that was not sent", () => {
    for (const batchSize of [1, 8, 32, 64]) {
      for (const channel of [line(1, 0), line(1, 0.1), line(3, 0.2), line(5, 0.5)]) {
        const h = rankDistribution(batchSize, channel);
        expect(h).toHaveLength(batchSize + 1);
        expect(sum(h)).toBeCloseTo(1, 10);
      }
    }
    expect(rankDistribution(16, line(1, 0))[16]).toBe(1);
    expect(meanOf(rankDistribution(32, line(1, 0.1)))).toBeCloseTo(28.8, 10);
  });

  it("counts the matrices of each rank over a small field", () => {
    // Of the 16 matrices of 2 x 2 over GF(2), 1, 9 and 6 have rank 0, 1 and 2.
    expect([0, 1, 2].map((r) => 16 * randomRankProbability(r, 2, 2, 2))).toEqual([1, 9, 6]);
  });

  it("agrees with elimination of real transfer matrices", () => {
    const batchSize = 8;
    const channel = line(3, 0.2);
    const h = rankDistribution(batchSize, channel);
    const runs = 6000;
    const seed = 42;
    const random = new Random(seed);
    const counts = new Array<number>(batchSize + 1).fill(0);
    for (let run = 0; run < runs; run++) {
      let transfer: Uint8Array | undefined;
      let rows = batchSize;
      for (const loss of channel.losses) {
        // What arrives of the M sent: as rows of the identity on the first hop, of random combinations on the others.
        const sent = transfer === undefined ? identity(batchSize) : randomMatrix(batchSize * rows, random);
        const inner = transfer === undefined ? batchSize : rows;
        const arrived = Array.from({ length: batchSize }, (_, i) => i).filter(() => random.unit() >= loss);
        const kept = Uint8Array.from(arrived.flatMap((i) => [...sent.subarray(i * inner, (i + 1) * inner)]));
        transfer = transfer === undefined ? kept : product(kept, transfer, arrived.length, inner, batchSize);
        rows = arrived.length;
      }
      counts[rank(transfer!, rows, batchSize)]++;
    }
    for (const [r, expected] of h.entries()) {
      const deviation = Math.sqrt(runs * expected * (1 - expected));
      expect(Math.abs(counts[r] - runs * expected), `rank ${r}, seed ${seed}`).toBeLessThan(5 * deviation + 1);
    }
  });

  it("has an effective form that sums to the probability of a non-zero rank over a large field", () => {
    const h = rankDistribution(16, line(2, 0.3));
    expect(sum(effectiveRankDistribution(h, 2 ** 30))).toBeCloseTo(1 - h[0], 6);
    // Over GF(256) a batch of degree 1 is lost when all M coefficients are zero.
    expect(sum(effectiveRankDistribution([0, 1]))).toBeCloseTo(255 / 256, 12);
  });
});

function identity(size: number): Uint8Array {
  const matrix = new Uint8Array(size * size);
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1;
  return matrix;
}

describe("the linear programme", () => {
  it("gives the soliton distribution of LT codes for batches of one symbol", async () => {
    const { degrees, probabilities, fraction } = await optimise({
      rankDistributions: [[0, 1]],
      eta: 0.99,
      maximumDegree: 99,
    });
    expect(sum(probabilities)).toBeCloseTo(1, 6);
    // The ideal soliton distribution has 1 / (d (d - 1)) at d.
    expect(probabilities[degrees.indexOf(2)]).toBeCloseTo(1 / 2, 1);
    expect(probabilities[degrees.indexOf(3)]).toBeCloseTo(1 / 6, 1);
    expect(0.99 * fraction).toBeGreaterThan(0.97);
    expect(0.99 * fraction).toBeLessThan(1);
  });

  it("comes within 1 % of the mean rank, and not above it", async () => {
    const h = rankDistribution(16, line(2, 0.1));
    const { fraction } = await optimise({ rankDistributions: [h], eta: 0.98 });
    expect(0.98 * fraction).toBeGreaterThan(0.99);
    expect(0.98 * fraction).toBeLessThan(1);
  });

  it("gives up some rate for slack, for a price on degree and for a second channel", async () => {
    const h = rankDistribution(8, line(2, 0.2));
    const options = { rankDistributions: [h], eta: 0.95 };
    const plain = await optimise(options);
    const slack = await optimise({ ...options, slack: { c: 1, sourceSymbols: 1000 } });
    const cheap = await optimise({ ...options, degreePenalty: 0.01 });
    const both = await optimise({ ...options, rankDistributions: [h, rankDistribution(8, line(1, 0.05))] });
    expect(slack.fraction).toBeLessThan(plain.fraction);
    expect(cheap.fraction).toBeLessThan(plain.fraction);
    expect(meanDegree(cheap)).toBeLessThan(meanDegree(plain));
    expect(both.fraction).toBeLessThan(plain.fraction);
  });
});

describe("the shipped tables", () => {
  const text = readFileSync(MODULE_PATH, "utf8");

  it("are what make-tables makes", async () => {
    expect(await makeModule()).toBe(text);
  }, 30_000);

  it("have unique ids, ascending degrees and cumulative probabilities that end at 65536", () => {
    expect(new Set(DEGREE_TABLES.map(({ id }) => id)).size).toBe(DEGREE_TABLES.length);
    for (const { id, degrees, cumulative } of DEGREE_TABLES) {
      expect(degrees.length, `table ${id}`).toBe(cumulative.length);
      expect(degrees.length).toBeLessThanOrEqual(60);
      for (let i = 1; i < degrees.length; i++) {
        expect(degrees[i]).toBeGreaterThan(degrees[i - 1]);
        expect(cumulative[i]).toBeGreaterThan(cumulative[i - 1]);
      }
      expect(degrees[0]).toBeGreaterThanOrEqual(1);
      expect(cumulative[0]).toBeGreaterThan(0);
      expect(cumulative.at(-1)).toBe(65536);
    }
  });

  it("meet the constraint of (P1) for the theta stated, on a finer grid", () => {
    const stated = [...text.matchAll(/theta ([0-9.]+), rate[\s\S]*?id: (\d+)/g)];
    expect(stated).toHaveLength(DEGREE_TABLES.length);
    for (const [, theta, id] of stated) {
      const table = DEGREE_TABLES.find((candidate) => candidate.id === Number(id))!;
      const design = DESIGNS.find((candidate) => candidate.id === Number(id))!;
      const h = rankDistribution(design.batchSize, design.channel);
      const effective = effectiveRankDistribution(h);
      let worst = Number.POSITIVE_INFINITY;
      for (const x of grid(ETA, 2501)) {
        worst = Math.min(worst, omega(x, distributionOf(table), effective) + Number(theta) * Math.log1p(-x));
      }
      expect(worst, `table ${id}`).toBeGreaterThan(-1e-6);
      expect(Number(theta) * ETA).toBeGreaterThan(0.98 * meanOf(h));
    }
  });

  it("give any run of a few dozen batches nearly the mean degree", () => {
    for (const table of DEGREE_TABLES) {
      const mean = meanDegree(distributionOf(table));
      for (const first of [0, 1000, 65530]) {
        const degrees = Array.from({ length: 64 }, (_, i) => degreeOf(table, first + i));
        expect(Math.abs(sum(degrees) / 64 / mean - 1), `table ${table.id} from ${first}`).toBeLessThan(0.1);
      }
      expect(degreeAt(table, 0)).toBe(table.degrees[0]);
      expect(degreeAt(table, 65535)).toBe(table.degrees.at(-1));
    }
  });

  it("need under 100 inactivations at mean degree under 100 on M = 32, K = 1600, two hops of 20 %", () => {
    const table = DEGREE_TABLES.find(({ batchSize, channel }) => batchSize === 32 && channel === "poor")!;
    const random = new Random(1600);
    let inactivations = 0;
    let deficit = 0;
    for (let run = 0; run < 40; run++) {
      const result = simulateDecoding({
        precode: precodeFor(1600),
        distribution: distributionOf(table),
        rankDistribution: rankDistribution(32, line(2, 0.2)),
        random,
      });
      expect(result.unreached).toBeLessThanOrEqual(12);
      inactivations += result.inactivations / 40;
      deficit += result.deficit / 40;
    }
    expect(inactivations).toBeLessThan(100);
    expect(deficit).toBeLessThan(0.5);
    expect(meanDegree(distributionOf(table))).toBeLessThan(100);
  });

  it("decode with real coefficients at next to no surplus", () => {
    const table = DEGREE_TABLES.find(({ batchSize, channel }) => batchSize === 16 && channel === "mixed")!;
    for (let seed = 0; seed < 10; seed++) {
      const { surplus } = simulateSystematic({
        precode: precodeFor(256),
        degree: (index) => degreeOf(table, 1000 * seed + index),
        rankDistribution: rankDistribution(16, line(2, 0.1)),
        missing: 1,
        random: new Random(seed),
      });
      expect(surplus, `seed ${seed}`).toBeLessThanOrEqual(3);
    }
  });
});

describe("the degrees of systematic use", () => {
  it("repair any small loss with a mean surplus below 2", () => {
    const sourceSymbols = 512;
    const precode = precodeFor(sourceSymbols);
    const parity = precode.ldpcSymbols + precode.denseSymbols;
    for (const batchSize of [16, 32]) {
      for (const missing of [0.02, 0.1, 0.3]) {
        let surplus = 0;
        for (let seed = 0; seed < 10; seed++) {
          surplus += simulateSystematic({
            precode,
            degree: (index) => systematicDegree(index, batchSize, parity, sourceSymbols + parity),
            rankDistribution: rankDistribution(batchSize, line(2, 0.1)),
            missing,
            random: new Random(seed),
          }).surplus;
        }
        expect(surplus / 10, `M ${batchSize}, ${100 * missing} % missing`).toBeLessThan(2);
      }
    }
  });

  it("lie between M and L", () => {
    for (const [index, batchSize, parity, intermediate, degree] of [
      [0, 32, 91, 1691, 744],
      [1, 32, 91, 1691, 550],
      [4, 32, 91, 1691, 372],
      [0, 64, 30, 158, 158],
      [5, 8, 100, 200, 15],
      [1000003, 8, 2000, 67000, 166],
    ]) {
      expect(systematicDegree(index, batchSize, parity, intermediate)).toBe(degree);
    }
  });
});
