/** Figures of delay where the application sends less than the path carries: what repair ahead of losses gains, and costs. */
import { type PacedOptions, paced, percentile } from "../../test/transport/session/paced.ts";
import type { Cell, Figure } from "./figure.ts";

const MESSAGE_BYTES = 1024;
const MESSAGE_INTERVAL_MS = 10;
const MESSAGES_ONE_WAY_MS = 16;
const DATAGRAM_BYTES = 1200;
/** 10 Mbit/s of datagrams. */
const DATAGRAM_INTERVAL_MS = 0.96;
const DATAGRAMS_ONE_WAY_MS = 50;
/** Leaves no time to hear of losses first. */
const SHORT_DEADLINE_MS = 70;

/** The share of pieces that took longer, or never came. */
function shareAbove(delaysMs: Float64Array, mostMs: number): number {
  return delaysMs.filter((delayMs) => delayMs > mostMs).length / delaysMs.length;
}

function run(options: PacedOptions, oneWayMs: number): Record<string, number> {
  const outcome = paced(options);
  const { delaysMs, lost, wrong, packets, symbols, log } = outcome;
  if (wrong > 0 || log.length > 0) throw new Error(`${wrong} wrong pieces; ${log.join(", ")}`);
  return {
    "p50 beyond one way": percentile(outcome, 0.5) - oneWayMs,
    "p99 beyond one way": percentile(outcome, 0.99) - oneWayMs,
    "p99.9 beyond one way": percentile(outcome, 0.999) - oneWayMs,
    "never delivered": lost / options.count,
    ...(options.deadlineMs === undefined ? {} : { "past the deadline": shareAbove(delaysMs, options.deadlineMs) }),
    "packets a source symbol": packets / symbols,
  };
}

const measures: Figure["measures"] = [
  { name: "p50 beyond one way", unit: "ms", worse: "more" },
  { name: "p99 beyond one way", unit: "ms", worse: "more" },
  { name: "p99.9 beyond one way", unit: "ms", worse: "more" },
  { name: "never delivered", unit: "%", worse: "more" },
  { name: "past the deadline", unit: "%", worse: "more" },
  { name: "packets a source symbol", worse: "more" },
];

function messages(quick: boolean, loss: number, burst: number, goals: Cell["goals"]): Cell {
  return {
    name: `${100 * loss} % lost${burst > 1 ? `, in bursts of ${burst}` : ""}`,
    goals: { ...goals, "never delivered": 0 },
    run: (seed) =>
      run(
        {
          hop: {
            rateMbps: 100,
            delayMs: MESSAGES_ONE_WAY_MS,
            queueMs: 10,
            jitter: { spreadMs: 3 },
            loss: burst > 1 ? { meanLoss: loss, meanBurst: burst } : loss,
          },
          seed,
          by: "message",
          bytes: MESSAGE_BYTES,
          intervalMs: MESSAGE_INTERVAL_MS,
          count: quick ? 5000 : 20_000,
        },
        MESSAGES_ONE_WAY_MS,
      ),
  };
}

export const figure4: Figure = {
  number: 4,
  title: "a message of 1024 bytes every 10 ms, one way 16 ms with 0 to 3 ms of jitter, after 3 s of them",
  measures,
  cells: (quick) => [
    messages(quick, 0.06, 1, {
      "p99 beyond one way": 8,
      "p99.9 beyond one way": 20,
      "packets a source symbol": 2.1,
    }),
    messages(quick, 0.2, 1, { "p99 beyond one way": 25, "packets a source symbol": 2.4 }),
    messages(quick, 0.06, 2, {}),
    messages(quick, 0.2, 2, {}),
  ],
};

/** `fresh`: all count from the flow's first on. */
function datagrams(
  quick: boolean,
  loss: number,
  burst: number,
  goals: Cell["goals"],
  { fresh = false, short = false } = {},
): Cell {
  const special = `${fresh ? ", from the first on" : ""}${short ? `, deadline ${SHORT_DEADLINE_MS} ms` : ""}`;
  return {
    name: `${100 * loss} % lost${burst > 1 ? `, in bursts of ${burst}` : ""}${special}`,
    goals,
    run: (seed) =>
      run(
        {
          hop: {
            rateMbps: 100,
            delayMs: DATAGRAMS_ONE_WAY_MS,
            queueMs: 10,
            loss: burst > 1 ? { meanLoss: loss, meanBurst: burst } : loss,
          },
          seed,
          by: "datagram",
          bytes: DATAGRAM_BYTES,
          intervalMs: DATAGRAM_INTERVAL_MS,
          count: quick ? 5000 : 20_000,
          ...(fresh ? { warmUpMs: 0 } : {}),
          ...(short ? { deadlineMs: SHORT_DEADLINE_MS } : {}),
        },
        DATAGRAMS_ONE_WAY_MS,
      ),
  };
}

export const figure5: Figure = {
  number: 5,
  title: "datagrams of 1200 bytes, 10 Mbit/s on 100, one way 50 ms, after 3 s of them, or from the first on",
  measures,
  cells: (quick) => [
    datagrams(quick, 0.3, 1, { "p99 beyond one way": 35, "never delivered": 0.003, "packets a source symbol": 1.9 }),
    datagrams(quick, 0.1, 1, { "p99 beyond one way": 35, "never delivered": 0.0005, "packets a source symbol": 1.4 }),
    datagrams(quick, 0.1, 2, {}),
    // A share of the first few seconds is a goal for no short run.
    datagrams(quick, 0.3, 1, quick ? {} : { "p99 beyond one way": 40, "never delivered": 0.003 }, {
      fresh: true,
    }),
    datagrams(quick, 0.1, 1, quick ? {} : { "p99 beyond one way": 40, "never delivered": 0.0005 }, { fresh: true }),
    datagrams(quick, 0.3, 1, {}, { short: true }),
    datagrams(quick, 0.1, 1, {}, { short: true }),
  ],
};
