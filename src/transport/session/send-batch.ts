/**
 * A batch at its source: what it holds, what of it is on its way, and how many repairs it lacks. Knows no packets and no
 * streams.
 */
import { type BatchEncoder, REPAIR_SEEDS } from "../../codec/index.ts";

const NOT_SENT = 0;
const IN_FLIGHT = 1;
const ARRIVED = 2;

/** A repair on its way, or arrived; lost ones are forgotten. */
export interface SentRepair {
  readonly covered: number;
  /** How many packets that carry it, or part of it, did not arrive yet. */
  missing: number;
}

export class SendBatch {
  readonly id: number;
  readonly encoder: BatchEncoder;
  /** It takes no more source symbols. */
  sealed = false;
  /** How many symbols it had when the receiver last said that it knows them all. */
  confirmed = 0;
  /** The number of the status request that asks for it; 0 when none does. */
  request = 0;
  /** How many symbols it had when that was sent. */
  #requestSize = 0;
  readonly #source: Uint8Array;
  /** Repairs that arrived and turned out to add nothing. */
  #useless = 0;
  /** Those in flight or arrived, by what they cover, ascending, for a batch only grows. */
  readonly #repairs: SentRepair[] = [];
  #nextSeed = 0;

  constructor(id: number, encoder: BatchEncoder) {
    this.id = id;
    this.encoder = encoder;
    this.#source = new Uint8Array(encoder.batchSize);
  }

  /** k, its source symbols so far. */
  get size(): number {
    return this.encoder.size;
  }

  /** Whether the receiver has all of it and nothing can be added. */
  get done(): boolean {
    return this.sealed && this.confirmed === this.size;
  }

  /** Whether the receiver is not known to have all of it. */
  get outstanding(): boolean {
    return this.confirmed < this.size;
  }

  /** Whether by what arrived the receiver must have all of it, but has not said so. */
  get confirmable(): boolean {
    return this.outstanding && this.#rank(ARRIVED) === this.size;
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

  sourceSent(index: number): void {
    this.#source[index] = IN_FLIGHT;
  }

  sourceArrived(index: number): void {
    this.#source[index] = ARRIVED;
  }

  sourceLost(index: number): void {
    if (this.#source[index] === IN_FLIGHT) this.#source[index] = NOT_SENT;
  }

  /** Makes the next repair, which covers all symbols so far; returns the seed. Count it with `repairSent`. */
  nextSeed(): number {
    const seed = this.#nextSeed;
    this.#nextSeed = (seed + 1) % REPAIR_SEEDS;
    return seed;
  }

  /** `packets` is how many packets carry it. */
  repairSent(packets: number): SentRepair {
    const repair = { covered: this.size, missing: packets };
    this.#repairs.push(repair);
    return repair;
  }

  repairLost(repair: SentRepair): void {
    const index = this.#repairs.indexOf(repair);
    if (index >= 0 && repair.missing > 0) this.#repairs.splice(index, 1);
  }

  repairArrived(repair: SentRepair): void {
    repair.missing--;
  }

  /**
   * The rank of what is at least in state `least`. A repair stands for one missing symbol that it covers; any repairs over the
   * same symbols do (Cauchy), so that counting by ascending cover is exact but for a chance of about 1 in 250 where covers differ. Batch status has the last word.
   */
  #rank(least: number): number {
    let rank = 0;
    let missing = 0;
    let used = 0;
    let r = 0;
    let useless = this.#useless;
    const size = this.size;
    for (let i = 0; i <= size; i++) {
      // Repairs that cover symbols 0 to i - 1.
      while (r < this.#repairs.length && this.#repairs[r].covered <= i) {
        const counts = least === IN_FLIGHT || this.#repairs[r].missing === 0;
        r++;
        if (!counts) continue;
        if (useless > 0) useless--;
        else if (used < missing) used++;
      }
      if (i === size) break;
      if (this.#source[i] >= least) rank++;
      else missing++;
    }
    return rank + used;
  }
}
