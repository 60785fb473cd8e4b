/** What is wrong with credentials, where, and what would be right. */

/** Which source of credentials an error is about. */
export type CredentialsPart = "ca" | "cert" | "key" | "crl";

/** For programs; stable. */
export type CredentialsErrorCode =
  /** A file does not exist: it may be worth waiting for. */
  | "missing"
  /** A file is there and cannot be read. */
  | "unreadable"
  /** It is no PEM, another kind of PEM, damaged, or nothing that TLS can use. */
  | "malformed"
  /** A key is encrypted, and its passphrase is missing or wrong. */
  | "encrypted"
  | "expired"
  | "not-yet-valid"
  /** The key is another certificate's. */
  | "other-key"
  /** The certificate's extended key usage is not that of the part which it is to play. */
  | "wrong-use";

/** What is wrong with credentials, and where. */
export class CredentialsError extends Error {
  /** Which source it is about. */
  readonly part: CredentialsPart;
  readonly code: CredentialsErrorCode;

  constructor(part: CredentialsPart, code: CredentialsErrorCode, message: string) {
    super(message);
    this.name = "CredentialsError";
    this.part = part;
    this.code = code;
  }
}
