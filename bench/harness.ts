/**
 * The measuring part of the benchmarks: interleaved rounds of competing functions, medians and spread, a table, JSON, and
 * goals that can be missed. Not a benchmark itself.
 */
export interface Goal {
  /** What must hold, in words. */
  what: string;
  measured: number;
  /** Smallest (or, with `atMost`, largest) value that passes. */
  wanted: number;
  atMost?: boolean;
  /** It depends on the machine and how busy that is: not enforced in the quick form. */
  speed?: boolean;
}

export interface Row {
  name: string;
  /** Median of the rounds. */
  value: number;
  unit: string;
  /** Slowest and fastest round. */
  low?: number;
  high?: number;
  note?: string;
}

export interface Report {
  title: string;
  rows: Row[];
  goals: Goal[];
}

export interface Options {
  /** Fewer and shorter rounds, for a smoke test; goals of speed are then reported but not enforced. */
  quick: boolean;
  /** Draw the charts of the docs anew. */
  chart: boolean;
}

export interface Contender {
  name: string;
  /** Bytes of result that one call makes. */
  bytes: number;
  run(): void;
  note?: string;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The value that a fraction `q` of the values does not exceed; NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

function secondsOf(run: () => void, calls: number): number {
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i++) run();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

/**
 * MB/s (10^6 bytes) of every contender: all take turns within each round, so that a noisy machine is noisy for all, and
 * medians are compared.
 */
export function throughput(contenders: readonly Contender[], { quick }: Options): Row[] {
  const rounds = quick ? 3 : 11;
  const roundSeconds = quick ? 0.02 : 0.12;
  const calls = contenders.map(({ run }) => {
    // Warm up until compiled, then calibrate.
    let n = 1;
    let seconds = secondsOf(run, n);
    for (let i = 0; i < 30 && seconds < roundSeconds; i++) {
      n = Math.ceil(Math.min(2 * n, (1.2 * n * roundSeconds) / Math.max(seconds, 1e-7)));
      seconds = secondsOf(run, n);
    }
    return Math.max(1, Math.round((n * roundSeconds) / seconds));
  });
  const results: number[][] = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    contenders.forEach(({ run, bytes }, i) => {
      results[i].push((bytes * calls[i]) / secondsOf(run, calls[i]) / 1e6);
    });
  }
  return contenders.map(({ name, note }, i) => ({
    name,
    value: median(results[i]),
    unit: "MB/s",
    low: Math.min(...results[i]),
    high: Math.max(...results[i]),
    ...(note === undefined ? {} : { note }),
  }));
}

export function passes({ measured, wanted, atMost }: Goal): boolean {
  return atMost ? measured <= wanted : measured >= wanted;
}

function format(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(2);
}

export function print({ title, rows, goals }: Report): void {
  console.log(`\n${title}`);
  const width = Math.max(0, ...rows.map(({ name }) => name.length));
  for (const { name, value, unit, low, high, note } of rows) {
    const spread = low === undefined || high === undefined ? "" : `  (${format(low)} to ${format(high)})`;
    console.log(`  ${name.padEnd(width)}  ${format(value).padStart(8)} ${unit}${spread}${note ? `  ${note}` : ""}`);
  }
  for (const goal of goals) {
    const sign = goal.atMost ? "<=" : ">=";
    console.log(
      `  ${passes(goal) ? "ok    " : "MISSED"}  ${goal.what}: ${format(goal.measured)}, goal ${sign} ${format(goal.wanted)}`,
    );
  }
}
