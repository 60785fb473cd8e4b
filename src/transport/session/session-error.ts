/** What can be wrong with a session: by the peer's doing, which ends it, or by its user's, which is thrown. */

export type SessionErrorCode =
  /** Bytes from the peer that are no frame. */
  | "ERR_MALFORMED"
  /** Session parameters that are none, or that do not go together with this end's. */
  | "ERR_PARAMETERS"
  /** The peer resumes a session that begins here. */
  | "ERR_UNKNOWN_SESSION"
  /** More bytes than the peer was allowed to send. */
  | "ERR_CREDIT"
  /** Frames that contradict a stream's state, or a stream that may not be. */
  | "ERR_STREAM"
  /** Frames that contradict a message, or a message that is too large. */
  | "ERR_MESSAGE"
  /** Compressed data that are none, become too large, or were not agreed on. */
  | "ERR_COMPRESSION"
  /** An argument that is out of range: thrown. */
  | "ERR_RANGE";

/** What the peer did wrong. */
export interface Fault {
  readonly code: SessionErrorCode;
  readonly message: string;
}

function fault(code: SessionErrorCode, message: string): Fault {
  return { code, message };
}

export const MALFORMED_PACKET = fault("ERR_MALFORMED", "a packet holds bytes that are no frame");
export const MALFORMED_SYMBOL = fault("ERR_MALFORMED", "a source symbol holds bytes that are no session frame");
export const BAD_PARAMETERS = fault("ERR_PARAMETERS", "the peer's session parameters are malformed or missing");
export const UNKNOWN_SESSION = fault("ERR_UNKNOWN_SESSION", "the peer resumes a session that is not known here");
export const BEYOND_SESSION_CREDIT = fault("ERR_CREDIT", "more bytes than the session's credit allows");
export const BEYOND_STREAM_CREDIT = fault("ERR_CREDIT", "more bytes than the stream's credit allows");
export const BAD_STREAM_NUMBER = fault("ERR_STREAM", "a frame names a stream that cannot be, or one too many");
export const BAD_STREAM_DATA = fault("ERR_STREAM", "bytes of a stream that came twice, or lie behind its end");
export const TOO_MANY_GAPS = fault("ERR_STREAM", "more gaps than symbols can be missing");
export const BAD_FINAL_SIZE = fault("ERR_STREAM", "a stream's end that contradicts what came of it");
export const BAD_MESSAGE = fault("ERR_MESSAGE", "a frame that contradicts its message, or one that came twice");
export const MESSAGE_TOO_LARGE = fault("ERR_MESSAGE", "a message larger than this end takes");
export const BAD_COMPRESSION = fault("ERR_COMPRESSION", "compressed data that do not give what they say");
export const NO_COMPRESSION = fault("ERR_COMPRESSION", "compressed data that were not agreed on");

/** Thrown for wrong arguments. `code` is stable, the text is not. */
export class SessionError extends RangeError {
  override readonly name = "SessionError";
  readonly code: SessionErrorCode;

  constructor(code: SessionErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** An option or argument out of range, ERR_RANGE. `message` reads "FIELD is VALUE, wanted LIMIT". */
export class SessionRangeError extends SessionError {
  readonly field: string;
  readonly value: unknown;
  /** What would be right, in words. */
  readonly limit: string;

  constructor(field: string, value: unknown, limit: string) {
    super("ERR_RANGE", `${field} is ${String(value)}, wanted ${limit}`);
    this.field = field;
    this.value = value;
    this.limit = limit;
  }
}

/** Throws a SessionRangeError unless `value` is a whole number from `low` to `high`. */
export function checkRange(field: string, value: number, low: number, high: number): void {
  if (Number.isInteger(value) && value >= low && value <= high) return;
  throw new SessionRangeError(field, value, `a whole number from ${low} to ${high}`);
}
