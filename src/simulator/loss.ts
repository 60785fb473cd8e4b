/**
 * Models of loss on a link: independent (Bernoulli) and in bursts (E. N. Gilbert 1960, E. O. Elliott 1963: a Markov
 * chain of a good and a bad state that moves once a packet). Time plays no part: a burst is a number of packets.
 */
import { checkInteger, checkNumber, checkShare, SimulatorOptionError } from "./error.ts";
import type { Random } from "./random.ts";

/** Bursts by what they look like: every packet in the bad state is lost, none in the good one. */
export interface BurstLoss {
  /** Share of all packets lost, 0 to below 1. */
  meanLoss: number;
  /** Mean number of packets lost in a row, from 1. Independent loss of share p has 1 / (1 - p). */
  meanBurst: number;
}

/** The Gilbert-Elliott chain by its four parameters, all shares from 0 to 1. */
export interface GilbertElliottLoss {
  /** Chance to go from good to bad before a packet. */
  goodToBad: number;
  /** Chance to go from bad to good before a packet; the mean stay in bad is 1 / badToGood packets. */
  badToGood: number;
  /** Chance that a packet is lost in the good state. Default 0. */
  lossInGood?: number;
  /** Chance that a packet is lost in the bad state. Default 1. */
  lossInBad?: number;
}

/** A number is independent loss of that share, 0 to 1. */
export type LossOptions = number | BurstLoss | GilbertElliottLoss;

export interface LossModel {
  /** Draws for the next packet: true when it is lost. */
  lost(): boolean;
}

/** Throws a SimulatorOptionError that names `field`. */
export function createLoss(field: string, options: LossOptions, random: Random): LossModel {
  if (typeof options === "number") return new IndependentLoss(checkShare(field, options), random);
  if ("meanLoss" in options) {
    const meanLoss = checkNumber(`${field}.meanLoss`, options.meanLoss, 0, 1, "a share");
    const meanBurst = checkNumber(`${field}.meanBurst`, options.meanBurst, 1, Number.MAX_VALUE, "packets");
    const badToGood = 1 / meanBurst;
    // In the steady state the share of bad is goodToBad / (goodToBad + badToGood).
    const goodToBad = (badToGood * meanLoss) / (1 - meanLoss);
    if (!(goodToBad <= 1)) {
      const least = meanLoss === 1 ? "infinitely many" : `at least ${meanLoss / (1 - meanLoss)}`;
      throw new SimulatorOptionError(`${field}.meanBurst`, meanBurst, `${least} packets for a meanLoss of ${meanLoss}`);
    }
    return new GilbertElliott(goodToBad, badToGood, 0, 1, random);
  }
  return new GilbertElliott(
    checkShare(`${field}.goodToBad`, options.goodToBad),
    checkShare(`${field}.badToGood`, options.badToGood),
    checkShare(`${field}.lossInGood`, options.lossInGood ?? 0),
    checkShare(`${field}.lossInBad`, options.lossInBad ?? 1),
    random,
  );
}

/** Loses exactly the packets whose place (from 0) is in `places`; for tests that need one loss at one spot. */
export class ListedLoss implements LossModel {
  readonly #places: ReadonlySet<number>;
  #next = 0;

  constructor(places: Iterable<number>) {
    this.#places = new Set(places);
    for (const place of this.#places) checkInteger("places", place, 0, Number.MAX_SAFE_INTEGER, "packets before it");
  }

  lost(): boolean {
    return this.#places.has(this.#next++);
  }
}

class IndependentLoss implements LossModel {
  readonly #share: number;
  readonly #random: Random;

  constructor(share: number, random: Random) {
    this.#share = share;
    this.#random = random;
  }

  lost(): boolean {
    return this.#share > 0 && this.#random.next() < this.#share;
  }
}

class GilbertElliott implements LossModel {
  readonly #goodToBad: number;
  readonly #badToGood: number;
  readonly #lossInGood: number;
  readonly #lossInBad: number;
  readonly #random: Random;
  #bad: boolean;

  constructor(goodToBad: number, badToGood: number, lossInGood: number, lossInBad: number, random: Random) {
    this.#goodToBad = goodToBad;
    this.#badToGood = badToGood;
    this.#lossInGood = lossInGood;
    this.#lossInBad = lossInBad;
    this.#random = random;
    // Starting in the steady state makes the first packet as likely lost as the millionth.
    const moves = goodToBad + badToGood;
    this.#bad = moves > 0 && random.next() < goodToBad / moves;
  }

  lost(): boolean {
    const draw = this.#random.next();
    this.#bad = this.#bad ? draw >= this.#badToGood : draw < this.#goodToBad;
    const share = this.#bad ? this.#lossInBad : this.#lossInGood;
    return share === 1 || (share > 0 && this.#random.next() < share);
  }
}
