/**
 * A session together with the link that carries it at the moment, or with none: what is common to both ends. How a new link is
 * found is the client's business (`client-holder.ts`), how an old session is found again the server's (`session-registry.ts`).
 */

import type { PeerIdentity } from "../tls/index.ts";
import { type Address, sameAddress } from "../transport/address.ts";
import {
  CLOSE_APPLICATION,
  CLOSE_KEYS,
  type CloseReason,
  type LinkParameters,
  type LinkUser,
} from "../transport/link/index.ts";
import type { Session } from "../transport/session/session.ts";
import type { Attachment, AttachmentOwner } from "./attachment.ts";
import type { SocketDriver } from "./socket-driver.ts";

/** Codes of CLOSE that an endpoint itself says. */
export const CLOSE_NORMAL = CLOSE_APPLICATION;
export const CLOSE_SESSION_UNKNOWN = CLOSE_APPLICATION + 1;
export const CLOSE_ABORTED = CLOSE_APPLICATION + 2;
/** The identity has as many sessions as it may. */
export const CLOSE_TOO_MANY_SESSIONS = CLOSE_APPLICATION + 3;

/** The server takes no new sessions. */
export const CLOSE_NO_NEW_SESSIONS = CLOSE_APPLICATION + 4;

/** Why a session is over. */
export type SessionEnd =
  /** The link ended in a way that no other link can mend. */
  | { cause: "link"; reason: CloseReason }
  /** The peer does not know the session any more. */
  | { cause: "lost"; text: string }
  /** No link could be had for too long. */
  | { cause: "timeout"; text: string };

/** Who uses the session. */
export interface HolderListener {
  /** There is a link for the first time. */
  opened(): void;
  /** Events of the session may wait. */
  progressed(nowMs: number): void;
  /** The peer does not answer, or the link is gone: a new one is being looked for. */
  suspended(): void;
  /** The session goes on, perhaps over a new link. */
  resumed(): void;
  /** An attempt at another link came to nothing; others follow. */
  attemptFailed(reason: CloseReason | Error): void;
  pathChanged(remote: Address): void;
  /** Once; nothing comes afterwards. */
  ended(end: SessionEnd): void;
}

export type HolderState = "opening" | "open" | "suspended" | "over";

export abstract class SessionHolder implements AttachmentOwner {
  readonly session: Session;
  readonly driver: SocketDriver;
  listener: HolderListener | null = null;
  peer: PeerIdentity | null = null;
  #state: HolderState = "opening";
  #current: Attachment | null = null;
  #remote: Address | null = null;

  constructor(session: Session, driver: SocketDriver) {
    this.session = session;
    this.driver = driver;
  }

  get state(): HolderState {
    return this.#state;
  }

  /** The link that carries the session, if one does. */
  get current(): Attachment | null {
    return this.#current;
  }

  /** Where the peer is, or was last. */
  get remote(): Address | null {
    return this.#current?.routed.link.remote ?? this.#remote;
  }

  /** The session, or its user, may have something to send. */
  wake(): void {
    if (this.#current === null) return;
    this.driver.endpoint.wake(this.#current.routed);
    this.driver.wake();
  }

  /** Ends the session here, telling the peer if there is a link. `patienceMs`: what was sent is settled before, for at most so long. */
  close(code: number, text: string, patienceMs: number): void {
    const routed = this.#current?.routed;
    const nowMs = this.driver.now();
    if (routed === undefined || this.#state === "over") {
      this.end({ cause: "link", reason: { cause: "local", code, text } });
      return;
    }
    if (patienceMs > 0) routed.link.closeGracefully(code, text, patienceMs, nowMs);
    else routed.link.close(code, text, nowMs);
    // Not by `wake`: the link may be the session's no more, and has its goodbye to say all the same.
    this.driver.endpoint.wake(routed);
    this.driver.wake();
  }

  /** The session is over: nothing is sent or received any more, its memory goes back. */
  end(end: SessionEnd): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.onEnd();
    const current = this.#current;
    this.#current = null;
    if (current !== null && current.routed.link.closeReason === null) {
      current.routed.link.close(CLOSE_ABORTED, "text" in end ? end.text : end.reason.text, this.driver.now());
      this.driver.endpoint.wake(current.routed);
      this.driver.wake();
    }
    current?.release();
    this.listener?.ended(end);
    this.session.destroy();
  }

  abstract established(attachment: Attachment, peer: LinkParameters, nowMs: number): void;
  /** The link that carried the session is gone, in a way that another may mend. */
  protected abstract onLinkGone(attachment: Attachment): void;
  /** Gives back what the end in question holds. */
  protected abstract onEnd(): void;

  progressed(attachment: Attachment, nowMs: number): void {
    if (attachment === this.#current) this.listener?.progressed(nowMs);
  }

  pathChanged(attachment: Attachment, remote: Address, _restarted: boolean): void {
    if (attachment === this.#current) this.listener?.pathChanged(remote);
  }

  closed(attachment: Attachment, reason: CloseReason, _nowMs: number): void {
    if (attachment !== this.#current) return;
    this.#remote = attachment.routed.link.remote;
    if (reason.cause === "peer" && reason.code === CLOSE_SESSION_UNKNOWN) {
      this.end({ cause: "lost", text: reason.text });
    } else if (this.#state !== "opening" && isMendable(reason)) {
      this.#current = null;
      attachment.release();
      this.session.suspend();
      this.suspend();
      this.onLinkGone(attachment);
    } else {
      this.end({ cause: "link", reason });
    }
  }

  /** Lets a link carry the session; the one that did is forgotten without a word. */
  protected attach(attachment: Attachment, nowMs: number): void {
    const old = this.#current;
    const before = this.remote;
    this.#current = attachment;
    if (old !== null) {
      old.drop();
      this.driver.endpoint.destroy(old.routed, nowMs);
      old.release();
      this.session.suspend();
    }
    attachment.owner = this;
    attachment.carry(this.session, nowMs);
    this.session.resume();
    this.peer = attachment.handshake.peer;
    const { remote } = attachment.routed.link;
    if (before !== null && !sameAddress(before, remote)) this.listener?.pathChanged(remote);
  }

  /** The session has its first link, and may send over it. */
  protected begin(peer: LinkParameters, nowMs: number): void {
    const user: LinkUser = this.session;
    user.established(peer, nowMs);
  }

  /** Both ends have accepted each other. */
  protected open(): void {
    this.#state = "open";
    this.listener?.opened();
  }

  protected suspend(): void {
    if (this.#state !== "open") return;
    this.#state = "suspended";
    this.listener?.suspended();
  }

  protected resume(): void {
    if (this.#state !== "suspended") return;
    this.#state = "open";
    this.listener?.resumed();
  }
}

/** Whether a session may go on over another link after this end of one. */
function isMendable({ cause, code }: CloseReason): boolean {
  return cause === "idle" || cause === "reset" || cause === "timeout" || (cause === "local" && code === CLOSE_KEYS);
}
