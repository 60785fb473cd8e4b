/**
 * A hash map from connection ids of 8 bytes, read in place from a datagram, to whatever they lead to. Open addressing with
 * linear probing and backward-shift deletion (Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm R):
 * no string, no object and no tombstone for a packet. The ids must be this end's own random choice, for their bits are the hash:
 * ids that strangers choose belong in a `Map`.
 */

/** Length of the connection ids that an endpoint gives out. Room for the id of a worker or balancer beside 48 random bits. */
export const CONNECTION_ID_BYTES = 8;

const LEAST_CAPACITY = 16;

export class ConnectionIdMap<T extends object> {
  #high = new Uint32Array(LEAST_CAPACITY);
  #low = new Uint32Array(LEAST_CAPACITY);
  #values: (T | null)[] = new Array(LEAST_CAPACITY).fill(null);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** What the id at `bytes[at .. at + 8)` leads to; null when nothing. */
  get(bytes: Uint8Array, at: number): T | null {
    const high = word(bytes, at);
    const low = word(bytes, at + 4);
    const mask = this.#values.length - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const value = this.#values[slot];
      if (value === null || (this.#low[slot] === low && this.#high[slot] === high)) return value;
    }
  }

  /** Lets the id lead to `value`. It must not be in the map. */
  add(id: Uint8Array, value: T): void {
    if (2 * (this.#size + 1) > this.#values.length) this.#resize(this.#values.length * 2);
    this.#insert(word(id, 0), word(id, 4), value);
    this.#size++;
  }

  /** Whether the id was in the map; it is not any more. */
  delete(id: Uint8Array): boolean {
    const high = word(id, 0);
    const low = word(id, 4);
    const values = this.#values;
    const mask = values.length - 1;
    let hole = low & mask;
    while (values[hole] !== null && (this.#low[hole] !== low || this.#high[hole] !== high)) hole = (hole + 1) & mask;
    if (values[hole] === null) return false;
    for (let slot = (hole + 1) & mask; values[slot] !== null; slot = (slot + 1) & mask) {
      const home = this.#low[slot] & mask;
      // Stays if its home lies after the hole, up to where it is, going round.
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#high[hole] = this.#high[slot];
      this.#low[hole] = this.#low[slot];
      values[hole] = values[slot];
      hole = slot;
    }
    values[hole] = null;
    this.#size--;
    if (values.length > LEAST_CAPACITY && 8 * this.#size < values.length) this.#resize(values.length / 2);
    return true;
  }

  #insert(high: number, low: number, value: T): void {
    const mask = this.#values.length - 1;
    let slot = low & mask;
    while (this.#values[slot] !== null) slot = (slot + 1) & mask;
    this.#high[slot] = high;
    this.#low[slot] = low;
    this.#values[slot] = value;
  }

  #resize(capacity: number): void {
    const high = this.#high;
    const low = this.#low;
    const values = this.#values;
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint32Array(capacity);
    this.#values = new Array(capacity).fill(null);
    for (let slot = 0; slot < values.length; slot++) {
      const value = values[slot];
      if (value !== null) this.#insert(high[slot], low[slot], value);
    }
  }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
