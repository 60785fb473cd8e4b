/**
 * The end of a link, RFC 9000, section 10.2. Whoever closes says so, repeats it a few times because nobody acknowledges a
 * CLOSE, and once for each further packets that come, ever more rarely; whoever hears it falls silent. After three probe
 * timeouts the link is gone. Not here: finishing what is in flight first, which is the link's graceful close.
 */

export type CloseCause =
  /** This end closed. */
  | "local"
  /** The peer said CLOSE. */
  | "peer"
  /** Nothing came for the idle timeout. */
  | "idle"
  /** The peer lost its state and said so. */
  | "reset"
  /** The handshake failed. */
  | "handshake"
  /** The handshake took too long. */
  | "timeout"
  /** The peer speaks none of our versions. */
  | "version"
  /** The peer broke the protocol. */
  | "protocol";

export interface CloseReason {
  readonly cause: CloseCause;
  /** From the CLOSE frame; codes from 0x100 on are the application's. */
  readonly code: number;
  readonly text: string;
}

export const CLOSE_NO_ERROR = 0;
export const CLOSE_PROTOCOL = 1;
export const CLOSE_HANDSHAKE = 2;
/** Keys are used up and could not be updated. */
export const CLOSE_KEYS = 3;
/** Failures of the handshake of a kind that it names itself. */
export const CLOSE_HANDSHAKE_FIRST = 0x10;
export const CLOSE_HANDSHAKE_LAST = 0x1f;
/** Codes from here on are the application's own. */
export const CLOSE_APPLICATION = 0x100;

/** Whether CLOSE with this code says that the handshake failed. */
export function isHandshakeFailure(code: number): boolean {
  return code === CLOSE_HANDSHAKE || (code >= CLOSE_HANDSHAKE_FIRST && code <= CLOSE_HANDSHAKE_LAST);
}

/** CLOSE is sent this many times of itself. */
const REPEATS = 8;
const CLOSE_PTOS = 3;

export class Closing {
  readonly reason: CloseReason;
  /** Whether CLOSE is sent: not by who heard it, nor after silence. */
  readonly speaks: boolean;
  readonly endMs: number;
  readonly #stepMs: number;
  /** How often CLOSE was sent. */
  sent = 0;
  #left = REPEATS;
  #nextMs: number;
  #received = 0;
  #answerAt = 1;
  #answer = false;

  constructor(reason: CloseReason, speaks: boolean, probeTimeoutMs: number, nowMs: number) {
    this.reason = reason;
    this.speaks = speaks;
    this.#stepMs = (CLOSE_PTOS * probeTimeoutMs) / REPEATS;
    this.#nextMs = nowMs;
    this.endMs = nowMs + CLOSE_PTOS * probeTimeoutMs;
  }

  /** A packet came: CLOSE is said again at the 1st, 2nd, 4th, 8th. */
  onReceived(): void {
    if (++this.#received < this.#answerAt) return;
    this.#answerAt *= 2;
    this.#answer = this.speaks;
  }

  /** Whether CLOSE should leave now. */
  due(nowMs: number): boolean {
    return this.speaks && (this.#answer || (this.#left > 0 && nowMs >= this.#nextMs));
  }

  onSent(nowMs: number): void {
    this.sent++;
    if (this.#answer) this.#answer = false;
    else this.#left--;
    this.#nextMs = nowMs + this.#stepMs;
  }

  get nextMs(): number {
    if (!this.speaks) return this.endMs;
    if (this.#answer) return Number.NEGATIVE_INFINITY;
    return this.#left > 0 ? Math.min(this.#nextMs, this.endMs) : this.endMs;
  }
}
