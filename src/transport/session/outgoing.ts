/**
 * What waits to be put into source symbols: control frames, then streams and messages by urgency, under the peer's credit for the
 * session. Each stream or queue of messages whose turn it is gets what room the symbol has left.
 */
import { Ring } from "./ring.ts";
import { Scheduler, type Sendable, URGENCY_LEVELS } from "./scheduler.ts";
import { SendMessages } from "./send-messages.ts";
import { type ControlFrame, controlFrameBytes, FRAME_DATA_BLOCKED, writeControlFrame } from "./session-frames.ts";

/** With less room than this left a symbol is done. */
const LEAST_ROOM_BYTES = 32;

export class Outgoing {
  readonly messages = new SendMessages();
  readonly #control: Ring<ControlFrame> = new Ring();
  readonly #scheduler = new Scheduler();
  /** Told of each stream or queue of which something left. */
  readonly #onTaken: (item: Sendable) => void;
  /** Credit used, and all there is. */
  #sent = 0;
  #maximum = 0;
  /** The next in turn waits for credit: only what has its credit already may leave. */
  #starved = false;
  /** The credit that the peer was told of as needed. */
  #wanted = 0;

  constructor(onTaken: (item: Sendable) => void) {
    this.#onTaken = onTaken;
  }

  /** Whether there is anything that may leave. */
  get ready(): boolean {
    if (this.#control.length > 0) return true;
    if (this.#scheduler.size === 0) return false;
    return !this.#starved || this.messages.begun !== null;
  }

  /** Whether control frames wait: they are never held back. */
  get controlWaits(): boolean {
    return this.#control.length > 0;
  }

  /** What the peer still takes of streams and messages. */
  get creditBytes(): number {
    return this.#maximum - this.#sent;
  }

  pushControl(type: number, ...fields: number[]): void {
    this.#control.push({ type, fields });
  }

  /** A stream or queue has something to send. */
  schedule(item: Sendable): void {
    if (item.queued) return;
    this.#scheduler.push(item);
    this.#starved = false;
  }

  /** The peer allows `maximum` bytes in all. */
  allow(maximum: number): void {
    if (maximum <= this.#maximum) return;
    this.#maximum = maximum;
    this.#starved = false;
  }

  /** Fills the symbol that begins at `start` from `at` on; returns where it ends. */
  write(bytes: Uint8Array, start: number, at: number, end: number): number {
    let next = this.#writeControl(bytes, at, end);
    if (this.#control.length > 0) return next;
    for (let level = 0; level < URGENCY_LEVELS; level++) {
      for (let turns = this.#scheduler.waiting(level); turns > 0; turns--) {
        if (end - next < LEAST_ROOM_BYTES) return next;
        const item = this.#scheduler.shift(level);
        if (item === undefined || !item.ready) continue;
        if (this.#sent + item.leastCredit > this.#maximum) {
          this.#scheduler.unshift(item);
          this.#starve(item);
          // Asking for credit may be all that there is to send: it must not wait for another packet.
          next = this.#writeControl(bytes, next, end);
          return this.#writeBegun(bytes, next, end, next > start);
        }
        const before = next;
        next = this.#writeItem(item, bytes, next, end, next > start, this.#maximum - this.#sent);
        if (next === before) {
          // What is there does not fit any more: it begins the next symbol.
          this.#scheduler.unshift(item);
          return next;
        }
        if (item.ready) this.#scheduler.push(item);
      }
    }
    return next;
  }

  #writeControl(bytes: Uint8Array, at: number, end: number): number {
    let next = at;
    for (let first = this.#control.peek(); first !== undefined; first = this.#control.peek()) {
      if (next + controlFrameBytes(first) > end) return next;
      next = writeControlFrame(bytes, next, first);
      this.#control.shift();
    }
    return next;
  }

  #writeItem(item: Sendable, bytes: Uint8Array, at: number, end: number, begun: boolean, credit: number): number {
    const next = item.write(bytes, at, end, begun, credit);
    this.#sent += item.spent;
    if (next > at) this.#onTaken(item);
    return next;
  }

  /** Messages that have left in part have all their credit, and must go on: what holds the credit may be what they wait for. */
  #writeBegun(bytes: Uint8Array, at: number, end: number, begun: boolean): number {
    const queue = this.messages.begun;
    return queue === null || end - at < LEAST_ROOM_BYTES ? at : this.#writeItem(queue, bytes, at, end, begun, 0);
  }

  /** The next in turn lacks credit. If it needs much at once the peer has to hear of it: its window may be smaller than that. */
  #starve(item: Sendable): void {
    this.#starved = true;
    const wanted = this.#sent + item.leastCredit;
    if (item.leastCredit <= 1 || wanted <= this.#wanted) return;
    this.#wanted = wanted;
    this.pushControl(FRAME_DATA_BLOCKED, wanted);
  }
}
