/**
 * The one error for bad options, and the checks that throw it. Not for misuse at run time (an endpoint that breaks its
 * contract): that is a plain Error.
 */
import type { Address } from "../transport/address.ts";

/** An option out of range. `message` reads "FIELD is VALUE, wanted LIMIT". */
export class SimulatorOptionError extends RangeError {
  override readonly name = "SimulatorOptionError";
  /** Where the option stands, as the caller wrote it: `rateMbps`, `loss.meanBurst`. */
  readonly field: string;
  readonly value: unknown;
  /** What would be right, in words with a unit. */
  readonly limit: string;

  constructor(field: string, value: unknown, limit: string) {
    super(`${field} is ${shown(value)}, wanted ${limit}`);
    this.field = field;
    this.value = value;
    this.limit = limit;
  }
}

function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  try {
    return String(value);
  } catch {
    // An object need not be one that can be written as text.
    return Object.prototype.toString.call(value);
  }
}

/** Returns `value` when it is a number from `minimum` to `maximum`, both included; NaN never is. */
export function checkNumber(field: string, value: number, minimum: number, maximum: number, unit: string): number {
  if (typeof value === "number" && value >= minimum && value <= maximum) return value;
  const range = maximum === Number.POSITIVE_INFINITY ? `from ${minimum}` : `from ${minimum} to ${maximum}`;
  throw new SimulatorOptionError(field, value, `${unit} ${range}`);
}

/** Like `checkNumber`, for whole numbers. */
export function checkInteger(field: string, value: number, minimum: number, maximum: number, unit: string): number {
  if (Number.isInteger(value)) return checkNumber(field, value, minimum, maximum, unit);
  throw new SimulatorOptionError(field, value, `${unit}, a whole number from ${minimum}`);
}

/** Probabilities, shares: from 0 to 1. */
export function checkShare(field: string, value: number): number {
  return checkNumber(field, value, 0, 1, "a share");
}

/** Intervals and durations that must advance time. */
export function checkPositive(field: string, value: number, unit: string): number {
  if (typeof value === "number" && value > 0 && value < Number.POSITIVE_INFINITY) return value;
  throw new SimulatorOptionError(field, value, `${unit} above 0`);
}

/** Throws a SimulatorOptionError when `address` is none. */
export function checkAddress(field: string, address: Address): void {
  if (typeof address.ip !== "string" || address.ip.length === 0) {
    throw new SimulatorOptionError(`${field}.ip`, address.ip, "an IP address");
  }
  if (!(Number.isInteger(address.port) && address.port >= 1 && address.port <= 65535)) {
    throw new SimulatorOptionError(`${field}.port`, address.port, "a port from 1 to 65535");
  }
}
