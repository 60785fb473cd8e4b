/** The certificates that the peer showed: whether they bear the name expected, and when the first of them expires. */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { TLSSocket } from "node:tls";

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
  /** When the first of the chain expires, ms since 1970. After a resumption only the certificate's own end is sure to count. */
  readonly endMs: number;
  /** The CAs above it, without the root. */
  readonly authorities: readonly X509Certificate[];
}

/**
 * What the peer showed, with what of `trusted` stands above it; null when it was nothing. Call it once: in Node it takes the certificates
 * out of the chain that `getPeerCertificate` reads, which copies and takes apart every certificate of the chain, at the cost of a fifth of the handshake.
 */
export function chainOf(socket: TLSSocket, trusted: readonly X509Certificate[]): PeerChain | null {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  let endMs = Number.POSITIVE_INFINITY;
  const authorities: X509Certificate[] = [];
  let link: X509Certificate | undefined = certificate;
  for (let depth = 0; link !== undefined && depth < MAX_CHAIN; depth++) {
    endMs = Math.min(endMs, endOf(link));
    // A root names itself as its issuer.
    if (link.checkIssued(link)) break;
    if (link !== certificate) authorities.push(link);
    link = link.issuerCertificate ?? issuerAmong(trusted, link);
  }
  return { certificate, endMs, authorities };
}

/** TLS has verified that one of them issued `certificate`: of several that may have, a CA that was renewed, the one that lasts longest. */
function issuerAmong(trusted: readonly X509Certificate[], certificate: X509Certificate): X509Certificate | undefined {
  let best: X509Certificate | undefined;
  for (const candidate of trusted) {
    if (!certificate.checkIssued(candidate)) continue;
    if (best === undefined || endOf(candidate) > endOf(best)) best = candidate;
  }
  return best;
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}
