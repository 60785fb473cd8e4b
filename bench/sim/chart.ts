/** Draws docs/efficiency.svg: efficiency by loss, a line for each delay, from the cells of figure 1. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { lineChart } from "../chart.ts";
import { DELAYS_MS, LOSSES } from "./bulk-figures.ts";
import type { CellResult } from "./figure.ts";

/** More lines than these lie on each other. */
const SHOWN_MS = DELAYS_MS.filter((delayMs) => [10, 50, 110].includes(delayMs));

/** Written relative to the working directory, which npm makes the package's. */
export function drawEfficiency(cells: readonly CellResult[]): void {
  const series = SHOWN_MS.map((delayMs) => ({
    name: `${delayMs} ms one way`,
    points: LOSSES.flatMap((loss) => {
      const cell = cells.find(({ name }) => name === `${delayMs} ms, ${Math.round(100 * loss)} %`);
      return cell === undefined ? [] : [{ x: 100 * loss, y: cell.values["E"] }];
    }),
  }));
  const svg = lineChart({
    title: "Goodput over what the path carries: one stream, 100 Mbit/s, queue 10 ms",
    x: "lost, %",
    y: "E",
    series: series.filter(({ points }) => points.length > 1),
  });
  writeFileSync(join("docs", "efficiency.svg"), svg);
}
