/**
 * Why a TLS handshake failed, in words for an operator: from the error codes of Node and OpenSSL (X509_verify_cert_error_string,
 * alerts of RFC 8446, section 6.2) and, where it is known, the peer's certificate.
 */
import type { X509Certificate } from "node:crypto";
import type { Role } from "../transport/link/aead.ts";
import { identityOf, issuerOf, subjectOf } from "./peer-identity.ts";

/** Verification errors of a certificate, by the code that Node gives. */
function certificateWords(code: string, whose: string, certificate: X509Certificate | null): string | null {
  switch (code) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT": {
      const issuer = certificate === null ? "" : ` (issuer: ${issuerOf(certificate)})`;
      return `${whose} was not issued by a CA that is trusted here${issuer}, or an intermediate is missing in its chain`;
    }
    case "CERT_SIGNATURE_FAILURE":
      return `${whose} has a wrong signature: it names a CA that is trusted here, which did not issue it`;
    case "CERT_HAS_EXPIRED": {
      const since = certificate === null ? "" : ` on ${isoDate(certificate.validTo)}`;
      return `${whose}, or a CA of its chain, has expired${since}, unless this machine's clock (${now()}) is wrong`;
    }
    case "CERT_NOT_YET_VALID": {
      const from = certificate === null ? "" : ` before ${isoDate(certificate.validFrom)}`;
      return `${whose}, or a CA of its chain, is not valid${from}: is this machine's clock (${now()}) wrong?`;
    }
    case "CERT_REVOKED":
      return `${whose}, or a CA of its chain, has been revoked`;
    case "UNABLE_TO_GET_CRL":
      return `no CRL of a CA in the chain of ${whose} was given: with CRLs each CA of the chain needs one`;
    case "CRL_HAS_EXPIRED":
      return `the CRL for ${whose} is out of date: a newer one is needed, unless this machine's clock (${now()}) is wrong`;
    case "CRL_NOT_YET_VALID":
      return `the CRL for ${whose} is not valid yet: is this machine's clock (${now()}) wrong?`;
    case "CRL_SIGNATURE_FAILURE":
      return `the CRL for ${whose} has a wrong signature`;
    case "INVALID_PURPOSE":
    case "ERR_BATS_PURPOSE":
      return `${whose} is not made for this: its extended key usage lacks the part that it plays here`;
    case "INVALID_CA":
    case "PATH_LENGTH_EXCEEDED":
    case "CERT_CHAIN_TOO_LONG":
      return `the chain of ${whose} is not allowed: a certificate in it may not issue others`;
    default:
      return null;
  }
}

/** Alerts by the end of the code that Node makes of them. */
const ALERT_WORDS: Record<string, string> = {
  CERTIFICATE_REQUIRED: "it wants a certificate and got none",
  CERTIFICATE_EXPIRED: "it finds our certificate expired",
  CERTIFICATE_REVOKED: "it finds our certificate revoked",
  CERTIFICATE_UNKNOWN: "it does not accept our certificate",
  BAD_CERTIFICATE: "it does not accept our certificate",
  UNSUPPORTED_CERTIFICATE: "our certificate is not made for this part",
  UNKNOWN_CA: "it does not trust the CA that issued our certificate",
  NO_APPLICATION_PROTOCOL: "it does not speak our application protocol",
  PROTOCOL_VERSION: "it does not speak TLS 1.3",
  HANDSHAKE_FAILURE: "it found no cipher or signature algorithm in common",
};

/** In words what `error` means to the end that plays `role`. `certificate` is the peer's, when it is known. */
export function failureWords(error: Error, role: Role, certificate: X509Certificate | null): string {
  const peer = role === "client" ? "server" : "client";
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const name = certificate === null ? "" : ` ${subjectOf(certificate)}`;
  const words = certificateWords(code, `the ${peer}'s certificate${name}`, certificate);
  if (words !== null) return words;
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return "the client showed no certificate";
  if (/NO_(SUITABLE_)?APPLICATION_PROTOCOL$/.test(code) && !code.includes("ALERT")) {
    return "the client does not speak our application protocol";
  }
  const alert = /_ALERT_(.*)$/.exec(code);
  if (alert !== null) {
    const known = ALERT_WORDS[alert[1]];
    return known === undefined
      ? `the ${peer} refused the handshake: TLS alert ${alert[1].toLowerCase().replaceAll("_", " ")}`
      : `the ${peer} refused the handshake: ${known}`;
  }
  if (code.startsWith("ERR_SSL_")) {
    return `the ${peer} sent no proper TLS 1.3: ${code.slice(8).toLowerCase().replaceAll("_", " ")}`;
  }
  return `the TLS handshake failed: ${error.message.split("\n")[0]}`;
}

/** When the certificate is genuine but another's. */
export function wrongNameWords(expected: string, certificate: X509Certificate): string {
  const { commonName, subjectAltNames } = identityOf(certificate);
  const names = subjectAltNames.length > 0 ? subjectAltNames.join(", ") : `CN=${commonName}, no alternative names`;
  return `the server's certificate is not for "${expected}": it has ${names}`;
}

function isoDate(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toISOString().replace(".000", "");
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
