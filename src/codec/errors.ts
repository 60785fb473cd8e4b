/** The one error class of the codec: what was wrong, where, and what would be right. */

export type CodecErrorCode =
  /** A value is outside its range. */
  | "ERR_RANGE"
  /** A buffer does not have the length that it must have. */
  | "ERR_LENGTH"
  /** A parameter block is not one, or not one of this version. */
  | "ERR_FORMAT"
  /** The call is not allowed in the present state. */
  | "ERR_STATE";

/**
 * Thrown for wrong arguments and for parameter blocks that are none. Not for symbols, which come from the network: those are
 * dropped and counted. `code` is stable, the text is not.
 */
export class CodecError extends RangeError {
  override readonly name = "CodecError";
  readonly code: CodecErrorCode;
  /** The argument or field that was wrong. */
  readonly field: string;
  /** What it was. */
  readonly value: unknown;
  /** What would have been right, in words. */
  readonly wanted: string;

  constructor(code: CodecErrorCode, field: string, value: unknown, wanted: string) {
    super(`${field} is ${String(value)}, wanted ${wanted}`);
    this.code = code;
    this.field = field;
    this.value = value;
    this.wanted = wanted;
  }
}

/** Throws ERR_RANGE unless `value` is a whole number from `low` to `high`. */
export function checkInteger(field: string, value: number, low: number, high: number): void {
  if (!(Number.isInteger(value) && value >= low && value <= high)) {
    throw new CodecError("ERR_RANGE", field, value, `a whole number from ${low} to ${high}`);
  }
}
