/**
 * A session's hold on one link: the link's user, which passes everything on to the session as long as it is this link's turn to
 * carry it. A session may outlive its link; then another attachment takes over. Packets' fates reach the session from any link.
 */
import type { Address } from "../transport/address.ts";
import type { CloseReason, LinkParameters, LinkUser, PacketFill } from "../transport/link/index.ts";
import type { AuthenticatedHandshake } from "./link-security.ts";
import type { LinkObserver, RoutedLink } from "./routed-link.ts";

/** Who decides what becomes of a link. */
export interface AttachmentOwner {
  established(attachment: Attachment, peer: LinkParameters, nowMs: number): void;
  progressed(attachment: Attachment, nowMs: number): void;
  pathChanged(attachment: Attachment, remote: Address, restarted: boolean): void;
  closed(attachment: Attachment, reason: CloseReason, nowMs: number): void;
}

export class Attachment implements LinkUser, LinkObserver {
  owner: AttachmentOwner;
  routed!: RoutedLink;
  handshake!: AuthenticatedHandshake;
  #session: LinkUser | null = null;
  /** Whether the session sends over this link. */
  #carries = false;
  /** Packets of which the link told before there was a session. */
  #arrived = 0;
  #lost = 0;

  constructor(owner: AttachmentOwner) {
    this.owner = owner;
  }

  get carries(): boolean {
    return this.#carries;
  }

  /** What is above the link, if anything is yet. */
  get user(): LinkUser | null {
    return this.#session;
  }

  /** What comes is the session's, which does not go over this link yet: the peer may be the first to speak. */
  hear(session: LinkUser): void {
    this.#session = session;
  }

  /** From now on the session goes over this link. */
  carry(session: LinkUser, nowMs: number): void {
    this.#session = session;
    this.#carries = true;
    session.pathSampled(this.#arrived, this.#lost);
    session.payloadBytesChanged(this.routed.link.payloadBytes, nowMs);
  }

  /** From now on it does not. */
  drop(): void {
    this.#carries = false;
  }

  /** The session is gone. All its packets must be settled, or nobody cares any more. */
  release(): void {
    this.#carries = false;
    this.#session = null;
  }

  // What the link calls.

  ready(nowMs: number): boolean {
    return this.#carries && this.#session!.ready(nowMs);
  }

  nextTimeoutMs(): number {
    return this.#carries ? this.#session!.nextTimeoutMs() : Number.POSITIVE_INFINITY;
  }

  fill(packet: PacketFill, nowMs: number): void {
    if (this.#carries) this.#session!.fill(packet, nowMs);
  }

  acked(tag: number, nowMs: number): void {
    this.#session?.acked(tag, nowMs);
  }

  lost(tag: number, nowMs: number): void {
    this.#session?.lost(tag, nowMs);
  }

  spurious(tag: number, nowMs: number): void {
    this.#session?.spurious(tag, nowMs);
  }

  pathSampled(arrived: number, lost: number): void {
    if (this.#carries) {
      this.#session!.pathSampled(arrived, lost);
      return;
    }
    this.#arrived += arrived;
    this.#lost += lost;
  }

  receive(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    this.#session?.receive(bytes, start, end, nowMs);
  }

  established(peer: LinkParameters, nowMs: number): void {
    this.owner.established(this, peer, nowMs);
  }

  payloadBytesChanged(payloadBytes: number, nowMs: number): void {
    if (this.#carries) this.#session!.payloadBytesChanged(payloadBytes, nowMs);
  }

  pathChanged(remote: Address, restarted: boolean, nowMs: number): void {
    if (this.#carries) this.#session!.pathChanged(remote, restarted, nowMs);
    this.owner.pathChanged(this, remote, restarted);
  }

  closed(reason: CloseReason, nowMs: number): void {
    this.#carries = false;
    this.owner.closed(this, reason, nowMs);
  }

  // What the endpoint calls.

  progressed(nowMs: number): void {
    this.owner.progressed(this, nowMs);
  }

  removed(): void {
    this.handshake.destroy();
  }
}
