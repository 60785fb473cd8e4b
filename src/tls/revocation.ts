/**
 * Which certificates a set of CRLs revokes (RFC 5280, section 5), for sessions that are open already: handshakes ask OpenSSL, which looks at
 * no certificate twice. A CRL counts when a CA that is known signed it. Not here: delta and indirect CRLs, which OpenSSL refuses as well
 * unless it is told of them.
 */
import "reflect-metadata";
import type { X509Certificate } from "node:crypto";
import { PublicKey, X509Crl, X509CrlReason } from "@peculiar/x509";
import { oneLine } from "./peer-identity.ts";

/** What names a certificate for its CA. */
export interface RevocableCertificate {
  /** The issuer's name on one line. */
  readonly issuer: string;
  /** Hexadecimal. */
  readonly serialNumber: string;
}

/** CAs that are looked through upwards from a certificate. */
const MAX_DEPTH = 16;

export class RevocationLists {
  /** Serial numbers by the name of their CA. */
  readonly #revoked: Map<string, Set<bigint>> = new Map();
  readonly #authorities: Map<string, X509Certificate> = new Map();

  private constructor(authorities: Iterable<X509Certificate>) {
    for (const authority of authorities) {
      const name = oneLine(authority.subject);
      if (!this.#authorities.has(name)) this.#authorities.set(name, authority);
    }
  }

  /** `lists`: CRLs in PEM. `authorities`: CAs that are trusted or were part of a chain that was; of one name, the first counts. */
  static async read(lists: readonly string[], authorities: readonly X509Certificate[]): Promise<RevocationLists> {
    const made = new RevocationLists(authorities);
    for (const pem of lists) await made.#add(pem, authorities);
    return made;
  }

  /** Whether a CRL names the certificate, or one of the CAs above it. */
  revokes(certificate: RevocableCertificate): boolean {
    let { issuer, serialNumber } = certificate;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      if (this.#revoked.get(issuer)?.has(numberOf(serialNumber)) === true) return true;
      const authority = this.#authorities.get(issuer);
      if (authority === undefined) return false;
      issuer = oneLine(authority.issuer);
      serialNumber = authority.serialNumber;
    }
    return false;
  }

  async #add(pem: string, authorities: readonly X509Certificate[]): Promise<void> {
    let crl: X509Crl;
    try {
      crl = new X509Crl(Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ""), "base64"));
    } catch {
      // What OpenSSL makes of it, handshakes hear.
      return;
    }
    for (const authority of authorities) {
      if (!(await signed(authority, crl))) continue;
      const issuer = oneLine(authority.subject);
      const serials = this.#revoked.get(issuer) ?? new Set();
      for (const { serialNumber, reason } of crl.entries) {
        if (reason !== X509CrlReason.removeFromCRL) serials.add(numberOf(serialNumber));
      }
      this.#revoked.set(issuer, serials);
      return;
    }
  }
}

async function signed({ publicKey }: X509Certificate, crl: X509Crl): Promise<boolean> {
  try {
    const spki = publicKey.export({ type: "spki", format: "der" });
    return await crl.verify({ publicKey: new PublicKey(spki) });
  } catch {
    // Another kind of key.
    return false;
  }
}

function numberOf(hexadecimal: string): bigint {
  return BigInt(`0x${hexadecimal}`);
}
