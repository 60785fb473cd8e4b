/**
 * Figure 9: what the core costs. Both ends and the simulator run in one thread, with packet protection that costs nothing but its
 * 16 bytes, so that a cipher's time is left out without being estimated. CPU time of the process, garbage collection included.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createTwoHosts } from "../../src/simulator/index.ts";
import { type LinkKeys, type PacketProtection, StandInHandshake } from "../../src/transport/link/index.ts";
import { Transfer } from "../../test/transport/session/bulk.ts";
import type { Figure } from "./figure.ts";

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
const SAMPLES_A_HALF = 20;

/** The stand-in's flights, then keys that seal nothing. */
class Unprotected extends StandInHandshake {
  override keys(): LinkKeys | null {
    return super.keys() === null ? null : KEYS;
  }
}

let collect: (() => void) | null = null;

/** Bytes in use after everything that is garbage was collected. */
function heapBytes(): number {
  if (collect === null) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

export const figure9: Figure = {
  number: 9,
  title: "Core CPU: 100 Mbit/s, 10 % lost, 100 ms one way, M = 64, both ends and the simulator in one thread, 60 s",
  alone: true,
  measures: [
    { name: "data packets/s", unit: "packets/s", worse: "less", speed: true },
    { name: "heap growth", unit: "MB", worse: "more" },
  ],
  cells: (quick) => [
    {
      name: "100 ms, 10 %",
      goals: { "data packets/s": 120_000, "heap growth": 1 },
      run(seed) {
        const seconds = quick ? 20 : 60;
        const { network, a, b } = createTwoHosts({
          seed,
          forward: { rateMbps: 100, delayMs: 100, queueMs: 10, loss: 0.1 },
        });
        const flow = new Transfer(network, {
          client: a,
          server: b,
          // Comparing what arrives is not the core's work.
          checkEvery: 4096,
          link: (role) => ({
            protection: PROTECTION,
            handshake: new Unprotected({ role, random: new Uint8Array(16).fill(role === "client" ? 1 : 2) }),
          }),
        });
        network.run(WARM_UP_MS);
        const packetsBefore = flow.client.stats.sentPackets;
        const halfMs = (1000 * seconds - WARM_UP_MS) / 2;
        // What waits in receive buffers comes and goes by megabytes: two samples would say nothing of what grows.
        const meanBytes = [0, 0];
        let cpuMicroseconds = 0;
        for (let sample = 0; sample < 2 * SAMPLES_A_HALF; sample++) {
          const cpuBefore = process.cpuUsage();
          network.run(WARM_UP_MS + ((sample + 1) * halfMs) / SAMPLES_A_HALF);
          const { user, system } = process.cpuUsage(cpuBefore);
          cpuMicroseconds += user + system;
          meanBytes[sample < SAMPLES_A_HALF ? 0 : 1] += heapBytes() / SAMPLES_A_HALF;
        }
        flow.check();
        return {
          "data packets/s": ((flow.client.stats.sentPackets - packetsBefore) * 1e6) / cpuMicroseconds,
          "heap growth": (meanBytes[1] - meanBytes[0]) / 1e6,
        };
      },
    },
  ],
};
