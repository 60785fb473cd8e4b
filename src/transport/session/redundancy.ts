/**
 * How much repair: from the path's estimate, how many repairs a batch should have under way. Keeps no batches and sends nothing; who
 * sends asks each time something has become known.
 *
 * While the pipe is full every repair takes a new symbol's place, and one that turns out superfluous is waste. But a stream in
 * order waits for the slowest batch, and what few batches need may be dear: in each round of a batch's repair as many more are
 * sent than are known to miss as cost a given waste, averaged over all batches, those included that needed no such round. So the
 * first rounds have a small margin, and the last few batches a large one. Most of what a full batch will need leaves with it, before
 * its losses are known: the first round of repair then comes a round trip sooner, and costs no more.
 *
 * When the application sends less than the path carries, a byte budget buys repair ahead of losses: while symbols flow, as much as
 * makes it likely that what is under way completes the batch; when they pause or the batch is sealed, until that is nearly certain, and
 * not only for the batch as a whole, but also for its newest symbols, which older repairs do not cover.
 */

import { LossOdds } from "./loss-odds.ts";
import type { PathEstimate } from "./path-estimate.ts";
import { type BudgetOptions, RepairBudget } from "./repair-budget.ts";
import type { SendBatch } from "./send-batch.ts";
import { SessionError } from "./session-error.ts";

/** Superfluous repairs a batch that a round may cost on average where a round trip is short: waiting for one more costs little. */
const LEAST_WASTE = 0.2;
/** The same where it is long, in a batch's first round and in each later one. */
const FIRST_WASTE = 0.6;
const LATER_WASTE = 0.4;
const LONG_RTT_MS = 180;
/** The same for what leaves in advance with a full batch, where a round trip is long. */
const ADVANCE_WASTE = 0.2;
/** No more repairs than make them fall short with this chance. */
const LEAST_SHORTFALL = 0.0005;
const MOST_REPAIRS = 128;
/** Rounds of repair that are told apart, the share of batches that come so far at first, and over how many it is averaged. */
const INITIAL_SHARES = [1, 0.5, 0.1, 0.03, 0.01, 0.003];
const SHARE_MEMORY = 100;

/**
 * `latency`, `balanced` and `throughput` spend at most about 150, 30 and 5 % of bytes on repair ahead of losses. `adaptive` is
 * `balanced`, but lets a thin flow spend up to 150 % as long as that is below 1.1 Mbit/s.
 */
export type RedundancyPreset = "adaptive" | "latency" | "balanced" | "throughput";

/** How much repair is sent ahead of losses. */
export interface RedundancyOptions {
  preset?: RedundancyPreset;
  /** Bytes of repair ahead of losses to a byte of data, beyond what losses make necessary. */
  budget?: number;
  /** Repair that a thin flow may have whatever its share, bit/s. */
  freeBps?: number;
  /** The chance with which a batch may stay incomplete after a round trip, where the budget allows that little. */
  target?: number;
  /**
   * The chance with which a full batch of datagrams may need a second look: repairs for the rest leave at once, whatever else waits,
   * beyond the budget, and take the place of those that losses would make necessary. Default 1: none.
   */
  promptTarget?: number;
}

const PRESETS: Record<RedundancyPreset, Required<Omit<RedundancyOptions, "preset" | "promptTarget">>> = {
  adaptive: {
    budget: 0.3,
    freeBps: 1_100_000,
    target: 0.01,
  },
  latency: { budget: 1.5, freeBps: 0, target: 0.002 },
  balanced: { budget: 0.3, freeBps: 0, target: 0.005 },
  throughput: { budget: 0.05, freeBps: 0, target: 0.02 },
};

/** Symbols have paused when none has left for this long. */
export const PAUSE_MS = 3;
/** While symbols flow, a batch may be incomplete with this chance. */
const FLOWING_TARGET = 0.1;
/** One of datagrams with this: repairs that leave before its last symbols help these not, and it is sealed soon. */
const FLOWING_DATAGRAMS_TARGET = 0.2;
/** Of the reliable class a sealed batch may with this share of the target's chance: no later repair helps its last symbols. */
const SEALED_SHARE = 0.2;
/** One of datagrams with this share: a second look comes when most of it is late. */
const SEALED_DATAGRAMS_SHARE = 0.5;
/** A batch that is this old takes no more symbols: round trips, and at least milliseconds. */
const BATCH_AGE_RTTS = 8;
const LEAST_BATCH_AGE_MS = 50;
/** One of datagrams neither when it has so many and is so old: what its last repairs bring shall not come too late for its first. */
const DENSE_BATCH_SYMBOLS = 20;
const DENSE_BATCH_AGE_MS = 35;

export class Redundancy {
  readonly path: PathEstimate;
  readonly #budget: RepairBudget;
  readonly #target: number;
  readonly #promptTarget: number;
  readonly #odds: LossOdds;
  /** [round]: the share of batches that are not complete after so many rounds of repair. */
  readonly #shares = Float64Array.from(INITIAL_SHARES);

  /** Throws a SessionError for options out of range. */
  constructor(path: PathEstimate, options: RedundancyOptions = {}, odds: LossOdds = new LossOdds()) {
    this.path = path;
    this.#odds = odds;
    const name = options.preset ?? "adaptive";
    const preset = PRESETS[name];
    if (preset === undefined) {
      throw new SessionError("ERR_RANGE", `redundancy.preset is ${name}, wanted ${Object.keys(PRESETS).join(", ")}`);
    }
    const { budget = preset.budget, freeBps = preset.freeBps, target = preset.target } = options;
    checkNumber("budget", budget, 0, 10);
    checkNumber("freeBps", freeBps, 0, 1e12);
    checkNumber("target", target, 1e-6, 1);
    const { promptTarget = 1 } = options;
    checkNumber("promptTarget", promptTarget, 1e-6, 1);
    this.#promptTarget = promptTarget;
    const rates: BudgetOptions = { share: budget, freeRate: freeBps / 8000 };
    this.#budget = new RepairBudget(rates);
    this.#target = target;
  }

  /** Whether an open batch is too old to take more symbols. */
  isOld(batch: SendBatch, unreliable: boolean, nowMs: number): boolean {
    const ageMs = nowMs - batch.beganMs;
    if (unreliable && batch.size >= DENSE_BATCH_SYMBOLS && ageMs >= DENSE_BATCH_AGE_MS) return true;
    return ageMs > Math.max(BATCH_AGE_RTTS * this.path.rttMs, LEAST_BATCH_AGE_MS);
  }

  /** Whether repair ahead of losses can be paid for. */
  get affordsAhead(): boolean {
    return this.#budget.affords;
  }

  sourceSent(bytes: number, nowMs: number): void {
    this.#budget.earn(bytes, this.path.loss, nowMs);
  }

  repairSent(bytes: number): void {
    this.#budget.spend(bytes);
  }

  /** Whether a batch should have one more repair under way; `flowing`: its symbols have not paused. */
  wantsAhead(batch: SendBatch, unreliable: boolean, flowing: boolean): boolean {
    this.#odds.update(this.path.loss, this.path.persistence);
    if (flowing) return batch.odds(this.#odds, false) > (unreliable ? FLOWING_DATAGRAMS_TARGET : FLOWING_TARGET);
    const target = batch.sealed ? (unreliable ? SEALED_DATAGRAMS_SHARE : SEALED_SHARE) * this.#target : this.#target;
    return batch.odds(this.#odds, true) > target;
  }

  /** How many repairs of a batch that was just sealed leave at once. */
  prompt(batch: SendBatch): number {
    if (this.#promptTarget === 1) return 0;
    this.#odds.update(this.path.loss, this.path.persistence);
    let n = 0;
    while (n < batch.size && batch.odds(this.#odds, false, n) > this.#promptTarget) n++;
    return n;
  }

  /**
   * How many repairs leave at once with a full batch of which `missing` symbols are not known to have arrived and `inFlight` are under
   * way: almost as many as its losses will make necessary.
   */
  advance(missing: number, inFlight: number): number {
    this.#odds.update(this.path.loss, this.path.persistence);
    const waste = ADVANCE_WASTE * Math.min(this.path.rttMs / LONG_RTT_MS, 1);
    let n = 0;
    while (n < MOST_REPAIRS && this.#odds.surplus(missing, inFlight + n + 1) <= waste) n++;
    return n;
  }

  /** A batch is complete after `rounds` rounds of repair. */
  batchDone(rounds: number): void {
    for (let round = 0; round < this.#shares.length; round++) {
      this.#shares[round] += ((round < rounds ? 1 : 0) - this.#shares[round]) / SHARE_MEMORY;
    }
  }

  /** How many repairs to add to `repairs` under way for a batch that misses `missing` symbols after `round` rounds of repair. */
  margin(missing: number, repairs: number, round: number): number {
    this.#odds.update(this.path.loss, this.path.persistence);
    const most = round === 0 ? FIRST_WASTE : LATER_WASTE;
    const all = LEAST_WASTE + (most - LEAST_WASTE) * Math.min(this.path.rttMs / LONG_RTT_MS, 1);
    const waste = all / Math.max(this.#shares[Math.min(round, this.#shares.length - 1)], 0.001);
    let n = Math.max(missing, repairs);
    while (n < MOST_REPAIRS) {
      if (this.#odds.moreLost(n - missing, n) <= LEAST_SHORTFALL) break;
      if (this.#odds.surplus(missing, n + 1) > waste) break;
      n++;
    }
    return n - repairs;
  }
}

function checkNumber(field: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw new SessionError("ERR_RANGE", `redundancy.${field} is ${value}, wanted ${low} to ${high}`);
}
