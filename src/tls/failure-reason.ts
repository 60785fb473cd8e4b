/** Why a TLS handshake failed, as programs tell it: a few kinds, each with a code that the link's CLOSE bears. In words: `failure-words.ts`. */

/** In the order of their codes. */
export const FAILURE_REASONS = [
  /** A certificate is not accepted: its issuer, its use, its chain, or there is none. */
  "certificate",
  /** A certificate has expired. */
  "expired",
  /** A certificate is not valid yet, or a clock is behind. */
  "not-yet-valid",
  /** A certificate was revoked. */
  "revoked",
  /** A revocation list is missing or out of date. */
  "crl",
  /** The server's certificate has another name. */
  "name",
  /** No application protocol, version or cipher in common. */
  "protocol",
] as const;

/** What an ERR_BATS_HANDSHAKE is about. */
export type FailureReason = (typeof FAILURE_REASONS)[number];

const FIRST_CODE = 0x10;

const BY_CODE: Record<string, FailureReason> = {
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate",
  UNABLE_TO_GET_ISSUER_CERT: "certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate",
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate",
  CERT_SIGNATURE_FAILURE: "certificate",
  INVALID_PURPOSE: "certificate",
  INVALID_CA: "certificate",
  PATH_LENGTH_EXCEEDED: "certificate",
  CERT_CHAIN_TOO_LONG: "certificate",
  CERT_HAS_EXPIRED: "expired",
  CERT_NOT_YET_VALID: "not-yet-valid",
  CERT_REVOKED: "revoked",
  UNABLE_TO_GET_CRL: "crl",
  CRL_HAS_EXPIRED: "crl",
  CRL_NOT_YET_VALID: "crl",
  CRL_SIGNATURE_FAILURE: "crl",
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "certificate",
};

/** By the end of the code that Node makes of a TLS alert. */
const BY_ALERT: Record<string, FailureReason> = {
  CERTIFICATE_REQUIRED: "certificate",
  CERTIFICATE_EXPIRED: "expired",
  CERTIFICATE_REVOKED: "revoked",
  CERTIFICATE_UNKNOWN: "certificate",
  BAD_CERTIFICATE: "certificate",
  UNSUPPORTED_CERTIFICATE: "certificate",
  UNKNOWN_CA: "certificate",
  NO_APPLICATION_PROTOCOL: "protocol",
  PROTOCOL_VERSION: "protocol",
  HANDSHAKE_FAILURE: "protocol",
};

/** What kind of failure an error of node:tls is; null for one of no kind. */
export function failureReason(error: Error): FailureReason | null {
  const { code = "" } = error as NodeJS.ErrnoException;
  const alert = /_ALERT_(.*)$/.exec(code)?.[1];
  if (alert !== undefined) return BY_ALERT[alert] ?? null;
  if (/NO_(SUITABLE_)?APPLICATION_PROTOCOL$/.test(code)) return "protocol";
  return BY_CODE[code] ?? null;
}

export function codeOfReason(reason: FailureReason): number {
  return FIRST_CODE + FAILURE_REASONS.indexOf(reason);
}

/** Undefined where a code is no failure's, or of a later version. */
export function reasonOfCode(code: number): FailureReason | undefined {
  return FAILURE_REASONS[code - FIRST_CODE];
}
