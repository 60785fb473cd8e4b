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
  // Node calls the certificate that was sent next the issuer of the one before, whatever they are.
  const shown: X509Certificate[] = [];
  for (let next = certificate.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
    if (shown.push(next) === MAX_CHAIN) break;
  }
  return chainAbove(certificate, shown, trusted);
}

/**
 * The chain from `certificate` to one of `trusted`. Those of `shown` are the peer's word: some may be in another order, have nothing to do
 * with it, or bear a CA's name, and even its key, without being that CA. None counts that the chain to a trusted one does not confirm.
 */
export function chainAbove(
  certificate: X509Certificate,
  shown: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
): PeerChain {
  const chain = pathToTrust(certificate, shown, trusted) ?? [];
  const endMs = Math.min(...[certificate, ...chain].map(endOf));
  return { certificate, endMs, authorities: chain.filter((authority) => !isRoot(authority)) };
}

/** What stands above `certificate`, of `shown` and `trusted`, up to a root; null when no trusted one does. */
export function pathToTrust(
  certificate: X509Certificate,
  shown: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
): X509Certificate[] | null {
  return climb(certificate, new Set(shown), trusted);
}

/** Takes those of `shown` that it looked at out of it. */
function climb(
  certificate: X509Certificate,
  shown: Set<X509Certificate>,
  trusted: readonly X509Certificate[],
): X509Certificate[] | null {
  const issuers = trusted.filter((candidate) => isIssuer(candidate, certificate));
  if (isRoot(certificate)) return issuers.length > 0 ? [] : null;
  if (issuers.length > 0) {
    // Of several that may have issued it, a CA that was renewed, the one that lasts longest.
    const issuer = issuers.reduce((best, other) => (endOf(other) > endOf(best) ? other : best));
    // Without it, for CAs may have certified each other.
    const others = trusted.filter((candidate) => candidate !== issuer);
    return [issuer, ...(climb(issuer, new Set(), others) ?? [])];
  }
  for (const candidate of shown) {
    if (!isIssuer(candidate, certificate)) continue;
    shown.delete(candidate);
    const above = climb(candidate, shown, trusted);
    if (above !== null) return [candidate, ...above];
  }
  return null;
}

function isIssuer(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Whether a certificate is its own issuer: of those that are trusted it is asked at every handshake, and takes a signature to verify. */
const roots = new WeakMap<X509Certificate, boolean>();

function isRoot(certificate: X509Certificate): boolean {
  const known = roots.get(certificate);
  if (known !== undefined) return known;
  const root = isIssuer(certificate, certificate);
  roots.set(certificate, root);
  return root;
}

function endOf(certificate: X509Certificate): number {
  return Date.parse(certificate.validTo);
}
