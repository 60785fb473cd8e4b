/**
 * A small seeded generator for simulations and tests: xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom
 * number generators", 2021), seeded by splitmix32. Not for cryptography, and not the generator of the wire format.
 */
export class Random {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    for (let i = 0; i < 4; i++) {
      seed = (seed + 0x9e3779b9) | 0;
      let z = seed ^ (seed >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      this.#state[i] = z ^ (z >>> 15);
    }
  }

  /** A whole number from 0 to 2^32 - 1. */
  uint32(): number {
    const s = this.#state;
    const m = Math.imul(s[1], 5);
    const result = Math.imul((m << 7) | (m >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }

  /** A number from 0 up to, not including, 1. */
  unit(): number {
    return this.uint32() / 0x1_0000_0000;
  }

  /** A whole number from 0 to n - 1; its bias, below n / 2^32, is of no concern here. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
}
