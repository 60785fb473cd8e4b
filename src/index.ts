/**
 * `bats-transport`: a network-coding transport after BATS codes. The socket API; and its foundations `codec` (also
 * `bats-transport/codec`) and `gf` (also `bats-transport/gf`).
 */
export { type ClientOptions, type ConnectOptions, connect, type FallbackOptions } from "./api/connect.ts";
export { BatsError, type BatsErrorCode } from "./api/errors.ts";
export { Listener, type ListenerEvents, type ListenerOptions, type ListenOptions, listen } from "./api/listener.ts";
export type { CommonOptions } from "./api/options.ts";
export type { SecurityOptions } from "./api/security.ts";
export { type CloseOptions, Session, type SessionEvents, type SessionPeer } from "./api/session.ts";
export type { SessionOptions } from "./api/session-options.ts";
export type { FallbackStats, SessionStats } from "./api/stats.ts";
export { Stream } from "./api/stream.ts";
export * as codec from "./codec/index.ts";
export type { RefusalCode } from "./endpoint/session-registry.ts";
export * as gf from "./gf/index.ts";
export {
  type CredentialSources,
  Credentials,
  CredentialsError,
  type CredentialsErrorCode,
  type CredentialsPart,
  type FailureReason,
  type PeerIdentity,
  type PemSource,
} from "./tls/index.ts";
export type { Address } from "./transport/address.ts";
export type { DatagramOptions } from "./transport/session/datagram-sender.ts";
export type { RedundancyOptions, RedundancyPreset } from "./transport/session/redundancy.ts";
export type { MessageOptions, StreamOptions } from "./transport/session/session-options.ts";
