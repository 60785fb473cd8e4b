/**
 * What many clients cost a server: the built `bats-proxy server`; clients with a socket and a forward each (`fleet.ts`);
 * default settings but for a keep-alive of 15 s at both ends. Every forward carries a byte there and back, then all are left alone.
 *
 *     npm run bench:scale                     # 100 to 3000 clients; some fifteen minutes
 *     npm run bench:scale -- --clients 1000   # one number; three minutes
 *     npm run bench:scale -- --quick          # 30 clients, a smoke test of seconds that enforces no speed
 *
 * `--json FILE` also writes the results as JSON, `--chart` draws docs/scale.svg anew. With `--add` the results of other sizes that FILE
 * holds are kept and drawn too: sizes may be measured one by one. Exits with 1 when a goal is missed: goals are those
 * of 1000 clients, and what a session costs among 3000 against what it costs among 1000.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { lineChart } from "./chart.ts";
import { Fleet, wallMs } from "./fleet.ts";
import { type Goal, passes, print, type Report } from "./harness.ts";

const KEEP_ALIVE_MS = 15_000;
/** Until searches for the path's packet size are over and sessions rest. */
const SETTLE_MS = 40_000;
const IDLE_MS = 60_000;
const SIZES = [100, 300, 1000, 2000, 3000];
const MAIN_SIZE = 1000;
const QUICK_SIZE = 30;
const QUICK_MS = 1000;

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    clients: { type: "string" },
    json: { type: "string" },
    chart: { type: "boolean", default: false },
    add: { type: "boolean", default: false },
  },
});
const { quick, json } = values;

interface Result {
  clients: number;
  setUpS: number;
  /** Of the server, ms a set-up. */
  setUpCpuMs: number;
  /** What the server holds beyond an empty one, KiB a session. */
  residentKib: number;
  heapKib: number;
  externalKib: number;
  /** Of one core, while nothing but keep-alives goes on. */
  idlePercent: number;
  /** From the server's kill to the last client's first echo; Infinity when that takes longer than minutes. */
  backS: number;
}

async function measure(clients: number): Promise<Result> {
  const fleet = await Fleet.prepare(clients, KEEP_ALIVE_MS);
  try {
    const empty = await fleet.sample();
    const startMs = wallMs();
    const setUpS = ((await fleet.start()) - startMs) / 1000;
    const full = await fleet.sample();
    await delay(quick ? QUICK_MS : SETTLE_MS);
    const before = await fleet.sample();
    const beforeMs = wallMs();
    await delay(quick ? QUICK_MS : IDLE_MS);
    const after = await fleet.sample();
    const idleMs = wallMs() - beforeMs;
    const { killedMs, servingMs } = await fleet.restart();
    const backS = ((await fleet.allWork(servingMs)) - killedMs) / 1000;
    const kib = (name: "rss" | "heapUsed" | "external") => (after.memory[name] - empty.memory[name]) / clients / 1024;
    return {
      clients,
      setUpS,
      setUpCpuMs: (full.askedCpuMs - empty.answeredCpuMs) / clients,
      residentKib: kib("rss"),
      heapKib: kib("heapUsed"),
      externalKib: kib("external"),
      idlePercent: (100 * (after.askedCpuMs - before.answeredCpuMs)) / idleMs,
      backS,
    };
  } finally {
    await fleet.close();
  }
}

function reportOf(result: Result): Report {
  const { clients, setUpS, setUpCpuMs, residentKib, heapKib, externalKib, idlePercent, backS } = result;
  const goals: Goal[] = [
    { what: "set-ups a second", measured: clients / setUpS, wanted: 100, speed: true },
    { what: "KiB resident a session", measured: residentKib, wanted: 64, atMost: true, speed: true },
    { what: "% of a core idle", measured: idlePercent, wanted: 3, atMost: true, speed: true },
    { what: "s from the server's kill until all work again", measured: backS, wanted: 60, atMost: true, speed: true },
  ];
  return {
    title: `${clients} clients of one server`,
    rows: [
      { name: "set-ups", value: clients / setUpS, unit: "a second", note: "" },
      { name: "the server's CPU", value: setUpCpuMs, unit: "ms a set-up" },
      { name: "resident", value: residentKib, unit: "KiB a session" },
      { name: "JavaScript heap", value: heapKib, unit: "KiB a session" },
      { name: "buffers beside it", value: externalKib, unit: "KiB a session" },
      { name: "CPU idle", value: idlePercent, unit: "% of a core" },
      { name: "back after a kill", value: backS, unit: "s" },
    ],
    goals: clients === MAIN_SIZE || quick ? goals : [],
  };
}

/** What a session costs among the most, over what it costs among 1000. */
function linearity(results: readonly Result[]): Report {
  const last = results[results.length - 1];
  const main = results.find(({ clients }) => clients === MAIN_SIZE)!;
  const goal = (what: string, of: (result: Result) => number): Goal => {
    return { what, measured: of(last) / of(main), wanted: 1.5, atMost: true };
  };
  return {
    title: `What a session costs among ${last.clients}, over what it costs among ${MAIN_SIZE}`,
    rows: [],
    goals: [
      goal("CPU of a set-up", ({ setUpCpuMs }) => setUpCpuMs),
      goal("memory", ({ residentKib }) => residentKib),
      goal("CPU idle", ({ idlePercent, clients }) => idlePercent / clients),
      goal("until back", ({ backS, clients }) => backS / clients),
    ],
  };
}

function drawChart(results: readonly Result[]): void {
  const series = (name: string, of: (result: Result) => number) => {
    const points = results.map((result) => ({ x: result.clients, y: of(result) }));
    // Of those that were not all back in time there is no point.
    return { name, points: points.filter(({ y }) => y < Number.POSITIVE_INFINITY) };
  };
  const svg = lineChart({
    title: "What idle clients cost one server",
    x: "clients",
    y: "as the legend says",
    series: [
      series("resident memory, MiB", ({ residentKib, clients }) => (residentKib * clients) / 1024),
      series("CPU idle, 0.1 % of a core", ({ idlePercent }) => 10 * idlePercent),
      series("set-up of all, s", ({ setUpS }) => setUpS),
      series("all back after a kill, s", ({ backS }) => backS),
    ],
  });
  writeFileSync(new URL("../docs/scale.svg", import.meta.url), svg);
}

const sizes = values.clients !== undefined ? [Number(values.clients)] : quick ? [QUICK_SIZE] : SIZES;
const machine = `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.version}`;
console.log(`${machine}${quick ? ", quick: speeds are not enforced" : ""}`);
const results: Result[] = [];
if (values.add && json !== undefined && existsSync(json)) {
  const earlier = JSON.parse(readFileSync(json, "utf8")) as { results: Result[] };
  // JSON has no Infinity: it writes null.
  for (const result of earlier.results) result.backS ??= Number.POSITIVE_INFINITY;
  results.push(...earlier.results.filter(({ clients }) => !sizes.includes(clients)));
}
const reports: Report[] = [];
for (const size of sizes) {
  const result = await measure(size);
  results.push(result);
  reports.push(reportOf(result));
  print(reports[reports.length - 1]);
}
results.sort((a, b) => a.clients - b.clients);
if (results.length > 1 && results.some(({ clients }) => clients === MAIN_SIZE)) {
  reports.push(linearity(results));
  print(reports[reports.length - 1]);
}
if (results.length > 1 && values.chart) drawChart(results);
if (json !== undefined) {
  writeFileSync(json, `${JSON.stringify({ machine, quick, results, reports }, null, 2)}\n`);
}
const missed = reports.flatMap(({ goals }) => goals.filter((goal) => !passes(goal) && !(quick && goal.speed)));
if (missed.length > 0) console.error(`\n${missed.length} goal(s) missed`);
process.exit(missed.length > 0 ? 1 : 0);
