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
  /** When the first of the chain expires, ms since 1970. After a resumption only the certificate's own end is sure to count. */
  readonly endMs: number;
  /** The CAs above it, without the root. */
  readonly authorities: readonly X509Certificate[];
}

/** The peer's own certificate, null when it showed none. Not by `getPeerX509Certificate`: see `chainOf`. */
export function certificateOf(socket: TLSSocket): X509Certificate | null {
  // Node answers {} or null then, whatever its types say.
  const shown = socket.getPeerCertificate() as { raw?: Buffer } | null;
  return shown?.raw === undefined ? null : new X509Certificate(shown.raw);
}

/**
 * What the peer showed, with what of `trusted` stands above it; null when it was nothing.
 *
 * `getPeerX509Certificate` would give it in one call, but Node 20 never frees then what the peer shows beside its own certificate: 5 KiB
 * a handshake, or as much as the peer cares to send.
 */
export function chainOf(socket: TLSSocket, trusted: readonly X509Certificate[]): PeerChain | null {
  const certificate = certificateOf(socket);
  return certificate === null ? null : chainAbove(certificate, () => shownAbove(socket), trusted);
}

/** The issuers, by name, that the peer showed or this end trusts, from its own certificate's on. Node copies all that was shown. */
function shownAbove(socket: TLSSocket): X509Certificate[] {
  const shown: X509Certificate[] = [];
  let below = socket.getPeerCertificate(true);
  while (shown.length < MAX_CHAIN) {
    const issuer = below.issuerCertificate as DetailedPeerCertificate | undefined;
    // Of a root the issuer is itself.
    if (issuer === undefined || issuer === below) break;
    shown.push(new X509Certificate(issuer.raw));
    below = issuer;
  }
  return shown;
}

/**
 * The chain from `certificate` to one of `trusted`. Those of `shown` are the peer's word: some may be in another order, have nothing to do
 * with it, or bear a CA's name, and even its key, without being that CA. None counts that the chain to a trusted one does not confirm.
 * `shown` is asked only where no trusted one issued `certificate`.
 */
export function chainAbove(
  certificate: X509Certificate,
  shown: () => readonly X509Certificate[],
  trusted: readonly X509Certificate[],
): PeerChain {
  const chain = pathToTrust(certificate, [], trusted) ?? pathToTrust(certificate, shown(), trusted) ?? [];
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
