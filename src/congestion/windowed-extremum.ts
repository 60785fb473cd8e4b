/**
 * The largest (or smallest) of the values seen in a sliding window, in constant space and time: K. Nichols' filter as in
 * Linux's lib/minmax.c and BBR. It keeps the best value and the best of the last parts of the window, so what it returns
 * after the best one has expired was seen within the window, though perhaps not the very best of it.
 */
export class WindowedExtremum {
  readonly #sign: 1 | -1;
  window: number;
  readonly #values = new Float64Array(3);
  readonly #times = new Float64Array(3);
  #empty = true;

  /** `window` in the unit of the times given to `update`: milliseconds, rounds. */
  constructor(kind: "max" | "min", window: number) {
    this.#sign = kind === "max" ? 1 : -1;
    this.window = window;
  }

  /** -Infinity (max) or Infinity (min) before the first value. */
  get value(): number {
    return this.#empty ? this.#sign * Number.NEGATIVE_INFINITY : this.#sign * this.#values[0];
  }

  /** When the value returned was seen. */
  get time(): number {
    return this.#empty ? Number.NEGATIVE_INFINITY : this.#times[0];
  }

  /** Forgets all but this value. */
  reset(value: number, time: number): void {
    this.#values.fill(this.#sign * value);
    this.#times.fill(time);
    this.#empty = false;
  }

  /** Changes the unit of all values kept. */
  scale(factor: number): void {
    for (let i = 0; i < 3; i++) this.#values[i] *= factor;
  }

  clear(): void {
    this.#empty = true;
  }

  /** Times never run backwards. */
  update(value: number, time: number): void {
    const values = this.#values;
    const times = this.#times;
    const signed = this.#sign * value;
    if (this.#empty || signed >= values[0] || time - times[2] > this.window) {
      this.reset(value, time);
      return;
    }
    if (signed >= values[1]) {
      values[1] = values[2] = signed;
      times[1] = times[2] = time;
    } else if (signed >= values[2]) {
      values[2] = signed;
      times[2] = time;
    }
    const age = time - times[0];
    if (age > this.window) {
      values[0] = values[1];
      times[0] = times[1];
      values[1] = values[2];
      times[1] = times[2];
      values[2] = signed;
      times[2] = time;
      if (time - times[0] > this.window) {
        values[0] = values[1];
        times[0] = times[1];
        values[1] = values[2];
        times[1] = times[2];
      }
    } else if (times[1] === times[0] && age > this.window / 4) {
      values[1] = values[2] = signed;
      times[1] = times[2] = time;
    } else if (times[2] === times[1] && age > this.window / 2) {
      values[2] = signed;
      times[2] = time;
    }
  }
}
