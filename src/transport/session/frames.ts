/**
 * The session's formats: symbol frames, which travel in a link's packets, and session frames, which travel inside source
 * symbols. Layout: docs/wire-format-session.md. Numbers are varints (RFC 9000, section 16) unless a width is given.
 *
 * A source symbol is delivered exactly once, so that session frames are never sent again by themselves.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../link/varint.ts";

/** Symbol frames: type, batch, lag (batch less the lowest live batch), then as below, then a length and that many bytes. */
export const SYMBOL_SOURCE = 0x01;
export const SYMBOL_REPAIR = 0x02;
/** The halves of a repair that does not fit a packet, because the path's MTU fell after its batch was begun. */
export const SYMBOL_REPAIR_FIRST_HALF = 0x03;
export const SYMBOL_REPAIR_SECOND_HALF = 0x04;

/** Asks for a batch status: type, number of the request. */
export const STATUS_REQUEST = 0x05;
/** The receiver's word on batches: see `StatusFrame`. */
export const BATCH_STATUS = 0x06;

/** Session frames. */
export const FRAME_STREAM = 0x10;
export const FRAME_STREAM_FIN = 0x11;
export const FRAME_RESET_STREAM = 0x12;
export const FRAME_STOP_SENDING = 0x13;
export const FRAME_MAX_DATA = 0x14;
export const FRAME_MAX_STREAM_DATA = 0x15;

/** The most bytes of a symbol frame before the symbol itself: type, batch, lag, two bytes of name, length. */
export const SYMBOL_HEADER_MOST = 1 + 8 + 4 + 2 + 4;

/** Numbers of the frame being read. */
const fields = new Float64Array(3);

/** What a symbol frame says; reused from frame to frame. */
export class SymbolFrame {
  type = 0;
  batch = 0;
  /** Batches below this are of no interest to the sender any more. */
  lowestLive = 0;
  /** Of a source symbol. */
  index = 0;
  /** Of a repair. */
  covered = 0;
  seed = 0;
  start = 0;
  end = 0;

  /** Reads the frame at `at`; returns the offset after it, or -1 when it is malformed. */
  read(bytes: Uint8Array, at: number, end: number): number {
    this.type = bytes[at];
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
    if (this.type === SYMBOL_SOURCE) {
      this.index = bytes[next];
    } else {
      this.covered = bytes[next];
      this.seed = bytes[next + 1];
    }
    next += nameBytes;
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

/** Reads the number of the request at `at`; -1 when it is malformed. Its end is at + 1 + varintLengthAt(bytes, at + 1). */
export function readStatusRequest(bytes: Uint8Array, at: number, end: number): number {
  return readVarint(bytes, at + 1, end);
}

export function writeStatusRequest(bytes: Uint8Array, at: number, request: number): number {
  bytes[at] = STATUS_REQUEST;
  return writeVarint(bytes, at + 1, request);
}

/** Writes a source symbol's frame up to its bytes; returns the offset where those go. */
export function writeSourceHeader(
  bytes: Uint8Array,
  at: number,
  batch: number,
  lowestLive: number,
  index: number,
  length: number,
): number {
  bytes[at] = SYMBOL_SOURCE;
  let next = writeVarint(bytes, at + 1, batch);
  next = writeVarint(bytes, next, batch - lowestLive);
  bytes[next] = index;
  return writeVarint(bytes, next + 1, length);
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
  length: number,
): number {
  bytes[at] = type;
  let next = writeVarint(bytes, at + 1, batch);
  next = writeVarint(bytes, next, batch - lowestLive);
  bytes[next] = covered;
  bytes[next + 1] = seed;
  return writeVarint(bytes, next + 2, length);
}

/** Bytes of a stream frame before its data, with a length of up to 16,383 bytes. */
export function streamHeaderBytes(stream: number, offset: number): number {
  return 1 + varintBytes(stream) + varintBytes(offset) + 2;
}

/** Writes a stream frame up to its data; its length always takes two bytes. Returns the offset where the data go. */
export function writeStreamHeader(
  bytes: Uint8Array,
  at: number,
  stream: number,
  offset: number,
  length: number,
  fin: boolean,
): number {
  bytes[at] = fin ? FRAME_STREAM_FIN : FRAME_STREAM;
  let next = writeVarint(bytes, at + 1, stream);
  next = writeVarint(bytes, next, offset);
  bytes[next] = 0x40 | (length >>> 8);
  bytes[next + 1] = length;
  return next + 2;
}

/** A control frame of a session: its type and up to three numbers. */
export interface ControlFrame {
  readonly type: number;
  readonly fields: readonly number[];
}

export function controlFrameBytes({ fields }: ControlFrame): number {
  return fields.reduce((sum, field) => sum + varintBytes(field), 1);
}

export function writeControlFrame(bytes: Uint8Array, at: number, { type, fields }: ControlFrame): number {
  bytes[at] = type;
  let next = at + 1;
  for (const field of fields) next = writeVarint(bytes, next, field);
  return next;
}

/** Who takes the session frames of a source symbol. Each says whether the frame was allowed. */
export interface SessionFrameHandler {
  onStreamData(stream: number, offset: number, data: Uint8Array, fin: boolean): boolean;
  onResetStream(stream: number, code: number, finalSize: number): boolean;
  onStopSending(stream: number, code: number): boolean;
  onMaxData(maximum: number): boolean;
  onMaxStreamData(stream: number, maximum: number): boolean;
}

const FIELDS: Record<number, number> = {
  [FRAME_STREAM]: 3,
  [FRAME_STREAM_FIN]: 3,
  [FRAME_RESET_STREAM]: 3,
  [FRAME_STOP_SENDING]: 2,
  [FRAME_MAX_DATA]: 1,
  [FRAME_MAX_STREAM_DATA]: 2,
};

/** Hands the frames of a source symbol over; returns false when one is malformed or was not allowed. */
export function readSessionFrames(symbol: Uint8Array, handler: SessionFrameHandler): boolean {
  const end = symbol.length;
  let at = 0;
  while (at < end) {
    const type = symbol[at++];
    const count = FIELDS[type];
    if (count === undefined) return false;
    for (let i = 0; i < count; i++) {
      fields[i] = readVarint(symbol, at, end);
      if (fields[i] < 0) return false;
      at += varintLengthAt(symbol, at);
    }
    const [first, second, third] = fields;
    let allowed: boolean;
    switch (type) {
      case FRAME_STREAM:
      case FRAME_STREAM_FIN:
        if (at + third > end) return false;
        allowed = handler.onStreamData(first, second, symbol.subarray(at, at + third), type === FRAME_STREAM_FIN);
        at += third;
        break;
      case FRAME_RESET_STREAM:
        allowed = handler.onResetStream(first, second, third);
        break;
      case FRAME_STOP_SENDING:
        allowed = handler.onStopSending(first, second);
        break;
      case FRAME_MAX_DATA:
        allowed = handler.onMaxData(first);
        break;
      default:
        allowed = handler.onMaxStreamData(first, second);
    }
    if (!allowed) return false;
  }
  return true;
}
