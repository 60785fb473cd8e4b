/** The shapes of a line chart over time, with axes and units, for whoever draws them: the page as DOM, others as text. Without DOM. */
import { type Kind, unitOf } from "./format.ts";

export interface Series {
  label: string;
  /** One for each of the chart's times; NaN where there is none. */
  values: readonly number[];
}

export interface Chart {
  kind: Kind;
  widthPx: number;
  heightPx: number;
  fromMs: number;
  toMs: number;
  timesMs: readonly number[];
  /** Two samples further apart have no line between them. */
  gapMs: number;
  series: readonly Series[];
  formatTime: (ms: number, stepMs: number) => string;
}

export interface Shape {
  tag: "path" | "line" | "text";
  attributes: Record<string, string | number>;
  text?: string;
}

const MARGIN = { left: 40, right: 8, top: 18, bottom: 20 };
const LABEL_WIDTH_PX = 60;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** Where a time is, in px from the left. */
export function xOf({ widthPx, fromMs, toMs }: Chart, ms: number): number {
  return MARGIN.left + ((widthPx - MARGIN.left - MARGIN.right) * (ms - fromMs)) / (toMs - fromMs);
}

/** The time at x px. */
export function timeAt({ widthPx, fromMs, toMs }: Chart, x: number): number {
  return fromMs + ((x - MARGIN.left) / (widthPx - MARGIN.left - MARGIN.right)) * (toMs - fromMs);
}

/** A top of the axis and a step between its labels that are round numbers, for values up to `most`. */
export function roundAxis(most: number, whole: boolean): { top: number; step: number } {
  // Noise around zero does not fill the chart.
  const rough = Math.max(most, whole ? 2 : 1) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999) ?? rough;
  const used = whole ? Math.max(1, Math.ceil(step)) : step;
  return { top: Math.ceil(Math.max(most, used) / used - 1e-9) * used, step: used };
}

export function shapesOf(chart: Chart): Shape[] {
  const { kind, widthPx, heightPx, series, formatTime, fromMs, toMs } = chart;
  const most = series.reduce((all, { values }) => values.reduce((max, value) => (value > max ? value : max), all), 0);
  const unit = unitOf(kind, most);
  const { top, step } = roundAxis(most / unit.size, kind === "count");
  const digits = Number.isInteger(step) ? 0 : step < 0.1 || step === 0.25 ? 2 : 1;
  const bottom = heightPx - MARGIN.bottom;
  const right = widthPx - MARGIN.right;
  const yOf = (value: number) => bottom - ((bottom - MARGIN.top) * value) / (top * unit.size);
  const shapes: Shape[] = [];
  const label = (x: number, y: number, anchor: string, text: string) =>
    shapes.push({ tag: "text", attributes: { x: round(x), y: round(y), "text-anchor": anchor }, text });
  for (let value = 0; value <= top * 1.001; value += step) {
    const y = round(yOf(value * unit.size));
    shapes.push({
      tag: "line",
      attributes: { class: value === 0 ? "base" : "grid", x1: MARGIN.left, x2: right, y1: y, y2: y },
    });
    label(MARGIN.left - 5, y + 4, "end", value.toFixed(digits));
  }
  if (unit.label !== "") label(0, 10, "start", unit.label);
  const stepMs = timeStepMs(toMs - fromMs, right - MARGIN.left);
  for (let ms = Math.ceil(fromMs / stepMs) * stepMs; ms <= toMs; ms += stepMs) {
    const x = round(xOf(chart, ms));
    shapes.push({ tag: "line", attributes: { class: "grid", x1: x, x2: x, y1: bottom, y2: bottom + 4 } });
    // Labels at the border would be cut.
    if (x > MARGIN.left + 10 && x < right - 18) label(x, heightPx - 4, "middle", formatTime(ms, stepMs));
  }
  for (const [i, { values }] of series.entries()) {
    for (const run of runsOf(chart, values, yOf)) {
      const line = run.map(([x, y]) => `${round(x)} ${round(y)}`).join("L");
      if (i === 0 && run.length > 1) {
        const area = `M${round(run[0][0])} ${bottom}L${line}L${round(run[run.length - 1][0])} ${bottom}Z`;
        shapes.push({ tag: "path", attributes: { class: "area", d: area } });
      }
      // A sample alone is a dot: the line's end is round.
      shapes.push({
        tag: "path",
        attributes: { class: `line series-${i}`, d: `M${line}${run.length === 1 ? "h0" : ""}` },
      });
    }
  }
  return shapes;
}

/** Points of lines without a gap. */
function runsOf(chart: Chart, values: readonly number[], yOf: (value: number) => number): [number, number][][] {
  const { timesMs, gapMs } = chart;
  const runs: [number, number][][] = [];
  let run: [number, number][] = [];
  for (const [i, value] of values.entries()) {
    if (run.length > 0 && (Number.isNaN(value) || timesMs[i] - timesMs[i - 1] > gapMs)) {
      runs.push(run);
      run = [];
    }
    if (!Number.isNaN(value)) run.push([xOf(chart, timesMs[i]), yOf(value)]);
  }
  if (run.length > 0) runs.push(run);
  return runs;
}

function timeStepMs(spanMs: number, widthPx: number): number {
  const labels = Math.max(1, Math.floor(widthPx / LABEL_WIDTH_PX));
  const seconds = STEPS_S.find((step) => step * 1000 * labels >= spanMs) ?? STEPS_S[STEPS_S.length - 1];
  return seconds * 1000;
}

function round(px: number): number {
  return Math.round(px * 10) / 10;
}

/** As text, for a file. */
export function shapeMarkup({ tag, attributes, text }: Shape): string {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escapeMarkup(String(value))}"`);
  return `<${tag}${written.join("")}>${escapeMarkup(text ?? "")}</${tag}>`;
}

export function escapeMarkup(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
