/**
 * What either end tells the other before anything else: a list of (id, length, value), of which unknown ids are skipped, so
 * that later versions can add some. Source of the shape: RFC 9000, section 18.
 */
import { MAX_ACK_DELAY_MS } from "./ack-policy.ts";
import { RESET_TOKEN_BYTES } from "./connection-ids.ts";
import { readVarint, varintLengthAt, writeVarint } from "./varint.ts";

const ID_IDLE_TIMEOUT = 1;
const ID_MAX_DATAGRAM = 2;
const ID_ACK_DELAY = 3;
const ID_RESET_TOKEN = 4;
const ID_SESSION = 5;
/** Ids of the form 31 n + 27 mean nothing and are sent now and then, so that skipping stays tried (RFC 9000, 18.1). */
const GREASE_ID = 27;

const MAX_SESSION_BYTES = 1024;

export interface LinkParameters {
  /** After this much silence the link is dead, ms; the smaller of both ends' counts. 0: never. */
  readonly idleTimeoutMs: number;
  /** The largest UDP payload that this end takes. */
  readonly maxDatagramBytes: number;
  /** The longest that this end delays an ACK, ms. */
  readonly ackDelayMs: number;
  /** Of a server's first connection id. */
  readonly resetToken: Uint8Array | null;
  /** The session layer's own, not looked at here: at most 1024 bytes. */
  readonly session: Uint8Array;
}

export function encodeParameters(parameters: LinkParameters): Uint8Array {
  const out = new Uint8Array(128 + parameters.session.length);
  let at = 0;
  const bytes = (id: number, value: Uint8Array): void => {
    at = writeVarint(out, at, id);
    at = writeVarint(out, at, value.length);
    out.set(value, at);
    at += value.length;
  };
  const number = (id: number, value: number): void => {
    const scratch = new Uint8Array(8);
    bytes(id, scratch.subarray(0, writeVarint(scratch, 0, value)));
  };
  number(ID_IDLE_TIMEOUT, Math.round(parameters.idleTimeoutMs));
  number(ID_MAX_DATAGRAM, parameters.maxDatagramBytes);
  number(ID_ACK_DELAY, Math.round(parameters.ackDelayMs));
  if (parameters.resetToken !== null) bytes(ID_RESET_TOKEN, parameters.resetToken);
  if (parameters.session.length > 0) bytes(ID_SESSION, parameters.session.subarray(0, MAX_SESSION_BYTES));
  bytes(GREASE_ID, new Uint8Array(0));
  return out.slice(0, at);
}

/** Returns null for bytes that are no parameters. What is missing has its default. */
export function decodeParameters(from: Uint8Array): LinkParameters | null {
  let idleTimeoutMs = 0;
  let maxDatagramBytes = 65_527;
  let ackDelayMs = MAX_ACK_DELAY_MS;
  let resetToken: Uint8Array | null = null;
  let session: Uint8Array = new Uint8Array(0);
  const end = from.length;
  let at = 0;
  while (at < end) {
    const id = readVarint(from, at, end);
    if (id < 0) return null;
    at += varintLengthAt(from, at);
    const length = readVarint(from, at, end);
    if (length < 0) return null;
    at += varintLengthAt(from, at);
    if (at + length > end) return null;
    const value = from.slice(at, at + length);
    at += length;
    const number = readVarint(value, 0, length);
    switch (id) {
      case ID_IDLE_TIMEOUT:
        if (number < 0) return null;
        idleTimeoutMs = number;
        break;
      case ID_MAX_DATAGRAM:
        if (number < 1200) return null;
        maxDatagramBytes = Math.min(number, 65_527);
        break;
      case ID_ACK_DELAY:
        if (number < 0 || number > 1000) return null;
        ackDelayMs = number;
        break;
      case ID_RESET_TOKEN:
        if (length !== RESET_TOKEN_BYTES) return null;
        resetToken = value;
        break;
      case ID_SESSION:
        if (length > MAX_SESSION_BYTES) return null;
        session = value;
        break;
      default:
        break;
    }
  }
  return { idleTimeoutMs, maxDatagramBytes, ackDelayMs, resetToken, session };
}
