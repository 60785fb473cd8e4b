/** The certificates that the peer showed: whether they bear the name expected, and when the first of them expires. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { TLSSocket } from "node:tls";

/** Certificates looked at in a chain: more than fit the bytes of a handshake. */
const MAX_CHAIN = 256;
/** Times that one certificate is asked whether another issued it: a chain takes a few, what is made to be long could take tens of thousands. */
const MAX_CHECKS = 512;
/** Peers whose chains are kept. */
const MOST_KEPT = 4096;

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

/** What stands above a peer's certificate. */
export interface PeerChain {
  /** When the first of the chain expires, the certificate included, ms since 1970. */
  readonly endMs: number;
  /** The CAs above it, without the root. */
  readonly authorities: readonly X509Certificate[];
}

/** The peer's own certificate, null when it showed none. */
export function certificateOf(socket: TLSSocket): X509Certificate | null {
  // Node answers {} or null then, whatever its types say.
  const shown = socket.getPeerCertificate() as { raw?: Buffer } | null;
  if (shown?.raw === undefined) return null;
  // As PEM, for in bytes Node looks for PEM first: a certificate could bear another one in a text of its own, which would be read instead.
  const lines = shown.raw
    .toString("base64")
    .match(/.{1,64}/g)!
    .join("\n");
  return new X509Certificate(`-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`);
}

/**
 * Keeps Node from looking at what a server shows beside its own certificate: it copies and takes apart all of it, at the cost of a fifth of
 * the handshake, and never ends where trusted CAs have certified each other.
 */
export function hideChain(socket: TLSSocket): void {
  const leafOnly = () => TLSSocket.prototype.getPeerCertificate.call(socket, false);
  socket.getPeerCertificate = leafOnly as TLSSocket["getPeerCertificate"];
}

/** The chains of the peers of one generation of credentials. */
export class PeerChains {
  readonly #trusted: readonly X509Certificate[];
  /** Chains with parts that a peer showed, by the fingerprint of its certificate. */
  readonly #shown = new Map<string, PeerChain>();

  constructor(trusted: readonly X509Certificate[]) {
    this.#trusted = trusted;
  }

  /**
   * What stands above the peer's `certificate`: of what is trusted and, where no trusted one issued it, of what the peer showed. That is
   * asked once for a certificate, not for a handshake, for Node 20 never frees what it then takes out of OpenSSL's chain: 5 KiB for each
   * certificate, and as many as the peer cares to send.
   */
  above(certificate: X509Certificate, socket: TLSSocket): PeerChain {
    const known = pathToTrust(certificate, [], this.#trusted);
    if (known !== null) return chainWith(certificate, known);
    const { fingerprint256 } = certificate;
    const before = this.#shown.get(fingerprint256);
    // Past its end the peer may show another.
    if (before !== undefined && before.endMs > Date.now()) return before;
    const chain = chainAbove(certificate, shownBy(socket), this.#trusted);
    for (const oldest of this.#shown.keys()) {
      if (this.#shown.size < MOST_KEPT) break;
      this.#shown.delete(oldest);
    }
    this.#shown.set(fingerprint256, chain);
    return chain;
  }
}

/** All certificates that the peer showed above its own. */
function shownBy(socket: TLSSocket): X509Certificate[] {
  // Node calls the certificate that was sent next the issuer of the one before, whatever they are.
  const shown: X509Certificate[] = [];
  for (
    let next = socket.getPeerX509Certificate()?.issuerCertificate;
    next !== undefined;
    next = next.issuerCertificate
  ) {
    if (shown.push(next) === MAX_CHAIN) break;
  }
  return shown;
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
  return chainWith(certificate, pathToTrust(certificate, shown, trusted) ?? []);
}

function chainWith(certificate: X509Certificate, above: readonly X509Certificate[]): PeerChain {
  const endMs = Math.min(...[certificate, ...above].map(endOf));
  return { endMs, authorities: above.filter((authority) => !isRoot(authority)) };
}

/** What stands above `certificate`, of `shown` and `trusted`, up to a root; null when no trusted one does. */
export function pathToTrust(
  certificate: X509Certificate,
  shown: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
): X509Certificate[] | null {
  return climb(certificate, new Set(shown), trusted);
}

/** Takes those of `shown` that it looked at out of it; gives up after `checks` of them. */
function climb(
  certificate: X509Certificate,
  shown: Set<X509Certificate>,
  trusted: readonly X509Certificate[],
  checks = { left: MAX_CHECKS },
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
    if (checks.left-- <= 0) return null;
    if (!isIssuer(candidate, certificate)) continue;
    shown.delete(candidate);
    const above = climb(candidate, shown, trusted, checks);
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
