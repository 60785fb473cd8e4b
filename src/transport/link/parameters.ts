/**
 * What either end tells the other before anything else. A list of its own is in it for the session, which is not looked at here.
 * Source of the ids' meaning: RFC 9000, section 18.2.
 */
import { MAX_ACK_DELAY_MS } from "./ack-policy.ts";
import { RESET_TOKEN_BYTES } from "./connection-ids.ts";
import { ParameterWriter, readParameterList } from "./parameter-list.ts";
import { readVarint } from "./varint.ts";

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
  const list = new ParameterWriter(128 + parameters.session.length);
  list.number(ID_IDLE_TIMEOUT, Math.round(parameters.idleTimeoutMs));
  list.number(ID_MAX_DATAGRAM, parameters.maxDatagramBytes);
  list.number(ID_ACK_DELAY, Math.round(parameters.ackDelayMs));
  if (parameters.resetToken !== null) list.bytes(ID_RESET_TOKEN, parameters.resetToken);
  if (parameters.session.length > 0) list.bytes(ID_SESSION, parameters.session.subarray(0, MAX_SESSION_BYTES));
  list.bytes(GREASE_ID, []);
  return list.finish();
}

/** Returns null for bytes that are no parameters. What is missing has its default. */
export function decodeParameters(from: Uint8Array): LinkParameters | null {
  let idleTimeoutMs = 0;
  let maxDatagramBytes = 65_527;
  let ackDelayMs = MAX_ACK_DELAY_MS;
  let resetToken = null as Uint8Array | null;
  let session: Uint8Array = new Uint8Array(0);
  const allowed = readParameterList(from, (id, value) => {
    const number = readVarint(value, 0, value.length);
    switch (id) {
      case ID_IDLE_TIMEOUT:
        idleTimeoutMs = number;
        return number >= 0;
      case ID_MAX_DATAGRAM:
        maxDatagramBytes = Math.min(number, 65_527);
        return number >= 1200;
      case ID_ACK_DELAY:
        ackDelayMs = number;
        return number >= 0 && number <= 1000;
      case ID_RESET_TOKEN:
        resetToken = value;
        return value.length === RESET_TOKEN_BYTES;
      case ID_SESSION:
        session = value;
        return value.length <= MAX_SESSION_BYTES;
      default:
        return true;
    }
  });
  return allowed ? { idleTimeoutMs, maxDatagramBytes, ackDelayMs, resetToken, session } : null;
}
