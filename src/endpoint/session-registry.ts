/**
 * The server's sessions: takes links, makes a session for each new one, and finds the session again that a client had over an
 * earlier link. A session belongs to the identity in the certificate that it was opened with; nobody else can take it over, or end it
 * by opening it anew: its id, which an observer can read, is no secret. Those without a link are kept for a bounded time and in a bounded
 * number. One identity has a bounded number of sessions; those that wait for their client make room for new ones.
 */

import type { AddressTokens, PeerIdentity } from "../tls/index.ts";
import type { Address } from "../transport/address.ts";
import type { LinkParameters } from "../transport/link/index.ts";
import type { Session } from "../transport/session/session.ts";
import { decodeSessionParameters } from "../transport/session/session-parameters.ts";
import { Attachment, type AttachmentOwner } from "./attachment.ts";
import { identityKey, type LinkSecurity } from "./link-security.ts";
import type { LinkObserver } from "./routed-link.ts";
import {
  CLOSE_NO_NEW_SESSIONS,
  CLOSE_SESSION_UNKNOWN,
  CLOSE_TOO_MANY_SESSIONS,
  SessionHolder,
} from "./session-holder.ts";
import type { SocketDriver } from "./socket-driver.ts";
import type { LinkAcceptor, LinkSettings } from "./transport-endpoint.ts";

/** Why a client with a certificate is turned away; stable, as the words are not. */
export type RefusalCode =
  /** Its identity has as many sessions as it may. */
  | "over-quota"
  /** The server takes no new sessions. */
  | "no-new-sessions";

const CLOSE_CODES: Readonly<Record<RefusalCode, number>> = {
  "over-quota": CLOSE_TOO_MANY_SESSIONS,
  "no-new-sessions": CLOSE_NO_NEW_SESSIONS,
};

export interface SessionRegistryOptions {
  driver: SocketDriver;
  security: LinkSecurity;
  createSession: () => Session;
  /** Everything of a link but user, handshake and session parameters. Asked for each. */
  settings: () => Omit<LinkSettings, "user" | "handshake" | "session">;
  /** How long a session without a link is kept, ms. */
  keepMs: number;
  /** How many of those are kept; beyond it the one that waits longest is given up. */
  maximumKept: number;
  /** How many sessions one identity has, those without a link too. */
  maximumPerIdentity: number;
  /** A client with a certificate was turned away; why, by code and in words. Called from within the endpoint. */
  onRefused: (identity: PeerIdentity, remote: Address, code: RefusalCode, words: string) => void;
  /** A client opened a session. Called from within the endpoint. */
  onSession: (holder: ServerHolder) => void;
}

const UNKNOWN = { code: CLOSE_SESSION_UNKNOWN, text: "the session is not known here" };

export class SessionRegistry implements LinkAcceptor, AttachmentOwner {
  readonly tokens: AddressTokens;
  /** Why no new sessions are taken, in words; null while they are. Those that are there go on, over new links too. */
  closedToNew: string | null = null;
  readonly #options: SessionRegistryOptions;
  /** Those of any session that begins: which it will be is not known yet when they leave. */
  readonly #parameters: Uint8Array;
  readonly #byName = new Map<string, ServerHolder>();
  /** Those without a link, the one that waits longest first. */
  readonly #kept = new Set<ServerHolder>();
  readonly #byIdentity = new Map<string, Set<ServerHolder>>();

  constructor(options: SessionRegistryOptions) {
    this.#options = options;
    this.tokens = options.security.tokens;
    const example = options.createSession();
    this.#parameters = example.localParameters;
    example.destroy();
  }

  accept(): { settings: LinkSettings; observer: LinkObserver } {
    const { driver, security, settings } = this.#options;
    const attachment = new Attachment(this);
    const handshake = security.handshake("server", "", () => {
      driver.endpoint.wake(attachment.routed);
      driver.wake();
    });
    attachment.handshake = handshake;
    return {
      settings: { ...settings(), user: attachment, handshake, session: this.#parameters },
      observer: attachment,
    };
  }

  established(attachment: Attachment, peer: LinkParameters, nowMs: number): void {
    const { link } = attachment.routed;
    const identity = attachment.handshake.peer;
    const name = decodeSessionParameters(peer.session);
    if (identity === null || name === null) {
      link.close(UNKNOWN.code, UNKNOWN.text, nowMs);
      return;
    }
    const owner = identityKey(identity);
    // An id of zeros: it is not meant to be found again.
    const named = name.sessionId.some((byte) => byte !== 0);
    const key = named ? `${Buffer.from(name.sessionId).toString("hex")} ${owner}` : null;
    const known = key === null ? undefined : this.#byName.get(key);
    if (name.resumed) {
      if (known === undefined) link.close(UNKNOWN.code, UNKNOWN.text, nowMs);
      else known.takeUp(attachment, nowMs);
      return;
    }
    const { driver, createSession, onSession, maximumPerIdentity, onRefused } = this.#options;
    const refuse = (code: RefusalCode, words: string): void => {
      link.close(CLOSE_CODES[code], words, nowMs);
      onRefused(identity, link.remote, code, words);
    };
    if (this.closedToNew !== null) {
      refuse("no-new-sessions", this.closedToNew);
      return;
    }
    // One that is opened anew takes its own place.
    if (known === undefined && !this.#makeRoom(owner)) {
      refuse("over-quota", `this identity has ${maximumPerIdentity} sessions, the most that the server lets one have`);
      return;
    }
    // Not before: a client that is turned away ends nothing.
    known?.end({ cause: "lost", text: "the client opened it anew" });
    const holder = new ServerHolder(createSession(), driver, this, { key, owner });
    if (key !== null) this.#byName.set(key, holder);
    const own = this.#byIdentity.get(owner);
    if (own === undefined) this.#byIdentity.set(owner, new Set([holder]));
    else own.add(holder);
    onSession(holder);
    holder.start(attachment, peer, nowMs);
  }

  progressed(): void {}

  pathChanged(): void {}

  closed(): void {}

  /** Ends all sessions that wait for a link. */
  endKept(): void {
    for (const holder of this.#kept) holder.end({ cause: "timeout", text: "the listener closed" });
  }

  /** @internal */
  keep(holder: ServerHolder): void {
    this.#kept.add(holder);
    if (this.#kept.size <= this.#options.maximumKept) return;
    for (const oldest of this.#kept) {
      oldest.end({ cause: "timeout", text: "too many sessions wait for their clients" });
      return;
    }
  }

  /** @internal */
  unkeep(holder: ServerHolder): void {
    this.#kept.delete(holder);
  }

  /** @internal */
  forget(holder: ServerHolder): void {
    this.#kept.delete(holder);
    if (holder.key !== null && this.#byName.get(holder.key) === holder) this.#byName.delete(holder.key);
    const own = this.#byIdentity.get(holder.owner);
    own?.delete(holder);
    if (own?.size === 0) this.#byIdentity.delete(holder.owner);
  }

  /** Whether an identity may have one session more. The one of its own that has waited longest for its client gives way. */
  #makeRoom(owner: string): boolean {
    const own = this.#byIdentity.get(owner);
    if (own === undefined || own.size < this.#options.maximumPerIdentity) return true;
    for (const waiting of this.#kept) {
      if (waiting.owner !== owner) continue;
      waiting.end({ cause: "timeout", text: "a newer session of its identity took its place" });
      return true;
    }
    return false;
  }

  /** @internal */
  get keepMs(): number {
    return this.#options.keepMs;
  }
}

/** The server's end of a session: waits for its client to come back. */
export class ServerHolder extends SessionHolder {
  /** Of its name and its identity; null: it has no name. */
  readonly key: string | null;
  /** The identity alone. */
  readonly owner: string;
  readonly #registry: SessionRegistry;
  #timer: NodeJS.Timeout | null = null;
  /** The link whose client was given a token for its next one. */
  #tokenFor: Attachment | null = null;

  constructor(
    session: Session,
    driver: SocketDriver,
    registry: SessionRegistry,
    { key, owner }: { key: string | null; owner: string },
  ) {
    super(session, driver);
    this.#registry = registry;
    this.key = key;
    this.owner = owner;
  }

  /** Its first link. */
  start(attachment: Attachment, peer: LinkParameters, nowMs: number): void {
    this.attach(attachment, nowMs);
    this.begin(peer, nowMs);
    this.open();
  }

  /** The client came back. */
  takeUp(attachment: Attachment, nowMs: number): void {
    this.#stopWaiting();
    this.attach(attachment, nowMs);
    this.resume();
  }

  established(): void {}

  override progressed(attachment: Attachment, nowMs: number): void {
    const { link } = attachment.routed;
    if (this.#tokenFor !== attachment && link.confirmed && link.closeReason === null) {
      this.#tokenFor = attachment;
      link.sendToken(this.#registry.tokens.issue("later", link.remote, nowMs));
      this.wake();
    }
    super.progressed(attachment, nowMs);
  }

  protected onLinkGone({ routed: { link } }: Attachment): void {
    if (this.key === null) {
      this.end({ cause: "lost", text: "its link ended, and its client wanted none after it" });
      return;
    }
    this.#registry.keep(this);
    if (this.state === "over") return;
    const { keepMs } = this.#registry;
    const heardMs = link.receivedMs;
    this.#timer = setTimeout(() => {
      // Operators know the time from the last packet, which is longer than a link's end is ago.
      const silentS = Math.round((this.driver.now() - heardMs) / 1000);
      this.end({ cause: "timeout", text: `nothing came from the client for ${silentS} s` });
    }, keepMs);
    this.#timer.unref();
  }

  protected onEnd(): void {
    this.#stopWaiting();
    this.#registry.forget(this);
  }

  #stopWaiting(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#registry.unkeep(this);
  }
}
