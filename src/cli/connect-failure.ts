/** What a failed attempt to connect means: whether another one may succeed, and the exit code when none is made. */
import { BatsError } from "../api/errors.ts";
import type { Verdict } from "../proxy/reconnect.ts";
import type { FailureReason } from "../tls/index.ts";
import { EXIT, UserError } from "./user-error.ts";

/** Failures that do not get better by trying; a clock that is behind does, and so does a list of revocations. */
const HOPELESS: readonly (FailureReason | undefined)[] = ["certificate", "expired", "revoked", "name", "protocol"];

export function judge(error: Error): Verdict {
  if (!(error instanceof BatsError)) return "retry";
  const refused = error.code === "ERR_BATS_HANDSHAKE" && HOPELESS.includes(error.reason);
  return refused || error.code === "ERR_BATS_VERSION" ? "hopeless" : "retry";
}

export function connectFailure(error: Error): UserError {
  return new UserError(judge(error) === "hopeless" ? EXIT.certificate : EXIT.unreachable, error.message);
}
