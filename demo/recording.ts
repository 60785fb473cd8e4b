/** How far each way was, over time. */
import type { Way } from "./screen.ts";

export class Recording {
  readonly timesMs: number[] = [];
  /** Bytes of each way at each of the times; a way that is over stays where it was. */
  readonly bytes: number[][] = [];
  readonly #startMs = performance.now();

  add(ways: readonly Way[]): void {
    this.timesMs.push(performance.now() - this.#startMs);
    for (const [i, { progress }] of ways.entries()) {
      this.bytes[i] ??= [];
      this.bytes[i].push(progress.bytes);
    }
  }
}
