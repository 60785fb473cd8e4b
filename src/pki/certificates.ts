/**
 * A small certificate authority: one root with a P-256 key, and certificates for servers and nodes under it (X.509, RFC 5280), for
 * those who have no PKI. No revocation lists, no intermediates, no renewal protocol: who needs these has a real one, whose
 * certificates work as well. In memory only; files are files.ts.
 */
import "reflect-metadata";
import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;

/** Certificates are valid from an hour ago, for nodes whose clocks are behind. */
const BACKDATE_MS = 3_600_000;

export interface Pem {
  certificate: string;
  key: string;
}

export interface IssueOptions {
  commonName: string;
  organization?: string | undefined;
  /** `DNS:`, `IP:`, `URI:` or `email:` and a name; without a kind, DNS or IP as it looks. */
  subjectAltNames: readonly string[];
  /** For a server's end of a session; else for a client's. */
  server: boolean;
  days: number;
}

/** A subject alternative name that is none. The message is whole. */
export class SubjectAltNameError extends Error {
  override readonly name = "SubjectAltNameError";
}

export async function createAuthority(commonName: string, days: number): Promise<Pem> {
  cryptoProvider.set(webcrypto as Crypto);
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: new Name([{ CN: [commonName] }]),
    ...validity(days),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey) };
}

/** `authority` is what `createAuthority` gave, or any EC P-256 root with an unencrypted PKCS #8 key. */
export async function issueCertificate(authority: Pem, options: IssueOptions): Promise<Pem & { notAfter: Date }> {
  cryptoProvider.set(webcrypto as Crypto);
  const root = new X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    PemConverter.decodeFirst(authority.key),
    ALGORITHM,
    false,
    ["sign"],
  );
  const keys = await generateKeys();
  const { notBefore, notAfter } = validity(options.days);
  const subject = [{ CN: [options.commonName] }];
  const names = options.subjectAltNames.map(parseSubjectAltName);
  const usage = options.server ? ExtendedKeyUsage.serverAuth : ExtendedKeyUsage.clientAuth;
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: new Name(options.organization === undefined ? subject : [{ O: [options.organization] }, ...subject]),
    issuer: root.subjectName,
    notBefore,
    // A certificate that outlives its issuer is no use.
    notAfter: notAfter > root.notAfter ? root.notAfter : notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: signingKey as CryptoKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([usage]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(root.publicKey),
      ...(names.length === 0 ? [] : [new SubjectAlternativeNameExtension(names)]),
    ],
  });
  return { certificate: pemOf(certificate), key: await keyPem(keys.privateKey), notAfter: certificate.notAfter };
}

/** The alternative name that a certificate for `name` has when nothing else is said: none when it is neither a host name nor an IP. */
export function defaultSubjectAltNames(name: string): string[] {
  if (isIP(name) !== 0) return [`IP:${name}`];
  return HOST_NAME.test(name) ? [`DNS:${name}`] : [];
}

const HOST_NAME =
  /^(?:\*\.)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*$/;

export function parseSubjectAltName(text: string): JsonGeneralName {
  const [, kind, value] = /^(?:(DNS|IP|URI|email):)?(.*)$/is.exec(text)!;
  const type = kind?.toLowerCase() ?? (isIP(value) !== 0 ? "ip" : "dns");
  if (type === "ip" && isIP(value) !== 0) return { type, value };
  if (type === "dns" && HOST_NAME.test(value)) return { type, value };
  if (type === "uri" && URL.canParse(value)) return { type: "url", value };
  if (type === "email" && /^[^@\s]+@[^@\s]+$/.test(value)) return { type, value };
  throw new SubjectAltNameError(
    `"${text}" is no alternative name: write DNS:HOST, IP:ADDRESS, URI:URI or email:ADDRESS`,
  );
}

async function generateKeys(): Promise<CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"])) as CryptoKeyPair;
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.now();
  return { notBefore: new Date(nowMs - BACKDATE_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

/** Random, positive and without a leading zero, as RFC 5280, section 4.1.2.2, wants it. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString("pem")}\n`;
}

async function keyPem(key: CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), PemConverter.PrivateKeyTag)}\n`;
}
