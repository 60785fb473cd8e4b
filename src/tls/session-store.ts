/**
 * TLS sessions that a client may resume, with who the server was: on resumption neither end shows a certificate, and a client's
 * TLS does not know the old one any more.
 */
import type { PeerIdentity } from "./peer-identity.ts";

export interface StoredSession {
  readonly session: Buffer;
  readonly peer: PeerIdentity;
  /** When the first certificate of the server's chain expires, ms since 1970: not to be resumed later. */
  readonly chainEndMs: number;
}

/** Servers whose sessions are kept; the one longest unused goes first. */
const MAX_SERVERS = 64;

export class SessionStore {
  readonly #sessions = new Map<string, StoredSession>();

  /** The session for the server of this name, unless its certificates have expired. */
  get(serverName: string): StoredSession | null {
    const stored = this.#sessions.get(serverName);
    if (stored === undefined) return null;
    this.#sessions.delete(serverName);
    if (Date.now() > stored.chainEndMs) return null;
    this.#sessions.set(serverName, stored);
    return stored;
  }

  set(serverName: string, stored: StoredSession): void {
    this.#sessions.delete(serverName);
    this.#sessions.set(serverName, stored);
    if (this.#sessions.size > MAX_SERVERS) {
      for (const oldest of this.#sessions.keys()) {
        this.#sessions.delete(oldest);
        break;
      }
    }
  }

  delete(serverName: string): void {
    this.#sessions.delete(serverName);
  }
}
