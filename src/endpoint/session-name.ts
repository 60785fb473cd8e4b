/**
 * The session's name in the session parameters of a link: by it a client that makes a new link finds the session again that it
 * had over an old one. One entry of the list of (id, length, value) that the parameters are.
 */
import { readVarint, varintLengthAt, writeVarint } from "../transport/link/varint.ts";

export const SESSION_ID_BYTES = 16;

const ID_SESSION_NAME = 0x20;
const RESUMES = 1;

export interface SessionName {
  /** The client's random choice. */
  readonly id: Uint8Array;
  /** Whether the session is there already, and to go on over this link. */
  readonly resumes: boolean;
}

/** The parameters with the name added. */
export function withSessionName(parameters: Uint8Array, { id, resumes }: SessionName): Uint8Array {
  const out = new Uint8Array(parameters.length + 16 + id.length);
  out.set(parameters);
  let at = writeVarint(out, parameters.length, ID_SESSION_NAME);
  at = writeVarint(out, at, 1 + id.length);
  out[at] = resumes ? RESUMES : 0;
  out.set(id, at + 1);
  return out.slice(0, at + 1 + id.length);
}

/** The name in the parameters; null when there is none, or one that is none. */
export function readSessionName(parameters: Uint8Array): SessionName | null {
  const end = parameters.length;
  let at = 0;
  while (at < end) {
    const id = readVarint(parameters, at, end);
    if (id < 0) return null;
    at += varintLengthAt(parameters, at);
    const length = readVarint(parameters, at, end);
    if (length < 0) return null;
    at += varintLengthAt(parameters, at);
    if (at + length > end) return null;
    if (id === ID_SESSION_NAME) {
      if (length !== 1 + SESSION_ID_BYTES) return null;
      return { id: parameters.slice(at + 1, at + length), resumes: (parameters[at] & RESUMES) !== 0 };
    }
    at += length;
  }
  return null;
}
