/** The errors of the socket API: one class, told apart by `code`, which is stable. docs/api.md says what to do about each. */

import type { SessionEnd } from "../endpoint/session-holder.ts";
import { CLOSE_NORMAL } from "../endpoint/session-holder.ts";
import { type FailureReason, reasonOfCode } from "../tls/index.ts";
import { CLOSE_PROTOCOL, type CloseReason, isHandshakeFailure } from "../transport/link/index.ts";

/** What an error is about; stable, as its text is not. */
export type BatsErrorCode =
  /** An option or argument is wrong. */
  | "ERR_BATS_ARGUMENT"
  /** A certificate, key, CA or CRL cannot be used. */
  | "ERR_BATS_CREDENTIALS"
  /** A host name could not be looked up. */
  | "ERR_BATS_LOOKUP"
  /** The UDP or TCP port could not be opened. */
  | "ERR_BATS_BIND"
  /** Nothing came back from the server. */
  | "ERR_BATS_CONNECT_TIMEOUT"
  /** The peer was reached, but one did not accept the other: certificates, names, ALPN. */
  | "ERR_BATS_HANDSHAKE"
  /** The peer speaks another version of the protocol. */
  | "ERR_BATS_VERSION"
  /** The peer broke the protocol, or says that this end did. */
  | "ERR_BATS_PROTOCOL"
  /** This end closed the session. */
  | "ERR_BATS_SESSION_CLOSED"
  /** The peer closed the session. */
  | "ERR_BATS_PEER_CLOSED"
  /** The peer lost the session, as by a restart. */
  | "ERR_BATS_SESSION_LOST"
  /** The peer could not be reached for longer than a session waits. */
  | "ERR_BATS_SESSION_TIMEOUT"
  /** The peer's certificate was revoked while the session was open. */
  | "ERR_BATS_REVOKED"
  /** The peer gave up a stream. */
  | "ERR_BATS_STREAM_RESET"
  /** A message or datagram is larger than allowed. */
  | "ERR_BATS_TOO_LARGE";

/** An error of the socket API, told apart by `code`. */
export class BatsError extends Error {
  override readonly name = "BatsError";
  readonly code: BatsErrorCode;
  /** The number that the peer gave with a reset of a stream; undefined otherwise. */
  readonly resetCode: number | undefined;
  /** What an ERR_BATS_HANDSHAKE is about, where that is known; undefined otherwise. As stable as `code`. */
  readonly reason: FailureReason | undefined;
  /** Which option of `listen` an ERR_BATS_LOOKUP or ERR_BATS_BIND is about, where that is `listenTls`; undefined otherwise. */
  readonly option: "listenTls" | undefined;

  constructor(
    code: BatsErrorCode,
    message: string,
    options?: { cause?: unknown; resetCode?: number; reason?: FailureReason | undefined; option?: "listenTls" },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.resetCode = options?.resetCode;
    this.reason = options?.reason;
    this.option = options?.option;
  }
}

/** Why an attempt to connect to `target` came to nothing. */
export function connectError(target: string, end: SessionEnd): BatsError {
  if (end.cause !== "link")
    return new BatsError("ERR_BATS_CONNECT_TIMEOUT", `cannot connect to ${target}: ${end.text}`);
  const { reason } = end;
  if (reason.cause === "timeout") {
    return new BatsError(
      "ERR_BATS_CONNECT_TIMEOUT",
      `cannot connect to ${target}: no answer; is the server running there, and does UDP pass?`,
    );
  }
  if (reason.cause === "reset") {
    return new BatsError(
      "ERR_BATS_HANDSHAKE",
      `cannot connect to ${target}: the server dropped the handshake, and if it said why, that was lost: its log says more`,
    );
  }
  if (reason.cause === "idle") {
    return new BatsError("ERR_BATS_CONNECT_TIMEOUT", `cannot connect to ${target}: the server fell silent`);
  }
  const error = reasonError(reason);
  return new BatsError(error.code, `cannot connect to ${target}: ${error.message}`, { reason: error.reason });
}

/** Why a session is over; null when one end closed it as it should be. */
export function endError(end: SessionEnd): BatsError | null {
  if (end.cause === "lost") return new BatsError("ERR_BATS_SESSION_LOST", `the peer lost the session: ${end.text}`);
  if (end.cause === "timeout")
    return new BatsError("ERR_BATS_SESSION_TIMEOUT", `the session was given up: ${end.text}`);
  const { cause, code } = end.reason;
  if ((cause === "local" || cause === "peer") && code === CLOSE_NORMAL) return null;
  return reasonError(end.reason);
}

/** Why a client's attempt at another link for its session came to nothing. */
export function attemptError(reason: CloseReason | Error): BatsError {
  if (reason instanceof BatsError) return reason;
  if (reason instanceof Error) return new BatsError("ERR_BATS_CONNECT_TIMEOUT", reason.message, { cause: reason });
  if (reason.cause === "timeout") return new BatsError("ERR_BATS_CONNECT_TIMEOUT", "no answer");
  return reasonError(reason);
}

function reasonError({ cause, code, text }: CloseReason): BatsError {
  switch (cause) {
    case "local":
      // The session found it out, which has no other way to end than by closing.
      if (code === CLOSE_PROTOCOL) return brokenProtocol(text);
      return new BatsError("ERR_BATS_SESSION_CLOSED", text === "" ? "the session was closed" : text);
    case "peer":
      if (isHandshakeFailure(code)) {
        return new BatsError("ERR_BATS_HANDSHAKE", `the peer refused: ${text}`, { reason: reasonOfCode(code) });
      }
      if (code === CLOSE_PROTOCOL) return new BatsError("ERR_BATS_PROTOCOL", `the peer objects: ${text}`);
      return new BatsError("ERR_BATS_PEER_CLOSED", text === "" ? "the peer closed" : `the peer closed: ${text}`);
    case "idle":
      return new BatsError("ERR_BATS_SESSION_TIMEOUT", "the peer fell silent");
    case "reset":
      return new BatsError("ERR_BATS_SESSION_LOST", "the peer lost the session");
    case "handshake":
      return new BatsError("ERR_BATS_HANDSHAKE", text, { reason: reasonOfCode(code) });
    case "version":
      return new BatsError("ERR_BATS_VERSION", text);
    default:
      return brokenProtocol(text);
  }
}

function brokenProtocol(text: string): BatsError {
  return new BatsError("ERR_BATS_PROTOCOL", `the peer broke the protocol: ${text}`);
}
