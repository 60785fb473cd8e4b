/**
 * What the ends of a session tell each other before its first symbol, inside the link's handshake: records of id, length and value,
 * as the link's own parameters are. Unknown ids are skipped.
 */
import { readVarint, varintLengthAt, writeVarint } from "../link/varint.ts";

const ID_SESSION_ID = 1;
const ID_RESUMED = 2;
const ID_SESSION_WINDOW = 3;
const ID_STREAM_WINDOW = 4;
const ID_MAX_STREAMS = 5;
const ID_LARGEST_MESSAGE = 6;
const ID_COMPRESSION = 7;
/** Ids of the form 31 n + 27 mean nothing and are sent, so that skipping stays tried (RFC 9000, 18.1). */
const GREASE_ID = 58;

export const SESSION_ID_BYTES = 16;

/** Algorithms that one end may name. */
const MAX_ALGORITHMS = 16;

export interface SessionParameters {
  /** The client's choice, by which the session finds its way to a new link. All zero: it is not meant to be resumed. */
  readonly sessionId: Uint8Array;
  /** A client's: it resumes that session. */
  readonly resumed: boolean;
  /** Credit to begin with, of the session and of each stream, bytes. */
  readonly sessionWindow: number;
  readonly streamWindow: number;
  /** How many streams the peer may open to begin with. */
  readonly maxStreams: number;
  /** The largest message that this end takes, bytes. */
  readonly largestMessage: number;
  /** Compression algorithms that this end knows, the best first. */
  readonly compression: readonly number[];
}

export function encodeSessionParameters(parameters: SessionParameters): Uint8Array {
  const out = new Uint8Array(128);
  let at = 0;
  const bytes = (id: number, value: ArrayLike<number>): void => {
    at = writeVarint(out, at, id);
    at = writeVarint(out, at, value.length);
    out.set(value, at);
    at += value.length;
  };
  const number = (id: number, value: number): void => {
    const scratch = new Uint8Array(8);
    bytes(id, scratch.subarray(0, writeVarint(scratch, 0, value)));
  };
  bytes(ID_SESSION_ID, parameters.sessionId);
  if (parameters.resumed) bytes(ID_RESUMED, []);
  number(ID_SESSION_WINDOW, parameters.sessionWindow);
  number(ID_STREAM_WINDOW, parameters.streamWindow);
  number(ID_MAX_STREAMS, parameters.maxStreams);
  number(ID_LARGEST_MESSAGE, parameters.largestMessage);
  if (parameters.compression.length > 0) bytes(ID_COMPRESSION, parameters.compression.slice(0, MAX_ALGORITHMS));
  bytes(GREASE_ID, []);
  return out.slice(0, at);
}

/** Returns null for bytes that are no parameters, or lack the id. What else is missing is 0 or none. */
export function decodeSessionParameters(from: Uint8Array): SessionParameters | null {
  let sessionId: Uint8Array | null = null;
  let resumed = false;
  let compression: readonly number[] = [];
  const numbers = [0, 0, 0, 0];
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
    switch (id) {
      case ID_SESSION_ID:
        if (length !== SESSION_ID_BYTES) return null;
        sessionId = value;
        break;
      case ID_RESUMED:
        if (length !== 0) return null;
        resumed = true;
        break;
      case ID_SESSION_WINDOW:
      case ID_STREAM_WINDOW:
      case ID_MAX_STREAMS:
      case ID_LARGEST_MESSAGE: {
        const number = readVarint(value, 0, length);
        if (number < 0) return null;
        numbers[id - ID_SESSION_WINDOW] = number;
        break;
      }
      case ID_COMPRESSION:
        if (length > MAX_ALGORITHMS) return null;
        compression = [...value];
        break;
      default:
        break;
    }
  }
  if (sessionId === null) return null;
  const [sessionWindow, streamWindow, maxStreams, largestMessage] = numbers;
  return { sessionId, resumed, sessionWindow, streamWindow, maxStreams, largestMessage, compression };
}
