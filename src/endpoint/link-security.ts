/**
 * What makes the links of an endpoint secure, as far as the endpoint has to know: handshakes that tell who the peer is, packet
 * protection, tokens, and a secret for stateless resets. How, is not said here.
 */
import type { AddressTokens, AeadName, PeerIdentity, ResetTokens } from "../tls/index.ts";
import type { Handshake, PacketProtection, Role } from "../transport/link/index.ts";

export interface AuthenticatedHandshake extends Handshake {
  /** Set when there are keys. */
  readonly peer: PeerIdentity | null;
  readonly aead: AeadName | null;
  /** Nothing is asked of it any more. */
  destroy(): void;
}

export interface LinkSecurity {
  readonly protection: PacketProtection;
  readonly tokens: AddressTokens;
  readonly resetTokens: ResetTokens;
  /**
   * A handshake. `serverName`: the name that a client expects in the server's certificate. `onProgress`: the link should be polled.
   */
  handshake(role: Role, serverName: string, onProgress: () => void): AuthenticatedHandshake;
}

/** Two certificates of one identity, as after a renewal, have one key. */
export function identityKey({ commonName, organization, subjectAltNames }: PeerIdentity): string {
  return JSON.stringify([commonName, organization, subjectAltNames]);
}
