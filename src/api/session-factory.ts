/** Sessions with the application's options, and what is wrong with these as an error of the API. */
import { deflateRaw } from "../compression/deflate.ts";
import { Session as CoreSession } from "../transport/session/session.ts";
import { SessionError } from "../transport/session/session-error.ts";
import { BatsError } from "./errors.ts";
import { coreOptions, type SessionOptions } from "./session-options.ts";

/** Makes sessions with these options; checks them at once. */
export function sessionFactory(options: SessionOptions, isClient: boolean): (sessionId?: Uint8Array) => CoreSession {
  const core = coreOptions(options, isClient, [deflateRaw]);
  const create = (sessionId?: Uint8Array): CoreSession =>
    new CoreSession(sessionId === undefined ? core : { ...core, sessionId });
  try {
    create().destroy();
  } catch (error) {
    throw argumentError(error);
  }
  return create;
}

/** What the session below throws for wrong arguments, as an error of the API. */
export function argumentError(error: unknown): unknown {
  if (!(error instanceof SessionError)) return error;
  return new BatsError(error.code === "ERR_MESSAGE" ? "ERR_BATS_TOO_LARGE" : "ERR_BATS_ARGUMENT", error.message, {
    cause: error,
  });
}
