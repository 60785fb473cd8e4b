/**
 * Figure 9: what the core costs. Both ends and the simulator run in one thread, with packet protection that costs nothing but its
 * 16 bytes, so that a cipher's time is left out without being estimated. CPU time of the process, garbage collection included.
 */
import { createTwoHosts } from "../../src/simulator/index.ts";
import { type LinkKeys, type PacketProtection, StandInHandshake } from "../../src/transport/link/index.ts";
import { MOST_BATCH_SIZE } from "../../src/transport/session/session-options.ts";
import { collectGarbage } from "../../test/collect-garbage.ts";
import { Transfer } from "../../test/transport/session/bulk.ts";
import { median } from "../harness.ts";
import type { Cell, Figure } from "./figure.ts";

const KEYS: LinkKeys = {
  sealer: { seal: () => {} },
  opener: { open: () => true },
  sealLimit: Number.MAX_SAFE_INTEGER,
  openLimit: Number.MAX_SAFE_INTEGER,
  next: () => KEYS,
};
const PROTECTION: PacketProtection = { handshakeKeys: () => KEYS };

/** Until functions are compiled, and windows and pools are as large as the path needs. */
const WARM_UP_MS = 10_000;
const SAMPLES_A_HALF = 200;

/** The stand-in's flights, then keys that seal nothing. */
class Unprotected extends StandInHandshake {
  override keys(): LinkKeys | null {
    return super.keys() === null ? null : KEYS;
  }
}

/**
 * Bytes held after everything that is garbage was collected. Of the arena, which keeps what it once had, the symbols that sessions hold; their
 * buffers, which are not in the arena, are counted twice. What coders have there beside symbols is not counted.
 */
function heldBytes({ arena, memory }: Transfer): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external - arena.reservedBytes + memory.usedBytes;
}

/** The core's work from here on: `run` moves virtual time. */
function start(seed: number, batchSize: number) {
  const { network, a, b } = createTwoHosts({
    seed,
    forward: { rateMbps: 100, delayMs: 100, queueMs: 10, loss: 0.1 },
  });
  const flow = new Transfer(network, {
    client: a,
    server: b,
    batchSize,
    // Comparing what arrives is not the core's work.
    checkEvery: 4096,
    link: (role) => ({
      protection: PROTECTION,
      handshake: new Unprotected({ role, random: new Uint8Array(16).fill(role === "client" ? 1 : 2) }),
    }),
  });
  network.run(WARM_UP_MS);
  return { network, flow };
}

/** Data packets to a second of CPU time, of all threads: garbage collection counts. */
function packetsPerSecond(seed: number, batchSize: number, endMs: number): number {
  const { network, flow } = start(seed, batchSize);
  const packetsBefore = flow.client.stats.sentPackets;
  const before = process.cpuUsage();
  network.run(endMs);
  const { user, system } = process.cpuUsage(before);
  flow.check();
  return ((flow.client.stats.sentPackets - packetsBefore) * 1e6) / (user + system);
}

/**
 * How much more bytes are held in the second half than in the first, by the medians of samples: what grows with time moves these as it
 * does means, but a moment with many live batches does not. A run of its own: forced collections cost compiled code, too.
 */
function heapGrowth(seed: number, batchSize: number, endMs: number): number {
  const { network, flow } = start(seed, batchSize);
  // What waits in receive buffers comes and goes by megabytes: two samples would say nothing of what grows.
  const halves: number[][] = [[], []];
  for (let sample = 0; sample < 2 * SAMPLES_A_HALF; sample++) {
    network.run(WARM_UP_MS + ((sample + 1) * (endMs - WARM_UP_MS)) / (2 * SAMPLES_A_HALF));
    halves[sample < SAMPLES_A_HALF ? 0 : 1].push(heldBytes(flow));
  }
  flow.check();
  return (median(halves[1]) - median(halves[0])) / 1e6;
}

function cell(batchSize: number, quick: boolean, goals: Record<string, number>): Cell {
  const endMs = quick ? 20_000 : 60_000;
  return {
    name: `M = ${batchSize}`,
    goals,
    run: (seed) => ({
      "data packets/s": packetsPerSecond(seed, batchSize, endMs),
      "heap growth": heapGrowth(seed, batchSize, endMs),
    }),
  };
}

export const figure9: Figure = {
  number: 9,
  title: "Core CPU: 100 Mbit/s, 10 % lost, 100 ms one way, both ends and the simulator in one thread, 60 s",
  alone: true,
  measures: [
    { name: "data packets/s", unit: "packets/s", worse: "less", speed: true },
    { name: "heap growth", unit: "MB", worse: "more" },
  ],
  cells: (quick) => [
    cell(32, quick, { "data packets/s": 120_000, "heap growth": 1 }),
    // The default.
    cell(MOST_BATCH_SIZE, quick, { "heap growth": 1 }),
  ],
};
