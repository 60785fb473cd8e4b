/**
 * The replay window: which packet numbers came already. Anti-replay of RFC 6479: a ring of bitmap words, of which those that
 * fall behind are cleared as the window moves. Exact inside the window; what is older counts as seen.
 */

const WORDS = 256;
/** A link that has little to say takes less: the ring grows with the first numbers. */
const FIRST_WORDS = 8;
/** Numbers below the largest that can still be told apart: all but the word under way. */
export const REPLAY_WINDOW = 32 * (WORDS - 1);

export class ReplayWindow {
  /** As long as WORDS, or as all words so far take: a power of two. */
  #bits = new Uint32Array(FIRST_WORDS);
  /** The largest number marked, -1 before any. */
  largest = -1;

  /** Whether `packetNumber` came already, or is too old to tell. */
  seen(packetNumber: number): boolean {
    if (packetNumber > this.largest) return false;
    if (packetNumber + REPLAY_WINDOW <= this.largest) return true;
    return ((this.#bits[Math.floor(packetNumber / 32) % this.#bits.length] >>> (packetNumber % 32)) & 1) === 1;
  }

  /** Marks a number that was not seen: only after its packet proved genuine. */
  mark(packetNumber: number): void {
    const word = Math.floor(packetNumber / 32);
    if (word >= this.#bits.length && this.#bits.length < WORDS) this.#grow(word);
    const words = this.#bits.length;
    if (packetNumber > this.largest) {
      // Before the first number all words are clear.
      const steps = this.largest < 0 ? 0 : Math.min(word - Math.floor(this.largest / 32), words);
      for (let i = 0; i < steps; i++) this.#bits[(word - i) % words] = 0;
      this.largest = packetNumber;
    }
    this.#bits[word % words] |= 1 << (packetNumber % 32);
  }

  #grow(word: number): void {
    let words = this.#bits.length;
    while (words <= word && words < WORDS) words *= 2;
    const bits = new Uint32Array(words);
    bits.set(this.#bits);
    this.#bits = bits;
  }
}
