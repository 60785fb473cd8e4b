/**
 * Security of a link: TLS 1.3 with mutual authentication as its handshake, packet protection, address tokens. What it promises
 * and what it does not: docs/threat-model.md.
 */
export {
  ADDRESS_TOKEN_BYTES,
  type AddressTokenKind,
  AddressTokens,
  type AddressTokensOptions,
  type CheckedAddressToken,
} from "./address-tokens.ts";
export {
  type AeadImplementation,
  type AeadName,
  aeadImplementation,
  aeadImplementations,
  preferredAeads,
} from "./aead.ts";
export { type CredentialSources, Credentials, type PemSource } from "./credentials.ts";
export { CredentialsError, type CredentialsErrorCode, type CredentialsPart } from "./credentials-error.ts";
export { FAILURE_REASONS, type FailureReason, reasonOfCode } from "./failure-reason.ts";
export { packetProtection } from "./key-schedule.ts";
export { identityOf, type PeerIdentity } from "./peer-identity.ts";
export { ResetTokens } from "./reset-tokens.ts";
export {
  type ClientHandshakeOptions,
  DEFAULT_ALPN,
  MAX_HANDSHAKE_BYTES,
  type ServerHandshakeOptions,
  TlsHandshake,
  type TlsHandshakeOptions,
} from "./tls-handshake.ts";
