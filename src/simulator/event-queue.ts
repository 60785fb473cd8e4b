/**
 * The event queue: a binary heap over (time, order), where order is the rank of the push, so that events of one instant
 * fire in the order in which they were scheduled. Hot: parallel arrays, no object an event. An event cannot be removed;
 * a handler that changed its mind compares the tag it gave with the one it holds now and ignores the event.
 */

export interface EventHandler {
  /** Called once at the event's time with the tag given to `push`. */
  handleEvent(nowMs: number, tag: number): void;
}

export class EventQueue {
  #times = new Float64Array(1024);
  #orders = new Float64Array(1024);
  #tags = new Float64Array(1024);
  readonly #handlers: (EventHandler | null)[] = [];
  #length = 0;
  #nextOrder = 0;

  get length(): number {
    return this.#length;
  }

  /** The time of the next event, Infinity when there is none. */
  get nextMs(): number {
    return this.#length === 0 ? Number.POSITIVE_INFINITY : this.#times[0];
  }

  /** Takes the next place among events of one instant, for a later `pushOrdered`. */
  reserveOrder(): number {
    return this.#nextOrder++;
  }

  push(atMs: number, handler: EventHandler, tag: number): void {
    this.pushOrdered(atMs, this.#nextOrder++, handler, tag);
  }

  pushOrdered(atMs: number, order: number, handler: EventHandler, tag: number): void {
    if (this.#length === this.#times.length) this.#grow();
    const times = this.#times;
    const orders = this.#orders;
    const tags = this.#tags;
    const handlers = this.#handlers;
    let hole = this.#length++;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const parentTime = times[parent];
      if (parentTime < atMs || (parentTime === atMs && orders[parent] < order)) break;
      times[hole] = parentTime;
      orders[hole] = orders[parent];
      tags[hole] = tags[parent];
      handlers[hole] = handlers[parent];
      hole = parent;
    }
    times[hole] = atMs;
    orders[hole] = order;
    tags[hole] = tag;
    handlers[hole] = handler;
  }

  /** Takes the next event off and fires it. The queue must not be empty. */
  fireNext(): void {
    const times = this.#times;
    const orders = this.#orders;
    const tags = this.#tags;
    const handlers = this.#handlers;
    const atMs = times[0];
    const tag = tags[0];
    const handler = handlers[0]!;
    const last = --this.#length;
    const time = times[last];
    const order = orders[last];
    const half = last >> 1;
    let hole = 0;
    while (hole < half) {
      let child = 2 * hole + 1;
      const right = child + 1;
      if (
        right < last &&
        (times[right] < times[child] || (times[right] === times[child] && orders[right] < orders[child]))
      ) {
        child = right;
      }
      if (times[child] > time || (times[child] === time && orders[child] > order)) break;
      times[hole] = times[child];
      orders[hole] = orders[child];
      tags[hole] = tags[child];
      handlers[hole] = handlers[child];
      hole = child;
    }
    times[hole] = time;
    orders[hole] = order;
    tags[hole] = tags[last];
    handlers[hole] = handlers[last];
    handlers[last] = null;
    handler.handleEvent(atMs, tag);
  }

  #grow(): void {
    const double = (from: Float64Array): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(2 * from.length);
      to.set(from);
      return to;
    };
    this.#times = double(this.#times);
    this.#orders = double(this.#orders);
    this.#tags = double(this.#tags);
  }
}
