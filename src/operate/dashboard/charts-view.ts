/** The charts of one session or of all together, with one cross-hair through all of them. */
import { type Chart, shapesOf, timeAt, xOf } from "./chart.ts";
import { create, createSvg, setText } from "./dom.ts";
import type { FleetMeasure, SessionMeasure } from "./fleet.ts";
import { formatClock, formatValue, type Kind } from "./format.ts";
import type { Clock, Track } from "./track.ts";

export interface ChartPlan<Measure extends string> {
  title: string;
  kind: Kind;
  lines: readonly { label: string; measure: Measure }[];
}

export const SESSION_CHARTS: readonly ChartPlan<SessionMeasure>[] = [
  {
    title: "Goodput",
    kind: "rate",
    lines: [
      { label: "to the peer", measure: "sentBps" },
      { label: "from the peer", measure: "receivedBps" },
    ],
  },
  {
    title: "Round trip",
    kind: "time",
    lines: [
      { label: "smoothed", measure: "rttMs" },
      { label: "least", measure: "minRttMs" },
    ],
  },
  { title: "Loss", kind: "share", lines: [{ label: "to the peer", measure: "loss" }] },
  { title: "Redundancy", kind: "share", lines: [{ label: "repair to data", measure: "redundancy" }] },
  {
    title: "Forwards",
    kind: "count",
    lines: [
      { label: "connections", measure: "connections" },
      { label: "UDP flows", measure: "flows" },
    ],
  },
  { title: "Pacing", kind: "rate", lines: [{ label: "allowed rate", measure: "pacingBps" }] },
];

export const FLEET_CHARTS: readonly ChartPlan<FleetMeasure>[] = [
  {
    title: "Goodput",
    kind: "rate",
    lines: [
      { label: "to peers", measure: "sentBps" },
      { label: "from peers", measure: "receivedBps" },
    ],
  },
  {
    title: "Round trip",
    kind: "time",
    lines: [
      { label: "median", measure: "medianRttMs" },
      { label: "worst", measure: "worstRttMs" },
    ],
  },
  {
    title: "Loss",
    kind: "share",
    lines: [
      { label: "median", measure: "medianLoss" },
      { label: "worst", measure: "worstLoss" },
    ],
  },
  {
    title: "Redundancy",
    kind: "share",
    lines: [
      { label: "median", measure: "medianRedundancy" },
      { label: "worst", measure: "worstRedundancy" },
    ],
  },
  {
    title: "Forwards",
    kind: "count",
    lines: [
      { label: "connections", measure: "connections" },
      { label: "UDP flows", measure: "flows" },
    ],
  },
  {
    title: "Sessions",
    kind: "count",
    lines: [
      { label: "open", measure: "open" },
      { label: "not answering", measure: "suspended" },
    ],
  },
];

const HEIGHT_PX = 150;
const LEAST_SPAN_MS = 60_000;

export interface Shown<Measure extends string> {
  plans: readonly ChartPlan<Measure>[];
  track: Track<Measure>;
  clock: Clock;
  spanMs: number;
  gapMs: number;
}

interface Figure {
  readonly root: HTMLElement;
  readonly svg: SVGElement;
  readonly values: readonly HTMLElement[];
  readonly at: HTMLElement;
  chart: Chart | null;
}

export class ChartsView {
  readonly #root: HTMLElement;
  #plans: readonly ChartPlan<string>[] = [];
  #figures: Figure[] = [];
  #hoverMs: number | null = null;
  #redraw: () => void = () => {};

  constructor(root: HTMLElement) {
    this.#root = root;
    new ResizeObserver(() => this.#redraw()).observe(root);
  }

  show<Measure extends string>(shown: Shown<Measure>): void {
    if (this.#plans !== shown.plans) {
      this.#plans = shown.plans;
      this.#figures = shown.plans.map((plan) => this.#createFigure(plan));
      this.#root.replaceChildren(...this.#figures.map(({ root }) => root));
    }
    this.#redraw = () => this.#draw(shown);
    this.#redraw();
  }

  #createFigure({ title, lines }: ChartPlan<string>): Figure {
    const values = lines.map(() => create("b"));
    const keys = lines.map(({ label }, i) =>
      create("span", { className: i === 0 ? "key" : "key second" }, new Text(`${label} `), values[i]),
    );
    const at = create("span", { className: "detail" });
    const legend = create("span", { className: "legend" }, ...keys);
    const caption = create("figcaption", {}, create("strong", { text: title }), at, legend);
    const svg = createSvg("svg", { role: "img", "aria-label": `${title} over time` });
    const figure: Figure = { root: create("figure", {}, caption), svg, values, at, chart: null };
    figure.root.append(svg);
    const hover = (event: PointerEvent) => {
      if (figure.chart === null) return;
      this.#hoverMs = timeAt(figure.chart, event.clientX - svg.getBoundingClientRect().left);
      this.#redraw();
    };
    svg.addEventListener("pointermove", hover);
    svg.addEventListener("pointerdown", hover);
    svg.addEventListener("pointerleave", () => {
      this.#hoverMs = null;
      this.#redraw();
    });
    return figure;
  }

  #draw<Measure extends string>({ plans, track, clock, spanMs, gapMs }: Shown<Measure>): void {
    const toMs = clock.lastMs;
    const slots = clock.slotsSince(toMs - spanMs);
    const timesMs = slots.map((slot) => clock.timeAt(slot));
    // A page that was just opened shows what there is, no empty minutes before it.
    const fromMs = Math.max(toMs - spanMs, Math.min(timesMs[0] ?? toMs, toMs - LEAST_SPAN_MS));
    const chosen = this.#hoverMs === null ? timesMs.length - 1 : nearest(timesMs, this.#hoverMs);
    // Read before anything is written: a width that is asked for in between makes the browser lay out the page again.
    const widths = this.#figures.map(({ svg }) => svg.getBoundingClientRect().width);
    for (const [i, { kind, lines }] of plans.entries()) {
      const figure = this.#figures[i];
      const series = lines.map(({ label, measure }) => ({ label, values: track.read(slots, measure) }));
      const size = { widthPx: widths[i], heightPx: HEIGHT_PX };
      figure.chart = { kind, ...size, fromMs, toMs, timesMs, gapMs, series, formatTime: formatTick };
      const shapes = shapesOf(figure.chart).map(({ tag, attributes, text }) => createSvg(tag, attributes, text));
      if (this.#hoverMs !== null && timesMs.length > 0) {
        const x = xOf(figure.chart, timesMs[chosen]);
        shapes.push(createSvg("line", { class: "cross", x1: x, x2: x, y1: 0, y2: HEIGHT_PX }));
      }
      if (series.every(({ values }) => values.every(Number.isNaN))) {
        const middle = { class: "nothing", x: widths[i] / 2, y: HEIGHT_PX / 2, "text-anchor": "middle" };
        shapes.push(createSvg("text", middle, "nothing measured yet"));
      }
      figure.svg.replaceChildren(...shapes);
      for (const [line, { values }] of series.entries()) {
        setText(figure.values[line], formatValue(kind, values[chosen] ?? Number.NaN));
      }
      setText(figure.at, this.#hoverMs === null || timesMs.length === 0 ? "" : formatClock(timesMs[chosen]));
    }
  }
}

function formatTick(ms: number, stepMs: number): string {
  const text = formatClock(ms);
  return stepMs % 60_000 === 0 ? text.slice(0, 5) : text;
}

function nearest(timesMs: readonly number[], ms: number): number {
  let best = 0;
  for (const [i, time] of timesMs.entries()) if (Math.abs(time - ms) < Math.abs(timesMs[best] - ms)) best = i;
  return best;
}
