/**
 * What the ends of a session tell each other before its first symbol, inside the link's handshake: a list of the same shape
 * as the link's own parameters.
 */
import { ParameterWriter, readParameterList } from "../link/parameter-list.ts";
import { readVarint } from "../link/varint.ts";

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
  const list = new ParameterWriter(128);
  list.bytes(ID_SESSION_ID, parameters.sessionId);
  if (parameters.resumed) list.bytes(ID_RESUMED, []);
  list.number(ID_SESSION_WINDOW, parameters.sessionWindow);
  list.number(ID_STREAM_WINDOW, parameters.streamWindow);
  list.number(ID_MAX_STREAMS, parameters.maxStreams);
  list.number(ID_LARGEST_MESSAGE, parameters.largestMessage);
  if (parameters.compression.length > 0) list.bytes(ID_COMPRESSION, parameters.compression.slice(0, MAX_ALGORITHMS));
  list.bytes(GREASE_ID, []);
  return list.finish();
}

/** Returns null for bytes that are no parameters, or lack the id. What else is missing is 0 or none. */
export function decodeSessionParameters(from: Uint8Array): SessionParameters | null {
  let sessionId: Uint8Array = new Uint8Array(0);
  let resumed = false;
  let compression: readonly number[] = [];
  const numbers = [0, 0, 0, 0];
  const allowed = readParameterList(from, (id, value) => {
    switch (id) {
      case ID_SESSION_ID:
        sessionId = value;
        return value.length === SESSION_ID_BYTES;
      case ID_RESUMED:
        resumed = true;
        return value.length === 0;
      case ID_SESSION_WINDOW:
      case ID_STREAM_WINDOW:
      case ID_MAX_STREAMS:
      case ID_LARGEST_MESSAGE: {
        const number = readVarint(value, 0, value.length);
        numbers[id - ID_SESSION_WINDOW] = number;
        return number >= 0;
      }
      case ID_COMPRESSION:
        compression = [...value];
        return value.length <= MAX_ALGORITHMS;
      default:
        return true;
    }
  });
  if (!allowed || sessionId.length === 0) return null;
  const [sessionWindow, streamWindow, maxStreams, largestMessage] = numbers;
  return { sessionId, resumed, sessionWindow, streamWindow, maxStreams, largestMessage, compression };
}
