/**
 * The first bytes of each stream of a forward, in both directions: what the opener wants, and what came of it. The format is
 * docs/wire-format-proxy.md: a type, a length, and fields of tag, length and value, all numbers varints (RFC 9000, section 16).
 * Data follows at once. A field with an odd tag must be understood, one with an even tag may be skipped.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../transport/link/varint.ts";

export type OpenHeader =
  /** Bytes to and from a target of the receiver's side. */
  | { type: "connect"; target: string; source?: string }
  /** Datagrams to and from it; they carry the stream's number. */
  | { type: "flow"; target: string; source?: string }
  /** Asks the receiver to listen; the stream lives as long as the listener. */
  | { type: "listen"; endpoint: string; listener: number }
  /** A connection, or flow, that came in at a listener which the receiver asked for. */
  | { type: "accepted-connect" | "accepted-flow"; listener: number; source?: string }
  /** IP packets to and from these addresses and networks of the opener; the stream lives as long. `trains`: it takes trains. */
  | { type: "tunnel"; addresses: readonly string[]; routes: readonly string[]; trains?: true };

export type AnswerHeader =
  /** `address`: where a listener listens, what a tunnel has. `trains`: a tunnel's server takes trains. */
  { type: "done"; address?: string; trains?: true } | { type: "refused"; reason: RefusalReason; message: string };

export type RefusalReason = keyof typeof REASONS;

/** The longest header, fields only. */
export const MAX_HEADER_BYTES = 4096;

const TYPES = { connect: 1, flow: 2, listen: 3, "accepted-connect": 4, "accepted-flow": 5, tunnel: 6 } as const;
const DONE = 32;
const REFUSED = 33;

const REASONS = {
  malformed: 1,
  "not-allowed": 2,
  "not-found": 3,
  refused: 4,
  unreachable: 5,
  "in-use": 6,
  unavailable: 7,
  "over-quota": 8,
} as const;

const TAG_ENDPOINT = 1;
const TAG_SOURCE = 2;
const TAG_LISTENER = 3;
const TAG_ADDRESS = 4;
const TAG_REASON = 5;
const TAG_MESSAGE = 6;
const TAG_ADDRESSES = 7;
const TAG_TRAINS = 8;
const TAG_ROUTES = 9;
const HIGHEST_TAG = TAG_ROUTES;

const utf8 = new TextDecoder("utf-8", { fatal: true });

export function encodeOpen(header: OpenHeader): Uint8Array {
  const fields: [number, string | number][] = [];
  if (header.type === "connect" || header.type === "flow") fields.push([TAG_ENDPOINT, header.target]);
  if (header.type === "listen") fields.push([TAG_ENDPOINT, header.endpoint]);
  if ("listener" in header) fields.push([TAG_LISTENER, header.listener]);
  if (header.type === "tunnel") {
    fields.push([TAG_ADDRESSES, header.addresses.join(",")]);
    if (header.trains === true) fields.push([TAG_TRAINS, ""]);
    if (header.routes.length > 0) fields.push([TAG_ROUTES, header.routes.join(",")]);
  }
  if ("source" in header && header.source !== undefined) fields.push([TAG_SOURCE, header.source]);
  return encode(TYPES[header.type], fields);
}

export function encodeAnswer(header: AnswerHeader): Uint8Array {
  if (header.type === "refused") {
    const message = header.message.slice(0, 1000);
    return encode(REFUSED, [
      [TAG_REASON, REASONS[header.reason]],
      [TAG_MESSAGE, message],
    ]);
  }
  const fields: [number, string][] = header.address === undefined ? [] : [[TAG_ADDRESS, header.address]];
  if (header.trains === true) fields.push([TAG_TRAINS, ""]);
  return encode(DONE, fields);
}

/** A decoded header and where the data after it begins; null while bytes are missing. */
export type Decoded<T> = { header: T; end: number } | { malformed: string } | null;

export function decodeOpen(bytes: Uint8Array): Decoded<OpenHeader> {
  return decode(bytes, (type, fields) => {
    const target = fields.text(TAG_ENDPOINT);
    const listener = fields.number(TAG_LISTENER);
    const source = fields.text(TAG_SOURCE);
    const origin = source === null ? {} : { source };
    for (const [name, number] of Object.entries(TYPES)) {
      if (number !== type) continue;
      if (name === "connect" || name === "flow") return target === null ? null : { type: name, target, ...origin };
      if (name === "listen")
        return target === null || listener === null ? null : { type: name, endpoint: target, listener };
      if (name === "tunnel") {
        const addresses = fields.text(TAG_ADDRESSES);
        return addresses === null
          ? null
          : { type: name, addresses: list(addresses), routes: list(fields.text(TAG_ROUTES)), ...trainsOf(fields) };
      }
      if (name === "accepted-connect" || name === "accepted-flow") {
        return listener === null ? null : { type: name, listener, ...origin };
      }
    }
    return null;
  });
}

export function decodeAnswer(bytes: Uint8Array): Decoded<AnswerHeader> {
  return decode(bytes, (type, fields) => {
    if (type === DONE) {
      const address = fields.text(TAG_ADDRESS);
      return { type: "done", ...(address === null ? {} : { address }), ...trainsOf(fields) };
    }
    if (type !== REFUSED) return null;
    const code = fields.number(TAG_REASON);
    // A reason of a later version is still a refusal, with its message.
    const reason = (Object.keys(REASONS) as RefusalReason[]).find((name) => REASONS[name] === code) ?? "unavailable";
    return { type: "refused", reason, message: fields.text(TAG_MESSAGE) ?? reason };
  });
}

/** The field means what it is, whatever it holds. */
function trainsOf(fields: Fields): { trains?: true } {
  return fields.has(TAG_TRAINS) ? { trains: true } : {};
}

function list(text: string | null): string[] {
  return text === null || text === "" ? [] : text.split(",");
}

function encode(type: number, fields: [tag: number, value: string | number][]): Uint8Array {
  const values = fields.map(([, value]) => (typeof value === "string" ? Buffer.from(value) : encodeNumber(value)));
  let length = 0;
  fields.forEach(([tag], i) => {
    length += varintBytes(tag) + varintBytes(values[i].length) + values[i].length;
  });
  const bytes = new Uint8Array(varintBytes(type) + varintBytes(length) + length);
  let at = writeVarint(bytes, writeVarint(bytes, 0, type), length);
  fields.forEach(([tag], i) => {
    at = writeVarint(bytes, writeVarint(bytes, at, tag), values[i].length);
    bytes.set(values[i], at);
    at += values[i].length;
  });
  return bytes;
}

function encodeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

interface Fields {
  has(tag: number): boolean;
  text(tag: number): string | null;
  number(tag: number): number | null;
}

function decode<T>(bytes: Uint8Array, build: (type: number, fields: Fields) => T | null): Decoded<T> {
  const type = readVarint(bytes, 0, bytes.length);
  if (type < 0) return bytes.length >= 8 ? { malformed: "no type" } : null;
  let at = varintLengthAt(bytes, 0);
  const length = readVarint(bytes, at, bytes.length);
  if (length < 0) return bytes.length >= at + 8 ? { malformed: "no length" } : null;
  if (length > MAX_HEADER_BYTES) return { malformed: `a header of ${length} bytes; ${MAX_HEADER_BYTES} is the most` };
  at += varintLengthAt(bytes, at);
  const end = at + length;
  if (end > bytes.length) return null;
  const values = new Map<number, Uint8Array>();
  while (at < end) {
    const tag = readVarint(bytes, at, end);
    if (tag < 0) return { malformed: "a field without an end" };
    at += varintLengthAt(bytes, at);
    const size = readVarint(bytes, at, end);
    if (size < 0) return { malformed: "a field without an end" };
    at += varintLengthAt(bytes, at);
    if (at + size > end) return { malformed: "a field without an end" };
    if (tag % 2 === 1 && tag > HIGHEST_TAG) return { malformed: `field ${tag}, which this version does not know` };
    if (values.has(tag)) return { malformed: `field ${tag} twice` };
    values.set(tag, bytes.subarray(at, at + size));
    at += size;
  }
  try {
    const header = build(type, {
      has: (tag) => values.has(tag),
      text: (tag) => {
        const value = values.get(tag);
        return value === undefined ? null : utf8.decode(value);
      },
      number: (tag) => {
        const value = values.get(tag);
        if (value === undefined) return null;
        const number = readVarint(value, 0, value.length);
        return number < 0 ? null : number;
      },
    });
    return header === null ? { malformed: `type ${type}, or a field that it needs is missing` } : { header, end };
  } catch {
    return { malformed: "text that is not UTF-8" };
  }
}
