/**
 * Packet headers: writing them, and reading them without knowing any key. docs/wire-format-link.md has the layout. The
 * invariants of RFC 8999 hold: version and connection ids of a long header stand where every version has them.
 *
 * Not here: what is sealed, and whether a packet is genuine.
 */
import { readVarint, varintLengthAt, writeVarint } from "./varint.ts";

/** The version that this code speaks: "BAT" and a number. */
export const VERSION = 0x42415401;
/** Not a version but the mark of a version negotiation packet. */
export const NO_VERSION = 0;

export const MIN_CONNECTION_ID_BYTES = 8;
export const MAX_CONNECTION_ID_BYTES = 20;
/** The longest address token; a client's first flight must fit it. */
export const MAX_TOKEN_BYTES = 128;
/** Authentication tag of every sealed packet. */
export const TAG_BYTES = 16;
/** Least bytes of a client's datagrams that bear a connection id of its own choice, RFC 9000, section 14.1. */
export const MIN_INITIAL_BYTES = 1200;
/** Of each sealed packet, header included, at least this many bytes: shorter ones are no packets. */
const MIN_SHORT_BYTES = 1 + MIN_CONNECTION_ID_BYTES + 1 + TAG_BYTES;

const LONG = 0x80;
/** Set in every packet, so that STUN, DTLS and RTP can share the port (RFC 7983, RFC 9443). */
const FIXED = 0x40;
const KEY_PHASE = 0x04;
const TYPE_SHIFT = 4;
const TYPE_HANDSHAKE = 0;
const TYPE_RETRY = 1;

export type PacketKind = "short" | "handshake" | "retry" | "version-negotiation";

/** Why bytes are no packet. */
export type HeaderError =
  | "empty"
  | "not-a-packet"
  | "truncated"
  | "connection-id-length"
  | "unknown-version"
  | "unknown-type";

/**
 * A header as it was read, without a copy of anything: offsets into the datagram. Reused from packet to packet; which
 * fields count depends on `kind`.
 */
export class PacketHeader {
  kind: PacketKind = "short";
  version = 0;
  keyPhase = 0;
  destinationStart = 0;
  destinationEnd = 0;
  sourceStart = 0;
  sourceEnd = 0;
  tokenStart = 0;
  tokenEnd = 0;
  /** Offset of the packet number; for a version negotiation packet of the list of versions. */
  numberStart = 0;
  numberBytes = 0;
  /** Where the header ends and the sealed payload starts. */
  headerEnd = 0;

  /**
   * Reads the header of a datagram; null when it can be a packet, else why not. On "unknown-version" the connection ids are
   * set, as a server needs them for its version negotiation packet. `shortIdBytes`: the length of the connection ids that
   * this end gives out, which a short header does not tell.
   */
  parse(bytes: Uint8Array, shortIdBytes: number): HeaderError | null {
    if (bytes.length === 0) return "empty";
    const first = bytes[0];
    if ((first & LONG) === 0) return this.#parseShort(first, bytes.length, shortIdBytes);
    if (bytes.length < 7) return "truncated";
    this.version = ((bytes[1] << 24) | (bytes[2] << 16) | (bytes[3] << 8) | bytes[4]) >>> 0;
    const destinationBytes = bytes[5];
    this.destinationStart = 6;
    this.destinationEnd = 6 + destinationBytes;
    if (this.destinationEnd >= bytes.length) return "truncated";
    const sourceBytes = bytes[this.destinationEnd];
    this.sourceStart = this.destinationEnd + 1;
    this.sourceEnd = this.sourceStart + sourceBytes;
    if (this.sourceEnd > bytes.length) return "truncated";
    if (destinationBytes > MAX_CONNECTION_ID_BYTES || sourceBytes > MAX_CONNECTION_ID_BYTES) {
      return "connection-id-length";
    }
    if (this.version === NO_VERSION) {
      this.kind = "version-negotiation";
      this.numberStart = this.sourceEnd;
      this.headerEnd = bytes.length;
      return bytes.length > this.sourceEnd && (bytes.length - this.sourceEnd) % 4 === 0 ? null : "truncated";
    }
    if (this.version !== VERSION) return "unknown-version";
    if ((first & FIXED) === 0) return "not-a-packet";
    if (destinationBytes < MIN_CONNECTION_ID_BYTES || sourceBytes < MIN_CONNECTION_ID_BYTES) {
      return "connection-id-length";
    }
    const type = (first >>> TYPE_SHIFT) & 3;
    if (type !== TYPE_HANDSHAKE && type !== TYPE_RETRY) return "unknown-type";
    this.kind = type === TYPE_RETRY ? "retry" : "handshake";
    const tokenBytes = readVarint(bytes, this.sourceEnd, bytes.length);
    if (tokenBytes < 0 || tokenBytes > MAX_TOKEN_BYTES) return "truncated";
    this.tokenStart = this.sourceEnd + varintLengthAt(bytes, this.sourceEnd);
    this.tokenEnd = this.tokenStart + tokenBytes;
    this.numberStart = this.tokenEnd;
    this.numberBytes = (first & 3) + 1;
    this.headerEnd = this.numberStart + this.numberBytes;
    return this.headerEnd + TAG_BYTES <= bytes.length ? null : "truncated";
  }

  #parseShort(first: number, length: number, idBytes: number): HeaderError | null {
    if ((first & FIXED) === 0) return "not-a-packet";
    this.kind = "short";
    this.keyPhase = (first & KEY_PHASE) === 0 ? 0 : 1;
    this.destinationStart = 1;
    this.destinationEnd = 1 + idBytes;
    this.numberStart = this.destinationEnd;
    this.numberBytes = (first & 3) + 1;
    this.headerEnd = this.numberStart + this.numberBytes;
    return length >= MIN_SHORT_BYTES && this.headerEnd + TAG_BYTES <= length ? null : "truncated";
  }
}

/** Writes a short header up to the packet number, which follows in `numberBytes` bytes, and returns its end. */
export function writeShortHeader(
  bytes: Uint8Array,
  at: number,
  destinationId: Uint8Array,
  keyPhase: number,
  numberBytes: number,
): number {
  bytes[at] = FIXED | (keyPhase === 0 ? 0 : KEY_PHASE) | (numberBytes - 1);
  // For so few bytes a loop is faster than `set`.
  const next = at + 1;
  for (let i = 0; i < destinationId.length; i++) bytes[next + i] = destinationId[i];
  return next + destinationId.length;
}

function writeLongHeader(
  bytes: Uint8Array,
  at: number,
  first: number,
  destinationId: Uint8Array,
  sourceId: Uint8Array,
  token: Uint8Array,
): number {
  let next = writeInvariant(bytes, at, first, VERSION, destinationId, sourceId);
  next = writeVarint(bytes, next, token.length);
  bytes.set(token, next);
  return next + token.length;
}

function writeInvariant(
  bytes: Uint8Array,
  at: number,
  first: number,
  version: number,
  destinationId: Uint8Array,
  sourceId: Uint8Array,
): number {
  bytes[at] = first;
  bytes[at + 1] = version >>> 24;
  bytes[at + 2] = version >>> 16;
  bytes[at + 3] = version >>> 8;
  bytes[at + 4] = version;
  bytes[at + 5] = destinationId.length;
  bytes.set(destinationId, at + 6);
  let next = at + 6 + destinationId.length;
  bytes[next++] = sourceId.length;
  bytes.set(sourceId, next);
  return next + sourceId.length;
}

/** Writes a handshake packet's header up to the packet number and returns its end. */
export function writeHandshakeHeader(
  bytes: Uint8Array,
  at: number,
  destinationId: Uint8Array,
  sourceId: Uint8Array,
  token: Uint8Array,
  numberBytes: number,
): number {
  return writeLongHeader(bytes, at, LONG | FIXED | (numberBytes - 1), destinationId, sourceId, token);
}

/**
 * Writes a retry packet without its tag and returns where that goes: the tag is that of an empty payload under the keys of
 * the client's first destination id, packet number 0 (RFC 9000, section 17.2.5, does the like).
 */
export function writeRetryHeader(
  bytes: Uint8Array,
  at: number,
  destinationId: Uint8Array,
  sourceId: Uint8Array,
  token: Uint8Array,
): number {
  const first = LONG | FIXED | (TYPE_RETRY << TYPE_SHIFT);
  const next = writeLongHeader(bytes, at, first, destinationId, sourceId, token);
  bytes[next] = 0;
  return next + 1;
}

/**
 * A version negotiation packet, RFC 8999, section 6: the answer to a long header of another version. The ids are those of
 * the packet it answers, swapped.
 */
export function versionNegotiation(
  destinationId: Uint8Array,
  sourceId: Uint8Array,
  versions: readonly number[],
): Uint8Array {
  const bytes = new Uint8Array(7 + destinationId.length + sourceId.length + 4 * versions.length);
  let at = writeInvariant(bytes, 0, LONG | FIXED, NO_VERSION, destinationId, sourceId);
  const view = new DataView(bytes.buffer);
  for (const version of versions) {
    view.setUint32(at, version);
    at += 4;
  }
  return bytes;
}

/**
 * A stateless reset, RFC 9000, section 10.3: looks like a short packet, ends in the token that the peer was given for its
 * connection id. `noise` fills the rest; it is shorter than the packet that triggers it, so that two ends never loop.
 * Returns null when the trigger is too short for any answer.
 */
export function statelessReset(token: Uint8Array, triggerBytes: number, noise: Uint8Array): Uint8Array | null {
  const length = Math.min(triggerBytes - 1, MIN_SHORT_BYTES + TAG_BYTES);
  if (length < MIN_SHORT_BYTES) return null;
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = noise.length === 0 ? 0 : noise[i % noise.length];
  bytes[0] = FIXED | (bytes[0] & 0x3f);
  bytes.set(token, length - TAG_BYTES);
  return bytes;
}
