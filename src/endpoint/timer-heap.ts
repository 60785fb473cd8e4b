/**
 * Who wants to be called when: a binary heap (CLRS, chapter 6) that knows where each of its items is, so that a time can be
 * changed in logarithmic time and an item that waits costs nothing. No clock: times are numbers.
 */

/** An item of the heap, which writes these two. */
export interface Timed {
  /** Its place in the heap; -1 outside. */
  heapIndex: number;
  dueMs: number;
}

export class TimerHeap<T extends Timed> {
  readonly #items: T[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** When the first is due; Infinity when none is. */
  get nextMs(): number {
    return this.#items.length === 0 ? Number.POSITIVE_INFINITY : this.#items[0].dueMs;
  }

  /** Sets when an item is due; Infinity takes it out. */
  set(item: T, dueMs: number): void {
    if (dueMs === Number.POSITIVE_INFINITY) {
      this.remove(item);
      return;
    }
    const earlier = dueMs < item.dueMs;
    item.dueMs = dueMs;
    if (item.heapIndex < 0) {
      item.heapIndex = this.#items.length;
      this.#items.push(item);
      this.#up(item.heapIndex);
    } else if (earlier) {
      this.#up(item.heapIndex);
    } else {
      this.#down(item.heapIndex);
    }
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#items[index] = last;
    last.heapIndex = index;
    this.#up(index);
    this.#down(last.heapIndex);
  }

  /** Takes out the first item if it is due at `nowMs`; else null. */
  pop(nowMs: number): T | null {
    if (this.#items.length === 0 || this.#items[0].dueMs > nowMs) return null;
    const first = this.#items[0];
    this.remove(first);
    return first;
  }

  #up(from: number): void {
    const items = this.#items;
    const item = items[from];
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (items[parent].dueMs <= item.dueMs) break;
      items[index] = items[parent];
      items[index].heapIndex = index;
      index = parent;
    }
    items[index] = item;
    item.heapIndex = index;
  }

  #down(from: number): void {
    const items = this.#items;
    const item = items[from];
    let index = from;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1].dueMs < items[child].dueMs) child++;
      if (items[child].dueMs >= item.dueMs) break;
      items[index] = items[child];
      items[index].heapIndex = index;
      index = child;
    }
    items[index] = item;
    item.heapIndex = index;
  }
}
