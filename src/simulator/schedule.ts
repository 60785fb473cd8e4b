/**
 * Link properties that change over virtual time: rates, which are integrated (when does the queue's last byte leave?),
 * and others, which are looked up. Both are asked for times that never run backwards, so a cursor is enough.
 */
import { checkNumber, SimulatorOptionError } from "./error.ts";

/** From `atMs` on the rate is `rateMbps`; 0 halts the link, which keeps what is queued. */
export interface RateStep {
  atMs: number;
  /** 10^6 bits a second, IP headers included; from 0. */
  rateMbps: number;
}

const BYTES_PER_MS_OF_MBPS = 125;

/** Throws a SimulatorOptionError unless times are finite and ascending from 0. */
export function checkAscending(field: string, steps: readonly { atMs: number }[]): void {
  let before = 0;
  for (let i = 0; i < steps.length; i++) {
    checkNumber(`${field}[${i}].atMs`, steps[i].atMs, before, Number.MAX_VALUE, "ms");
    before = steps[i].atMs;
  }
}

/** The work a link can have done, in bytes, as a function of time, and its inverse. */
export class RateSchedule {
  // Segment i starts at #starts[i] with #works[i] bytes done and runs at #rates[i] bytes a millisecond.
  readonly #starts: Float64Array;
  readonly #works: Float64Array;
  readonly #rates: Float64Array;
  #segment = 0;
  #inverseSegment = 0;

  constructor(rateMbps: number, steps: readonly RateStep[]) {
    if (!(typeof rateMbps === "number" && rateMbps > 0)) {
      throw new SimulatorOptionError("rateMbps", rateMbps, "Mbit/s above 0, or Infinity for no limit");
    }
    checkAscending("rateSteps", steps);
    if (steps.length > 0 && rateMbps === Number.POSITIVE_INFINITY) {
      throw new SimulatorOptionError("rateMbps", rateMbps, "a finite rate when there are rateSteps");
    }
    const count = steps.length + 1;
    this.#starts = new Float64Array(count);
    this.#works = new Float64Array(count);
    this.#rates = new Float64Array(count);
    this.#rates[0] = rateMbps * BYTES_PER_MS_OF_MBPS;
    for (let i = 1; i < count; i++) {
      const { atMs, rateMbps: stepMbps } = steps[i - 1];
      checkNumber(`rateSteps[${i - 1}].rateMbps`, stepMbps, 0, Number.MAX_VALUE, "Mbit/s");
      this.#starts[i] = atMs;
      this.#works[i] = this.#works[i - 1] + (atMs - this.#starts[i - 1]) * this.#rates[i - 1];
      this.#rates[i] = stepMbps * BYTES_PER_MS_OF_MBPS;
    }
  }

  /** Bytes that could have been sent by `timeMs`, which never runs backwards. */
  workAt(timeMs: number): number {
    while (this.#segment + 1 < this.#starts.length && this.#starts[this.#segment + 1] <= timeMs) this.#segment++;
    const i = this.#segment;
    return this.#works[i] + (timeMs - this.#starts[i]) * this.#rates[i];
  }

  /** When `work` bytes are done; Infinity when never. `work` never runs backwards. */
  timeOf(work: number): number {
    while (this.#inverseSegment + 1 < this.#starts.length && this.#works[this.#inverseSegment + 1] < work) {
      this.#inverseSegment++;
    }
    const i = this.#inverseSegment;
    return this.#rates[i] === 0 ? Number.POSITIVE_INFINITY : this.#starts[i] + (work - this.#works[i]) / this.#rates[i];
  }

  /** Bytes a millisecond at `timeMs`, which never runs backwards. */
  rateAt(timeMs: number): number {
    this.workAt(timeMs);
    return this.#rates[this.#segment];
  }
}

/** A value that changes at given times. */
export class StepValue<T> {
  readonly #times: readonly number[];
  readonly #values: readonly T[];
  #cursor = 0;

  constructor(first: T, steps: readonly { atMs: number; value: T }[]) {
    this.#times = [0, ...steps.map((step) => step.atMs)];
    this.#values = [first, ...steps.map((step) => step.value)];
  }

  /** The value at `timeMs`, which never runs backwards. */
  at(timeMs: number): T {
    while (this.#cursor + 1 < this.#times.length && this.#times[this.#cursor + 1] <= timeMs) this.#cursor++;
    return this.#values[this.#cursor];
  }
}
