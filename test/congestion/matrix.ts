// Prints the whole matrix as Markdown, the worst of the seeds of each cell:
//   npx tsx test/congestion/matrix.ts [section ...] [--seeds=5]
import type { Cell, CellResult } from "./cells.ts";
import { runCell, runFairness, runRecovery, safetyCells, usualLink } from "./cells.ts";

const sections = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const seedCount = Number(process.argv.find((argument) => argument.startsWith("--seeds="))?.slice(8) ?? 5);
const seeds = Array.from({ length: seedCount }, (_, i) => i + 1);
/** The share of IP bytes that is payload: what an ideal transport would reach. */
const CEILING = 1400 / 1500;

interface Worst {
  efficiency: number;
  wholeEfficiency: number;
  drops: number;
  startupDrops: number;
  lossError: number;
}

function worst(cell: Omit<Cell, "seed">, loss: number): Worst {
  const results: CellResult[] = seeds.map((seed) => runCell({ ...cell, seed }));
  const most = (of: (result: CellResult) => number) => Math.max(...results.map(of));
  return {
    efficiency: -most((r) => -r.efficiency),
    wholeEfficiency: -most((r) => -r.wholeEfficiency),
    drops: most((r) => r.drops),
    startupDrops: most((r) => r.startupDrops),
    lossError: most((r) => Math.abs(r.lossEstimate - loss)),
  };
}

const share = (value: number) => value.toFixed(3);
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;

function row(...columns: (string | number)[]): void {
  console.log(`| ${columns.join(" | ")} |`);
}

function head(title: string, ...columns: string[]): void {
  console.log(`\n${title}\n`);
  row(...columns);
  row(...columns.map(() => "---"));
}

function bulk(rateMbps: number, losses: number[], delays: number[], durationMs: number, steadyMs: number): void {
  head(
    `${rateMbps} Mbit/s, ${durationMs / 1000} s`,
    "loss",
    "one way, ms",
    `E after ${steadyMs / 1000} s`,
    "of ceiling",
    "E whole",
    "own drops after",
    "before",
    "error of loss",
  );
  for (const loss of losses) {
    for (const delayMs of delays) {
      const w = worst({ forward: usualLink(loss, { rateMbps, delayMs }), durationMs, steadyMs }, loss);
      row(
        percent(loss),
        delayMs,
        share(w.efficiency),
        share(w.efficiency / CEILING),
        share(w.wholeEfficiency),
        percent(w.drops),
        percent(w.startupDrops),
        share(w.lossError),
      );
    }
  }
}

const all: Record<string, () => void> = {
  bulk: () => bulk(100, [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3], [10, 30, 50, 70, 90, 110], 20_000, 3000),
  fast: () => bulk(1000, [0, 0.02, 0.1], [10, 50, 100], 10_000, 5000),
  bursts: () => {
    head("Gilbert-Elliott, 5 % in bursts of 8, 50 ms one way", "E after 3 s", "E whole", "own drops", "error of loss");
    const forward = usualLink(0, { delayMs: 50, loss: { meanLoss: 0.05, meanBurst: 8 } });
    const w = worst({ forward, durationMs: 20_000, usable: 12_500 * 0.95 }, 0.05);
    row(share(w.efficiency), share(w.wholeEfficiency), percent(w.drops), share(w.lossError));
  },
  safety: () => {
    head("Safety, 25 ms one way", "path", "loss", "E after 3 s", "own drops after", "before", "error of loss");
    for (const loss of [0, 0.1]) {
      for (const [name, cell] of Object.entries(safetyCells(loss))) {
        const w = worst(cell, loss);
        row(name, percent(loss), share(w.efficiency), percent(w.drops), percent(w.startupDrops), share(w.lossError));
      }
    }
  },
  recovery: () => {
    head("Round trips to 0.9 of the rate", "event", "loss", "one way, ms", "mean", "worst");
    for (const loss of [0, 0.1]) {
      for (const delayMs of [25, 50, 110]) {
        const outages = [{ fromMs: 10_000, toMs: 15_000 }];
        const rttMs = 2 * delayMs;
        const times = seeds.map((seed) => runRecovery(seed, usualLink(loss, { delayMs, outages }), 15_000, rttMs));
        row("outage of 5 s", percent(loss), delayMs, mean(times).toFixed(1), Math.max(...times));
      }
      const rateSteps = [
        { atMs: 10_000, rateMbps: 20 },
        { atMs: 20_000, rateMbps: 100 },
      ];
      const times = seeds.map((seed) => runRecovery(seed, usualLink(loss, { rateSteps }), 20_000, 50));
      row("20 to 100 Mbit/s", percent(loss), 25, mean(times).toFixed(1), Math.max(...times));
    }
  },
  fairness: () => {
    head(
      "Two flows, 50 Mbit/s, 40 ms RTT, one-BDP queue, 60 s",
      "beside",
      "loss",
      "Jain mean",
      "Jain worst",
      "own",
      "other",
    );
    for (const [loss, other] of [
      [0, "bbr"],
      [0.02, "bbr"],
      [0, "cubic"],
    ] as const) {
      const results = seeds.map((seed) => runFairness(seed, loss, other));
      row(
        other === "bbr" ? "itself" : "TCP CUBIC",
        percent(loss),
        share(mean(results.map((r) => r.jain))),
        share(Math.min(...results.map((r) => r.jain))),
        mean(results.map((r) => r.ownMbps)).toFixed(1),
        mean(results.map((r) => r.otherMbps)).toFixed(1),
      );
    }
  },
};

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

for (const [name, run] of Object.entries(all)) {
  if (sections.length === 0 || sections.includes(name)) run();
}
