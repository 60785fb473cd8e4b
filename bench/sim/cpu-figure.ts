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
  title: "Core CPU: 100 Mbit/s, 10 % lost, 100 ms one way, M = 32, both ends and the simulator in one thread, 60 s",
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
        network.run(10_000);
        const heapBefore = heapBytes();
        const packetsBefore = flow.client.stats.sentPackets;
        const cpuBefore = process.cpuUsage();
        network.run(1000 * seconds);
        const { user, system } = process.cpuUsage(cpuBefore);
        flow.check();
        return {
          "data packets/s": ((flow.client.stats.sentPackets - packetsBefore) * 1e6) / (user + system),
          "heap growth": (heapBytes() - heapBefore) / 1e6,
        };
      },
    },
  ],
};
