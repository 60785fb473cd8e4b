/**
 * Plots time series as a self-contained SVG: one panel for each unit, one time axis, legends; no scripts, no fonts, no
 * styles from elsewhere. For looking at runs, not for publication.
 */
import { checkNumber, checkPositive, SimulatorOptionError } from "./error.ts";
import type { TimeSeries } from "./series.ts";

export interface PlotOptions {
  /** Default none. */
  title?: string;
  /** Pixels. Default 960. */
  width?: number;
  /** Height of each panel, pixels. Default 180. */
  panelHeight?: number;
  /** What part of time to show, ms. Default all. */
  fromMs?: number;
  toMs?: number;
  /** Moments to mark with a vertical line, for outages, address changes and the like. */
  marks?: readonly { atMs: number; label: string }[];
}

/** Readable on white and apart for the colour-blind (M. Okabe, K. Ito 2008). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000"];
const LEFT = 76;
const RIGHT = 16;
const TITLE_HEIGHT = 30;
const LEGEND_HEIGHT = 22;
const PANEL_GAP = 14;
const AXIS_HEIGHT = 40;
const MARK_HEIGHT = 16;

/**
 * Returns an SVG document. Panels stand in the order in which their units first appear; each axis starts at 0 unless
 * values are negative. Throws a SimulatorOptionError when there is no series or a series has unequal lengths.
 *
 * @example writeFileSync("run.svg", plotTimeSeries(sampler.series, { title: "two flows, 10 % loss" }));
 */
export function plotTimeSeries(series: readonly TimeSeries[], options: PlotOptions = {}): string {
  if (series.length === 0) throw new SimulatorOptionError("series", "[]", "at least one series");
  for (const { name, timesMs, values } of series) {
    if (timesMs.length !== values.length) {
      throw new SimulatorOptionError(
        `${name}.values`,
        `${values.length} long`,
        `as many as timesMs: ${timesMs.length}`,
      );
    }
  }
  const width = checkNumber("width", options.width ?? 960, 200, 20_000, "pixels");
  const panelHeight = checkNumber("panelHeight", options.panelHeight ?? 180, 40, 10_000, "pixels");
  const marks = options.marks ?? [];
  const [from, to] = timeRange(series, options);
  const units = [...new Set(series.map((one) => one.unit))];
  const top = (options.title === undefined ? 8 : TITLE_HEIGHT) + (marks.length > 0 ? MARK_HEIGHT : 0);
  const stride = LEGEND_HEIGHT + panelHeight + PANEL_GAP;
  const bottom = top + units.length * stride - PANEL_GAP;
  const height = bottom + AXIS_HEIGHT;
  const plotWidth = width - LEFT - RIGHT;
  const x = (ms: number): number => LEFT + ((ms - from) / (to - from)) * plotWidth;
  const parts: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
      `font-family="sans-serif" font-size="12" fill="#222">`,
    // For who cannot see it.
    `<title>${escaped(options.title ?? series.map((one) => one.name).join(", "))}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
  ];
  if (options.title !== undefined) {
    parts.push(text(LEFT, 20, options.title, 'font-size="15" font-weight="bold"'));
  }
  // Long runs read better in seconds.
  const inSeconds = to - from >= 2000;
  const scale = inSeconds ? 1000 : 1;
  const timeTicks = ticks(from / scale, to / scale, Math.max(2, Math.floor(plotWidth / 90)));
  units.forEach((unit, panel) => {
    const members = series.filter((one) => one.unit === unit);
    const panelTop = top + panel * stride + LEGEND_HEIGHT;
    const [low, high, valueTicks] = valueRange(members, from, to, panelHeight);
    const y = (value: number): number => panelTop + panelHeight - ((value - low) / (high - low)) * panelHeight;
    for (const tick of timeTicks) {
      const at = fixed(x(tick * scale));
      parts.push(`<path d="M${at} ${panelTop}v${panelHeight}" stroke="#e8e8e8"/>`);
    }
    for (const tick of valueTicks) {
      const at = fixed(y(tick));
      parts.push(`<path d="M${LEFT} ${at}h${plotWidth}" stroke="#e8e8e8"/>`);
      parts.push(text(LEFT - 6, y(tick) + 4, label(tick, valueTicks), 'text-anchor="end"'));
    }
    parts.push(
      `<rect x="${LEFT}" y="${panelTop}" width="${plotWidth}" height="${panelHeight}" fill="none" stroke="#888"/>`,
    );
    const middle = fixed(panelTop + panelHeight / 2);
    parts.push(text(16, panelTop + panelHeight / 2, unit, `text-anchor="middle" transform="rotate(-90 16 ${middle})"`));
    let legendX = LEFT;
    members.forEach((one, i) => {
      const colour = COLOURS[i % COLOURS.length];
      // A second round of colours is dashed, so that no two curves look the same.
      const dash = i < COLOURS.length ? "" : ' stroke-dasharray="6 3"';
      parts.push(`<path d="M${fixed(legendX)} ${panelTop - 9}h18" stroke="${colour}" stroke-width="2.5"${dash}/>`);
      parts.push(text(legendX + 23, panelTop - 5, one.name));
      legendX += 23 + 7 * one.name.length + 18;
      for (const path of curves(one, from, to, x, y, plotWidth)) {
        const style = `fill="none" stroke="${colour}" stroke-width="1.5" stroke-linejoin="round"${dash}`;
        parts.push(`<path d="${path}" ${style}/>`);
      }
    });
  });
  for (const mark of marks) {
    if (mark.atMs < from || mark.atMs > to) continue;
    const at = fixed(x(mark.atMs));
    parts.push(`<path d="M${at} ${top + 4}V${bottom}" stroke="#666" stroke-dasharray="3 3"/>`);
    parts.push(text(x(mark.atMs), top, mark.label, 'text-anchor="middle" font-size="11"'));
  }
  for (const tick of timeTicks) {
    parts.push(text(x(tick * scale), bottom + 16, label(tick, timeTicks), 'text-anchor="middle"'));
  }
  parts.push(text(LEFT + plotWidth / 2, bottom + 33, `time, ${inSeconds ? "s" : "ms"}`, 'text-anchor="middle"'));
  parts.push("</svg>", "");
  return parts.join("\n");
}

function timeRange(series: readonly TimeSeries[], options: PlotOptions): [number, number] {
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  for (const { timesMs } of series) {
    if (timesMs.length === 0) continue;
    first = Math.min(first, timesMs[0]);
    last = Math.max(last, timesMs[timesMs.length - 1]);
  }
  // A first sample one interval after the start should not hide the start.
  const start = first > last / 10 && Number.isFinite(first) ? first : 0;
  const from = checkNumber("fromMs", options.fromMs ?? start, 0, Number.MAX_VALUE, "ms");
  const to = options.toMs ?? (Number.isFinite(last) && last > from ? last : from + 1);
  checkPositive("toMs - fromMs", to - from, "ms");
  return [from, to];
}

function valueRange(
  members: readonly TimeSeries[],
  from: number,
  to: number,
  panelHeight: number,
): [number, number, number[]] {
  let low = 0;
  let high = Number.NEGATIVE_INFINITY;
  for (const { timesMs, values } of members) {
    for (let i = 0; i < values.length; i++) {
      if (timesMs[i] < from || timesMs[i] > to || !Number.isFinite(values[i])) continue;
      low = Math.min(low, values[i]);
      high = Math.max(high, values[i]);
    }
  }
  if (!(high > low)) high = low + 1;
  const found = ticks(low, high, Math.max(2, Math.floor(panelHeight / 36)));
  const step = found.length > 1 ? found[1] - found[0] : high - low;
  high = Math.ceil(high / step - 1e-9) * step;
  low = Math.floor(low / step + 1e-9) * step;
  return [low, high, ticks(low, high, Math.round((high - low) / step))];
}

/** At most about `count` + 1 round numbers (1, 2, 5 times a power of ten) in a range. */
function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((factor) => factor * power >= rough * (1 - 1e-9)) ?? 10);
  const found: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
}

function label(tick: number, all: readonly number[]): string {
  const step = all.length > 1 ? Math.abs(all[1] - all[0]) : Math.abs(tick);
  const decimals = step > 0 ? Math.max(0, Math.min(9, -Math.floor(Math.log10(step) + 1e-9))) : 0;
  return tick.toFixed(decimals);
}

/**
 * The curve as paths, one for each stretch without a gap. Where more than a few samples fall on one pixel only the
 * first, lowest, highest and last of them are drawn, so that a long run stays a small file and keeps its spikes.
 */
function curves(
  { timesMs, values }: TimeSeries,
  from: number,
  to: number,
  x: (ms: number) => number,
  y: (value: number) => number,
  plotWidth: number,
): string[] {
  const paths: string[] = [];
  let path = "";
  const flush = (): void => {
    // A lone point shows as a dot only with some length.
    if (path.length > 0) paths.push(path.includes("L") ? path : `${path}h0.1`);
    path = "";
  };
  const dense = timesMs.length > 4 * plotWidth;
  for (let i = 0; i < timesMs.length; ) {
    if (timesMs[i] < from || timesMs[i] > to) {
      i++;
      continue;
    }
    if (!Number.isFinite(values[i])) {
      flush();
      i++;
      continue;
    }
    const column = Math.round(x(timesMs[i]));
    let end = i + 1;
    if (dense) {
      const same = (j: number) =>
        timesMs[j] <= to && Number.isFinite(values[j]) && Math.round(x(timesMs[j])) === column;
      while (end < timesMs.length && same(end)) end++;
    }
    let lowest = i;
    let highest = i;
    for (let j = i; j < end; j++) {
      if (values[j] < values[lowest]) lowest = j;
      if (values[j] > values[highest]) highest = j;
    }
    const chosen = [...new Set([i, lowest, highest, end - 1])].sort((a, b) => a - b);
    for (const j of chosen) path += `${path === "" ? "M" : "L"}${fixed(x(timesMs[j]))} ${fixed(y(values[j]))}`;
    i = end;
  }
  flush();
  return paths;
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}"${attributes === "" ? "" : ` ${attributes}`}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function fixed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, "");
}
