/**
 * Messages that wait for their symbols: a queue for each urgency, in which one leaves after the other. Before its first byte leaves, a
 * message has the session's credit for all of itself, so that whatever the receiver has begun can be finished.
 */
import { Ring } from "./ring.ts";
import { type Sendable, URGENCY_LEVELS } from "./scheduler.ts";
import {
  FRAME_MESSAGE,
  MESSAGE_COMPRESSED,
  MESSAGE_OVERHEAD,
  MESSAGE_PIECE,
  MESSAGE_UNORDERED,
  MessageFrame,
} from "./session-frames.ts";

/** Bytes of messages that wait before no more are taken; a larger message is taken when there is no other. */
export const MESSAGE_BUFFER_BYTES = 1 << 20;

/** A message is cut to fill a symbol if this much of the symbol is left; else the next symbol is its first. */
const LEAST_PIECE_BYTES = 256;

interface OutgoingMessage {
  /** As it travels. */
  readonly bytes: Uint8Array;
  readonly plainLength: number;
  readonly flags: number;
  /** Of an ordered one its place; of an unordered one that is cut what its pieces are known by. */
  number: number;
}

const frame = new MessageFrame();

class MessageQueue implements Sendable {
  readonly urgency: number;
  queued = false;
  spent = 0;
  /** Ordered messages so far. */
  ordered = 0;
  readonly messages: Ring<OutgoingMessage> = new Ring();
  /** Bytes of the first message that have left. */
  #offset = 0;
  /** Whether the first message has its credit: part of it has left. */
  #begun = false;
  readonly #owner: SendMessages;

  constructor(owner: SendMessages, urgency: number) {
    this.#owner = owner;
    this.urgency = urgency;
  }

  get begun(): boolean {
    return this.#begun;
  }

  get ready(): boolean {
    return this.messages.length > 0;
  }

  get leastCredit(): number {
    const first = this.messages.peek();
    return first === undefined || this.#begun ? 0 : first.plainLength + MESSAGE_OVERHEAD;
  }

  write(bytes: Uint8Array, at: number, end: number, begun: boolean, credit: number): number {
    let next = at;
    this.spent = 0;
    for (let first = this.messages.peek(); first !== undefined; first = this.messages.peek()) {
      const cost = this.leastCredit;
      if (this.spent + cost > credit) break;
      const after = this.#writeFirst(first, bytes, next, end, begun || next > at);
      if (after === next) break;
      this.spent += cost;
      next = after;
    }
    return next;
  }

  /** Writes what fits of the first message; returns the offset after it, or `at`. */
  #writeFirst(first: OutgoingMessage, bytes: Uint8Array, at: number, end: number, begun: boolean): number {
    const left = first.bytes.length - this.#offset;
    frame.type = FRAME_MESSAGE | first.flags;
    frame.number = first.number;
    frame.plain = first.plainLength;
    frame.total = first.bytes.length;
    frame.offset = this.#offset;
    frame.length = left;
    if (this.#begun || at + frame.headerBytes + left > end) {
      frame.type |= MESSAGE_PIECE;
      if (!this.#begun && end - at < LEAST_PIECE_BYTES && begun) return at;
      if (!frame.ordered && !this.#begun) first.number = this.#owner.nextCut();
      frame.number = first.number;
      frame.length = Math.min(left, end - at - frame.headerBytes);
      if (frame.length <= 0) return at;
      this.#begun = true;
    }
    const next = frame.write(bytes, at);
    if (frame.length === first.bytes.length) bytes.set(first.bytes, next);
    else bytes.set(first.bytes.subarray(this.#offset, this.#offset + frame.length), next);
    this.#offset += frame.length;
    if (frame.length === left) {
      this.messages.shift();
      this.#begun = false;
      this.#offset = 0;
      this.#owner.left(first.bytes.length);
    }
    return next + frame.length;
  }
}

export class SendMessages {
  /** By urgency; null where there never was a message. */
  readonly #queues: (MessageQueue | null)[] = new Array<MessageQueue | null>(URGENCY_LEVELS).fill(null);
  #buffered = 0;
  #cut = 0;

  /** Bytes that wait: of a message that leaves, all of it. */
  get buffered(): number {
    return this.#buffered;
  }

  /** Whether a message of `bytes` is taken now. */
  hasRoom(bytes: number): boolean {
    return this.#buffered === 0 || this.#buffered + bytes + MESSAGE_OVERHEAD <= MESSAGE_BUFFER_BYTES;
  }

  /** Takes a message as it travels, which nobody changes any more; returns the queue that it is in. */
  push(bytes: Uint8Array, plainLength: number, compressed: boolean, ordered: boolean, urgency: number): Sendable {
    const queue = this.#queues[urgency] ?? new MessageQueue(this, urgency);
    this.#queues[urgency] = queue;
    const flags = (ordered ? 0 : MESSAGE_UNORDERED) | (compressed ? MESSAGE_COMPRESSED : 0);
    const number = ordered ? queue.ordered++ * URGENCY_LEVELS + urgency : 0;
    queue.messages.push({ bytes, plainLength, flags, number });
    this.#buffered += bytes.length + MESSAGE_OVERHEAD;
    return queue;
  }

  /** The most urgent queue whose first message has left in part and so needs no credit; null when there is none. */
  get begun(): Sendable | null {
    for (const queue of this.#queues) if (queue?.begun === true) return queue;
    return null;
  }

  /** The queues': a number for pieces of an unordered message. */
  nextCut(): number {
    return this.#cut++;
  }

  /** The queues': all of a message of `bytes` has left. */
  left(bytes: number): void {
    this.#buffered -= bytes + MESSAGE_OVERHEAD;
  }
}
