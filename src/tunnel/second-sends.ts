/**
 * Packets of sparse flows that leave a second time, a little later, while others fill the path: nothing is repaired ahead of losses then, and
 * who waits for an answer would wait for a round trip more. The receiver's side knows them by their numbers.
 */
import type { QueuedPacket } from "./fair-queue.ts";

/** The second leaves so much later, that one burst of losses does not take both; after this long it is not worth it. */
const GAP_MS = 6;
const MOST_AGE_MS = 60;
const MOST_WAITING = 64;
const NUMBERS = 65_536;
/** Numbers of late that a receiver knows. */
const KNOWN = 1024;

export class SecondSends {
  readonly #packets: (QueuedPacket | null)[] = new Array(MOST_WAITING).fill(null);
  readonly #numbers = new Uint16Array(MOST_WAITING);
  readonly #sentMs = new Float64Array(MOST_WAITING);
  #head = 0;
  #count = 0;
  #next = 0;

  get full(): boolean {
    return this.#count === MOST_WAITING;
  }

  /** Keeps a packet that leaves now; returns its number. */
  add(packet: QueuedPacket, nowMs: number): number {
    const slot = (this.#head + this.#count++) % MOST_WAITING;
    const number = this.#next;
    this.#next = (number + 1) % NUMBERS;
    this.#packets[slot] = packet;
    this.#numbers[slot] = number;
    this.#sentMs[slot] = nowMs;
    return number;
  }

  /** The packet whose time has come, or null. */
  due(nowMs: number): QueuedPacket | null {
    return this.#count > 0 && nowMs - this.#sentMs[this.#head] >= GAP_MS ? this.#packets[this.#head] : null;
  }

  /** The oldest is too late to be of use. */
  isStale(nowMs: number): boolean {
    return this.#count > 0 && nowMs - this.#sentMs[this.#head] > MOST_AGE_MS;
  }

  /** The number of the oldest. */
  get number(): number {
    return this.#numbers[this.#head];
  }

  /** Lets go of the oldest. */
  shift(): QueuedPacket | null {
    if (this.#count === 0) return null;
    const packet = this.#packets[this.#head];
    this.#packets[this.#head] = null;
    this.#head = (this.#head + 1) % MOST_WAITING;
    this.#count--;
    return packet;
  }
}

export class SeenNumbers {
  readonly #numbers = new Int32Array(KNOWN).fill(-1);

  /** Whether a number comes for the first time, of late. */
  isNew(number: number): boolean {
    const slot = number % KNOWN;
    if (this.#numbers[slot] === number) return false;
    this.#numbers[slot] = number;
    return true;
  }
}
