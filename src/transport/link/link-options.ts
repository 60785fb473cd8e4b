/** Options of a link and their defaults. */
import type { CongestionController } from "../../congestion/controller.ts";
import type { Address } from "../address.ts";
import type { LinkKeys, PacketProtection, Role } from "./aead.ts";
import type { ControlCoder } from "./control-stream.ts";
import type { Handshake } from "./handshake.ts";
import type { ConnectionIdSource, LinkUser } from "./link-user.ts";

/** The UDP payload of a 1500-byte IPv4 packet. */
export const DEFAULT_MAX_DATAGRAM_BYTES = 1472;
export const DEFAULT_IDLE_TIMEOUT_MS = 120_000;
export const DEFAULT_KEEP_ALIVE_MS = 15_000;
export const DEFAULT_HANDSHAKE_TIMEOUT_MS = 30_000;
export const DEFAULT_PACING_BURST_MS = 1;

export interface LinkOptions {
  role: Role;
  user: LinkUser;
  handshake: Handshake;
  protection: PacketProtection;
  congestion: CongestionController;
  coder: ControlCoder;
  connectionIds: ConnectionIdSource;
  /** Fills `bytes` with randomness that nobody can guess. */
  random: (bytes: Uint8Array) => void;
  /** Where the peer is. */
  remote: Address;
  /** The time of creation. */
  nowMs: number;
  /** A client's address token from an earlier link. Default none. */
  token?: Uint8Array;
  /** A server's: the first packet's ids, whether a token proved the client's address, and the keys that opened it, if they are there. */
  accepted?: {
    destinationId: Uint8Array;
    sourceId: Uint8Array;
    token: Uint8Array;
    validated: boolean;
    keys?: LinkKeys;
  };
  /** The session layer's own parameters, at most 1024 bytes. Default none. */
  session?: Uint8Array;
  /** Silence after which the link is dead, ms; 0 never. Default 120 s. */
  idleTimeoutMs?: number;
  /** A ping leaves after this long without traffic, ms, a server's after an eighth longer; 0 never. Default 15 s. */
  keepAliveMs?: number;
  /** The handshake must be done by then, ms. Default 30 s. */
  handshakeTimeoutMs?: number;
  /** The largest UDP payload to send or take, 1200 to 65,507. Default 1472. */
  maxDatagramBytes?: number;
  /** Time that the pacer may save up, ms, about the granularity of the driver's timer: bursts are this long at most. Default 1. */
  pacingBurstMs?: number;
  /** Whether to mark packets for ECN. Default true. */
  ecn?: boolean;
}
