/**
 * One direction of a bad path: a bottleneck with a drop-tail queue, a delay, and random loss behind the bottleneck, so that a
 * lost packet took its time on the wire as it would have outside. Knows neither sockets nor timers: packets are pushed in with the
 * time, and come out of `advance`.
 */
export interface PathOptions {
  rateMbps: number;
  /** One way. */
  delayMs: number;
  /** Share of packets lost, 0 to 1. */
  loss: number;
  /** How long a packet may wait for the bottleneck. */
  queueMs: number;
}

export interface PathCounters {
  packets: number;
  lost: number;
  overflowed: number;
}

export class PathDirection {
  readonly counters: PathCounters = { packets: 0, lost: 0, overflowed: 0 };
  readonly #options: PathOptions;
  readonly #deliver: (packet: Uint8Array) => void;
  readonly #random: () => number;
  /** In the order of arrival, which the delay does not change. */
  #onTheWay: { packet: Uint8Array; atMs: number }[] = [];
  #first = 0;
  /** Until when the bottleneck is busy. */
  #busyUntilMs = 0;

  constructor(options: PathOptions, deliver: (packet: Uint8Array) => void, random: () => number = Math.random) {
    this.#options = options;
    this.#deliver = deliver;
    this.#random = random;
  }

  /** Takes a copy of an IP packet. */
  push(packet: Uint8Array, nowMs: number): void {
    const { rateMbps, delayMs, loss, queueMs } = this.#options;
    this.counters.packets++;
    const startMs = Math.max(nowMs, this.#busyUntilMs);
    if (startMs - nowMs > queueMs) {
      this.counters.overflowed++;
      return;
    }
    this.#busyUntilMs = startMs + (packet.length * 8) / (rateMbps * 1000);
    if (this.#random() < loss) {
      this.counters.lost++;
      return;
    }
    this.#onTheWay.push({ packet: packet.slice(), atMs: this.#busyUntilMs + delayMs });
  }

  /** Delivers what has arrived by now. */
  advance(nowMs: number): void {
    while (this.nextMs <= nowMs) {
      const { packet } = this.#onTheWay[this.#first++];
      if (this.#first > 1024) {
        this.#onTheWay = this.#onTheWay.slice(this.#first);
        this.#first = 0;
      }
      this.#deliver(packet);
    }
  }

  /** When the next packet arrives; Infinity when none is on its way. */
  get nextMs(): number {
    return this.#onTheWay[this.#first]?.atMs ?? Number.POSITIVE_INFINITY;
  }
}

/** Runs directions on the clock. `flush` is called after each burst of deliveries. */
export class PathClock {
  readonly #directions: readonly PathDirection[];
  readonly #flush: () => void;
  #timer: NodeJS.Timeout | null = null;

  constructor(directions: readonly PathDirection[], flush: () => void) {
    this.#directions = directions;
    this.#flush = flush;
  }

  /** To be called after packets were pushed. */
  wake(): void {
    const nextMs = this.#nextMs;
    if (nextMs < Number.POSITIVE_INFINITY)
      this.#timer ??= setTimeout(this.#turn, Math.max(0, nextMs - performance.now()));
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  get #nextMs(): number {
    return Math.min(...this.#directions.map((direction) => direction.nextMs));
  }

  readonly #turn = (): void => {
    this.#timer = null;
    const nowMs = performance.now();
    for (const direction of this.#directions) direction.advance(nowMs);
    this.#flush();
    this.wake();
  };
}
