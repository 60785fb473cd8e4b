/** A child process of `npm run bench:sim`: runs one cell with one seed at a time, as told, and answers with its numbers. */
import { figures } from "./figures.ts";

export interface Job {
  figure: number;
  /** Index into `cells(quick)`. */
  cell: number;
  seed: number;
  quick: boolean;
}

export type Answer = { values: Record<string, number> } | { error: string };

process.on("message", ({ figure, cell, seed, quick }: Job) => {
  let answer: Answer;
  try {
    const values = figures
      .find((one) => one.number === figure)!
      .cells(quick)
      [cell].run(seed);
    answer = { values };
  } catch (error) {
    answer = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
  process.send!(answer);
});
process.on("disconnect", () => process.exit());
