/**
 * Simulates the shipped tables and prints the figures of `docs/degree-distributions.md`, as Markdown:
 * `npx tsx scripts/degree-design/report.ts tables channels tried systematic overhead precode`. A minute or two
 * each. Inactivations are at exactly K symbols of useful rank.
 */
import { DEGREE_TABLES } from "../../src/codec/degree-tables.ts";
import { degreeOf, systematicDegree } from "../../src/codec/degrees.ts";
import { precodeFor, simulateDecoding } from "./inactivation.ts";
import { DESIGNS, distributionOf, ETA, meanDegree } from "./make-tables.ts";
import { achievedTheta, type DegreeDistribution, optimise } from "./optimise.ts";
import { Random } from "./random.ts";
import { effectiveRankDistribution, line, meanOf, rankDistribution } from "./rank-distribution.ts";
import { simulateSystematic } from "./systematic.ts";

const SIZES: readonly (readonly [sourceSymbols: number, runs: number])[] = [
  [256, 100],
  [512, 60],
  [1600, 40],
  [8000, 6],
  [16000, 3],
];

function row(...cells: readonly (string | number)[]): void {
  console.log(`| ${cells.join(" | ")} |`);
}

function inactivations(
  distribution: DegreeDistribution,
  h: readonly number[],
  sourceSymbols: number,
  runs: number,
  degrees: "golden" | "random" = "golden",
  ldpcSymbols = precodeFor(sourceSymbols).ldpcSymbols,
): { mean: string; deficit: string; wasted: string } {
  const random = new Random(sourceSymbols);
  let sum = 0;
  let squares = 0;
  let wasted = 0;
  let deficit = 0;
  for (let run = 0; run < runs; run++) {
    const result = simulateDecoding({
      precode: { ...precodeFor(sourceSymbols), ldpcSymbols },
      distribution,
      rankDistribution: h,
      random,
      degrees,
    });
    sum += result.inactivations;
    squares += result.inactivations ** 2;
    wasted += result.wastedRank;
    deficit += result.deficit;
  }
  const mean = sum / runs;
  const deviation = Math.sqrt(Math.max(0, squares / runs - mean * mean));
  return {
    mean: `${mean.toFixed(0)} ± ${deviation.toFixed(0)}`,
    deficit: (deficit / runs).toFixed(1),
    wasted: `${((100 * wasted) / runs).toFixed(1)} %`,
  };
}

const CHANNELS = [line(1, 0), line(1, 0.05), line(1, 0.1), line(2, 0.1), line(3, 0.1), line(2, 0.2), line(3, 0.2)];

function tables(): void {
  row("table", "M", "class", "mean degree", "theta eta / mean rank", ...SIZES.map(([k]) => `K ${k}`));
  row(..."---------".split("").map(() => "---"), "---");
  for (const table of DEGREE_TABLES) {
    const distribution = distributionOf(table);
    const typical = { mixed: line(1, 0.05), lossy: line(3, 0.1), poor: line(2, 0.2) }[table.channel]!;
    const h = rankDistribution(table.batchSize, typical);
    const designed = rankDistribution(table.batchSize, DESIGNS.find(({ id }) => id === table.id)!.channel);
    const theta = achievedTheta(distribution, effectiveRankDistribution(designed), ETA);
    row(
      table.id,
      table.batchSize,
      table.channel,
      meanDegree(distribution).toFixed(1),
      ((theta * ETA) / meanOf(designed)).toFixed(3),
      ...SIZES.map(([k, runs]) => {
        const { mean, deficit } = inactivations(distribution, h, k, runs);
        return `${mean}, ${deficit}`;
      }),
    );
  }
}

function channels(): void {
  row("table", "M", "class", "K", ...CHANNELS.map(({ name }) => name));
  row(..."-----------".split("").map(() => "---"));
  for (const table of DEGREE_TABLES) {
    if (table.batchSize !== 16 && table.batchSize !== 32) continue;
    for (const [k, runs] of [
      [1600, 30],
      [8000, 4],
    ]) {
      const cells = CHANNELS.map((channel) => {
        const { mean, deficit, wasted } = inactivations(
          distributionOf(table),
          rankDistribution(table.batchSize, channel),
          k,
          runs,
        );
        return `${mean.replace(/ .*/, "")}, ${deficit}, ${wasted}`;
      });
      row(table.id, table.batchSize, table.channel, k, ...cells);
    }
  }
}

/** What else was tried on M 32, two hops of 20 %: other design channels, eta, slack, and degrees drawn at random. */
async function tried(): Promise<void> {
  const h = rankDistribution(32, line(2, 0.2));
  row("design channel", "eta", "c", "degrees", "mean degree", ...SIZES.map(([k]) => `K ${k}`));
  row(..."----------".split("").map(() => "---"));
  for (const [design, eta, c, degrees] of [
    [line(2, 0.2), 0.9, 0, "golden"],
    [line(2, 0.2), 0.95, 0, "golden"],
    [line(2, 0.2), 0.97, 0, "golden"],
    [line(2, 0.2), 0.99, 0, "golden"],
    [line(3, 0.13), 0.95, 0, "golden"],
    [line(3, 0.13), 0.97, 0, "golden"],
    [line(3, 0.13), 0.97, 0, "random"],
    [line(3, 0.13), 0.97, 0.7, "golden"],
    [line(3, 0.13), 0.97, 1.5, "golden"],
    [line(3, 0.13), 0.99, 0, "golden"],
  ] as const) {
    const optimum = await optimise({
      rankDistributions: [rankDistribution(32, design)],
      eta,
      ...(c > 0 ? { slack: { c, sourceSymbols: 1600 } } : {}),
    });
    const cells = SIZES.map(([k, runs]) => {
      const { mean, deficit } = inactivations(optimum, h, k, runs, degrees);
      return `${mean}, ${deficit}`;
    });
    row(design.name, eta, c, degrees, meanDegree(optimum).toFixed(0), ...cells);
  }
}

function systematic(): void {
  const missing = [0.02, 0.05, 0.1, 0.2, 0.3];
  row("M", "K", "rule", "first batches lost", ...missing.map((e) => `e ${100 * e} %`));
  row(..."---------".split("").map(() => "---"));
  for (const batchSize of [16, 32]) {
    for (const [k, runs, firstLost, rule] of [
      [512, 30, 0, "systematicDegree"],
      [1600, 10, 0, "systematicDegree"],
      [1600, 10, 3, "systematicDegree"],
      [1600, 10, 0, "0.2 L"],
      [1600, 10, 0, "0.25 L"],
    ] as const) {
      const precode = precodeFor(k);
      const parity = precode.ldpcSymbols + precode.denseSymbols;
      const degree =
        rule === "systematicDegree"
          ? (index: number): number => systematicDegree(index, batchSize, parity, k + parity)
          : (): number => Math.round(Number.parseFloat(rule) * (k + parity));
      const cells = missing.map((e) => {
        const random = new Random(1);
        const count = Math.max(3, Math.round(e > 0.1 ? runs / 3 : runs));
        let surplus = 0;
        let worst = 0;
        let mean = 0;
        for (let run = 0; run < count; run++) {
          const result = simulateSystematic({
            precode,
            degree,
            rankDistribution: rankDistribution(batchSize, line(2, 0.1)),
            missing: e,
            random,
            firstLost,
          });
          surplus += result.surplus / count;
          worst = Math.max(worst, result.surplus);
          mean += result.meanDegree / count;
        }
        return `${surplus.toFixed(1)}, at most ${worst}; ${mean.toFixed(0)}`;
      });
      row(batchSize, k, rule, firstLost, ...cells);
    }
  }
}

/** The number of LDPC symbols, in per cent of K; 0 stands for RFC 5053. */
function precode(): void {
  row("table", "channel", "S", ...SIZES.map(([k]) => `K ${k}`), "K 60000");
  row(..."---------".split("").map(() => "---"));
  for (const [id, channel] of [
    [3, line(1, 0)],
    [3, line(2, 0.2)],
    [11, line(2, 0.2)],
  ] as const) {
    const table = DEGREE_TABLES.find((candidate) => candidate.id === id)!;
    const distribution = distributionOf(table);
    const h = rankDistribution(table.batchSize, channel);
    for (const percent of [0, 3, 4, 5]) {
      const cells = [...SIZES, [60000, 1] as const].map(([k, runs]) => {
        const { ldpcSymbols } = precodeFor(k);
        const ldpc = percent === 0 ? ldpcSymbols : Math.round((percent * k) / 100);
        const { mean, deficit } = inactivations(distribution, h, k, runs, "golden", ldpc);
        return `${mean.replace(/ .*/, "")}, ${deficit}`;
      });
      row(id, channel.name, percent === 0 ? "RFC 5053" : `${percent} %`, ...cells);
    }
  }
}

/** Coded symbols beyond K that maximum-likelihood decoding needs, by real elimination. */
function overhead(): void {
  row("table", "M", "class", "channel", "K 256", "K 512");
  row(..."------".split("").map(() => "---"));
  for (const table of DEGREE_TABLES) {
    for (const channel of [line(1, 0), line(1, 0.05), line(2, 0.1), line(2, 0.2)]) {
      const cells = [
        [256, 40],
        [512, 10],
      ].map(([k, runs]) => {
        const random = new Random(k);
        let surplus = 0;
        let worst = 0;
        for (let run = 0; run < runs; run++) {
          const first = random.below(1000);
          const result = simulateSystematic({
            precode: precodeFor(k),
            degree: (index) => degreeOf(table, first + index),
            rankDistribution: rankDistribution(table.batchSize, channel),
            missing: 1,
            random,
          });
          surplus += result.surplus / runs;
          worst = Math.max(worst, result.surplus);
        }
        return `${surplus.toFixed(2)}, at most ${worst}`;
      });
      row(table.id, table.batchSize, table.channel, channel.name, ...cells);
    }
  }
}

const reports: Record<string, () => void | Promise<void>> = { tables, channels, tried, systematic, overhead, precode };
for (const name of process.argv.slice(2)) {
  console.log(`\n${name}\n`);
  await reports[name]();
}
