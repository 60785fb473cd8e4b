/** Adds up what passed a tunnel and what did not, over all of its paths, also those that are over. Says nothing of single clients. */
import type { PacketPath } from "./packet-path.ts";
import type { TunPort } from "./tun-port.ts";
import { addCounts, type TunnelDrops } from "./tunnel-drops.ts";

export interface TunnelCounts {
  /** IP packets to the peers. */
  sentPackets: number;
  /** Bytes of those. */
  sentBytes: number;
  /** IP packets from the peers. */
  receivedPackets: number;
  /** Bytes of those. */
  receivedBytes: number;
  /** Packets that did not pass, by reason: those of TunnelDrops, of the queues, and errors of the kernel by name. */
  dropped: Record<string, number>;
}

export class TunnelCounter {
  readonly #drops: TunnelDrops;
  readonly #port: TunPort;
  readonly #paths: Set<PacketPath> = new Set();
  /** Of paths that are over. */
  readonly #past: TunnelCounts = { sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0, dropped: {} };

  constructor(drops: TunnelDrops, port: TunPort) {
    this.#drops = drops;
    this.#port = port;
  }

  add(path: PacketPath): void {
    this.#paths.add(path);
  }

  /** A path is over; its counts stay. */
  end(path: PacketPath): void {
    if (this.#paths.delete(path)) addPath(this.#past, path);
  }

  read(): TunnelCounts {
    const sum = { ...this.#past, dropped: { ...this.#past.dropped } };
    for (const path of this.#paths) addPath(sum, path);
    addCounts(sum.dropped, this.#drops.counts);
    addCounts(sum.dropped, this.#port.drops);
    return sum;
  }
}

function addPath(sum: TunnelCounts, { counts, queue }: PacketPath): void {
  sum.sentPackets += counts.sentPackets;
  sum.sentBytes += counts.sentBytes;
  sum.receivedPackets += counts.receivedPackets;
  sum.receivedBytes += counts.receivedBytes;
  const { overflowed, early, stale } = queue.counts;
  addCounts(sum.dropped, { malformed: counts.malformed, incomplete: counts.incomplete, overflowed, early, stale });
}
