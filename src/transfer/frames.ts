/**
 * What both ends of a transfer say on its control stream, as bytes: type, length, fields; docs/wire-format-transfer.md. Bytes and
 * values only: what a frame means is send-session.ts and receive-session.ts.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../transport/link/varint.ts";

export const HASH_BYTES = 32;

/** Of a frame, its type and length not counted. */
export const MAX_FRAME_BYTES = 16_384;
/** The longest text that is sent; longer ones are cut. */
const MAX_TEXT_BYTES = 2000;

/** "seal": gives a directory its mode and time when nothing changes in it any more. */
export type EntryKind = "file" | "directory" | "link" | "seal";

/** One thing of the tree that is sent. Its path is relative, its segments joined by "/", as bytes: names are not always text. */
export interface Entry {
  readonly kind: EntryKind;
  readonly path: Buffer;
  /** Permission bits. */
  readonly mode: number;
  /** When it was changed, microseconds since 1970. */
  readonly mtimeUs: number;
  /** Of a file, else 0. */
  readonly sizeBytes: number;
  /** Where a link leads, else empty. */
  readonly target: Buffer;
}

export type Role = "sender" | "receiver";

export type Frame =
  | { type: "hello"; role: Role; trustTimes: boolean }
  /** The transfer ends here, for a reason that concerns all of it. */
  | { type: "stop"; text: string }
  // From the sender.
  | { type: "totals"; files: number; bytes: number }
  | { type: "entry"; id: number; entry: Entry }
  /** What the receiver has of it is all of it. */
  | { type: "same"; id: number }
  /** It does not come after all. */
  | { type: "withdrawn"; id: number }
  /** Something that cannot be sent, and why. */
  | { type: "omitted"; path: Buffer; text: string }
  // From the receiver.
  /** Wants it from `offset` on, if the bytes before it have that SHA-256. */
  | { type: "want"; id: number; offset: number; hash: Buffer }
  /** It is in its place; `unchanged`: it was before. */
  | { type: "done"; id: number; unchanged: boolean }
  | { type: "failed"; id: number; text: string }
  /** Bytes of files that have come, in all. */
  | { type: "progress"; bytes: number };

/** A receiver that does not know a type skips the frame if the type is even. */
const TYPES: Record<Frame["type"], number> = {
  hello: 1,
  totals: 2,
  stop: 3,
  progress: 4,
  entry: 5,
  same: 7,
  withdrawn: 9,
  omitted: 11,
  want: 13,
  done: 15,
  failed: 17,
};
const NAMES = new Map(Object.entries(TYPES).map(([name, type]) => [type, name as Frame["type"]]));

const KINDS: readonly EntryKind[] = ["file", "directory", "link", "seal"];
const ROLES: readonly Role[] = ["sender", "receiver"];

type Field = number | Buffer;

export function encodeFrame(frame: Frame): Buffer {
  const fields = fieldsOf(frame);
  let length = 0;
  for (const field of fields) {
    length += typeof field === "number" ? varintBytes(field) : varintBytes(field.length) + field.length;
  }
  const type = TYPES[frame.type];
  const bytes = Buffer.allocUnsafe(varintBytes(type) + varintBytes(length) + length);
  let at = writeVarint(bytes, writeVarint(bytes, 0, type), length);
  for (const field of fields) {
    at = writeVarint(bytes, at, typeof field === "number" ? field : field.length);
    if (typeof field === "number") continue;
    bytes.set(field, at);
    at += field.length;
  }
  return bytes;
}

function fieldsOf(frame: Frame): Field[] {
  switch (frame.type) {
    case "hello":
      return [ROLES.indexOf(frame.role), Number(frame.trustTimes)];
    case "totals":
      return [frame.files, frame.bytes];
    case "stop":
      return [textBytes(frame.text)];
    case "progress":
      return [frame.bytes];
    case "entry": {
      const { kind, mode, mtimeUs, sizeBytes, path, target } = frame.entry;
      return [frame.id, KINDS.indexOf(kind), mode, mtimeUs, sizeBytes, path, target];
    }
    case "same":
    case "withdrawn":
      return [frame.id];
    case "omitted":
      return [frame.path, textBytes(frame.text)];
    case "want":
      return [frame.id, frame.offset, frame.hash];
    case "done":
      return [frame.id, Number(frame.unchanged)];
    case "failed":
      return [frame.id, textBytes(frame.text)];
  }
}

/** A frame and where the next one begins; `frame` is null for one to be skipped. Null while bytes are missing. */
export type DecodedFrame = { frame: Frame | null; end: number } | { malformed: string } | null;

/** Decodes the frame that begins at `at`. Buffers in it are views of `bytes`. */
export function decodeFrame(bytes: Buffer, at: number): DecodedFrame {
  const type = readVarint(bytes, at, bytes.length);
  if (type < 0) return bytes.length - at >= 8 ? { malformed: "a frame's type above 2^53" } : null;
  let next = at + varintLengthAt(bytes, at);
  const length = readVarint(bytes, next, bytes.length);
  if (length < 0) return bytes.length - next >= 8 ? { malformed: "a frame's length above 2^53" } : null;
  if (length > MAX_FRAME_BYTES) {
    return { malformed: `a frame of ${length} bytes; ${MAX_FRAME_BYTES} is the most` };
  }
  next += varintLengthAt(bytes, next);
  const end = next + length;
  if (end > bytes.length) return null;
  const name = NAMES.get(type);
  if (name === undefined) {
    return type % 2 === 0 ? { frame: null, end } : { malformed: `a frame of type ${type}, which is not known here` };
  }
  const frame = build(name, new Fields(bytes, next, end));
  return frame === null ? { malformed: `a frame "${name}" that is not what such a frame is` } : { frame, end };
}

/** Reads field after field; `bad` once one was not there. */
class Fields {
  bad = false;
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Buffer, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  number(most: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.bad ? -1 : readVarint(this.#bytes, this.#at, this.#end);
    if (value < 0 || value > most) {
      this.bad = true;
      return 0;
    }
    this.#at += varintLengthAt(this.#bytes, this.#at);
    return value;
  }

  bytes(): Buffer {
    const length = this.number();
    if (this.#at + length > this.#end) this.bad = true;
    if (this.bad) return Buffer.alloc(0);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  text(): string {
    return this.bytes().toString("utf8");
  }

  /** Whether all was as it should be, and nothing is left. */
  get whole(): boolean {
    return !this.bad && this.#at === this.#end;
  }
}

function build(name: Frame["type"], fields: Fields): Frame | null {
  const frame = read(name, fields);
  return fields.whole ? frame : null;
}

// The fields of a literal are read in the order in which they stand.
function read(name: Frame["type"], fields: Fields): Frame | null {
  switch (name) {
    case "hello":
      return { type: name, role: ROLES[fields.number(ROLES.length - 1)], trustTimes: fields.number(1) === 1 };
    case "totals":
      return { type: name, files: fields.number(), bytes: fields.number() };
    case "stop":
      return { type: name, text: fields.text() };
    case "progress":
      return { type: name, bytes: fields.number() };
    case "entry": {
      const id = fields.number();
      const kind = KINDS[fields.number(KINDS.length - 1)];
      const attributes = { mode: fields.number(0o7777), mtimeUs: fields.number(), sizeBytes: fields.number() };
      return { type: name, id, entry: { kind, ...attributes, path: fields.bytes(), target: fields.bytes() } };
    }
    case "same":
    case "withdrawn":
      return { type: name, id: fields.number() };
    case "omitted":
      return { type: name, path: fields.bytes(), text: fields.text() };
    case "want": {
      const frame = { type: name, id: fields.number(), offset: fields.number(), hash: fields.bytes() };
      return frame.hash.length === (frame.offset === 0 ? 0 : HASH_BYTES) ? frame : null;
    }
    case "done":
      return { type: name, id: fields.number(), unchanged: fields.number(1) === 1 };
    case "failed":
      return { type: name, id: fields.number(), text: fields.text() };
  }
}

function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  return bytes.length <= MAX_TEXT_BYTES ? bytes : bytes.subarray(0, MAX_TEXT_BYTES);
}
