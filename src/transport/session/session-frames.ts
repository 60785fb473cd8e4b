/**
 * Session frames, which travel inside source symbols: streams, messages, credit. Layout: docs/wire-format-session.md. Numbers are
 * varints (RFC 9000, section 16).
 *
 * A source symbol is delivered exactly once, so that none of these is ever sent again.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../link/varint.ts";
import { type Fault, MALFORMED_SYMBOL } from "./session-error.ts";
import { Views } from "./views.ts";

/** Bytes of a stream: 0x10 to 0x13. */
export const FRAME_STREAM = 0x10;
const STREAM_FIN = 1;
const STREAM_COMPRESSED = 2;
/** Bytes of a stream up to the end of the symbol, without a length: 0x1c to 0x1f, flags as above. */
const FRAME_STREAM_REST = 0x1c;
export const FRAME_RESET_STREAM = 0x14;
export const FRAME_STOP_SENDING = 0x15;
export const FRAME_MAX_DATA = 0x16;
export const FRAME_MAX_STREAM_DATA = 0x17;
export const FRAME_MAX_STREAMS = 0x18;
export const FRAME_DATA_BLOCKED = 0x19;
/** A message or a piece of one: 0x20 to 0x27. */
export const FRAME_MESSAGE = 0x20;
export const MESSAGE_UNORDERED = 1;
export const MESSAGE_PIECE = 2;
export const MESSAGE_COMPRESSED = 4;

/** What a message costs of the session's credit beside its plain bytes: about what the smallest holds in memory. */
export const MESSAGE_OVERHEAD = 64;

/** Numbers of the frame being read. */
const fields = new Float64Array(3);

/** Bytes of a stream frame before its data, without a length. */
export function streamHeaderBytes(stream: number, offset: number): number {
  return 1 + varintBytes(stream) + varintBytes(offset);
}

/** Bytes of a stream frame's length, of up to 16,383. */
export const STREAM_LENGTH_BYTES = 2;

/** Writes a stream frame up to its data, which are `length` bytes, or the rest of the symbol if -1. Returns the offset where they go. */
export function writeStreamHeader(
  bytes: Uint8Array,
  at: number,
  stream: number,
  offset: number,
  length: number,
  fin: boolean,
  compressed: boolean,
): number {
  const type = length < 0 ? FRAME_STREAM_REST : FRAME_STREAM;
  bytes[at] = type | (fin ? STREAM_FIN : 0) | (compressed ? STREAM_COMPRESSED : 0);
  let next = writeVarint(bytes, at + 1, stream);
  next = writeVarint(bytes, next, offset);
  if (length < 0) return next;
  bytes[next] = 0x40 | (length >>> 8);
  bytes[next + 1] = length;
  return next + STREAM_LENGTH_BYTES;
}

/** What a message frame says; reused from frame to frame. */
export class MessageFrame {
  /** FRAME_MESSAGE and flags. */
  type = FRAME_MESSAGE;
  /** Of an ordered message, 8 times its place in the order plus its urgency; of pieces of an unordered one, any; else 0. */
  number = 0;
  /** Bytes of the whole message as it travels. */
  total = 0;
  /** Bytes of it decompressed. */
  plain = 0;
  /** Where this piece begins, and ends. */
  offset = 0;
  length = 0;

  get ordered(): boolean {
    return (this.type & MESSAGE_UNORDERED) === 0;
  }

  get piece(): boolean {
    return (this.type & MESSAGE_PIECE) !== 0;
  }

  get compressed(): boolean {
    return (this.type & MESSAGE_COMPRESSED) !== 0;
  }

  /** Bytes before the data. */
  get headerBytes(): number {
    let bytes = 1 + varintBytes(this.length);
    if (this.ordered || this.piece) bytes += varintBytes(this.number);
    if (this.compressed) bytes += varintBytes(this.plain);
    if (this.piece) bytes += varintBytes(this.total) + varintBytes(this.offset);
    return bytes;
  }

  /** Writes the frame up to its data; returns the offset where those go. */
  write(bytes: Uint8Array, at: number): number {
    bytes[at] = this.type;
    let next = at + 1;
    if (this.ordered || this.piece) next = writeVarint(bytes, next, this.number);
    if (this.compressed) next = writeVarint(bytes, next, this.plain);
    if (this.piece) {
      next = writeVarint(bytes, next, this.total);
      next = writeVarint(bytes, next, this.offset);
    }
    return writeVarint(bytes, next, this.length);
  }

  /** Reads the frame at `at`; returns the offset where its data begin, which is `length` bytes before its end, or -1. */
  read(bytes: Uint8Array, at: number, end: number): number {
    this.type = bytes[at];
    let next = at + 1;
    this.number = 0;
    if (this.ordered || this.piece) {
      this.number = readVarint(bytes, next, end);
      if (this.number < 0) return -1;
      next += varintLengthAt(bytes, next);
    }
    if (this.compressed) {
      this.plain = readVarint(bytes, next, end);
      if (this.plain < 0) return -1;
      next += varintLengthAt(bytes, next);
    }
    if (this.piece) {
      this.total = readVarint(bytes, next, end);
      if (this.total < 0) return -1;
      next += varintLengthAt(bytes, next);
      this.offset = readVarint(bytes, next, end);
      if (this.offset < 0) return -1;
      next += varintLengthAt(bytes, next);
    }
    this.length = readVarint(bytes, next, end);
    if (this.length < 0) return -1;
    next += varintLengthAt(bytes, next);
    if (!this.piece) {
      this.total = this.length;
      this.offset = 0;
    }
    if (!this.compressed) this.plain = this.total;
    return next + this.length <= end ? next : -1;
  }
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

/** Who takes the session frames of a source symbol. Each says what is wrong with the frame, if anything. */
export interface SessionFrameHandler {
  onStreamData(stream: number, offset: number, data: Uint8Array, fin: boolean, compressed: boolean): Fault | null;
  onResetStream(stream: number, code: number, finalSize: number): Fault | null;
  onStopSending(stream: number, code: number): Fault | null;
  onMaxData(maximum: number): Fault | null;
  onMaxStreamData(stream: number, maximum: number): Fault | null;
  onMaxStreams(maximum: number): Fault | null;
  onDataBlocked(wanted: number): Fault | null;
  /** Both are valid until it returns. */
  onMessage(frame: MessageFrame, data: Uint8Array): Fault | null;
}

/** How many numbers a frame of types 0x10 to 0x1f begins with; 0: there is none of that type. */
const FIELDS = [3, 3, 3, 3, 3, 2, 1, 2, 1, 1, 0, 0, 2, 2, 2, 2];

const message = new MessageFrame();
/** Of source symbols. */
const views = new Views();

/** Hands the frames of a source symbol over; returns what is wrong with it, or null. */
export function readSessionFrames(symbol: Uint8Array, handler: SessionFrameHandler): Fault | null {
  const end = symbol.length;
  let at = 0;
  while (at < end) {
    const type = symbol[at];
    let fault: Fault | null;
    if (type >= FRAME_MESSAGE && type < FRAME_MESSAGE + 8) {
      const start = message.read(symbol, at, end);
      if (start < 0) return MALFORMED_SYMBOL;
      at = start + message.length;
      fault = handler.onMessage(message, symbol.subarray(start, at));
    } else {
      const count = type < FRAME_STREAM || type >= FRAME_MESSAGE ? 0 : FIELDS[type - FRAME_STREAM];
      if (count === 0) return MALFORMED_SYMBOL;
      at++;
      for (let i = 0; i < count; i++) {
        fields[i] = readVarint(symbol, at, end);
        if (fields[i] < 0) return MALFORMED_SYMBOL;
        at += varintLengthAt(symbol, at);
      }
      const first = fields[0];
      const second = fields[1];
      const rest = type >= FRAME_STREAM_REST;
      const third = rest ? end - at : fields[2];
      if (rest || type < FRAME_RESET_STREAM) {
        if (at + third > end) return MALFORMED_SYMBOL;
        const data = views.of(symbol, at, at + third);
        at += third;
        const fin = (type & STREAM_FIN) !== 0;
        fault = handler.onStreamData(first, second, data, fin, (type & STREAM_COMPRESSED) !== 0);
      } else {
        fault = control(type, first, second, third, handler);
      }
    }
    if (fault !== null) return fault;
  }
  return null;
}

function control(
  type: number,
  first: number,
  second: number,
  third: number,
  handler: SessionFrameHandler,
): Fault | null {
  switch (type) {
    case FRAME_RESET_STREAM:
      return handler.onResetStream(first, second, third);
    case FRAME_STOP_SENDING:
      return handler.onStopSending(first, second);
    case FRAME_MAX_DATA:
      return handler.onMaxData(first);
    case FRAME_MAX_STREAM_DATA:
      return handler.onMaxStreamData(first, second);
    case FRAME_MAX_STREAMS:
      return handler.onMaxStreams(first);
    default:
      return handler.onDataBlocked(first);
  }
}
