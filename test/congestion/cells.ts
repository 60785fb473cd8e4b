// Cells: one path, one or two flows, what came of it.
import { Bbr } from "../../src/congestion/bbr.ts";
import type { CongestionController } from "../../src/congestion/controller.ts";
import { createDumbbell, createTwoHosts, type LinkOptions, Random, startTcpFlow } from "../../src/simulator/index.ts";
import { BulkReceiver, BulkSender, GOODPUT_BYTES, WIRE_BYTES } from "./bulk.ts";

export type MakeController = (random: () => number) => CongestionController;

export const makeBbr: MakeController = (random) => new Bbr({ packetBytes: 1500, random });

export interface Cell {
  forward: LinkOptions;
  backward?: LinkOptions;
  seed: number;
  durationMs: number;
  /** From when on steady figures count. Default 3000. */
  steadyMs?: number;
  /** Capacity in bytes a ms after random loss; for efficiency. Default rate (1 - loss). */
  usable?: number;
  controller?: MakeController;
  /** As of `BulkOptions`. */
  supply?: { rate: number; everyMs: number };
  /** Called every `watchMs` with the sender. */
  watch?: (nowMs: number, sender: BulkSender, receiver: BulkReceiver, queueBytes: number, rateMbps: number) => void;
  watchMs?: number;
}

export interface CellResult {
  /** Goodput / (usable rate), of payload bytes, after `steadyMs`. */
  efficiency: number;
  wholeEfficiency: number;
  /** Own drops by queue and policer, as a share of packets sent after `steadyMs`. */
  drops: number;
  /** Own drops before `steadyMs` as a share of all packets of the run. */
  startupDrops: number;
  wholeDrops: number;
  lossEstimate: number;
  spurious: number;
  rttMs: number;
}

export function runCell(cell: Cell): CellResult {
  const { seed, forward, backward = forward, durationMs, steadyMs = 3000 } = cell;
  const { network, a, b, link } = createTwoHosts({ seed, forward, backward });
  const random = new Random(seed, "controller");
  const receiver = new BulkReceiver();
  const destination = b.attach(receiver).outerAddress;
  const controller = (cell.controller ?? makeBbr)(() => random.next());
  const { supply } = cell;
  const sender = new BulkSender({ destination, controller, ...(supply === undefined ? {} : { supply }) });
  a.attach(sender);
  const own = () => link.forward.counters.dropped.queue.packets + link.forward.counters.dropped.policer.packets;
  if (cell.watch !== undefined) {
    const { watch } = cell;
    network.watch(cell.watchMs ?? 100, (nowMs) =>
      watch(nowMs, sender, receiver, link.forward.queueBytes(nowMs), link.forward.rateMbps(nowMs)),
    );
  }
  network.run(steadyMs);
  const steadyPackets = receiver.packets;
  const steadySent = sender.sent;
  const steadyDrops = own();
  network.run(durationMs);
  const loss = typeof forward.loss === "number" ? forward.loss : 0;
  const usable = cell.usable ?? (forward.rateMbps ?? 0) * 125 * (1 - loss);
  return {
    efficiency: ((receiver.packets - steadyPackets) * GOODPUT_BYTES) / (durationMs - steadyMs) / usable,
    wholeEfficiency: (receiver.packets * GOODPUT_BYTES) / durationMs / usable,
    drops: (own() - steadyDrops) / Math.max(sender.sent - steadySent, 1),
    startupDrops: steadyDrops / sender.sent,
    wholeDrops: own() / sender.sent,
    lossEstimate: controller.metrics().lossEstimate,
    spurious: sender.spurious,
    rttMs: sender.smoothedRttMs,
  };
}

/** One-way delay of the cells that are about something else than delay. */
const USUAL_DELAY_MS = 25;

/** A link of 100 Mbit/s with a queue of 10 ms. */
export function usualLink(loss: number, options: LinkOptions = {}): LinkOptions {
  return { rateMbps: 100, delayMs: USUAL_DELAY_MS, queueMs: 10, loss, ...options };
}

/** 100 -> 20 -> 100 Mbit/s and so on, every ten seconds. */
export const RATE_STEPS = [10_000, 20_000, 30_000].map((atMs, i) => ({ atMs, rateMbps: i % 2 === 0 ? 20 : 100 }));

/** Paths that have misled congestion controllers that compensate for loss. */
export function safetyCells(loss: number): Record<string, Omit<Cell, "seed">> {
  const durationMs = 20_000;
  const base = usualLink(loss);
  const survives = 1 - loss;
  return {
    "policer 50 KB": {
      durationMs,
      forward: { ...base, rateMbps: 1000, policer: { rateMbps: 100, burstBytes: 50_000 } },
      usable: 12_500 * survives,
    },
    "queue 1 ms": { durationMs, forward: { ...base, queueMs: 1 } },
    "jitter 20 ms in order": { durationMs, forward: { ...base, jitter: { spreadMs: 20 } } },
    "reordering 5 ms": { durationMs, forward: { ...base, jitter: { spreadMs: 5, reorder: true } } },
    // The first three seconds do not count: 7 + 10 seconds of 100 and 20 of 20 Mbit/s.
    "rate 100-20-100-20": {
      durationMs: 40_000,
      forward: { ...base, rateSteps: RATE_STEPS },
      usable: (12_500 * survives * (17 + 0.2 * 20)) / 37,
    },
    "100 down, 2 up": { durationMs, forward: base, backward: { ...base, rateMbps: 2 } },
  };
}

/** Round trips after `atMs`, when the path returned or its rate rose, until 0.9 of 100 Mbit/s arrive over a quarter of one. */
export function runRecovery(seed: number, forward: LinkOptions, atMs: number, rttMs: number): number {
  const loss = typeof forward.loss === "number" ? forward.loss : 0;
  const { network, a, b } = createTwoHosts({ seed, forward });
  const random = new Random(seed, "controller");
  const receiver = new BulkReceiver();
  const destination = b.attach(receiver).outerAddress;
  a.attach(new BulkSender({ destination, controller: makeBbr(() => random.next()) }));
  network.run(atMs);
  for (let quarter = 1; quarter <= 100; quarter++) {
    const before = receiver.packets;
    network.run(atMs + (quarter * rttMs) / 4);
    const rate = ((receiver.packets - before) * WIRE_BYTES) / (rttMs / 4);
    if (rate >= 0.9 * 12_500 * (1 - loss)) return quarter / 4;
  }
  return Number.POSITIVE_INFINITY;
}

export interface FairnessResult {
  jain: number;
  ownMbps: number;
  otherMbps: number;
  drops: number;
}

/** Two flows through one bottleneck of 50 Mbit/s, 40 ms RTT, a queue of one BDP, 60 s. */
export function runFairness(
  seed: number,
  loss: number,
  other: "bbr" | "cubic",
  controller: MakeController = makeBbr,
  watch?: (nowMs: number, own: BulkSender, other: BulkSender | null, queueBytes: number) => void,
): FairnessResult {
  const bottleneck: LinkOptions = { rateMbps: 50, delayMs: 20, queueMs: 40, loss };
  const { network, left, right, bottleneck: link } = createDumbbell({ seed, pairs: 2, bottleneck });
  const random = new Random(seed, "controller");
  const startMs = 500 * random.next();
  const flow = (pair: number, at: number) => {
    const receiver = new BulkReceiver();
    const destination = right[pair].attach(receiver).outerAddress;
    const sender = new BulkSender({ destination, controller: controller(() => random.next()), startMs: at });
    left[pair].attach(sender);
    return { receiver, sender };
  };
  const own = flow(0, other === "bbr" ? 0 : startMs);
  const second = other === "bbr" ? flow(1, startMs) : null;
  const tcp = second === null ? startTcpFlow(network, { from: left[1], to: right[1] }) : null;
  if (watch !== undefined) {
    network.watch(500, (nowMs) => watch(nowMs, own.sender, second?.sender ?? null, link.forward.queueBytes(nowMs)));
  }
  const durationMs = 60_000;
  network.run(durationMs);
  const x = (own.receiver.packets * GOODPUT_BYTES * 8) / 1000 / durationMs;
  const y = ((second === null ? tcp!.deliveredBytes : second.receiver.packets * GOODPUT_BYTES) * 8) / 1000 / durationMs;
  return {
    jain: (x + y) ** 2 / (2 * (x * x + y * y)),
    ownMbps: x,
    otherMbps: y,
    drops: link.forward.counters.dropped.queue.packets / link.forward.counters.offered.packets,
  };
}

/**
 * Flows of ours that start three seconds apart, 50 Mbit/s, 40 ms RTT, a queue of 10 ms: goodputs, and the share dropped from three
 * seconds after the last began.
 */
export function runCrowd(seed: number, flows: number, loss: number, durationMs: number) {
  const bottleneck: LinkOptions = { rateMbps: 50, delayMs: 20, queueMs: 10, loss };
  const { network, left, right, bottleneck: link } = createDumbbell({ seed, pairs: flows, bottleneck });
  const random = new Random(seed, "controller");
  const receivers = left.map((node, i) => {
    const receiver = new BulkReceiver();
    const destination = right[i].attach(receiver).outerAddress;
    node.attach(new BulkSender({ destination, controller: makeBbr(() => random.next()), startMs: 3000 * i }));
    return receiver;
  });
  const { dropped, offered } = link.forward.counters;
  network.run(3000 * flows);
  const early = { dropped: dropped.queue.packets, offered: offered.packets };
  network.run(durationMs);
  const mbps = receivers.map((receiver) => (receiver.packets * GOODPUT_BYTES * 8) / 1000 / durationMs);
  return { mbps, drops: (dropped.queue.packets - early.dropped) / (offered.packets - early.offered) };
}
