/** What the demo leaves: one HTML file, without script or outside resources, with its table and how it went over time. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Chart, escapeMarkup, type Series, shapeMarkup, shapesOf } from "../src/operate/dashboard/chart.ts";
import type { Fleet, FleetMeasure } from "../src/operate/dashboard/fleet.ts";
import type { Kind } from "../src/operate/dashboard/format.ts";
import type { Recording } from "./recording.ts";
import { tableOf, type Way } from "./screen.ts";

const STYLE = new URL("../src/operate/dashboard/style.css", import.meta.url);
const SIZE = { widthPx: 460, heightPx: 190 };
/** Of goodput in the chart: what came in the last of these. */
const RATE_MS = 1000;

export interface Report {
  /** What was downloaded over which path, in a sentence. */
  subject: string;
  /** bats-proxy is the last one. */
  ways: readonly Way[];
  recording: Recording;
  fleet: Fleet;
}

export function writeReport(file: string, report: Report): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, reportPage(report));
}

export function reportPage({ subject, ways, recording, fleet }: Report): string {
  const { timesMs, bytes } = recording;
  const endMs = Math.max(1000, timesMs.at(-1) ?? 0);
  // The dashboard's first colour is that of bats-proxy.
  const order = [...ways.keys()].reverse();
  const common = { ...SIZE, fromMs: 0, toMs: endMs, timesMs, gapMs: Number.POSITIVE_INFINITY, formatTime };
  const seriesOf = (values: (way: number) => number[]): Series[] =>
    order.map((way) => ({ label: ways[way].label, values: values(way) }));
  const total = ways[0].progress.totalBytes;
  const received = seriesOf((way) => bytes[way].map((value) => value / total));
  const goodput = seriesOf((way) => ratesOf(bytes[way], timesMs, ways[way].progress.elapsedMs));
  const figures = [
    figure("Received", { ...common, kind: "share", series: received }),
    figure("Goodput", { ...common, kind: "rate", series: goodput }),
    ...sessionFigures(fleet),
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>bats-proxy: one download over a bad path</title>
<style>${readFileSync(STYLE, "utf8")}
.series-2 { stroke: var(--quiet); }
.key.third::before { background: var(--quiet); }
figure svg { height: auto; cursor: auto; }
#charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
tbody tr { cursor: auto; }
tbody tr:last-child { font-weight: 600; }
th { padding: 0.35rem 0.6rem; }
td:last-child { text-align: left; }
@media (max-width: 760px) { td { white-space: normal; } }
</style>
<header><h1>One download over a bad path</h1></header>
<p>${escapeMarkup(subject)}.</p>
<table>${tableMarkup(ways)}</table>
<div id="charts">${figures.join("\n")}</div>
<p class="detail">Round trip, loss and redundancy are what the server of bats-proxy saw of its session, as its dashboard shows them live.</p>
</html>
`;
}

function sessionFigures({ clock, track }: Fleet): string[] {
  const slots = clock.slotsSince(0);
  if (slots.length < 2) return [];
  const startMs = clock.timeAt(slots[0]);
  const timesMs = slots.map((slot) => clock.timeAt(slot) - startMs);
  const common = { ...SIZE, fromMs: 0, toMs: timesMs[timesMs.length - 1], timesMs, gapMs: 5000, formatTime };
  const one = (title: string, kind: Kind, measure: FleetMeasure, label: string) =>
    figure(title, { ...common, kind, series: [{ label, values: track.read(slots, measure) }] });
  // With one session the median is its own.
  return [
    one("Round trip of the session", "time", "medianRttMs", "smoothed"),
    one("Loss on the way to the edge", "share", "medianLoss", "of packets"),
    one("Redundancy", "share", "medianRedundancy", "repair to data"),
  ];
}

function figure(title: string, chart: Chart): string {
  const keys = chart.series.map(({ label }, i) => {
    const place = ["key", "key second", "key third"][i] ?? "key third";
    return `<span class="${place}">${escapeMarkup(label)}</span>`;
  });
  const shapes = shapesOf(chart).map(shapeMarkup).join("");
  return `<figure><figcaption><strong>${escapeMarkup(title)}</strong><span class="legend">${keys.join(" ")}</span></figcaption>
<svg viewBox="0 0 ${chart.widthPx} ${chart.heightPx}" role="img" aria-label="${escapeMarkup(title)} over time">${shapes}</svg></figure>`;
}

/** Bits a second over the last RATE_MS; nothing after the end. */
function ratesOf(bytes: readonly number[], timesMs: readonly number[], endMs: number): number[] {
  let first = 0;
  return timesMs.map((ms, i) => {
    while (timesMs[first] < ms - RATE_MS) first++;
    if (i === first || ms > endMs + RATE_MS) return Number.NaN;
    return ((bytes[i] - bytes[first]) * 8000) / (ms - timesMs[first]);
  });
}

function tableMarkup(ways: readonly Way[]): string {
  const [head, ...rows] = tableOf(ways).map((row) => row.map(escapeMarkup));
  const line = (cells: readonly string[], tag: string) =>
    `<tr><${tag}>${cells.join(`</${tag}><${tag}>`)}</${tag}></tr>`;
  return `<thead>${line(head, "th")}</thead><tbody>${rows.map((row) => line(row, "td")).join("")}</tbody>`;
}

function formatTime(ms: number): string {
  return `${ms / 1000} s`;
}
