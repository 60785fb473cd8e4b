/**
 * A batch at its source: what it holds, what of it is on its way, and how many repairs it lacks. Knows no packets and no
 * streams.
 *
 * The receiver can compute a missing symbol with each repair that covers it: any repairs over the same symbols do (Cauchy), so that
 * counting by ascending cover is exact but for a chance of about 1 in 250 where covers differ. Batch status has the last word.
 */
import { type BatchEncoder, REPAIR_SEEDS } from "../../codec/index.ts";
import type { LossOdds } from "./loss-odds.ts";

const NOT_SENT = 0;
const IN_FLIGHT = 1;
const ARRIVED = 2;

/** A repair that travels in two packets. */
export interface SplitRepair {
  readonly name: number;
  readonly covered: number;
  arrived: number;
  lost: boolean;
}

export class SendBatch {
  /** Used for one batch after another. -1: none. */
  id = -1;
  readonly encoder: BatchEncoder;
  /** It takes no more source symbols. */
  sealed = false;
  /** How many symbols it had when the receiver last said that it knows them all. */
  confirmed = 0;
  /** The number of the status request that asks for it; 0 when none does. */
  request = 0;
  /** It waits for a repair; whether to send repair ahead of losses has to be looked at. */
  lacking = false;
  watched = false;
  /** When its first symbol left, and its last. */
  beganMs = 0;
  lastMs = 0;
  /** Not worth anything after this; and when the first of its symbols is worth nothing any more. */
  deadlineMs = 0;
  firstDeadlineMs = 0;
  /**
   * Rounds of repair: repairs sent until all is settled that was under way when a round began are the next round's. Source symbols
   * are round 0.
   */
  round = 0;
  /** Repairs still to be sent in this round. */
  quota = 0;
  /** Symbols in flight of this round. */
  #ofRound = 0;
  /** How many symbols it had when `request` was sent. */
  #requestSize = 0;
  readonly #source: Uint8Array;
  #sourcesInFlight = 0;
  #sourcesArrived = 0;
  /** Repairs in flight, and arrived, by how many symbols they cover; their sums; and of those the ones that cover all. */
  readonly #inFlight: Uint16Array;
  readonly #arrived: Uint16Array;
  #repairsInFlight = 0;
  #repairsArrived = 0;
  #shortRepairs = 0;
  /** Repairs that arrived and turned out to add nothing. */
  #useless = 0;
  #nextSeed = 0;

  constructor(encoder: BatchEncoder) {
    this.encoder = encoder;
    this.#source = new Uint8Array(encoder.batchSize);
    this.#inFlight = new Uint16Array(encoder.batchSize + 1);
    this.#arrived = new Uint16Array(encoder.batchSize + 1);
  }

  /** Begins another batch. */
  begin(id: number, nowMs: number): void {
    this.id = id;
    this.beganMs = nowMs;
    this.lastMs = nowMs;
    this.deadlineMs = nowMs;
    this.firstDeadlineMs = Number.POSITIVE_INFINITY;
    this.watched = false;
    this.round = 0;
    this.quota = 0;
    this.#ofRound = 0;
    this.sealed = false;
    this.confirmed = 0;
    this.request = 0;
    this.lacking = false;
    this.#requestSize = 0;
    this.#source.fill(NOT_SENT);
    this.#sourcesInFlight = 0;
    this.#sourcesArrived = 0;
    this.#inFlight.fill(0);
    this.#arrived.fill(0);
    this.#repairsInFlight = 0;
    this.#repairsArrived = 0;
    this.#shortRepairs = 0;
    this.#useless = 0;
    this.#nextSeed = 0;
  }

  /** Ends the batch; its memory is free for another. */
  end(): void {
    this.id = -1;
    this.encoder.reset();
  }

  /** k, its source symbols so far. */
  get size(): number {
    return this.encoder.size;
  }

  /** Whether the receiver is not known to have all of it. */
  get outstanding(): boolean {
    return this.confirmed < this.size;
  }

  /** Whether by what arrived the receiver must have all of it, but has not said so. */
  get confirmable(): boolean {
    return this.outstanding && this.missing === 0;
  }

  /** The status request of this number asks for it. */
  ask(request: number): void {
    this.request = request;
    this.#requestSize = this.size;
  }

  /** The answer: the receiver had rank `rank` of it when all had arrived that it had when it was asked for; else Infinity. */
  answer(rank: number): void {
    this.request = 0;
    if (rank >= this.#requestSize) this.confirmed = Math.max(this.confirmed, this.#requestSize);
    else this.#useless += this.#requestSize - rank;
  }

  /** How many repairs it takes to complete it if all arrives that is in flight. */
  get deficit(): number {
    return this.size - this.#rank(IN_FLIGHT);
  }

  /** How many symbols it takes to complete it if nothing arrives that is in flight. */
  get missing(): number {
    return this.size - this.#rank(ARRIVED);
  }

  /** Whether all that was to be sent in this round is settled. */
  get roundSettled(): boolean {
    return this.#ofRound === 0 && this.quota === 0;
  }

  /** Begins the next round, of all repairs in flight and `more` that are to be sent. */
  nextRound(more: number): void {
    this.round++;
    this.#ofRound = this.#repairsInFlight;
    this.quota = more;
  }

  /** Symbols in flight. */
  get inFlight(): number {
    return this.#sourcesInFlight + this.#repairsInFlight;
  }

  get repairsInFlight(): number {
    return this.#repairsInFlight;
  }

  /** A source symbol was added, and leaves. */
  sourceSent(index: number): void {
    this.#source[index] = IN_FLIGHT;
    this.#sourcesInFlight++;
    this.#ofRound++;
    this.#shortRepairs = this.#repairsInFlight + this.#repairsArrived;
  }

  sourceArrived(index: number): void {
    this.#source[index] = ARRIVED;
    this.#sourcesInFlight--;
    this.#ofRound--;
    this.#sourcesArrived++;
  }

  sourceLost(index: number): void {
    this.#source[index] = NOT_SENT;
    this.#sourcesInFlight--;
    this.#ofRound--;
  }

  /** The round of the next repair. */
  get nextRepairRound(): number {
    return this.quota > 0 ? this.round : this.round + 1;
  }

  /** Makes the next repair, which covers all symbols so far; returns the seed. */
  repairSent(): number {
    if (this.quota > 0) {
      this.quota--;
      this.#ofRound++;
    }
    this.#inFlight[this.size]++;
    this.#repairsInFlight++;
    const seed = this.#nextSeed;
    this.#nextSeed = (seed + 1) % REPAIR_SEEDS;
    return seed;
  }

  repairArrived(covered: number, round: number): void {
    if (round <= this.round) this.#ofRound--;
    this.#inFlight[covered]--;
    this.#arrived[covered]++;
    this.#repairsInFlight--;
    this.#repairsArrived++;
  }

  repairLost(covered: number, round: number): void {
    if (round <= this.round) this.#ofRound--;
    this.#inFlight[covered]--;
    this.#repairsInFlight--;
    if (covered < this.size) this.#shortRepairs--;
  }

  /**
   * The chance that it stays incomplete with what is in flight; with `newest`, that it does or, but for older symbols, the newest ones
   * do: what has left since a repair has nothing of that repair. `more`: repairs of all of it that are counted as if they were in flight.
   */
  odds(model: LossOdds, newest: boolean, more = 0): number {
    const { size } = this;
    let sources = 0;
    let repairs = more;
    // Repairs that arrived less symbols known to be lost.
    let spare = -this.#useless;
    let worst = 0;
    for (let i = size - 1; i >= 0; i--) {
      repairs += this.#inFlight[i + 1];
      spare += this.#arrived[i + 1];
      const state = this.#source[i];
      if (state === ARRIVED) continue;
      if (state === IN_FLIGHT) sources++;
      else spare--;
      if (!newest && i > 0) continue;
      const odds = model.moreLost(repairs + spare, sources + repairs);
      if (odds > worst) worst = odds;
    }
    // The oldest symbols may be there already: the whole is looked at all the same.
    return Math.max(worst, model.moreLost(repairs + spare, sources + repairs));
  }

  /** The rank of what is at least in state `least`. */
  #rank(least: number): number {
    const inFlight = least === IN_FLIGHT;
    let repairs = this.#repairsArrived + (inFlight ? this.#repairsInFlight : 0);
    const sources = this.#sourcesArrived + (inFlight ? this.#sourcesInFlight : 0);
    let useless = Math.min(this.#useless, repairs);
    const { size } = this;
    if (repairs === 0) return sources;
    repairs -= useless;
    if (this.#shortRepairs === 0) return Math.min(size, sources + repairs);
    let missing = 0;
    let used = 0;
    for (let i = 0; i < size; i++) {
      if (this.#source[i] < least) missing++;
      // Repairs that cover symbols 0 to i.
      let here = this.#arrived[i + 1] + (inFlight ? this.#inFlight[i + 1] : 0);
      const ignored = Math.min(useless, here);
      useless -= ignored;
      here -= ignored;
      used = Math.min(missing, used + here);
    }
    return sources + used;
  }
}
