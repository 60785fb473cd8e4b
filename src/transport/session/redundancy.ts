/**
 * How much repair: from the path's estimate, how many repairs a batch should have under way. Keeps no batches and sends nothing; who
 * sends asks each time something has become known.
 *
 * While the pipe is full every repair takes a new symbol's place, and one that turns out superfluous is waste. But a stream in
 * order waits for the slowest batch. So in each round of a batch's repair as many more are sent than are known to miss as are worth the
 * round that they may save. Where there are many batches in a round trip, some of which need a second round whatever their margin, a
 * first round has next to none, for failing costs little; a second one has several repairs. Most of what a full batch will need leaves
 * with it, before its losses are known: the first round of repair then comes a round trip sooner, and costs no more.
 *
 * When the application sends less than the path carries, a byte budget buys repair ahead of losses: while symbols flow, as much as
 * makes it likely that what is under way completes the batch; when they pause or the batch is sealed, until that is nearly certain, and
 * not only for the batch as a whole, but also for its newest symbols, which older repairs do not cover. Datagrams that a repair from
 * feedback would reach after their deadline have more of it while they flow, and none that would be late itself.
 */

import { LossOdds } from "./loss-odds.ts";
import type { PathEstimate } from "./path-estimate.ts";
import { type BudgetOptions, RepairBudget } from "./repair-budget.ts";
import type { SendBatch } from "./send-batch.ts";
import { SessionRangeError } from "./session-error.ts";

/**
 * What it is worth that a batch is not another round of repair late: packets, where round trips are long; less in proportion where not.
 * All symbols that come in a round trip are late then, by up to a round trip: it is worth as many times more as there are more than this
 * many, and as the round trip is longer than a long one.
 */
const ROUND_WORTH = 30;
const LONG_RTT_MS = 180;
const MANY_SYMBOLS = 1000;
const MOST_TIMES_MORE = 100;
/** The same worth for a batch of datagrams that had a round already: the next may be its last. */
const LAST_ROUND_WORTH = 200;
/**
 * With so many symbols lost twice in a round trip a stream hardly ever gets by without a second round of some batch. A limit, for what lies
 * between pays for margins and waits all the same.
 */
const MANY_TWICE_LOST = 1.5;
/** There a third round is worth this share, for the wait grows by less in proportion. */
const LATER_SHARE = 0.5;
/** With a full batch repairs leave as long as they hardly ever complete it by themselves: with this chance where a round trip is long. */
const ADVANCE_CHANCE = 0.12;
/** Batches over which the rate of symbols is averaged. */
const RATE_MEMORY = 16;
const LEAST_SYMBOL_MS = 1e-5;
const MOST_REPAIRS = 128;

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
   * beyond the budget, and take the place of those that losses would make necessary. Only once the path's loss is known. Default 1: none.
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

/**
 * Symbols have paused when none has left for this long. Where most come so far apart that their mean gap is above `SPARSE_GAP_MS` the next
 * one is not waited for: the pause only keeps the repair from being lost with its symbol.
 */
const PAUSE_MS = 3;
const SPARSE_GAP_MS = 6;
const SPARSE_PAUSE_MS = 1;
/** Gaps that are averaged, and the most that one counts: little more than the limit, so that pauses between bursts make no flow sparse. */
const GAP_MEMORY = 8;
const MOST_GAP_MS = 8;
/** While symbols flow, a batch may be incomplete with this chance. */
const FLOWING_TARGET = 0.1;
/** One of datagrams with this: repairs that leave before its last symbols help these not, and it is sealed soon. */
const FLOWING_DATAGRAMS_TARGET = 0.2;
/** Of the reliable class a sealed batch may with this share of the target's chance: no later repair helps its last symbols. */
const SEALED_SHARE = 0.2;
/** One of datagrams with this share where a second look comes before their deadline, but when most of it is late. */
const SEALED_DATAGRAMS_SHARE = 0.5;
/** A batch that is this old takes no more symbols: round trips, and at least milliseconds. */
const BATCH_AGE_RTTS = 8;
const LEAST_BATCH_AGE_MS = 50;
/** One of datagrams neither when it has so many and is so old: what its last repairs bring shall not come too late for its first. */
const DENSE_BATCH_SYMBOLS = 20;
const DENSE_BATCH_AGE_MS = 35;
/**
 * Word of a loss takes a round trip, and the repair for it the way there once more. For datagrams whose deadline is nearer there is repair
 * ahead of losses or none: while they flow a batch may be incomplete with this chance only.
 */
const SECOND_LOOK_RTTS = 1.5;
const FLOWING_URGENT_TARGET = 0.01;

export class Redundancy {
  readonly path: PathEstimate;
  readonly #budget: RepairBudget;
  readonly #target: number;
  readonly #promptTarget: number;
  readonly #odds: LossOdds;
  /** Time from one symbol to the next in batches of the reliable class, and when the last of these was sealed. */
  #symbolMs = Number.POSITIVE_INFINITY;
  #sealedMs = Number.NEGATIVE_INFINITY;
  /** Time from one symbol to the next, of fractions from the beginning. */
  #gapMs = -0;
  #sentMs = Number.NEGATIVE_INFINITY;

  /** Throws a SessionError for options out of range. */
  constructor(path: PathEstimate, options: RedundancyOptions = {}, odds: LossOdds = new LossOdds()) {
    this.path = path;
    this.#odds = odds;
    const name = options.preset ?? "adaptive";
    const preset = PRESETS[name];
    if (preset === undefined) {
      throw new SessionRangeError("redundancy.preset", name, Object.keys(PRESETS).join(", "));
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

  /** After so long without a symbol they have paused. */
  get pauseMs(): number {
    return this.#gapMs > SPARSE_GAP_MS ? SPARSE_PAUSE_MS : PAUSE_MS;
  }

  sourceSent(bytes: number, nowMs: number): void {
    this.#gapMs += (Math.min(nowMs - this.#sentMs, MOST_GAP_MS) - this.#gapMs) / GAP_MEMORY;
    this.#sentMs = nowMs;
    this.#budget.earn(bytes, this.path.loss, nowMs);
  }

  repairSent(bytes: number): void {
    this.#budget.spend(bytes);
  }

  /** Whether a batch should have one more repair under way; `flowing`: its symbols have not paused. */
  wantsAhead(batch: SendBatch, unreliable: boolean, flowing: boolean, nowMs: number): boolean {
    this.#odds.update(this.path.loss, this.path.persistence);
    // It would come too late.
    if (unreliable && batch.deadlineMs - nowMs < this.path.oneWayMs) return false;
    if (flowing)
      return batch.odds(this.#odds, false) > (unreliable ? this.#flowingTarget(batch, nowMs) : FLOWING_TARGET);
    const target = batch.sealed ? (unreliable ? SEALED_DATAGRAMS_SHARE : SEALED_SHARE) * this.#target : this.#target;
    return batch.odds(this.#odds, true) > target;
  }

  #flowingTarget(batch: SendBatch, nowMs: number): number {
    const { oneWayMs, rttMs } = this.path;
    // One that is late whatever is done makes nothing urgent; the last one may be what a repair from feedback would come too late for.
    const isUrgent = (leftMs: number): boolean => leftMs >= oneWayMs && leftMs < SECOND_LOOK_RTTS * rttMs;
    const urgent = isUrgent(batch.firstDeadlineMs - nowMs) || isUrgent(batch.deadlineMs - nowMs);
    return urgent ? FLOWING_URGENT_TARGET : FLOWING_DATAGRAMS_TARGET;
  }

  /** How many repairs of a batch that was just sealed leave at once; none for losses that are hardly known, in place of what waits. */
  prompt(batch: SendBatch): number {
    if (this.#promptTarget === 1 || !this.path.settled) return 0;
    this.#odds.update(this.path.loss, this.path.persistence);
    let n = 0;
    while (n < batch.size && batch.odds(this.#odds, false, n) > this.#promptTarget) n++;
    return n;
  }

  /**
   * How many repairs leave at once with a full batch of which `missing` symbols are not known to have arrived and `inFlight` are under
   * way: most of what its losses will make necessary.
   */
  advance(missing: number, inFlight: number): number {
    this.#odds.update(this.path.loss, this.path.persistence);
    const most = 1 - ADVANCE_CHANCE * Math.min(this.path.rttMs / LONG_RTT_MS, 1);
    let n = 0;
    while (n < MOST_REPAIRS && this.#odds.moreLost(inFlight + n + 1 - missing, inFlight + n + 1) >= most) n++;
    return n;
  }

  /** A batch of `size` symbols, from 1, takes no more. */
  batchSealed(size: number, nowMs: number): void {
    // A pause says nothing of the rate.
    const symbolMs = Math.max(Math.min(nowMs - this.#sealedMs, this.path.rttMs) / size, LEAST_SYMBOL_MS);
    this.#sealedMs = nowMs;
    if (this.#symbolMs === Number.POSITIVE_INFINITY) this.#symbolMs = symbolMs;
    else this.#symbolMs += (symbolMs - this.#symbolMs) / RATE_MEMORY;
  }

  /** How many repairs to add to `repairs` under way for a batch that misses `missing` symbols after `round` rounds of repair. */
  margin(missing: number, repairs: number, round: number, unreliable = false): number {
    this.#odds.update(this.path.loss, this.path.persistence);
    const cost = this.#failureCost(round, unreliable);
    let n = Math.max(missing, repairs);
    while (n < MOST_REPAIRS && this.#worthMore(missing, n, cost)) n++;
    return n - repairs;
  }

  /**
   * Whether one more than `n` repairs gain more than they waste: with one symbol lacking it saves a round of repair, with none it is
   * superfluous.
   */
  #worthMore(missing: number, n: number, cost: number): boolean {
    const incomplete = this.#odds.moreLost(n - missing, n);
    const oneLacks = incomplete - this.#odds.moreLost(n - missing + 1, n);
    return oneLacks * cost > 1 - incomplete;
  }

  /**
   * What it costs, in packets, that the next round of repair does not complete a batch: delay, and what the round after it will waste.
   * Exact repair takes a second round for each symbol that is lost twice: where there is one in every round trip the stream waits for a
   * second round of some batch anyhow, and that of another one costs no delay.
   */
  #failureCost(round: number, unreliable: boolean): number {
    const { loss, rttMs } = this.path;
    const long = Math.min(rttMs / LONG_RTT_MS, 1);
    const symbols = rttMs / this.#symbolMs;
    const many = loss * loss * symbols >= MANY_TWICE_LOST;
    // So many symbols wait, times how long.
    const delay = (symbols / MANY_SYMBOLS) * (rttMs / LONG_RTT_MS);
    const worth = ROUND_WORTH * Math.min(Math.max(delay, long), MOST_TIMES_MORE);
    const later = many ? LATER_SHARE * worth : worth;
    if (round > 0) return unreliable ? LAST_ROUND_WORTH * long : later;
    // The next round is mostly for one symbol.
    let n = 1;
    while (n < MOST_REPAIRS && this.#worthMore(1, n, later)) n++;
    const waste = this.#odds.surplus(1, n) + this.#odds.moreLost(n - 1, n) * later;
    return many ? waste : worth + waste;
  }
}

function checkNumber(field: string, value: number, low: number, high: number): void {
  if (value >= low && value <= high) return;
  throw new SessionRangeError(`redundancy.${field}`, value, `${low} to ${high}`);
}
