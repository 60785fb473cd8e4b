/**
 * Sampling: reads whatever the user names at a fixed interval of virtual time and keeps it as time series, for
 * `plotTimeSeries` or for tests. It knows nothing of what the numbers mean.
 */
import { SimulatorOptionError } from "./error.ts";
import type { Network } from "./network.ts";

/** One curve. `values[i]` belongs to `timesMs[i]`; NaN is a gap. */
export interface TimeSeries {
  name: string;
  /** As it stands on the axis: "Mbit/s", "ms", "packets", "%". Series of one unit share a plot. */
  unit: string;
  timesMs: readonly number[];
  values: readonly number[];
}

export interface SeriesDefinition {
  unit: string;
  /** Read once a sample. */
  read: (nowMs: number) => number;
}

export interface Sampler {
  /** The series, which grow as the network runs. */
  readonly series: readonly TimeSeries[];
  /** One of them by name. Throws a SimulatorOptionError when there is none. */
  get(name: string): TimeSeries;
  stop(): void;
}

/**
 * Samples every `intervalMs`, first one interval from now. A sampled run is the same as one that is not; `read` must
 * only look.
 *
 * @example
 * const sampler = sample(network, 100, {
 *   goodput: { unit: "Mbit/s", read: rateMbps(network, () => flow.deliveredBytes) },
 *   RTT: { unit: "ms", read: () => flow.smoothedRttMs },
 * });
 */
export function sample(
  network: Network,
  intervalMs: number,
  definitions: Readonly<Record<string, SeriesDefinition>>,
): Sampler {
  const names = Object.keys(definitions);
  const timesMs: number[] = [];
  const columns = names.map((): number[] => []);
  const series = names.map((name, i) => ({ name, unit: definitions[name].unit, timesMs, values: columns[i] }));
  const stop = network.watch(intervalMs, (nowMs) => {
    timesMs.push(nowMs);
    for (let i = 0; i < names.length; i++) columns[i].push(definitions[names[i]].read(nowMs));
  });
  return {
    series,
    get(name) {
      const found = series.find((one) => one.name === name);
      if (found === undefined) throw new SimulatorOptionError("name", name, `one of ${names.join(", ")}`);
      return found;
    },
    stop,
  };
}

/**
 * Turns a growing count of bytes into a reader of its mean rate since the read before (first: since now), in Mbit/s.
 */
export function rateMbps(network: Network, bytes: () => number): (nowMs: number) => number {
  let lastMs = network.nowMs;
  let lastBytes = bytes();
  return (nowMs) => {
    const total = bytes();
    const rate = ((total - lastBytes) * 8) / 1000 / (nowMs - lastMs);
    lastMs = nowMs;
    lastBytes = total;
    return rate;
  };
}

/** The mean of the values with fromMs < time <= toMs; NaN when there are none. */
export function meanOf(series: TimeSeries, fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY): number {
  let sum = 0;
  let count = 0;
  for (let i = 0; i < series.timesMs.length; i++) {
    const time = series.timesMs[i];
    if (time > fromMs && time <= toMs && !Number.isNaN(series.values[i])) {
      sum += series.values[i];
      count++;
    }
  }
  return count === 0 ? Number.NaN : sum / count;
}
