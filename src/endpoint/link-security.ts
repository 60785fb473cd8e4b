/**
 * What makes the links of an endpoint secure, as far as the endpoint has to know: handshakes that tell who the peer is, packet
 * protection, tokens, and a secret for stateless resets. How, is not said here.
 */
import type { Handshake, PacketProtection, Role } from "../transport/link/index.ts";
import type { AddressTokens } from "./transport-endpoint.ts";

/** Who the peer is, by its certificate. */
export interface PeerIdentity {
  readonly commonName: string;
  readonly organization: readonly string[];
  /** As in `DNS:node-1` or `IP Address:192.0.2.1`. */
  readonly subjectAltNames: readonly string[];
  /** SHA-256 over the certificate, hexadecimal, in pairs with colons. */
  readonly fingerprint256: string;
}

export interface AuthenticatedHandshake extends Handshake {
  /** Set when there are keys. */
  readonly peer: PeerIdentity | null;
  /** Nothing is asked of it any more. */
  destroy(): void;
}

export interface LinkSecurity {
  readonly protection: PacketProtection;
  readonly tokens: AddressTokens;
  /** For the tokens of stateless resets; outlives a restart, where that can be. */
  readonly resetKey: Uint8Array;
  /**
   * A handshake. `serverName`: the name that a client expects in the server's certificate. `onProgress`: the link should be polled.
   */
  handshake(role: Role, serverName: string, onProgress: () => void): AuthenticatedHandshake;
}

/** Two certificates of one identity, as after a renewal, have one key. */
export function identityKey({ commonName, organization, subjectAltNames }: PeerIdentity): string {
  return JSON.stringify([commonName, organization, subjectAltNames]);
}
