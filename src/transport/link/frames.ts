/**
 * Link frames: what stands inside a sealed packet. Writers for each, and one reader that walks a payload without allocating.
 * docs/wire-format-link.md has the layout of each. Not here: what a frame does.
 *
 * The reader checks a whole payload before any of it is acted on, so that a malformed packet is dropped as a whole.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "./varint.ts";

export const FRAME_PADDING = 0x00;
export const FRAME_PING = 0x01;
export const FRAME_ACK = 0x02;
export const FRAME_ACK_ECN = 0x03;
export const FRAME_CONTROL = 0x04;
export const FRAME_PATH_CHALLENGE = 0x05;
export const FRAME_PATH_RESPONSE = 0x06;
export const FRAME_CLOSE = 0x07;
export const FRAME_ACK_FREQUENCY = 0x08;
export const FRAME_IMMEDIATE_ACK = 0x09;
/** The session layer's bytes up to the end of the packet. */
export const FRAME_SESSION = 0x0a;
/** The same with a length. */
export const FRAME_SESSION_LENGTH = 0x0b;
/** From here to EXTENSION_LAST: each has a length, and whoever does not know it skips it. */
export const EXTENSION_FIRST = 0x40;
export const EXTENSION_LAST = 0x3fff;

/** Source symbols of a control batch, at most. */
export const MAX_CONTROL_BATCH = 32;
/** Bytes of a control symbol, at most: with all headers and the longest token it fits 1200 bytes. */
export const MAX_CONTROL_SYMBOL = 1000;
export const PATH_DATA_BYTES = 8;
export const MAX_REASON_BYTES = 256;
/** Units of an ACK's delay, microseconds. */
const DELAY_UNIT_US = 8;

export type FrameError = "unknown-frame" | "malformed-frame" | "empty-payload";

/** What `FrameReader.next` returns beside a frame's type. */
export const NO_MORE_FRAMES = -1;

export class FrameReader {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #failed: FrameError | null = null;
  // The ranges of an ACK frame, read one by one after its frame.
  #rangeAt = 0;
  #rangesLeft = 0;
  #rangeLow = 0;

  /** ACK: largest packet number. CONTROL: batch. CLOSE: code. ACK_FREQUENCY: sequence. Extension: type. */
  number = 0;
  /** ACK: delay in ms. ACK_FREQUENCY: longest delay in ms. */
  delayMs = 0;
  /** ACK_FREQUENCY: packets that ask for an ACK. */
  threshold = 0;
  /** CONTROL: source symbols of the batch, and which symbol this is: below `batchSize` a source symbol, else a repair. */
  batchSize = 0;
  symbol = 0;
  /** ACK_ECN: how many packets came with each mark. */
  ect0 = 0;
  ect1 = 0;
  ce = 0;
  /** ACK: the range that `nextRange` read, both ends included. */
  low = 0;
  high = 0;
  /** Where the frame's own bytes are: control symbol, path data, reason, session bytes, extension body. */
  dataStart = 0;
  dataEnd = 0;

  /**
   * Checks bytes `start` to `end` from first frame to last; null when all are well formed. Leaves the reader before the
   * first frame.
   */
  open(bytes: Uint8Array, start: number, end: number): FrameError | null {
    if (start >= end) return "empty-payload";
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#failed = null;
    // One ACK frame says all there is; reading many would only cost time.
    let acks = 0;
    for (let type = this.next(); type !== NO_MORE_FRAMES; type = this.next()) {
      if ((type === FRAME_ACK || type === FRAME_ACK_ECN) && ++acks > 1) return "malformed-frame";
    }
    this.#at = start;
    return this.#failed;
  }

  /** The type of the next frame, its fields set; NO_MORE_FRAMES at the end. All extension frames are EXTENSION_FIRST. */
  next(): number {
    const bytes = this.#bytes;
    // A run of padding is one frame.
    if (this.#at < this.#end && bytes[this.#at] === FRAME_PADDING) {
      while (this.#at < this.#end && bytes[this.#at] === FRAME_PADDING) this.#at++;
      return FRAME_PADDING;
    }
    if (this.#at >= this.#end) return NO_MORE_FRAMES;
    const type = this.#varint();
    if (type < 0) return NO_MORE_FRAMES;
    switch (type) {
      case FRAME_PING:
      case FRAME_IMMEDIATE_ACK:
        return type;
      case FRAME_ACK:
      case FRAME_ACK_ECN:
        return this.#ack(type);
      case FRAME_CONTROL:
        this.number = this.#varint();
        if (this.number < 0 || this.#at + 2 > this.#end) return this.#fail("malformed-frame");
        this.batchSize = bytes[this.#at];
        this.symbol = bytes[this.#at + 1];
        this.#at += 2;
        if (this.batchSize < 1 || this.batchSize > MAX_CONTROL_BATCH) return this.#fail("malformed-frame");
        return this.#data(type, this.#varint());
      case FRAME_PATH_CHALLENGE:
      case FRAME_PATH_RESPONSE:
        return this.#data(type, PATH_DATA_BYTES);
      case FRAME_CLOSE:
        this.number = this.#varint();
        return this.#data(type, this.#varint());
      case FRAME_ACK_FREQUENCY:
        this.number = this.#varint();
        this.threshold = this.#varint();
        this.delayMs = this.#varint() / 1000;
        return this.#failed === null ? type : NO_MORE_FRAMES;
      case FRAME_SESSION:
        return this.#data(type, this.#end - this.#at);
      case FRAME_SESSION_LENGTH:
        return this.#data(type, this.#varint());
      default:
        if (type < EXTENSION_FIRST || type > EXTENSION_LAST) return this.#fail("unknown-frame");
        this.number = type;
        return this.#data(EXTENSION_FIRST, this.#varint());
    }
  }

  /** The next range of the ACK frame just read, from the highest down; false when there is none. */
  nextRange(): boolean {
    if (this.#rangesLeft === 0) return false;
    this.#rangesLeft--;
    const bytes = this.#bytes;
    if (this.#rangeLow === Number.POSITIVE_INFINITY) {
      this.high = this.number;
    } else {
      const gap = readVarint(bytes, this.#rangeAt, this.#end);
      this.#rangeAt += varintLengthAt(bytes, this.#rangeAt);
      this.high = this.#rangeLow - gap - 2;
    }
    const length = readVarint(bytes, this.#rangeAt, this.#end);
    this.#rangeAt += varintLengthAt(bytes, this.#rangeAt);
    this.low = this.high - length;
    this.#rangeLow = this.low;
    return true;
  }

  #ack(type: number): number {
    this.number = this.#varint();
    this.delayMs = (this.#varint() * DELAY_UNIT_US) / 1000;
    const more = this.#varint();
    const first = this.#at;
    let low = this.number - this.#varint();
    if (this.#failed !== null || low < 0) return this.#fail("malformed-frame");
    for (let i = 0; i < more; i++) {
      const high = low - this.#varint() - 2;
      low = high - this.#varint();
      if (this.#failed !== null || low < 0) return this.#fail("malformed-frame");
    }
    if (type === FRAME_ACK_ECN) {
      this.ect0 = this.#varint();
      this.ect1 = this.#varint();
      this.ce = this.#varint();
      if (this.#failed !== null) return NO_MORE_FRAMES;
    }
    this.#rangeAt = first;
    this.#rangesLeft = more + 1;
    this.#rangeLow = Number.POSITIVE_INFINITY;
    return type;
  }

  #data(type: number, length: number): number {
    if (this.#failed !== null || this.#at + length > this.#end) return this.#fail("malformed-frame");
    this.dataStart = this.#at;
    this.dataEnd = this.#at + length;
    this.#at = this.dataEnd;
    return type;
  }

  #varint(): number {
    const value = readVarint(this.#bytes, this.#at, this.#end);
    if (value < 0) {
      this.#fail("malformed-frame");
      return -1;
    }
    this.#at += varintLengthAt(this.#bytes, this.#at);
    return value;
  }

  #fail(error: FrameError): number {
    this.#failed ??= error;
    this.#at = this.#end;
    return NO_MORE_FRAMES;
  }
}

/** Bytes of a CONTROL frame around its symbol. */
export function controlFrameBytes(batch: number, symbolBytes: number): number {
  return 3 + varintBytes(batch) + varintBytes(symbolBytes);
}

/** Writes a CONTROL frame up to its symbol, which follows in `symbolBytes` bytes, and returns where that goes. */
export function writeControlHeader(
  bytes: Uint8Array,
  at: number,
  batch: number,
  batchSize: number,
  symbol: number,
  symbolBytes: number,
): number {
  bytes[at] = FRAME_CONTROL;
  let next = writeVarint(bytes, at + 1, batch);
  bytes[next++] = batchSize;
  bytes[next++] = symbol;
  return writeVarint(bytes, next, symbolBytes);
}

/** Writes a PATH_CHALLENGE or PATH_RESPONSE. */
export function writePathFrame(bytes: Uint8Array, at: number, type: number, data: Uint8Array): number {
  bytes[at] = type;
  bytes.set(data, at + 1);
  return at + 1 + PATH_DATA_BYTES;
}

export function writeClose(bytes: Uint8Array, at: number, code: number, reason: Uint8Array): number {
  bytes[at] = FRAME_CLOSE;
  let next = writeVarint(bytes, at + 1, code);
  next = writeVarint(bytes, next, reason.length);
  bytes.set(reason, next);
  return next + reason.length;
}

export function writeAckFrequency(
  bytes: Uint8Array,
  at: number,
  sequence: number,
  threshold: number,
  delayMs: number,
): number {
  bytes[at] = FRAME_ACK_FREQUENCY;
  let next = writeVarint(bytes, at + 1, sequence);
  next = writeVarint(bytes, next, threshold);
  return writeVarint(bytes, next, Math.round(delayMs * 1000));
}

/** The delay field of an ACK for a delay in ms. */
export function ackDelayField(delayMs: number): number {
  return Math.min(Math.floor((delayMs * 1000) / DELAY_UNIT_US), 0x3fff_ffff);
}

/** Writes an extension frame: a type of the extension range, a body. */
export function writeExtension(bytes: Uint8Array, at: number, type: number, body: Uint8Array): number {
  let next = writeVarint(bytes, at, type);
  next = writeVarint(bytes, next, body.length);
  bytes.set(body, next);
  return next + body.length;
}
