/**
 * Who is next to put bytes into a symbol: eight levels of urgency as in RFC 9218, section 4.1, strict between them, in turn inside
 * one. A level waits as long as a more urgent one has anything to send that credit lets leave: it may starve, and is meant to.
 */
import { Ring } from "./ring.ts";

export const URGENCY_LEVELS = 8;
export const DEFAULT_URGENCY = 3;

/** Something with bytes for symbols. */
export interface Sendable {
  /** 0, most urgent, to 7. May change at any time. */
  urgency: number;
  /** The scheduler's: whether it stands in a queue. */
  queued: boolean;
  /** Whether it has anything to send but for the session's credit. */
  readonly ready: boolean;
  /** The least credit of the session that its next frame needs. */
  readonly leastCredit: number;
  /**
   * Writes its next frames at `at`, as many as `end` and `credit` let; returns the offset after them, or `at`. `begun`: other frames
   * are in the symbol already.
   */
  write(bytes: Uint8Array, at: number, end: number, begun: boolean, credit: number): number;
  /** Credit that the last `write` used. */
  readonly spent: number;
}

export class Scheduler {
  /** Null where nothing ever waited. */
  readonly #levels: (Ring<Sendable> | null)[] = new Array<Ring<Sendable> | null>(URGENCY_LEVELS).fill(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many wait at a level. */
  waiting(level: number): number {
    return this.#levels[level]?.length ?? 0;
  }

  /** Has it take its turn, unless it waits already. */
  push(item: Sendable): void {
    if (item.queued) return;
    item.queued = true;
    this.#size++;
    this.#level(item.urgency).push(item);
  }

  /** Gives it its turn back: it is the next of its level. */
  unshift(item: Sendable): void {
    item.queued = true;
    this.#size++;
    this.#level(item.urgency).unshift(item);
  }

  /** The next of a level, out of its queue. One whose urgency changed meanwhile is sent to its level. */
  shift(level: number): Sendable | undefined {
    const item = this.#levels[level]?.shift();
    if (item === undefined) return undefined;
    item.queued = false;
    this.#size--;
    if (item.urgency === level) return item;
    this.push(item);
    return undefined;
  }

  #level(urgency: number): Ring<Sendable> {
    const level = this.#levels[urgency] ?? new Ring<Sendable>();
    this.#levels[urgency] = level;
    return level;
  }
}
