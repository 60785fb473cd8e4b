/** Figures of paths that mislead or break: outages and address changes, and those on which loss compensation may run away. */
import { createTwoHosts, type LinkOptions, type Network } from "../../src/simulator/index.ts";
import { type BulkOptions, Transfer } from "../../test/transport/session/bulk.ts";
import { efficiency, transfer } from "./bulk-figures.ts";
import type { Cell, Figure } from "./figure.ts";

const BYTES_PER_MS = 12_500;
/** After this the path breaks, or changes. */
const EVENT_MS = 8000;
const OUTAGE_MS = 5000;

/** Round trips for which a rate must hold to count. */
const HOLD_RTTS = 4;
/** After this many it is given up. */
const PATIENCE_RTTS = 30;

/**
 * Round trips after `atMs` until the receiver gets 0.9 of `usable` bytes a ms over a quarter of one, and goes on to get as much
 * over the next four.
 */
function recovery(network: Network, flow: Transfer, atMs: number, rttMs: number, usable: number): number {
  const wanted = 0.9 * usable * rttMs;
  const received: number[] = [];
  for (let quarter = 0; quarter <= 4 * (PATIENCE_RTTS + HOLD_RTTS); quarter++) {
    network.run(atMs + (quarter * rttMs) / 4);
    received.push(flow.receivedWireBytes);
  }
  for (let quarter = 1; quarter <= 4 * PATIENCE_RTTS; quarter++) {
    const held = received[quarter + 4 * HOLD_RTTS] - received[quarter];
    if (received[quarter] - received[quarter - 1] >= wanted / 4 && held >= HOLD_RTTS * wanted) return quarter / 4;
  }
  return Number.POSITIVE_INFINITY;
}

type Break = "outage" | "new port" | "new IP address";

function breakCell(event: Break, download: boolean, delayMs: number, loss: number, mostRtts: number): Cell {
  return {
    name: `${event}, ${download ? "client receives" : "client sends"}, ${delayMs} ms, ${100 * loss} %`,
    goals: { "back in": mostRtts, "wrong or missing bytes": 0 },
    run(seed) {
      const outages = event === "outage" ? [{ fromMs: EVENT_MS, toMs: EVENT_MS + OUTAGE_MS }] : [];
      const forward: LinkOptions = { rateMbps: 100, delayMs, queueMs: 10, loss, outages };
      const { network, a, b } = createTwoHosts({ seed, forward });
      const flow = new Transfer(network, { client: a, server: b, download });
      const atMs = event === "outage" ? EVENT_MS + OUTAGE_MS : EVENT_MS;
      if (event === "new port") network.at(atMs, () => flow.clientSocket.changeAddress({ port: 50_001 }));
      if (event === "new IP address") network.at(atMs, () => flow.clientSocket.changeAddress({ ip: "10.9.9.9" }));
      const rtts = recovery(network, flow, atMs, 2 * delayMs, BYTES_PER_MS * (1 - loss));
      network.run(Math.max(network.nowMs, atMs + 2000));
      // What was sent before or into the break must come too: all up to what was written a while ago.
      const upTo = flow.sent;
      network.run(network.nowMs + 3000);
      flow.check();
      return { "back in": rtts, "wrong or missing bytes": flow.wrong + Math.max(0, upTo - flow.bytes) };
    },
  };
}

export const figure8: Figure = {
  number: 8,
  title: "Outage of 5 s, changed port, new IP address in mid-transfer, 100 Mbit/s: round trips until 0.9 of the rate",
  measures: [
    { name: "back in", unit: "RTT", worse: "more" },
    { name: "wrong or missing bytes", worse: "more" },
  ],
  cells: (quick) => {
    const cells: Cell[] = [];
    for (const [event, mostRtts] of [
      ["outage", 3],
      ["new port", 3],
      ["new IP address", 12],
    ] as const) {
      for (const delayMs of quick ? [50] : [25, 50, 110]) {
        for (const loss of quick ? [0] : [0, 0.1]) {
          cells.push(breakCell(event, false, delayMs, loss, mostRtts));
          if (!quick) cells.push(breakCell(event, true, delayMs, loss, mostRtts));
        }
      }
    }
    return cells;
  },
};

const DELAY_MS = 25;

function safetyCell(
  name: string,
  loss: number,
  path: LinkOptions,
  mostDrops: number,
  more: Partial<BulkOptions> & { usable?: number } = {},
): Cell {
  return {
    name: `${name}, ${100 * loss} %`,
    goals: { E: 0.85, "own drops": mostDrops, "error of p": 0.05 },
    run(seed) {
      const base: LinkOptions = { rateMbps: 100, delayMs: DELAY_MS, queueMs: 10, loss };
      const { usable = BYTES_PER_MS, ...rest } = more;
      const options: BulkOptions = {
        hop: { ...base, ...path },
        seconds: 20,
        fromMs: 3000,
        seed,
        ...rest,
        ...(rest.backward === undefined ? {} : { backward: { ...base, ...rest.backward } }),
      };
      const outcome = transfer(options);
      return {
        E: efficiency(outcome, options, usable * (1 - loss)).steady,
        "own drops": outcome.queueDrops / outcome.packets,
        "error of p": outcome.lossError,
      };
    },
  };
}

/** 100 -> 20 -> 100 Mbit/s and so on, every ten seconds. */
const RATE_STEPS = [10_000, 20_000, 30_000].map((atMs, i) => ({ atMs, rateMbps: i % 2 === 0 ? 20 : 100 }));

function rateStepCell(loss: number): Cell {
  // The first three seconds do not count: 7 + 10 seconds of 100 and 20 of 20 Mbit/s.
  const usable = (BYTES_PER_MS * (17 + 0.2 * 20)) / 37;
  const cell = safetyCell("rate 100-20-100-20", loss, { rateSteps: RATE_STEPS }, 0.05, { seconds: 40, usable });
  return {
    ...cell,
    goals: { ...cell.goals, "new rate in": 15 },
    run(seed) {
      const forward: LinkOptions = { rateMbps: 100, delayMs: DELAY_MS, queueMs: 10, loss, rateSteps: RATE_STEPS };
      const { network, a, b } = createTwoHosts({ seed, forward });
      const flow = new Transfer(network, { client: a, server: b });
      const down = recovery(network, flow, 10_000, 2 * DELAY_MS, 0.2 * BYTES_PER_MS * (1 - loss));
      const up = recovery(network, flow, 20_000, 2 * DELAY_MS, BYTES_PER_MS * (1 - loss));
      flow.check();
      return { ...cell.run(seed), "new rate in": Math.max(down, up) };
    },
  };
}

function safetyCells(loss: number): Cell[] {
  return [
    safetyCell("policer 50 KB", loss, { rateMbps: 1000, policer: { rateMbps: 100, burstBytes: 50_000 } }, 0.13),
    safetyCell("queue 1 ms", loss, { queueMs: 1 }, 0.05),
    safetyCell("jitter 20 ms in order", loss, { jitter: { spreadMs: 20 } }, 0.05),
    safetyCell("reordering 5 ms", loss, { jitter: { spreadMs: 5, reorder: true } }, 0.05),
    rateStepCell(loss),
    safetyCell("100 down, 2 up", loss, {}, 0.05, { backward: { rateMbps: 2 } }),
  ];
}

export const figure10: Figure = {
  number: 10,
  title: `Paths that mislead, ${DELAY_MS} ms one way, after 3 s`,
  measures: [
    { name: "E", worse: "less" },
    { name: "own drops", unit: "%", worse: "more" },
    { name: "error of p", worse: "more" },
    { name: "new rate in", unit: "RTT", worse: "more" },
  ],
  cells: (quick) => (quick ? safetyCells(0.1).slice(0, 1) : [...safetyCells(0), ...safetyCells(0.1)]),
};
