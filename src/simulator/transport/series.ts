/** What of a session is worth looking at over time, for `sample` and `plotTimeSeries`. */
import { rateMbps, type SeriesDefinition } from "../series.ts";
import type { TransportEnd } from "./end.ts";

/**
 * Of what `end` sends: "goodput" at the peer's application (Mbit/s), smoothed "RTT" (ms), bytes "in flight" (kB), "loss estimate":
 * the share of packets that it reckons will be lost (%), and "repair share": the share of repair in the symbols that it sent (%); the
 * `redundancy` of `stats` is repair to data instead, which knows no bound in an interval. Goodput and repair share are those of each
 * interval; where nothing was sent is a gap. At best the repair share lies on the loss estimate: not a byte more was sent than lost.
 * `label` tells several ends in one plot apart.
 *
 * @example
 * const sampler = sample(network, 250, transportSeries(client));
 * network.run(20_000);
 * writeFileSync("run.svg", plotTimeSeries(sampler.series));
 */
export function transportSeries(end: TransportEnd, label = ""): Record<string, SeriesDefinition> {
  const named = (name: string): string => (label === "" ? name : `${label}: ${name}`);
  let before = end.stats();
  const repairShare = (): number => {
    const now = end.stats();
    const repair = now.repairBytes - before.repairBytes;
    const source = now.sourceBytes - before.sourceBytes;
    before = now;
    return repair + source > 0 ? (100 * repair) / (repair + source) : Number.NaN;
  };
  return {
    [named("goodput")]: { unit: "Mbit/s", read: rateMbps(end.network, () => end.stats().deliveredBytes) },
    [named("RTT")]: { unit: "ms", read: () => end.stats().rttMs },
    [named("in flight")]: { unit: "kB", read: () => end.stats().inFlightBytes / 1000 },
    [named("loss estimate")]: { unit: "%", read: () => 100 * end.stats().lossEstimate },
    [named("repair share")]: { unit: "%", read: repairShare },
  };
}
