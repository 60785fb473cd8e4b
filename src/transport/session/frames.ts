/**
 * Symbol frames, which travel in a link's packets: symbols of batches and word of them. What is inside source symbols is in
 * session-frames.ts. Layout: docs/wire-format-session.md. Numbers are varints (RFC 9000, section 16) unless a width is given.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../link/varint.ts";

/**
 * Symbol frames: type, batch, lag (batch less the lowest live batch), then a name, length (but see LAST_BIT) and that many bytes. The name of a source
 * symbol is its index, that of a repair the number of symbols covered and a seed. FINAL_BIT in the first byte of the name: the batch
 * has no more symbols than that.
 */
export const SYMBOL_SOURCE = 0x01;
export const SYMBOL_REPAIR = 0x02;
/** The halves of a repair that does not fit a packet, because the path's MTU fell after its batch was begun. */
export const SYMBOL_REPAIR_FIRST_HALF = 0x03;
export const SYMBOL_REPAIR_SECOND_HALF = 0x04;

/** Asks for a batch status: type, number of the request. */
export const STATUS_REQUEST = 0x05;
/** The receiver's word on batches: see `StatusFrame`. */
export const BATCH_STATUS = 0x06;

/** Set in the type of a symbol frame: of the batches of datagrams, which are numbered apart. */
export const UNRELIABLE_BIT = 0x20;
/** Set in the type of a symbol frame: it has no length, and its symbol runs to the end of the packet. */
export const LAST_BIT = 0x08;
/** Batches of datagrams below a number are of no interest any more: type, number. */
export const GIVEN_UP = 0x27;
const FINAL_BIT = 0x80;

/** The most bytes of a symbol frame before the symbol itself: type, batch, lag, two bytes of name, length. */
export const SYMBOL_HEADER_MOST = 1 + 8 + 4 + 2 + 4;

/** A symbol that leaves a packet less room than this is its last frame. */
export const LEAST_ROOM_AFTER = 32;

/** Bytes of a repair's frame before the repair, without a length. */
export function lastRepairHeaderBytes(batch: number, lowestLive: number): number {
  return 1 + varintBytes(batch) + varintBytes(batch - lowestLive) + 2;
}

/** Numbers of the frame being read. */
const fields = new Float64Array(3);

/** What a symbol frame says; reused from frame to frame. */
export class SymbolFrame {
  /** Without UNRELIABLE_BIT and LAST_BIT. */
  type = 0;
  unreliable = false;
  batch = 0;
  /** Batches below this are of no interest to the sender any more. */
  lowestLive = 0;
  /** Of a source symbol. */
  index = 0;
  /** Of a repair. */
  covered = 0;
  seed = 0;
  /** How many symbols the batch has in the end; 0 where that is not said. */
  finalSize = 0;
  start = 0;
  end = 0;

  /** Reads the frame at `at`; returns the offset after it, or -1 when it is malformed. */
  read(bytes: Uint8Array, at: number, end: number): number {
    this.unreliable = (bytes[at] & UNRELIABLE_BIT) !== 0;
    this.type = bytes[at] & ~(UNRELIABLE_BIT | LAST_BIT);
    if (this.type < SYMBOL_SOURCE || this.type > SYMBOL_REPAIR_SECOND_HALF) return -1;
    let next = at + 1;
    this.batch = readVarint(bytes, next, end);
    if (this.batch < 0) return -1;
    next += varintLengthAt(bytes, next);
    const lag = readVarint(bytes, next, end);
    if (lag < 0 || lag > this.batch) return -1;
    this.lowestLive = this.batch - lag;
    next += varintLengthAt(bytes, next);
    const nameBytes = this.type === SYMBOL_SOURCE ? 1 : 2;
    if (next + nameBytes > end) return -1;
    const name = bytes[next] & ~FINAL_BIT;
    const final = name !== bytes[next];
    if (this.type === SYMBOL_SOURCE) {
      this.index = name;
      this.finalSize = final ? name + 1 : 0;
    } else {
      this.covered = name;
      this.seed = bytes[next + 1];
      this.finalSize = final ? name : 0;
    }
    next += nameBytes;
    if ((bytes[at] & LAST_BIT) !== 0) {
      this.start = next;
      this.end = end;
      return end;
    }
    const length = readVarint(bytes, next, end);
    if (length < 0) return -1;
    this.start = next + varintLengthAt(bytes, next);
    this.end = this.start + length;
    return this.end <= end ? this.end : -1;
  }
}

/** The most incomplete batches that a status names. */
export const MAX_STATUS_BATCHES = 48;

/**
 * A batch status: type, request, base, horizon - base, count, then for each incomplete batch its number - base and its rank (one
 * byte), ascending. Batches below the horizon that are not named are complete and full.
 */
export class StatusFrame {
  request = 0;
  horizon = 0;
  count = 0;
  readonly batches: Float64Array = new Float64Array(MAX_STATUS_BATCHES);
  readonly ranks: Uint8Array = new Uint8Array(MAX_STATUS_BATCHES);

  /** The most bytes it takes. */
  get mostBytes(): number {
    return 1 + 8 + 8 + 4 + 1 + this.count * 5;
  }

  write(bytes: Uint8Array, at: number): number {
    const base = this.count > 0 ? this.batches[0] : this.horizon;
    bytes[at] = BATCH_STATUS;
    let next = writeVarint(bytes, at + 1, this.request);
    next = writeVarint(bytes, next, base);
    next = writeVarint(bytes, next, this.horizon - base);
    bytes[next++] = this.count;
    for (let i = 0; i < this.count; i++) {
      next = writeVarint(bytes, next, this.batches[i] - base);
      bytes[next++] = this.ranks[i];
    }
    return next;
  }

  /** Reads the frame at `at`; returns the offset after it, or -1 when it is malformed. */
  read(bytes: Uint8Array, at: number, end: number): number {
    let next = at + 1;
    for (let i = 0; i < 3; i++) {
      fields[i] = readVarint(bytes, next, end);
      if (fields[i] < 0) return -1;
      next += varintLengthAt(bytes, next);
    }
    const [request, base, span] = fields;
    if (next >= end || bytes[next] > MAX_STATUS_BATCHES) return -1;
    this.request = request;
    this.horizon = base + span;
    this.count = bytes[next++];
    for (let i = 0; i < this.count; i++) {
      const ahead = readVarint(bytes, next, end);
      if (ahead < 0) return -1;
      next += varintLengthAt(bytes, next);
      if (next >= end) return -1;
      this.batches[i] = base + ahead;
      this.ranks[i] = bytes[next++];
    }
    return next;
  }
}

/** The most bytes of a frame that is a type and a number. */
export const NUMBER_FRAME_MOST = 9;

/** Reads the number of a frame that has nothing else; -1 when it is malformed. Its end is at + 1 + varintLengthAt(bytes, at + 1). */
export function readNumberFrame(bytes: Uint8Array, at: number, end: number): number {
  return readVarint(bytes, at + 1, end);
}

export function writeNumberFrame(bytes: Uint8Array, at: number, type: number, number: number): number {
  bytes[at] = type;
  return writeVarint(bytes, at + 1, number);
}

/** Bytes of a source symbol's frame before its own, with no length if `last`. */
export function sourceHeaderBytes(batch: number, lowestLive: number, length: number, last: boolean): number {
  return 2 + varintBytes(batch) + varintBytes(batch - lowestLive) + (last ? 0 : varintBytes(length));
}

/** Writes a source symbol's frame up to its bytes, with no length if `type` says so; returns the offset where those go. */
export function writeSourceHeader(
  bytes: Uint8Array,
  at: number,
  type: number,
  batch: number,
  lowestLive: number,
  index: number,
  final: boolean,
  length: number,
): number {
  bytes[at] = type;
  let next = writeVarint(bytes, at + 1, batch);
  next = writeVarint(bytes, next, batch - lowestLive);
  bytes[next] = final ? index | FINAL_BIT : index;
  return (type & LAST_BIT) !== 0 ? next + 1 : writeVarint(bytes, next + 1, length);
}

/** Writes the frame of a repair, or of half of one, up to its bytes; returns the offset where those go. */
export function writeRepairHeader(
  bytes: Uint8Array,
  at: number,
  type: number,
  batch: number,
  lowestLive: number,
  covered: number,
  seed: number,
  final: boolean,
  length: number,
): number {
  bytes[at] = type;
  let next = writeVarint(bytes, at + 1, batch);
  next = writeVarint(bytes, next, batch - lowestLive);
  bytes[next] = final ? covered | FINAL_BIT : covered;
  bytes[next + 1] = seed;
  return (type & LAST_BIT) !== 0 ? next + 2 : writeVarint(bytes, next + 2, length);
}
