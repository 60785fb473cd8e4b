/** What the demo shows: a progress bar for each download, drawn in place on a terminal, a line now and then elsewhere; a table. */
import type { Progress } from "./web.ts";

export interface Way {
  label: string;
  progress: Progress;
}

const BAR_COLUMNS = 30;
const LEAST_BAR_COLUMNS = 8;
/** Of a line, beside label and bar. */
const OTHER_COLUMNS = 42;
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const LINE_MS = 5000;

export class Screen {
  readonly #out: NodeJS.WriteStream;
  readonly #terminal: boolean;
  #drawn = 0;
  #lastLineMs = Number.NEGATIVE_INFINITY;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    this.#terminal = out.isTTY === true;
  }

  say(text: string): void {
    this.#out.write(`${text}\n`);
  }

  draw(ways: readonly Way[]): void {
    if (!this.#terminal && performance.now() - this.#lastLineMs < LINE_MS) return;
    this.#lastLineMs = performance.now();
    const up = this.#terminal && this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    const start = this.#terminal ? `${HIDE_CURSOR}${up}` : "";
    const clear = this.#terminal ? "\x1b[2K" : "";
    const labelColumns = Math.max(...ways.map(({ label }) => label.length));
    // A line that wraps would not be drawn over.
    const room = (this.#terminal ? this.#out.columns : 100) - 1;
    const barColumns = Math.max(LEAST_BAR_COLUMNS, Math.min(BAR_COLUMNS, room - labelColumns - OTHER_COLUMNS));
    const lines = ways.map((way) => clear + formatBar(way, labelColumns, barColumns).slice(0, room));
    this.#out.write(`${start}${lines.join("\n")}\n${this.#terminal ? "" : "\n"}`);
    this.#drawn = ways.length;
  }

  /** Leaves the terminal as it was. */
  close(): void {
    if (this.#terminal) this.#out.write(SHOW_CURSOR);
  }
}

export function formatBar({ label, progress }: Way, labelColumns = 30, barColumns = BAR_COLUMNS): string {
  const share = progress.bytes / progress.totalBytes;
  const filled = Math.floor(share * barColumns);
  const bar = "█".repeat(filled) + "░".repeat(barColumns - filled);
  const percent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`.padStart(6);
  const rate = `${goodputMbps(progress).toFixed(2)} Mbit/s`.padStart(13);
  return `  ${label.padEnd(labelColumns)} ${bar} ${percent} ${rate}  ${(progress.elapsedMs / 1000).toFixed(1).padStart(4)} s ${stateText(progress)}`.trimEnd();
}

/** Mean of the whole download. */
export function goodputMbps({ bytes, elapsedMs }: Progress): number {
  return elapsedMs > 0 ? (bytes * 8) / 1000 / elapsedMs : 0;
}

/** A row of headings, and one for each way. */
export function tableOf(ways: readonly Way[]): string[][] {
  const rows = ways.map(({ label, progress }) => [
    label,
    `${mebibytes(progress.bytes)} of ${mebibytes(progress.totalBytes)} MiB`,
    `${(progress.elapsedMs / 1000).toFixed(1)} s`,
    `${goodputMbps(progress).toFixed(2)} Mbit/s`,
    progress.state === "done" ? "whole, as sent" : remaining(progress),
  ]);
  return [["", "received", "time", "goodput", ""], ...rows];
}

export function formatTable(ways: readonly Way[]): string {
  const table = tableOf(ways);
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) => `  ${row.map((cell, i) => pad(cell, widths[i], i)).join("   ")}`.trimEnd()).join("\n");
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 || column === 4 ? cell.padEnd(width) : cell.padStart(width);
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

function stateText({ state }: Progress): string {
  return state === "running" ? "" : state;
}

function remaining(progress: Progress): string {
  if (progress.state !== "stopped") return progress.state;
  if (progress.bytes === 0) return "stopped; nothing came";
  const leftMinutes = (progress.elapsedMs * (progress.totalBytes / progress.bytes)) / 60_000;
  return `stopped; would take ${leftMinutes < 1.5 ? `${(leftMinutes * 60).toFixed(0)} s` : `${leftMinutes.toFixed(0)} minutes`}`;
}
