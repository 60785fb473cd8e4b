/** Who the peer is, from its certificate: what authorisation and logs go by. */
import type { X509Certificate } from "node:crypto";

/** Who a peer is, by its certificate. */
export interface PeerIdentity {
  /** The subject's CN, the last where there are several (as Go and Kubernetes read it), "" where there is none. */
  readonly commonName: string;
  /** The subject's O, in order. */
  readonly organization: readonly string[];
  /** Such as "DNS:cloud.example" and "IP Address:192.0.2.1". */
  readonly subjectAltNames: readonly string[];
  /** SHA-256 of the certificate, upper-case hexadecimal with colons. */
  readonly fingerprint256: string;
  /** Upper-case hexadecimal. */
  readonly serialNumber: string;
  /** Who issued the certificate: the issuer's name on one line, "O=example, CN=example CA". */
  readonly issuer: string;
  readonly validTo: Date;
}

export function identityOf(certificate: X509Certificate): PeerIdentity {
  const subject = certificate.toLegacyObject().subject as unknown as Record<string, string | string[] | undefined>;
  return {
    commonName: listOf(subject?.["CN"]).at(-1) ?? "",
    organization: listOf(subject?.["O"]),
    subjectAltNames: splitAltNames(certificate.subjectAltName ?? ""),
    fingerprint256: certificate.fingerprint256,
    serialNumber: certificate.serialNumber,
    issuer: issuerOf(certificate),
    validTo: new Date(certificate.validTo),
  };
}

/** "O=system:nodes, CN=system:node:edge-1": the subject on one line, for messages. */
export function subjectOf(certificate: X509Certificate): string {
  return oneLine(certificate.subject);
}

export function issuerOf(certificate: X509Certificate): string {
  return oneLine(certificate.issuer);
}

/** Node writes a name with one attribute a line. */
export function oneLine(name: string | undefined): string {
  return name === undefined || name === "" ? "(empty name)" : name.replaceAll("\n", ", ");
}

function listOf(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}

/**
 * Entries of Node's one-line form, "DNS:a.example, IP Address:192.0.2.1". A value with a comma or quote in it stands there as a
 * JSON string, so that no name can pass for two.
 */
function splitAltNames(text: string): string[] {
  const names: string[] = [];
  for (const [, type, quoted, plain] of text.matchAll(/([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))(?:, |$)/gy)) {
    names.push(`${type}:${quoted === undefined ? plain : JSON.parse(quoted)}`);
  }
  return names;
}
