/** What is wrong with credentials, where, and what would be right. */

export type CredentialsPart = "ca" | "cert" | "key" | "crl";

export class CredentialsError extends Error {
  /** Which source it is about. */
  readonly part: CredentialsPart;
  /** A file does not exist: it may be worth waiting for. */
  readonly missing: boolean;

  constructor(part: CredentialsPart, message: string, missing = false) {
    super(message);
    this.name = "CredentialsError";
    this.part = part;
    this.missing = missing;
  }
}
