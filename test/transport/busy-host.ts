import type { Endpoint, ReceivedDatagram, Transmit } from "../../src/simulator/index.ts";

interface Waiting extends ReceivedDatagram {
  readonly arrivedMs: number;
}

export interface BusyHostOptions {
  /** How late the host is this time, ms, for what would be its turn at `wantedMs`. */
  lateMs: (wantedMs: number) => number;
  /** Whether it can tell how long a datagram waited. */
  stamps: boolean;
}

/** A host that has other things to do: it comes late to its timers and to what arrived meanwhile. */
export class BusyHost implements Endpoint {
  readonly #inner: Endpoint;
  readonly #options: BusyHostOptions;
  #waiting: Waiting[] = [];
  /** When it comes to it, and for which of the endpoint's times. */
  #wakeMs = Number.POSITIVE_INFINITY;
  #wantedMs = Number.POSITIVE_INFINITY;
  #awakeMs = Number.NEGATIVE_INFINITY;

  constructor(inner: Endpoint, options: BusyHostOptions) {
    this.#inner = inner;
    this.#options = options;
  }

  handleDatagram({ bytes, source, destination, ecn }: ReceivedDatagram, nowMs: number): void {
    this.#waiting.push({ bytes: bytes.slice(), source, destination, ecn, arrivedMs: nowMs });
    this.#wake(nowMs);
  }

  handleTimeout(nowMs: number): void {
    if (nowMs < this.#wakeMs) return;
    this.#wakeMs = this.#wantedMs = Number.POSITIVE_INFINITY;
    this.#awakeMs = nowMs;
    for (const { arrivedMs, ...datagram } of this.#waiting) {
      const waitedMs = this.#options.stamps ? nowMs - arrivedMs : 0;
      this.#inner.handleDatagram({ ...datagram, waitedMs }, nowMs);
    }
    this.#waiting = [];
    if (this.#inner.nextTimeoutMs() <= nowMs) this.#inner.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    return nowMs === this.#awakeMs && this.#inner.pollTransmit(transmit, nowMs);
  }

  nextTimeoutMs(): number {
    const next = this.#inner.nextTimeoutMs();
    if (next < this.#wantedMs && next !== Number.POSITIVE_INFINITY) this.#wake(Math.max(next, this.#awakeMs));
    return this.#wakeMs;
  }

  #wake(wantedMs: number): void {
    // Who comes late does not come earlier for what arrives meanwhile.
    if (wantedMs >= this.#wantedMs) return;
    this.#wantedMs = wantedMs;
    this.#wakeMs = wantedMs + this.#options.lateMs(wantedMs);
  }
}
