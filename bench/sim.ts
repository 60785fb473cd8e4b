/**
 * `npm run bench:sim`: one stream over the simulated path, in every cell of delay and loss, with default settings: efficiency E is
 * the goodput over rate x (1 - loss), IP bytes; the header ceiling is about 0.95. The worst of the seeds is shown. `--quick` takes a
 * few cells and one seed; `--json FILE` also writes the results as JSON. Exits with 1 when a cell misses its goal. The transport is
 * not exported yet, so this runs on src/.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { bulk } from "../test/transport/session/bulk.ts";

const RATE_MBPS = 100;
const SECONDS = 20;
const FROM_MS = 3000;

interface Cell {
  delayMs: number;
  loss: number;
  /** Efficiency after 3 s, and of the whole run with its handshake; share of packets that the queue dropped after 3 s. */
  steady: number;
  whole: number;
  queueDrops: number;
  /** Packets sent over n / (1 - p), n being the source symbols. */
  overhead: number;
  missed: string[];
}

const { values } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "string" }, seeds: { type: "string" } },
});
const delays = values.quick ? [50] : [10, 30, 50, 70, 90, 110];
const losses = values.quick ? [0, 0.1] : [0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3];
const seeds = Number(values.seeds ?? (values.quick ? 1 : 5));

function measure(delayMs: number, loss: number): Cell {
  const cell: Cell = { delayMs, loss, steady: 1, whole: 1, queueDrops: 0, overhead: 0, missed: [] };
  const carried = RATE_MBPS * (1 - loss);
  for (let seed = 1; seed <= seeds; seed++) {
    const hop = { rateMbps: RATE_MBPS, delayMs, queueMs: 10, loss };
    const outcome = bulk({ hop, seconds: SECONDS, fromMs: FROM_MS, seed });
    if (outcome.wrong > 0 || outcome.log.length > 0)
      throw new Error(`seed ${seed}: ${outcome.log.join()} or wrong data`);
    const mbps = (bytes: number, ms: number) => (8 * bytes) / ms / 1000;
    cell.steady = Math.min(cell.steady, mbps(outcome.total - outcome.early, 1000 * SECONDS - FROM_MS) / carried);
    cell.whole = Math.min(cell.whole, mbps(outcome.total, 1000 * SECONDS) / carried);
    cell.queueDrops = Math.max(cell.queueDrops, outcome.queueDrops / outcome.packets);
    const sent = outcome.symbols + outcome.repairs;
    cell.overhead = Math.max(cell.overhead, (sent * (1 - loss)) / outcome.symbols);
  }
  if (cell.steady < (loss > 0.2 ? 0.9 : 0.93)) cell.missed.push("E");
  if (cell.whole < (delayMs <= 50 ? 0.88 : 0.8)) cell.missed.push("whole run");
  if (cell.queueDrops > 0.03) cell.missed.push("queue drops");
  if (cell.overhead > 1.06) cell.missed.push("packets sent");
  return cell;
}

console.log(`one stream, ${RATE_MBPS} Mbit/s, queue 10 ms, loss both ways, ${SECONDS} s, worst of ${seeds} seed(s)`);
console.log("one way  loss  E after 3 s  whole run  queue drops  packets / (n/(1-p))");
const cells: Cell[] = [];
for (const delayMs of delays) {
  for (const loss of losses) {
    const cell = measure(delayMs, loss);
    cells.push(cell);
    const { steady, whole, queueDrops, overhead, missed } = cell;
    console.log(
      `${String(delayMs).padStart(4)} ms ${(100 * loss).toFixed(0).padStart(4)} %  ${steady.toFixed(3).padStart(11)}` +
        `  ${whole.toFixed(3).padStart(9)}  ${(100 * queueDrops).toFixed(2).padStart(9)} %  ${overhead.toFixed(3).padStart(19)}` +
        `${missed.length > 0 ? `  MISSED: ${missed.join(", ")}` : ""}`,
    );
  }
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(cells, null, 2)}\n`);
const missed = cells.filter((cell) => cell.missed.length > 0).length;
if (missed > 0) {
  console.error(`${missed} of ${cells.length} cells missed a goal`);
  process.exitCode = 1;
}
