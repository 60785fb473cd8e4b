/** The certificates that the peer showed: whether they bear the name expected, and when the first of them expires. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { DetailedPeerCertificate, TLSSocket } from "node:tls";

/** Certificates looked at in a chain. */
const MAX_CHAIN = 16;

/** As certificates have it: a DNS name without the root's dot, an address without a zone. */
export function certificateName(serverName: string): string {
  return isIP(serverName) === 0 ? serverName.replace(/\.$/, "") : serverName.replace(/%.*$/, "");
}

/** The names of a certificate are its alternative names (RFC 9525, section 2): a CN is none. */
export function isFor(serverName: string, certificate: X509Certificate): boolean {
  if (isIP(serverName) !== 0) return certificate.checkIP(serverName) !== undefined;
  // OpenSSL takes no name with a zero byte, and Node throws then.
  if (serverName.includes("\0")) return false;
  return certificate.checkHost(serverName, { subject: "never", partialWildcards: false }) !== undefined;
}

export interface PeerChain {
  readonly certificate: X509Certificate;
  /** When the first of the chain expires, ms since 1970. After a resumption only the certificate's own end is known. */
  readonly endMs: number;
  /** The CAs above it, without the root. None after a resumption. */
  readonly authorities: readonly { readonly fingerprint256: string; readonly raw: Buffer }[];
}

/**
 * What the peer showed; null when it was nothing. Not by `getPeerX509Certificate`, which in a client takes the certificate out of
 * the chain that others read. Costs a tenth of the handshake: call it once.
 */
export function chainOf(socket: TLSSocket): PeerChain | null {
  const shown = socket.getPeerCertificate(true);
  if (shown.raw === undefined) return null;
  let endMs = Number.POSITIVE_INFINITY;
  const authorities: DetailedPeerCertificate[] = [];
  let link: DetailedPeerCertificate | undefined = shown;
  for (let depth = 0; link?.valid_to !== undefined && depth < MAX_CHAIN; depth++) {
    endMs = Math.min(endMs, Date.parse(link.valid_to));
    // A root names itself as its issuer.
    const issuer: DetailedPeerCertificate | undefined = link.issuerCertificate;
    if (link !== shown && issuer !== link) authorities.push(link);
    link = issuer === link ? undefined : issuer;
  }
  return { certificate: new X509Certificate(shown.raw), endMs, authorities };
}
