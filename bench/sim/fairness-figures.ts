/** Figure 7: how two flows share a bottleneck. */
import { createDumbbell, startTcpFlow } from "../../src/simulator/index.ts";
import { Transfer } from "../../test/transport/session/bulk.ts";
import type { Cell, Figure } from "./figure.ts";

const SECONDS = 60;
/** The second flow starts within this after the first. */
const START_SPREAD_MS = 500;

function cell(name: string, loss: number, other: "own" | "cubic", seconds: number, goal: number): Cell {
  return {
    name,
    goals: { Jain: goal },
    run(seed) {
      const bottleneck = { rateMbps: 50, delayMs: 20, queueMs: 40, loss };
      const { network, left, right, bottleneck: link } = createDumbbell({ seed, pairs: 2, bottleneck });
      const startMs = START_SPREAD_MS * network.random("start").next();
      const first = new Transfer(network, {
        client: left[0],
        server: right[0],
        startMs: other === "own" ? 0 : startMs,
      });
      const second = other === "own" ? new Transfer(network, { client: left[1], server: right[1], startMs }) : null;
      const tcp = second === null ? startTcpFlow(network, { from: left[1], to: right[1] }) : null;
      network.run(1000 * seconds);
      first.check();
      second?.check();
      const x = first.bytes / seconds / 125_000;
      const y = (second?.bytes ?? tcp!.deliveredBytes) / seconds / 125_000;
      const { dropped, offered } = link.forward.counters;
      return {
        Jain: (x + y) ** 2 / (2 * (x * x + y * y)),
        "ours, Mbit/s": x,
        "the other, Mbit/s": y,
        "queue drops": dropped.queue.packets / offered.packets,
      };
    },
  };
}

export const figure7: Figure = {
  number: 7,
  title: `Fairness: two flows, 50 Mbit/s, 40 ms RTT, a queue of one BDP, ${SECONDS} s`,
  seeds: 10,
  measures: [
    { name: "Jain", worse: "mean" },
    { name: "ours, Mbit/s", worse: "mean" },
    { name: "the other, Mbit/s", worse: "mean" },
    { name: "queue drops", unit: "%", worse: "more" },
  ],
  cells: (quick) => {
    const seconds = quick ? 20 : SECONDS;
    const all = [
      cell("two of ours, 0 %", 0, "own", seconds, 0.9),
      cell("two of ours, 2 %", 0.02, "own", seconds, 0.9),
      cell("ours and TCP CUBIC, 0 %", 0, "cubic", seconds, 0.8),
    ];
    return quick ? all.slice(0, 1) : all;
  },
};
