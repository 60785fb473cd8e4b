/** Figures of one stream on one path: bulk at 100 Mbit/s and 1 Gbit/s, bursts, the loss-free path. */
import { type BulkOptions, bulk, type Outcome } from "../../test/transport/session/bulk.ts";
import type { Cell, Figure, Measure } from "./figure.ts";

/** Runs a transfer that must go through undamaged. */
export function transfer(options: BulkOptions): Outcome {
  const outcome = bulk(options);
  if (outcome.wrong > 0 || outcome.log.length > 0) {
    throw new Error(`seed ${options.seed}: ${outcome.log.join(", ")}; ${outcome.wrong} wrong bytes`);
  }
  return outcome;
}

/** Efficiency: bytes in order over what the path carries, IP bytes, of `usable` bytes a ms. */
export function efficiency({ early, total }: Outcome, { seconds, fromMs }: BulkOptions, usable: number) {
  return { steady: (total - early) / (1000 * seconds - fromMs) / usable, whole: total / (1000 * seconds) / usable };
}

const BYTES_PER_MS = 125;

const E: Measure = { name: "E", worse: "less" };
const WHOLE: Measure = { name: "whole run", worse: "less" };
const DROPS: Measure = { name: "queue drops", unit: "%", worse: "more" };
/** Packets sent over n / (1 - p), n being the source symbols. */
const PACKETS: Measure = { name: "packets / (n/(1-p))", worse: "more" };

function bulkCell(
  rateMbps: number,
  delayMs: number,
  loss: number,
  seconds: number,
  fromMs: number,
  goals: Cell["goals"],
): Cell {
  return {
    name: `${delayMs} ms, ${Math.round(100 * loss)} %`,
    goals,
    run(seed) {
      const hop = { rateMbps, delayMs, queueMs: 10, loss };
      // Twice what is in flight, and what waits in incomplete batches, at the least the default.
      const windowBytes = Math.max(64 * 2 ** 20, 4 * rateMbps * BYTES_PER_MS * (2 * delayMs + 10));
      const options: BulkOptions = { hop, seconds, fromMs, seed, windowBytes };
      const outcome = transfer(options);
      const { steady, whole } = efficiency(outcome, options, rateMbps * BYTES_PER_MS * (1 - loss));
      return {
        E: steady,
        "whole run": whole,
        "queue drops": outcome.queueDrops / outcome.packets,
        "packets / (n/(1-p))": (outcome.sentPackets * (1 - loss)) / outcome.symbols,
      };
    },
  };
}

export const DELAYS_MS = [10, 30, 50, 70, 90, 110];
export const LOSSES = [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3];

export const figure1: Figure = {
  number: 1,
  title: "Bulk: one stream, 100 Mbit/s, 20 s, E and drops after 3 s, by one-way delay and loss",
  measures: [E, WHOLE, DROPS, PACKETS],
  cells: (quick) =>
    (quick ? [50] : DELAYS_MS).flatMap((delayMs) =>
      (quick ? [0, 0.1] : LOSSES).map((loss) =>
        bulkCell(100, delayMs, loss, 20, 3000, {
          E: loss > 0.2 ? 0.9 : 0.93,
          "whole run": delayMs <= 50 ? 0.88 : 0.8,
          "queue drops": 0.03,
          "packets / (n/(1-p))": 1.06,
        }),
      ),
    ),
};

export const figure2: Figure = {
  number: 2,
  title: "Bulk: one stream, 1000 Mbit/s, 20 s, E and drops after 5 s",
  measures: [E, WHOLE, DROPS, PACKETS],
  cells: (quick) =>
    (quick ? [10] : [10, 50, 100]).flatMap((delayMs) =>
      (quick ? [0.02] : [0, 0.02, 0.1]).map((loss) => bulkCell(1000, delayMs, loss, quick ? 6 : 20, 5000, { E: 0.93 })),
    ),
};

export const figure3: Figure = {
  number: 3,
  title: "Bursts: 5 % lost, 8 in a row on average (Gilbert-Elliott), 100 Mbit/s, 50 ms one way, 20 s, after 3 s",
  measures: [E, WHOLE, DROPS],
  cells: () => [
    {
      name: "50 ms, 5 %",
      goals: { E: 0.9 },
      run(seed) {
        const meanLoss = 0.05;
        const hop = { rateMbps: 100, delayMs: 50, queueMs: 10, loss: { meanLoss, meanBurst: 8 } };
        const options: BulkOptions = { hop, seconds: 20, fromMs: 3000, seed, loss: meanLoss };
        const outcome = transfer(options);
        const { steady, whole } = efficiency(outcome, options, 100 * BYTES_PER_MS * (1 - meanLoss));
        return { E: steady, "whole run": whole, "queue drops": outcome.queueDrops / outcome.packets };
      },
    },
  ],
};

export const figure6: Figure = {
  number: 6,
  title: "Loss-free path, 100 Mbit/s, 10 s: own drops after 3 s, and of the first 3 s as a share of all packets",
  measures: [
    { name: "steady drops", unit: "%", worse: "more" },
    { name: "startup drops", unit: "%", worse: "more" },
  ],
  cells: (quick) =>
    (quick ? [50] : [10, 50, 110]).map((delayMs) => ({
      name: `${delayMs} ms`,
      goals: { "steady drops": 0.01, "startup drops": 0.03 },
      run(seed) {
        const hop = { rateMbps: 100, delayMs, queueMs: 10 };
        const outcome = transfer({ hop, seconds: 10, fromMs: 3000, seed });
        return {
          "steady drops": outcome.queueDrops / outcome.packets,
          "startup drops": outcome.earlyQueueDrops / (outcome.packets + outcome.earlyPackets),
        };
      },
    })),
};
