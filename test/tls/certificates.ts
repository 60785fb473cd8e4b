// Certificates for tests, made at run time: CAs, intermediates, leaves, CRLs; P-256 unless another key is asked for.
import "reflect-metadata";
import { KeyObject, webcrypto } from "node:crypto";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as Crypto);

export type KeyKind = "P-256" | "RSA-2048" | "Ed25519";

export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const DAY_MS = 86_400_000;

const ALGORITHMS = {
  "P-256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "RSA-2048": {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: Uint8Array.of(1, 0, 1),
    hash: "SHA-256",
  },
  Ed25519: { name: "Ed25519" },
} as const;

async function keyPair(kind: KeyKind): Promise<CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHMS[kind], true, ["sign", "verify"])) as CryptoKeyPair;
}

function pemOf(key: CryptoKey): string {
  return KeyObject.from(key as webcrypto.CryptoKey).export({ type: "pkcs8", format: "pem" }) as string;
}

function serial(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(8));
  bytes[0] = (bytes[0] & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

export interface Issued {
  /** The certificate alone. */
  pem: string;
  /** With the intermediates that issued it. */
  chain: string;
  key: string;
  serialNumber: string;
}

export interface IssueOptions {
  kind?: KeyKind;
  /** Extended key usage; none when left out. */
  usage?: string[];
  dns?: string[];
  ip?: string[];
  fromDays?: number;
  toDays?: number;
  /** Of an extension that nobody knows. */
  text?: string;
}

export class Authority {
  readonly certificate: x509.X509Certificate;
  readonly #keys: CryptoKeyPair;
  readonly #kind: KeyKind;
  /** What an end sends of its issuers: nothing of a root. */
  readonly #above: string;

  private constructor(certificate: x509.X509Certificate, keys: CryptoKeyPair, kind: KeyKind, above: string) {
    this.certificate = certificate;
    this.#keys = keys;
    this.#kind = kind;
    this.#above = above;
  }

  get pem(): string {
    return `${this.certificate.toString("pem")}\n`;
  }

  static async root(name: string, kind: KeyKind = "P-256", days: { fromDays?: number; toDays?: number } = {}) {
    const keys = await keyPair(kind);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serial(),
      name: `CN=${name}`,
      ...validity(days),
      signingAlgorithm: ALGORITHMS[kind],
      keys,
      extensions: authorityExtensions(),
    });
    return new Authority(certificate, keys, kind, "");
  }

  async intermediate(name: string, kind: KeyKind = this.#kind, days: { toDays?: number } = {}): Promise<Authority> {
    const keys = await keyPair(kind);
    const certificate = await this.#create(`CN=${name}`, keys.publicKey, days, authorityExtensions());
    return new Authority(certificate, keys, kind, `${certificate.toString("pem")}\n${this.#above}`);
  }

  /** This CA's name and key in a certificate of another issuer, or of other dates. */
  async certifiedBy(issuer: Authority, days: { toDays?: number } = {}): Promise<{ pem: string }> {
    const certificate = await issuer.#create(
      this.certificate.subject,
      this.#keys.publicKey,
      days,
      authorityExtensions(),
    );
    return { pem: `${certificate.toString("pem")}\n` };
  }

  async issue(subject: string, options: IssueOptions = {}): Promise<Issued> {
    const keys = await keyPair(options.kind ?? "P-256");
    const extensions: x509.Extension[] = [];
    if (options.usage !== undefined) extensions.push(new x509.ExtendedKeyUsageExtension(options.usage));
    const names = [
      ...(options.dns ?? []).map((value) => ({ type: "dns" as const, value })),
      ...(options.ip ?? []).map((value) => ({ type: "ip" as const, value })),
    ];
    if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension(names));
    if (options.text !== undefined)
      extensions.push(new x509.Extension("1.3.6.1.4.1.1", false, Buffer.from(options.text)));
    const certificate = await this.#create(subject, keys.publicKey, options, extensions);
    const pem = `${certificate.toString("pem")}\n`;
    return { pem, chain: pem + this.#above, key: pemOf(keys.privateKey), serialNumber: certificate.serialNumber };
  }

  /** A CRL that names these. */
  async crl(revoked: readonly Issued[], days: { fromDays?: number; toDays?: number } = {}): Promise<string> {
    const { notBefore, notAfter } = validity(days);
    const crl = await x509.X509CrlGenerator.create({
      issuer: this.certificate.subject,
      thisUpdate: notBefore,
      nextUpdate: notAfter,
      signingAlgorithm: ALGORITHMS[this.#kind],
      signingKey: this.#keys.privateKey,
      entries: revoked.map(({ serialNumber }) => ({ serialNumber, revocationDate: notBefore })),
    });
    // The library writes "CRL"; RFC 7468, section 6 says otherwise.
    return crl.toString("pem").replaceAll(/(BEGIN|END) CRL/g, "$1 X509 CRL");
  }

  #create(
    subject: string,
    publicKey: CryptoKey,
    days: { fromDays?: number; toDays?: number },
    extensions: x509.Extension[],
  ): Promise<x509.X509Certificate> {
    return x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      subject,
      issuer: this.certificate.subject,
      ...validity(days),
      signingAlgorithm: ALGORITHMS[this.#kind],
      publicKey,
      signingKey: this.#keys.privateKey,
      extensions,
    });
  }
}

function authorityExtensions(): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ];
}

function validity({ fromDays = -1, toDays = 30 }: { fromDays?: number; toDays?: number }) {
  return { notBefore: new Date(Date.now() + fromDays * DAY_MS), notAfter: new Date(Date.now() + toDays * DAY_MS) };
}
