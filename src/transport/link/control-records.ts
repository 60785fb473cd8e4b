/**
 * What stands in the control stream: records of (type, length, body). Handshake bytes are one type, the link's own messages
 * that must arrive the others; unknown types are skipped. Not here: how the stream gets across (`control-stream.ts`).
 */

import { RESET_TOKEN_BYTES } from "./connection-ids.ts";
import { MAX_CONNECTION_ID_BYTES, MIN_CONNECTION_ID_BYTES } from "./packet-header.ts";
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "./varint.ts";

const NOTHING = new Uint8Array(0);

/** Bytes of the handshake: a stretch of its stream, of any length. */
export const RECORD_HANDSHAKE = 0;
/** The sender's parameters: the first record of either end. */
export const RECORD_PARAMETERS = 1;
/** A new connection id of the sender's: sequence, id, reset token. Not in the handshake epoch. */
export const RECORD_NEW_ID = 2;
/** The sender uses one of the receiver's ids no more: sequence. Not in the handshake epoch. */
export const RECORD_RETIRE_ID = 3;
/** A token with which a client of this server proves its address next time. Not in the handshake epoch. */
export const RECORD_TOKEN = 4;

/** The longest record body. */
export const MAX_RECORD_BYTES = 16_384;

export function encodeRecord(type: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(varintBytes(type) + varintBytes(body.length) + body.length);
  const at = writeVarint(out, writeVarint(out, 0, type), body.length);
  out.set(body, at);
  return out;
}

export function encodeNewId(sequence: number, id: Uint8Array, resetToken: Uint8Array): Uint8Array {
  const sequenceBytes = varintBytes(sequence);
  const body = new Uint8Array(sequenceBytes + 1 + id.length + RESET_TOKEN_BYTES);
  writeVarint(body, 0, sequence);
  body[sequenceBytes] = id.length;
  body.set(id, sequenceBytes + 1);
  body.set(resetToken, sequenceBytes + 1 + id.length);
  return encodeRecord(RECORD_NEW_ID, body);
}

export interface NewId {
  sequence: number;
  id: Uint8Array;
  resetToken: Uint8Array;
}

/** Null for a body that is none. */
export function decodeNewId(body: Uint8Array): NewId | null {
  const sequence = readVarint(body, 0, body.length);
  if (sequence < 0) return null;
  const at = varintLengthAt(body, 0);
  const length = body[at];
  if (!(length >= MIN_CONNECTION_ID_BYTES && length <= MAX_CONNECTION_ID_BYTES)) return null;
  if (body.length !== at + 1 + length + RESET_TOKEN_BYTES) return null;
  return { sequence, id: body.slice(at + 1, at + 1 + length), resetToken: body.slice(at + 1 + length) };
}

export function encodeRetireId(sequence: number): Uint8Array {
  const body = new Uint8Array(varintBytes(sequence));
  writeVarint(body, 0, sequence);
  return encodeRecord(RECORD_RETIRE_ID, body);
}

/** Puts records together from the stream's bytes, whatever their cuts. */
export class RecordReader {
  #held: Uint8Array = NOTHING;

  /**
   * Takes the next bytes and calls `handler` for each record they complete; the body is the handler's for that call only.
   * False when they cannot be records: the stream is of no more use.
   */
  push(bytes: Uint8Array, handler: (type: number, body: Uint8Array) => void): boolean {
    let from = bytes;
    if (this.#held.length > 0) {
      from = new Uint8Array(this.#held.length + bytes.length);
      from.set(this.#held);
      from.set(bytes, this.#held.length);
    }
    let at = 0;
    for (;;) {
      const type = readVarint(from, at, from.length);
      if (type < 0) {
        if (from.length - at >= 8) return false;
        break;
      }
      const lengthAt = at + varintLengthAt(from, at);
      const length = readVarint(from, lengthAt, from.length);
      if (length < 0) {
        if (from.length - lengthAt >= 8) return false;
        break;
      }
      if (length > MAX_RECORD_BYTES) return false;
      const body = lengthAt + varintLengthAt(from, lengthAt);
      if (body + length > from.length) break;
      handler(type, from.subarray(body, body + length));
      at = body + length;
    }
    this.#held = at === from.length ? NOTHING : from.slice(at);
    return true;
  }
}
