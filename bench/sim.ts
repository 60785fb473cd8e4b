/**
 * `npm run bench:sim`: the transport's figures, on the simulator, with real coding and default settings. Efficiency E is the goodput
 * over rate x (1 - loss), both in bytes of IP packets; headers leave about 0.95 of it. The worst of the seeds is shown. Exits with 1
 * when a goal is missed.
 *
 *     --figure N     only this one; may be given several times
 *     --cell TEXT    only cells whose name begins so ("110 ms, 10 %"); several times as well
 *     --quick        a few cells, one seed, speeds not enforced
 *     --seeds N      instead of five (or what the figure says)
 *     --jobs N       processes; default one a core
 *     --json FILE    also writes the results as JSON
 *     --chart        draws the charts of the docs anew
 */
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { availableParallelism, setPriority } from "node:os";
import { parseArgs } from "node:util";
import { drawEfficiency } from "./sim/chart.ts";
import { type CellResult, type Figure, merge, table } from "./sim/figure.ts";
import { figures } from "./sim/figures.ts";
import type { Answer, Job } from "./sim/worker.ts";

const { values } = parseArgs({
  options: {
    figure: { type: "string", multiple: true },
    cell: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    seeds: { type: "string" },
    jobs: { type: "string" },
    json: { type: "string" },
    chart: { type: "boolean", default: false },
  },
});

function count(option: "seeds" | "jobs", otherwise: number): number {
  const text = values[option];
  if (text === undefined) return otherwise;
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  console.error(`--${option} is "${text}", wanted a whole number from 1`);
  process.exit(2);
}

const wanted = values.figure ?? figures.map(({ number }) => String(number));
const unknown = wanted.find((number) => !figures.some((figure) => String(figure.number) === number));
if (unknown !== undefined) {
  console.error(`there is no figure "${unknown}"; there are ${figures.map(({ number }) => number).join(", ")}`);
  process.exit(2);
}
const { quick } = values;
const processes = count("jobs", availableParallelism());

/** Child processes that wait for a job. */
const idle: ChildProcess[] = [];

function worker(): ChildProcess {
  const waiting = idle.pop();
  if (waiting !== undefined) return waiting;
  const child = fork(new URL("./sim/worker.js", import.meta.url));
  // The machine may have other things to do.
  setPriority(child.pid!, 10);
  return child;
}

function perform(job: Job): Promise<Record<string, number>> {
  const child = worker();
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`a worker ended with ${code}`));
    child.once("exit", onExit);
    child.once("message", (answer: Answer) => {
      child.off("exit", onExit);
      idle.push(child);
      if ("values" in answer) resolve(answer.values);
      else reject(new Error(answer.error));
    });
    child.send(job);
  });
}

/** The places of the cells that are wanted. */
function chosen(figure: Figure): number[] {
  const { cell: parts } = values;
  const places = [...figure.cells(quick).keys()];
  if (parts === undefined) return places;
  return places.filter((place) => parts.some((part) => figure.cells(quick)[place].name.startsWith(part)));
}

/** Runs every cell with every seed; several at once unless the figure measures time. */
async function measure(figure: Figure): Promise<CellResult[]> {
  const places = chosen(figure);
  const cells = places.map((place) => figure.cells(quick)[place]);
  const seeds = count("seeds", quick ? 1 : (figure.seeds ?? 5));
  const runs = cells.map((): Record<string, number>[] => []);
  let next = 0;
  const lane = async () => {
    while (next < cells.length * seeds) {
      const cell = Math.floor(next / seeds);
      const seed = 1 + (next++ % seeds);
      const name = `figure ${figure.number}, ${cells[cell].name}, seed ${seed}`;
      runs[cell].push(
        await perform({ figure: figure.number, cell: places[cell], seed, quick }).catch((error: Error) => {
          throw new Error(`${name}: ${error.message}`);
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: figure.alone ? 1 : processes }, lane));
  return cells.map((cell, i) => merge(figure, cell, runs[i], quick));
}

const results: { figure: number; title: string; cells: CellResult[] }[] = [];
for (const figure of figures) {
  if (!wanted.includes(String(figure.number))) continue;
  const cells = await measure(figure);
  if (cells.length === 0) continue;
  const shown = chosen(figure).map((place) => figure.cells(quick)[place]);
  console.log(`${table(figure, cells, shown)}\n`);
  results.push({ figure: figure.number, title: figure.title, cells });
  if (values.chart && figure.number === 1) drawEfficiency(cells);
}
for (const child of idle) child.disconnect();
if (results.length === 0) {
  console.error(`no cell of figure ${wanted.join(", ")} begins with "${values.cell!.join('", "')}"`);
  process.exit(2);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
const missed = results.flatMap(({ figure, cells }) =>
  cells.filter((cell) => cell.missed.length > 0).map((cell) => `${figure} (${cell.name})`),
);
if (missed.length > 0) {
  console.error(`goals missed: ${missed.join("; ")}`);
  process.exitCode = 1;
}
