/**
 * TinyMT32, the pseudorandom generator of RFC 8682: the one that RFC 9426 takes for BATS codes. 32-bit, period 2^127 - 1, the
 * same numbers on every machine. Not for secrets.
 */

const MAT1 = 0x8f7011ee;
const MAT2 = 0xfc78ff1f;
const TMAT = 0x3793fdff;
const MASK = 0x7fffffff;

export class TinyMt32 {
  #s0 = 0;
  #s1 = 0;
  #s2 = 0;
  #s3 = 0;
  /** `next` as a function on its own. */
  readonly random: () => number = () => this.next();

  /** `seed` is a 32-bit whole number. */
  constructor(seed: number) {
    this.seed(seed);
  }

  /** Starts over, RFC 8682, section 2.2. */
  seed(seed: number): void {
    let a = seed | 0;
    let b = MAT1 | 0;
    let c = MAT2 | 0;
    let d = TMAT | 0;
    // st[i & 3] ^= i + 1812433253 (st[(i - 1) & 3] ^ (st[(i - 1) & 3] >>> 30)) for i from 1 to 7.
    b ^= 1 + Math.imul(1812433253, a ^ (a >>> 30));
    c ^= 2 + Math.imul(1812433253, b ^ (b >>> 30));
    d ^= 3 + Math.imul(1812433253, c ^ (c >>> 30));
    a ^= 4 + Math.imul(1812433253, d ^ (d >>> 30));
    b ^= 5 + Math.imul(1812433253, a ^ (a >>> 30));
    c ^= 6 + Math.imul(1812433253, b ^ (b >>> 30));
    d ^= 7 + Math.imul(1812433253, c ^ (c >>> 30));
    this.#s0 = a;
    this.#s1 = b;
    this.#s2 = c;
    this.#s3 = d;
    for (let i = 0; i < 8; i++) this.#step();
  }

  /** The next 32-bit whole number, 0 to 2^32 - 1. */
  next(): number {
    this.#step();
    let t0 = this.#s3;
    const t1 = (this.#s0 + (this.#s2 >>> 8)) | 0;
    t0 ^= t1;
    if (t1 & 1) t0 ^= TMAT;
    return t0 >>> 0;
  }

  /** A whole number from 0 to `bound` - 1, for `bound` up to 2^21: the high part of a 32-bit product. */
  below(bound: number): number {
    return Math.floor((this.next() * bound) / 4294967296);
  }

  #step(): void {
    let y = this.#s3;
    let x = (this.#s0 & MASK) ^ this.#s1 ^ this.#s2;
    x ^= x << 1;
    y ^= (y >>> 1) ^ x;
    this.#s0 = this.#s1;
    this.#s1 = this.#s2;
    this.#s2 = x ^ (y << 10);
    this.#s3 = y;
    if (y & 1) {
      this.#s1 ^= MAT1;
      this.#s2 ^= MAT2;
    }
  }
}
