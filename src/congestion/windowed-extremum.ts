/**
 * The largest (or smallest) of the values seen in a sliding window, in constant space and time: K. Nichols' filter as in
 * Linux's lib/minmax.c and BBR. It keeps the best value and the best of the last parts of the window, so what it returns
 * after the best one has expired was seen within the window, though perhaps not the very best of it.
 */

/** Where the times begin. */
const TIMES = 3;

export class WindowedExtremum {
  readonly #sign: 1 | -1;
  window: number;
  /** Three values, then their times: one array, for each costs several times its bytes. */
  readonly #kept = new Float64Array(6);
  #empty = true;

  /** `window` in the unit of the times given to `update`: milliseconds, rounds. */
  constructor(kind: "max" | "min", window: number) {
    this.#sign = kind === "max" ? 1 : -1;
    this.window = window;
  }

  /** -Infinity (max) or Infinity (min) before the first value. */
  get value(): number {
    return this.#empty ? this.#sign * Number.NEGATIVE_INFINITY : this.#sign * this.#kept[0];
  }

  /** When the value returned was seen. */
  get time(): number {
    return this.#empty ? Number.NEGATIVE_INFINITY : this.#kept[TIMES];
  }

  /** Forgets all but this value. */
  reset(value: number, time: number): void {
    this.#kept.fill(this.#sign * value, 0, TIMES);
    this.#kept.fill(time, TIMES);
    this.#empty = false;
  }

  /** Changes the unit of all values kept. */
  scale(factor: number): void {
    for (let i = 0; i < TIMES; i++) this.#kept[i] *= factor;
  }

  clear(): void {
    this.#empty = true;
  }

  /** Times never run backwards. */
  update(value: number, time: number): void {
    const kept = this.#kept;
    const signed = this.#sign * value;
    if (this.#empty || signed >= kept[0] || time - kept[TIMES + 2] > this.window) {
      this.reset(value, time);
      return;
    }
    if (signed >= kept[1]) {
      kept[1] = kept[2] = signed;
      kept[TIMES + 1] = kept[TIMES + 2] = time;
    } else if (signed >= kept[2]) {
      kept[2] = signed;
      kept[TIMES + 2] = time;
    }
    const age = time - kept[TIMES];
    if (age > this.window) {
      kept[0] = kept[1];
      kept[TIMES] = kept[TIMES + 1];
      kept[1] = kept[2];
      kept[TIMES + 1] = kept[TIMES + 2];
      kept[2] = signed;
      kept[TIMES + 2] = time;
      if (time - kept[TIMES] > this.window) {
        kept[0] = kept[1];
        kept[TIMES] = kept[TIMES + 1];
        kept[1] = kept[2];
        kept[TIMES + 1] = kept[TIMES + 2];
      }
    } else if (kept[TIMES + 1] === kept[TIMES] && age > this.window / 4) {
      kept[1] = kept[2] = signed;
      kept[TIMES + 1] = kept[TIMES + 2] = time;
    } else if (kept[TIMES + 2] === kept[TIMES + 1] && age > this.window / 2) {
      kept[2] = signed;
      kept[TIMES + 2] = time;
    }
  }
}
