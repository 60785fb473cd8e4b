/**
 * Datagrams that wait to be put into source symbols: small ones together, large ones in parts. What waits too long is dropped; what
 * finds no room is refused, as a full socket buffer does with UDP: the newest, for the older ones are on their way already.
 */
import {
  DATAGRAM_HEADER_MOST,
  datagramHeaderBytes,
  MAX_DATAGRAM_BYTES,
  PART_HEADER_MOST,
  writeDatagram,
  writeDatagramHeader,
  writePart,
} from "./datagram-frames.ts";
import { SessionError, SessionRangeError } from "./session-error.ts";
import { SYMBOL_BYTES } from "./shared-pool.ts";
import type { DatagramSource } from "./symbol-exchange.ts";

/** Bytes that may wait. */
export const DATAGRAM_QUEUE_BYTES = 512 * 1024;
/** How long a datagram is worth something when nothing else is said: at least, and round trips. */
export const DEFAULT_DEADLINE_MS = 250;
const DEFAULT_DEADLINE_RTTS = 3;
/** A part is at least this share of what an empty packet holds: a packet that carries an ACK may have less room. */
const LEAST_PART = 0.5;
/** Packets with too little room for a feed's datagram before it travels in parts, which fill packets badly. */
const MOST_WAITS = 8;
/** Packets with less room are taken into account. */
const SPARE_PARTS = 0.15;

/** How a datagram is sent. */
export interface DatagramOptions {
  /** Milliseconds after which it is not worth delivering any more. Default 250, or 3 round trips where that is more. */
  deadlineMs?: number;
}

/**
 * Datagrams that are asked for when they can leave, by who keeps a queue of its own in an order of its own: below it nothing waits.
 * `next` has no side effects that matter when the datagram is not taken then.
 */
export interface DatagramFeed {
  /** Bytes of the next datagram; 0 when there is none. Who can choose where to cut has it fill `room`, or wait for more of that. */
  next(nowMs: number, room: number): number;
  /** Writes that datagram, of `bytes` bytes, to `target` from `at` on, and goes on to the one after it. */
  take(target: Uint8Array, at: number, bytes: number): void;
  /** How long the datagram last taken is worth something, ms. */
  readonly lifeMs: number;
}

interface Waiting {
  data: Uint8Array;
  /** NaN: the default. */
  lifeMs: number;
  /** NaN until the time is known. */
  deadlineMs: number;
}

export class DatagramSender implements DatagramSource {
  /** Taken, and bytes of those; refused for want of room, and dropped because they had waited too long. */
  readonly counts = { taken: 0, takenBytes: 0, refused: 0, expired: 0 };
  readonly #rttMs: () => number;
  readonly #queue: Waiting[] = [];
  #head = 0;
  #stamped = 0;
  #bytes = 0;
  /** Bytes of the first one that have left. */
  #sent = 0;
  #number = 0;
  #feed: DatagramFeed | null = null;
  /** The largest room that there was of late. A datagram that fits it, but not what is left beside other frames, waits for the next packet. */
  #mostRoom = 0;
  /** How often the next one has waited. */
  #waits = 0;
  deadlineMs = 0;

  constructor(rttMs: () => number) {
    this.#rttMs = rttMs;
  }

  /** Takes a copy of a datagram; false when there is no room. Throws a SessionError for one that is too long, or a bad deadline. */
  send(data: Uint8Array, { deadlineMs = Number.NaN }: DatagramOptions = {}): boolean {
    if (data.length > MAX_DATAGRAM_BYTES) {
      throw new SessionError(
        "ERR_RANGE",
        `the datagram has ${data.length} bytes, wanted at most ${MAX_DATAGRAM_BYTES}`,
      );
    }
    if (deadlineMs <= 0) throw new SessionRangeError("deadlineMs", deadlineMs, "more than 0");
    if (this.#bytes + data.length > DATAGRAM_QUEUE_BYTES) {
      this.counts.refused++;
      return false;
    }
    this.counts.taken++;
    this.counts.takenBytes += data.length;
    this.#bytes += data.length;
    this.#queue.push({ data: new Uint8Array(data), lifeMs: deadlineMs, deadlineMs: Number.NaN });
    return true;
  }

  /** Has datagrams asked of a feed, besides those that are sent; null ends that. */
  set feed(feed: DatagramFeed | null) {
    this.#feed = feed;
  }

  /** Packets have another size from here. */
  roomChanged(): void {
    this.#mostRoom = 0;
  }

  /** Bytes that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  ready(nowMs: number): boolean {
    const queue = this.#queue;
    // Whoever sends knows no time: it begins with the first look.
    for (; this.#stamped < queue.length; this.#stamped++) {
      const waiting = queue[this.#stamped];
      const { lifeMs } = waiting;
      const life = Number.isNaN(lifeMs) ? Math.max(DEFAULT_DEADLINE_MS, DEFAULT_DEADLINE_RTTS * this.#rttMs()) : lifeMs;
      waiting.deadlineMs = nowMs + life;
    }
    while (this.#head < queue.length && queue[this.#head].deadlineMs <= nowMs) {
      this.counts.expired++;
      this.#shift();
    }
    return this.#head < queue.length || (this.#feed !== null && this.#feed.next(nowMs, Number.POSITIVE_INFINITY) > 0);
  }

  symbols(room: number, nowMs: number): number {
    this.#mostRoom = Math.max(this.#mostRoom, room);
    if (this.#head === this.#queue.length && !this.#split(room, nowMs)) return 1;
    const first = this.#queue[this.#head];
    if (this.#sent > 0 || first.data.length + DATAGRAM_HEADER_MOST <= room) return 1;
    return Math.ceil((first.data.length / (room - PART_HEADER_MOST)) * (1 + SPARE_PARTS));
  }

  write(bytes: Uint8Array, at: number, room: number, nowMs: number): number {
    const end = at + room;
    let next = at;
    this.deadlineMs = 0;
    while (this.ready(nowMs)) {
      if (this.#head === this.#queue.length) {
        const after = this.#writeFed(bytes, next, end, next === at, nowMs);
        if (after === next) break;
        next = after;
        continue;
      }
      const { data, deadlineMs } = this.#queue[this.#head];
      const { length } = data;
      if (this.#sent === 0 && next + DATAGRAM_HEADER_MOST + length <= end) {
        next = writeDatagram(bytes, next, data);
        this.deadlineMs = Math.max(this.deadlineMs, deadlineMs);
        this.#shift();
        continue;
      }
      // Small ones keep together; a large one has its symbols to itself.
      if (next > at) break;
      const left = length - this.#sent;
      const part = Math.min(left, room - PART_HEADER_MOST);
      if (part < left && part < LEAST_PART * (SYMBOL_BYTES - PART_HEADER_MOST)) break;
      next = writePart(bytes, at, this.#number, data, this.#sent, part);
      this.deadlineMs = deadlineMs;
      this.#sent += part;
      if (this.#sent === length) this.#shift();
      break;
    }
    return next - at;
  }

  /** Writes the feed's next datagram, if it fits; returns the offset after it, or `at`. `first`: nothing else is in the symbol. */
  #writeFed(bytes: Uint8Array, at: number, end: number, first: boolean, nowMs: number): number {
    const feed = this.#feed!;
    const length = feed.next(nowMs, fedRoom(end - at));
    const start = at + datagramHeaderBytes(length);
    if (start + length > end) {
      if (first) this.#waits++;
      return at;
    }
    writeDatagramHeader(bytes, at, length);
    feed.take(bytes, start, length);
    this.#waits = 0;
    this.counts.taken++;
    this.counts.takenBytes += length;
    this.deadlineMs = Math.max(this.deadlineMs, nowMs + feed.lifeMs);
    return start + length;
  }

  /** Has the feed's next datagram travel in parts, if it must: puts it into the queue. */
  #split(room: number, nowMs: number): boolean {
    const feed = this.#feed!;
    const length = feed.next(nowMs, fedRoom(room));
    const bytes = datagramHeaderBytes(length) + length;
    if (bytes <= room || (bytes <= this.#mostRoom && this.#waits < MOST_WAITS)) return false;
    this.#waits = 0;
    const data = new Uint8Array(length);
    feed.take(data, 0, length);
    this.counts.taken++;
    this.counts.takenBytes += length;
    this.#bytes += length;
    this.#queue.push({ data, lifeMs: feed.lifeMs, deadlineMs: nowMs + feed.lifeMs });
    this.#stamped++;
    return true;
  }

  #shift(): void {
    this.#bytes -= this.#queue[this.#head].data.length;
    this.#head++;
    // The next one in parts has another number.
    if (this.#sent > 0) this.#number++;
    this.#sent = 0;
    if (this.#head < 64 || 2 * this.#head < this.#queue.length) return;
    this.#queue.splice(0, this.#head);
    this.#stamped -= this.#head;
    this.#head = 0;
  }
}

/** The longest datagram in `room` bytes of a symbol. */
function fedRoom(room: number): number {
  return room - datagramHeaderBytes(room);
}
