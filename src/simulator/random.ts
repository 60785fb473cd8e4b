/**
 * Seeded random numbers: sfc32 (C. Doty-Humphrey, PractRand), seeded by hashing a number and a label, so that every
 * link direction has a stream of its own and a change to one link leaves the draws of all others as they were. Not for
 * cryptography.
 */

const TWO_32 = 0x1_0000_0000;

export class Random {
  readonly #seed: number;
  readonly #label: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;
  #spareNormal = 0;
  #hasSpareNormal = false;

  /** `seed` is a whole number from 0 to 2^53 - 1; streams of other labels are independent. */
  constructor(seed: number, label = "") {
    this.#seed = seed;
    this.#label = label;
    let hash = 0x811c9dc5;
    // FNV-1a over the label, then murmur3's finaliser to spread seed and label over the state.
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    this.#a = mix(hash ^ (seed >>> 0));
    this.#b = mix(this.#a ^ Math.floor(seed / TWO_32));
    this.#c = mix(this.#b ^ 0x9e3779b9);
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** An independent stream for a part of what this one serves. */
  fork(label: string): Random {
    return new Random(this.#seed, `${this.#label}/${label}`);
  }

  /** Uniform over 0 to 2^32 - 1. */
  uint32(): number {
    const t = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [0, 1), 53 bits. */
  next(): number {
    return ((this.uint32() >>> 5) * 0x4000000 + (this.uint32() >>> 6)) / 0x20000000000000;
  }

  /** A whole number from 0 to `bound` - 1. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** Normal with mean 0 and standard deviation 1, by Marsaglia's polar method. */
  normal(): number {
    if (this.#hasSpareNormal) {
      this.#hasSpareNormal = false;
      return this.#spareNormal;
    }
    for (;;) {
      const x = 2 * this.next() - 1;
      const y = 2 * this.next() - 1;
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      this.#spareNormal = y * factor;
      this.#hasSpareNormal = true;
      return x * factor;
    }
  }
}

function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
