/**
 * The link layer: one UDP hop between two nodes, without I/O. See docs/wire-format-link.md for what travels and `link.ts` for
 * how the parts work together.
 */
export type { LinkKeys, Opener, PacketProtection, Role, Sealer } from "./aead.ts";
export {
  CLOSE_APPLICATION,
  CLOSE_KEYS,
  CLOSE_NO_ERROR,
  CLOSE_PROTOCOL,
  type CloseCause,
  type CloseReason,
  isHandshakeFailure,
} from "./close.ts";
export { ControlCoder, type ControlCoderOptions } from "./control-stream.ts";
export { type DropCause, type DropCounts, headerDropCounts } from "./drops.ts";
export type { Handshake } from "./handshake.ts";
export { Link } from "./link.ts";
export type { LinkState } from "./link-core.ts";
export { DEFAULT_IDLE_TIMEOUT_MS, type LinkOptions } from "./link-options.ts";
export type { LinkStats } from "./link-stats.ts";
export type { ConnectionIdSource, LinkUser, PacketFill } from "./link-user.ts";
export {
  type HeaderError,
  MIN_INITIAL_BYTES,
  PacketHeader,
  type PacketKind,
  statelessReset,
  VERSION,
  versionNegotiation,
  writeRetryHeader,
} from "./packet-header.ts";
export type { LinkParameters } from "./parameters.ts";
export { type StandInKeyOptions, standInKeys, standInProtection } from "./stand-in-aead.ts";
export {
  type FlightSizes,
  P256_FLIGHTS,
  RSA_FLIGHTS,
  StandInHandshake,
  type StandInHandshakeOptions,
} from "./stand-in-handshake.ts";
