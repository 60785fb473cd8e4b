/** What a measurement does second by second, as one end sees it. */
import type { Session } from "../api/session.ts";
import type { Tally } from "./plan.ts";

const PERIOD_MS = 1000;

export interface Interval {
  /** From the start of the measurement. */
  endMs: number;
  bytes: number;
  mbps: number;
  rttMs: number;
  lossRate: number;
  redundancy: number;
}

export class Intervals {
  readonly all: Interval[] = [];
  readonly #session: Session;
  readonly #tally: Readonly<Tally>;
  readonly #onInterval: (interval: Interval) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #startMs = performance.now();
  #bytes = 0;

  constructor(session: Session, tally: Readonly<Tally>, onInterval: (interval: Interval) => void) {
    this.#session = session;
    this.#tally = tally;
    this.#onInterval = onInterval;
    this.#timer = setInterval(() => this.#end(), PERIOD_MS);
  }

  /** The last interval is as short as it is; there is none when nothing came in it. */
  stop(): void {
    clearInterval(this.#timer);
    if (this.#tally.bytes > this.#bytes) this.#end();
  }

  #end(): void {
    const endMs = performance.now() - this.#startMs;
    const bytes = this.#tally.bytes - this.#bytes;
    const mbps = (bytes * 8) / 1000 / (endMs - (this.all.at(-1)?.endMs ?? 0));
    const { rttMs, lossRate, redundancy } = this.#session.stats();
    const interval = { endMs, bytes, mbps, rttMs, lossRate, redundancy };
    this.#bytes = this.#tally.bytes;
    this.all.push(interval);
    this.#onInterval(interval);
  }
}
