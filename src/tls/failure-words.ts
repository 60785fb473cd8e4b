/**
 * Why a TLS handshake failed, in words for an operator: from the error codes of Node and OpenSSL (X509_verify_cert_error_string,
 * alerts of RFC 8446, section 6.2) and, where it is known, the peer's certificate. The words travel to the peer too: so "the
 * client" and "the server", never "here" or "ours".
 */
import type { X509Certificate } from "node:crypto";
import type { Role } from "../transport/link/aead.ts";
import { identityOf, issuerOf, subjectOf } from "./peer-identity.ts";

/** Verification errors of a certificate, by the code that Node gives. */
function certificateWords(code: string, role: Role, certificate: X509Certificate | null): string | null {
  const name = certificate === null ? "" : ` ${subjectOf(certificate)}`;
  const whose = `the ${other(role)}'s certificate${name}`;
  const clock = `the ${role}'s clock (${now()})`;
  switch (code) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT": {
      const issuer = certificate === null ? "" : ` (issuer: ${issuerOf(certificate)})`;
      return `${whose} was not issued by a CA that the ${role} trusts${issuer}, or an intermediate is missing in its chain`;
    }
    case "CERT_SIGNATURE_FAILURE":
      return `${whose} has a wrong signature: it names a CA that the ${role} trusts, which did not issue it`;
    case "CERT_HAS_EXPIRED": {
      const since = certificate === null ? "" : ` on ${isoDate(certificate.validTo)}`;
      return `${whose}, or a CA of its chain, has expired${since}, unless ${clock} is wrong`;
    }
    case "CERT_NOT_YET_VALID": {
      const from = certificate === null ? "" : ` before ${isoDate(certificate.validFrom)}`;
      return `${whose}, or a CA of its chain, is not valid${from}: is ${clock} wrong?`;
    }
    case "CERT_REVOKED":
      return `${whose}, or a CA of its chain, has been revoked`;
    case "UNABLE_TO_GET_CRL":
      return `the ${role} has no CRL of a CA in the chain of ${whose}: with CRLs each CA of the chain needs one`;
    case "CRL_HAS_EXPIRED":
      return `the ${role}'s CRL for ${whose} is out of date: a newer one is needed, unless ${clock} is wrong`;
    case "CRL_NOT_YET_VALID":
      return `the ${role}'s CRL for ${whose} is not valid yet: is ${clock} wrong?`;
    case "CRL_SIGNATURE_FAILURE":
      return `the ${role}'s CRL for ${whose} has a wrong signature`;
    case "INVALID_PURPOSE":
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
  CERTIFICATE_REQUIRED: "no certificate was shown",
  CERTIFICATE_EXPIRED: "the certificate shown has expired",
  CERTIFICATE_REVOKED: "the certificate shown has been revoked",
  CERTIFICATE_UNKNOWN: "the certificate shown is not accepted",
  BAD_CERTIFICATE: "the certificate shown is not accepted",
  UNSUPPORTED_CERTIFICATE: "the certificate shown is not made for this",
  UNKNOWN_CA: "the CA that issued the certificate shown is not trusted",
  NO_APPLICATION_PROTOCOL: "no application protocol in common",
  PROTOCOL_VERSION: "no TLS version in common",
  HANDSHAKE_FAILURE: "no cipher or signature algorithm in common",
};

/** In words what `error` means to the end that plays `role`. `certificate` is the peer's, when it is known. */
export function failureWords(error: Error, role: Role, certificate: X509Certificate | null): string {
  const peer = other(role);
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const words = certificateWords(code, role, certificate);
  if (words !== null) return words;
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return "the client showed no certificate";
  if (/NO_(SUITABLE_)?APPLICATION_PROTOCOL$/.test(code) && !code.includes("ALERT")) {
    return "the client does not speak the server's application protocol";
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

function other(role: Role): Role {
  return role === "client" ? "server" : "client";
}

function isoDate(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toISOString().replace(".000", "");
}

function now(): string {
  return `${new Date().toISOString().slice(0, 19)}Z`;
}
