/**
 * Which parts of a stream or a message have come beyond the first gap: disjoint ranges in ascending order, in two flat arrays. A
 * range that continues the last one, which is nearly every, costs a comparison; one that fills a gap costs a binary search and
 * a move of what follows.
 */

/** Ranges that the sets of one session may have between them: more gaps than symbols can be missing are a peer's attack. */
export const MAX_RANGES = 1 << 17;

/** How many ranges all sets of a session have. */
export interface RangeCount {
  ranges: number;
}

const FIRST_CAPACITY = 8;

export class RangeSet {
  readonly #shared: RangeCount;
  #starts = new Float64Array(FIRST_CAPACITY);
  #ends = new Float64Array(FIRST_CAPACITY);
  /** Ranges are at #head to #tail - 1. */
  #head = 0;
  #tail = 0;

  constructor(shared: RangeCount) {
    this.#shared = shared;
  }

  get count(): number {
    return this.#tail - this.#head;
  }

  /** Whether the session has as many as it may. */
  get full(): boolean {
    return this.#shared.ranges === MAX_RANGES;
  }

  /** Adds `start` to `end`, at least one byte. Returns false when any of it was there already, or there are too many ranges. */
  add(start: number, end: number): boolean {
    const last = this.#tail - 1;
    if (last < this.#head || start > this.#ends[last]) return this.#insert(this.#tail, start, end);
    if (start === this.#ends[last]) {
      this.#ends[last] = end;
      return true;
    }
    const next = this.#firstAfter(start);
    if (next < this.#tail && end > this.#starts[next]) return false;
    const previous = next - 1;
    if (previous >= this.#head && start < this.#ends[previous]) return false;
    const joinsPrevious = previous >= this.#head && start === this.#ends[previous];
    const joinsNext = next < this.#tail && end === this.#starts[next];
    if (joinsPrevious && joinsNext) {
      this.#ends[previous] = this.#ends[next];
      this.#remove(next);
    } else if (joinsPrevious) {
      this.#ends[previous] = end;
    } else if (joinsNext) {
      this.#starts[next] = start;
    } else {
      return this.#insert(next, start, end);
    }
    return true;
  }

  /** Takes the first range out when it begins at `at`; returns its end, or `at` when none begins there. */
  takeFrom(at: number): number {
    if (this.count === 0 || this.#starts[this.#head] !== at) return at;
    this.#shared.ranges--;
    return this.#ends[this.#head++];
  }

  clear(): void {
    this.#shared.ranges -= this.count;
    this.#head = 0;
    this.#tail = 0;
  }

  /** The first range that starts behind `offset`, or #tail. */
  #firstAfter(offset: number): number {
    let low = this.#head;
    let high = this.#tail;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle] > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #insert(index: number, start: number, end: number): boolean {
    if (this.full) return false;
    this.#shared.ranges++;
    let at = index;
    if (this.#tail === this.#starts.length) at -= this.#makeRoom();
    this.#starts.copyWithin(at + 1, at, this.#tail);
    this.#ends.copyWithin(at + 1, at, this.#tail);
    this.#starts[at] = start;
    this.#ends[at] = end;
    this.#tail++;
    return true;
  }

  #remove(index: number): void {
    this.#starts.copyWithin(index, index + 1, this.#tail);
    this.#ends.copyWithin(index, index + 1, this.#tail);
    this.#tail--;
    this.#shared.ranges--;
  }

  /** Moves all to the front, of larger arrays when these are half full; returns by how much. */
  #makeRoom(): number {
    const { count } = this;
    const moved = this.#head;
    const capacity = this.#starts.length;
    if (2 * count > capacity) {
      const starts = new Float64Array(2 * capacity);
      const ends = new Float64Array(2 * capacity);
      starts.set(this.#starts.subarray(moved, this.#tail));
      ends.set(this.#ends.subarray(moved, this.#tail));
      this.#starts = starts;
      this.#ends = ends;
    } else {
      this.#starts.copyWithin(0, moved, this.#tail);
      this.#ends.copyWithin(0, moved, this.#tail);
    }
    this.#head = 0;
    this.#tail = count;
    return moved;
  }
}
