/**
 * Notices what no packet tells: that this machine now reaches a peer from another address, that a network came back, and that it slept.
 * Links are told at once, instead of finding out by silence. Looks every few seconds; costs a few system calls each time, and
 * keeps no process alive.
 */
import { createSocket } from "node:dgram";
import type { Address } from "../transport/address.ts";
import type { RoutedLink } from "./routed-link.ts";
import type { SocketDriver } from "./socket-driver.ts";

const INTERVAL_MS = 2000;
/** `performance.now()` stands still while a machine sleeps, the time of day does not; less than this is somebody setting a clock. */
const SLEPT_MS = 3000;
/** Links asked about in one look: a client has one. */
const MOST_LINKS = 16;

export interface NetworkWatchOptions {
  /** The local address from which the system would send to `remote` now; null when it cannot. */
  sourceFor?: (remote: Address) => Promise<string | null>;
  /** Time of day, ms. */
  wallMs?: () => number;
}

export class NetworkWatch {
  readonly #driver: SocketDriver;
  readonly #sourceFor: (remote: Address) => Promise<string | null>;
  readonly #wallMs: () => number;
  readonly #timer: NodeJS.Timeout;
  /** From which address a link's packets left when they last could, and whether they cannot now. */
  readonly #sources = new WeakMap<RoutedLink, { address: string | null; away: boolean }>();
  #offsetMs: number;
  #looking = false;

  constructor(driver: SocketDriver, { sourceFor = sourceAddress, wallMs = Date.now }: NetworkWatchOptions = {}) {
    this.#driver = driver;
    this.#sourceFor = sourceFor;
    this.#wallMs = wallMs;
    this.#offsetMs = wallMs() - driver.now();
    this.#timer = setInterval(() => void this.look(), INTERVAL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Looks now. */
  async look(): Promise<void> {
    const offsetMs = this.#wallMs() - this.#driver.now();
    const slept = offsetMs - this.#offsetMs > SLEPT_MS;
    this.#offsetMs = offsetMs;
    if (slept) for (const routed of this.#driver.endpoint.links) this.#ping(routed);
    if (this.#looking) return;
    this.#looking = true;
    let looked = 0;
    for (const routed of this.#driver.endpoint.dialledLinks) {
      if (++looked > MOST_LINKS) break;
      await this.#lookAt(routed);
    }
    this.#looking = false;
  }

  async #lookAt(routed: RoutedLink): Promise<void> {
    // A TCP connection does not move.
    if (routed.link.remote.carrier !== undefined) return;
    const source = await this.#sourceFor(routed.link.remote);
    if (routed.gone || !routed.link.confirmed) return;
    const known = this.#sources.get(routed);
    if (known === undefined) {
      this.#sources.set(routed, { address: source, away: source === null });
      return;
    }
    const wasAway = known.away;
    known.away = source === null;
    if (source === null) return;
    const { address } = known;
    known.address = source;
    if (address !== null && address !== source) {
      routed.link.localAddressChanged(this.#driver.now());
      this.#wake(routed);
    } else if (wasAway) {
      this.#ping(routed);
    }
  }

  #ping(routed: RoutedLink): void {
    routed.link.ping();
    this.#wake(routed);
  }

  #wake(routed: RoutedLink): void {
    this.#driver.endpoint.wake(routed);
    this.#driver.wake();
  }
}

/** Connecting a UDP socket sends nothing, but makes the system choose a route. */
function sourceAddress(remote: Address): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(remote.ip.includes(":") ? "udp6" : "udp4");
    const finish = (source: string | null): void => {
      socket.close();
      resolve(source);
    };
    socket.once("error", () => finish(null));
    socket.connect(remote.port, remote.ip, () => finish(socket.address().address));
  });
}
