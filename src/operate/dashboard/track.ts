/**
 * What the page remembers of one thing over time: a column for each measure, all written at the slots of one clock, oldest values
 * overwritten. Memory is fixed when it is made. Without DOM.
 */

/** Samples that are kept: a quarter of an hour when one comes each second. */
export const KEPT = 900;

/** When the samples were taken, ms since 1970. */
export class Clock {
  readonly #times = new Float64Array(KEPT);
  #taken = 0;

  /** The slot of a new sample. */
  advance(nowMs: number): number {
    const slot = this.#taken++ % KEPT;
    this.#times[slot] = nowMs;
    return slot;
  }

  get lastMs(): number {
    return this.#taken === 0 ? Number.NaN : this.#times[(this.#taken - 1) % KEPT];
  }

  /** Slots of samples not older than `fromMs`, oldest first. */
  slotsSince(fromMs: number): number[] {
    const slots: number[] = [];
    for (let i = Math.max(0, this.#taken - KEPT); i < this.#taken; i++) {
      if (this.#times[i % KEPT] >= fromMs) slots.push(i % KEPT);
    }
    return slots;
  }

  timeAt(slot: number): number {
    return this.#times[slot];
  }
}

/** Values that were never written, and those that do not exist, are NaN. */
export class Track<Measure extends string> {
  readonly #columns: Map<Measure, Float32Array>;

  constructor(measures: readonly Measure[]) {
    this.#columns = new Map(measures.map((measure) => [measure, new Float32Array(KEPT).fill(Number.NaN)]));
  }

  write(slot: number, measure: Measure, value: number): void {
    const column = this.#columns.get(measure);
    if (column !== undefined) column[slot] = value;
  }

  read(slots: readonly number[], measure: Measure): number[] {
    const column = this.#columns.get(measure);
    return slots.map((slot) => column?.[slot] ?? Number.NaN);
  }
}
