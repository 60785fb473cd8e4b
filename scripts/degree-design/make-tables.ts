/**
 * Makes `src/codec/degree-tables.ts`: `npx tsx scripts/degree-design/make-tables.ts`, or with `--check` only compares.
 * The choices below (eta, slack, channel) come from the simulations reported in `docs/degree-distributions.md`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { accumulate } from "./inactivation.ts";
import { achievedTheta, type DegreeDistribution, optimise } from "./optimise.ts";
import { type Channel, effectiveRankDistribution, line, meanOf, rankDistribution } from "./rank-distribution.ts";

/** Cumulative probabilities are whole multiples of 1 / SCALE. */
export const SCALE = 65536;

export interface Design {
  readonly id: number;
  readonly batchSize: number;
  readonly name: string;
  /** The best channel that the table is for. */
  readonly channel: Channel;
}

export interface Table {
  readonly id: number;
  readonly batchSize: number;
  readonly channel: string;
  readonly degrees: readonly number[];
  readonly cumulative: readonly number[];
}

/** The eta of all tables: the precode and inactivation see to the last 3 % of the symbols. */
export const ETA = 0.97;

const BATCH_SIZES = [8, 16, 32, 64];

/** What ships. An id, once released, never changes its meaning. */
export const DESIGNS: readonly Design[] = [
  ...BATCH_SIZES.map((batchSize, i) => ({ id: 1 + i, batchSize, name: "mixed", channel: line(1, 0) })),
  ...BATCH_SIZES.map((batchSize, i) => ({ id: 5 + i, batchSize, name: "lossy", channel: line(2, 0.1) })),
  ...BATCH_SIZES.map((batchSize, i) => ({ id: 9 + i, batchSize, name: "poor", channel: line(3, 0.13) })),
];

/** Less than this is not worth a line: a degree so rare turns up in fewer than one object of a thousand batches. */
const LEAST_PROBABILITY = 1 / 1024;

/** Drops what is rarer than LEAST_PROBABILITY and rounds the rest to multiples of 1 / SCALE. */
export function quantise({ degrees, probabilities }: DegreeDistribution): Pick<Table, "degrees" | "cumulative"> {
  const kept = [...degrees.keys()].filter((i) => probabilities[i] >= LEAST_PROBABILITY);
  const sums = accumulate(kept.map((i) => probabilities[i]));
  const total = sums[sums.length - 1];
  return {
    degrees: kept.map((i) => degrees[i]),
    cumulative: sums.map((sum) => Math.round((sum / total) * SCALE)),
  };
}

/** The probabilities of a table. */
export function distributionOf({ degrees, cumulative }: Pick<Table, "degrees" | "cumulative">): DegreeDistribution {
  return { degrees, probabilities: cumulative.map((to, i) => (to - (i === 0 ? 0 : cumulative[i - 1])) / SCALE) };
}

export function meanDegree({ degrees, probabilities }: DegreeDistribution): number {
  return degrees.reduce((sum, degree, i) => sum + degree * probabilities[i], 0);
}

/** Carries out a design. */
export async function makeTable(design: Design): Promise<Table> {
  const { id, batchSize, name, channel } = design;
  const optimum = await optimise({ rankDistributions: [rankDistribution(batchSize, channel)], eta: ETA });
  return { id, batchSize, channel: name, ...quantise(optimum) };
}

/** An array of numbers as the formatter leaves it: as many on a line as fit into 120 columns. */
function numbers(name: string, values: readonly number[]): string {
  const single = `    ${name}: [${values.join(", ")}],`;
  if (single.length <= 120) return single;
  const lines: string[] = [];
  let current = "";
  for (const value of values) {
    if (current !== "" && `      ${current} ${value},`.length > 120) {
      lines.push(`      ${current}`);
      current = "";
    }
    current += `${current === "" ? "" : " "}${value},`;
  }
  lines.push(`      ${current}`);
  return [`    ${name}: [`, ...lines, "    ],"].join("\n");
}

function describe(design: Design, table: Table): string {
  const h = rankDistribution(design.batchSize, design.channel);
  const distribution = distributionOf(table);
  // Rounded down, so that the constraint holds for the theta stated.
  const theta =
    Math.floor(1000 * achievedTheta(distribution, effectiveRankDistribution(h), ETA, undefined, 4000)) / 1000;
  return [
    `  // ${design.channel.name}: mean rank ${meanOf(h).toFixed(3)}.`,
    `  // eta ${ETA}, no slack, theta ${theta.toFixed(3)}, rate eta theta ${(ETA * theta).toFixed(3)}, ` +
      `mean degree ${meanDegree(distribution).toFixed(1)}.`,
  ].join("\n");
}

/** The text of the module. */
export async function makeModule(): Promise<string> {
  const tables: string[] = [];
  for (const design of DESIGNS) {
    const table = await makeTable(design);
    tables.push(
      [
        describe(design, table),
        "  {",
        `    id: ${table.id},`,
        `    batchSize: ${table.batchSize},`,
        `    channel: ${JSON.stringify(table.channel)},`,
        numbers("degrees", table.degrees),
        numbers("cumulative", table.cumulative),
        "  },",
      ].join("\n"),
    );
  }
  return `// Made by scripts/degree-design/make-tables.ts (npx tsx scripts/degree-design/make-tables.ts); not edited by hand.
/**
 * Degree distributions of the outer code, from the linear programme (P1) of S. Yang and R. W. Yeung, "Batched Sparse
 * Codes", IEEE Trans. Inform. Theory 60(9), 2014. How they were chosen: \`docs/degree-distributions.md\`.
 */

import type { DegreeTable } from "./degrees.ts";

export const DEGREE_TABLES: readonly DegreeTable[] = [
${tables.join("\n")}
];
`;
}

export const MODULE_PATH = new URL("../../src/codec/degree-tables.ts", import.meta.url);

if (process.argv[1] !== undefined && import.meta.url === new URL(process.argv[1], "file://").href) {
  const text = await makeModule();
  if (process.argv.includes("--check")) {
    if (readFileSync(MODULE_PATH, "utf8") !== text)
      throw new Error(`${MODULE_PATH.pathname} is not what make-tables makes`);
  } else writeFileSync(MODULE_PATH, text);
}
