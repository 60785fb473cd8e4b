/**
 * What a figure of the simulator benchmark is: cells, each of which a seed turns into numbers, and goals for them. A worker runs
 * single (cell, seed) pairs; the command merges the seeds of a cell and compares.
 */

/** One number that a cell yields. */
export interface Measure {
  name: string;
  /** "%": shares are printed times 100. */
  unit?: "%" | "RTT" | "ms" | "packets/s" | "MB";
  /** Which direction is worse; of the seeds the worst counts. "mean": the mean over the seeds does, and less is worse. */
  worse: "less" | "more" | "mean";
  /** A number of the machine as much as of the code: with `--quick` printed but not enforced. */
  speed?: boolean;
}

export interface Cell {
  name: string;
  /** The least (or the most, where more is worse) that passes, by the name of the measure. */
  goals: Readonly<Record<string, number>>;
  run(seed: number): Record<string, number>;
}

export interface Figure {
  number: number;
  title: string;
  measures: readonly Measure[];
  /** `quick`: a few cells, short, for a smoke test. The same call gives the same cells, for they are named by their place. */
  cells(quick: boolean): readonly Cell[];
  /** Default 5. */
  seeds?: number;
  /** It measures time: no other cell may run beside it. */
  alone?: boolean;
}

/** A cell's numbers over all its seeds, and which goals they miss. */
export interface CellResult {
  name: string;
  values: Record<string, number>;
  missed: string[];
}

export function merge(figure: Figure, cell: Cell, runs: readonly Record<string, number>[], quick: boolean): CellResult {
  const values: Record<string, number> = {};
  const missed: string[] = [];
  for (const { name, worse, speed } of figure.measures) {
    const numbers = runs.map((run) => run[name]).filter((number) => number !== undefined);
    if (numbers.length === 0) continue;
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    const value = worse === "mean" ? mean : worse === "less" ? Math.min(...numbers) : Math.max(...numbers);
    values[name] = value;
    const goal = cell.goals[name];
    if (goal === undefined || (speed && quick)) continue;
    // A number that is none misses too.
    if (!(worse === "more" ? value <= goal : value >= goal)) missed.push(name);
  }
  return { name: cell.name, values, missed };
}

export function formatValue(value: number, unit: Measure["unit"]): string {
  if (!Number.isFinite(value)) return String(value);
  if (unit === "%") return `${(100 * value).toFixed(2)} %`;
  if (unit === undefined) return value.toFixed(3);
  return `${value.toFixed(unit === "packets/s" ? 0 : 2)} ${unit}`;
}

/** The figure as a table for people. */
export function table(figure: Figure, results: readonly CellResult[], cells: readonly Cell[]): string {
  const rows = [["", ...figure.measures.map(({ name, worse }) => (worse === "mean" ? `${name}, mean` : name)), ""]];
  results.forEach(({ name, values, missed }, i) => {
    const row = [name];
    for (const measure of figure.measures) {
      const value = values[measure.name];
      row.push(value === undefined ? "" : formatValue(value, measure.unit));
    }
    const goals = missed.map((measure) => {
      const { unit, worse } = figure.measures.find((one) => one.name === measure)!;
      return `${measure} ${worse === "more" ? "<=" : ">="} ${formatValue(cells[i].goals[measure], unit)}`;
    });
    row.push(missed.length > 0 ? `MISSED: ${goals.join(", ")}` : "");
    rows.push(row);
  });
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const lines = rows.map((row) =>
    row
      .map((text, i) => (i === 0 || i === row.length - 1 ? text.padEnd(widths[i]) : text.padStart(widths[i])))
      .join("  "),
  );
  return [`${figure.number}. ${figure.title}`, ...lines.map((line) => `  ${line}`.trimEnd())].join("\n");
}
