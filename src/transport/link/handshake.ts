/**
 * The contract between a link and whoever authenticates the peer: bytes in, bytes out, keys. TLS 1.3 fits it, and so does a
 * stand-in for simulations. The link carries the bytes reliably, in order and coded against loss; it never looks at them.
 */
import type { LinkKeys, Role } from "./aead.ts";

export interface Handshake {
  readonly role: Role;
  /**
   * All that was said before: versions, connection ids, token, both ends' parameters. Called once, before `keys` is asked; the
   * keys must depend on every byte of it, so that nothing can be downgraded.
   */
  bind(transcript: Uint8Array): void;
  /** Bytes from the peer, in order: the handshake's, later tickets and the like. Must copy what it keeps; never throws. */
  receive(bytes: Uint8Array): void;
  /** Bytes for the peer, all there are, as one flight; null when there are none. The caller keeps them. */
  poll(): Uint8Array | null;
  /**
   * The keys, once the peer is authenticated; null before. All bytes that the peer needs to get its own keys must have been
   * handed out by `poll` before: what comes later is sealed with these.
   */
  keys(): LinkKeys | null;
  /** Why the handshake failed, in words; null while it has not. */
  readonly failure: string | null;
  /** The kind of failure, for CLOSE: from CLOSE_HANDSHAKE_FIRST to CLOSE_HANDSHAKE_LAST; undefined for none of those. */
  readonly failureCode?: number | undefined;
}
