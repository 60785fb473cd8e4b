/**
 * What all parts of a link share: who it is, whom it serves, what time it is, how far its life has come, the path in use, and
 * counters. It decides nothing; the one who writes a field is named beside it. `link.ts` says how the parts fit together.
 */
import type { CongestionController } from "../../congestion/controller.ts";
import { udpHeaderBytes } from "../address.ts";
import { CLOSE_PROTOCOL, type CloseReason, type Closing } from "./close.ts";
import { LocalIds, RemoteIds } from "./connection-ids.ts";
import { type DropCause, dropCounts } from "./drops.ts";
import { IdleTimer } from "./idle.ts";
import {
  DEFAULT_IDLE_TIMEOUT_MS,
  DEFAULT_KEEP_ALIVE_MS,
  DEFAULT_MAX_DATAGRAM_BYTES,
  type LinkOptions,
} from "./link-options.ts";
import { type LinkStats, linkStats } from "./link-stats.ts";
import type { LinkUser } from "./link-user.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE, type Epoch } from "./loss-detection.ts";
import { TAG_BYTES } from "./packet-header.ts";
import { PacketSpace } from "./packet-space.ts";
import type { LinkParameters } from "./parameters.ts";
import { Path } from "./path.ts";
import { BASE_DATAGRAM_BYTES } from "./path-mtu.ts";

export type LinkState = "handshaking" | "established" | "closing" | "closed";

/** The largest UDP payload over IPv4 (RFC 768, RFC 791). */
const LARGEST_DATAGRAM_BYTES = 65_507;
/** The longest packet number in a header. */
const PACKET_NUMBER_MOST = 4;

export class LinkCore {
  /** Without what is of the first packet alone. */
  readonly options: Omit<LinkOptions, "accepted">;
  readonly isClient: boolean;
  readonly user: LinkUser;
  readonly congestion: CongestionController;
  readonly random: (bytes: Uint8Array) => void;
  /** IP and UDP headers: congestion control counts bytes of the wire. */
  readonly overheadBytes: number;
  readonly drops: Record<DropCause, number> = dropCounts();
  readonly stats: LinkStats = linkStats();
  readonly idle: IdleTimer;
  readonly dataSpace: PacketSpace;
  /** This end's first id, by which the handshake's packets find it. */
  readonly firstLocalId: Uint8Array;
  readonly localIds: LocalIds;
  readonly remoteIds: RemoteIds;

  // `Link`.
  nowMs: number;
  state: LinkState = "handshaking";
  /** A packet that asks for an ACK should leave soon, if only a ping. `DataSender` clears it. */
  pingWanted = false;
  // `LinkEnd`.
  closing: Closing | null = null;
  /** Nothing more is taken from the user. */
  draining = false;
  // `HandshakeEpoch`.
  /** Whether the peer is known to have the keys too; the handshake epoch is over then. */
  confirmed = false;
  /** Null when the handshake epoch is over. */
  handshakeSpace: PacketSpace | null;
  /** What the peer said of itself; null before. */
  peer: LinkParameters | null = null;
  /** The largest that either end takes. */
  maxDatagramBytes: number;
  // `PathManager`.
  path: Path;

  readonly #close: (reason: CloseReason, speaks: boolean, nowMs: number) => void;

  /** `localId`: this end's first id. `handshakeId`: the client's choice of the server's, whose place the server's own takes. */
  constructor(
    options: LinkOptions,
    localId: Uint8Array,
    handshakeId: Uint8Array,
    close: (reason: CloseReason, speaks: boolean, nowMs: number) => void,
  ) {
    const { accepted, ...lasting } = options;
    const { role, remote, nowMs, coder } = options;
    this.options = lasting;
    this.isClient = role === "client";
    this.user = options.user;
    this.congestion = options.congestion;
    this.random = options.random;
    this.nowMs = nowMs;
    const wanted = options.maxDatagramBytes ?? DEFAULT_MAX_DATAGRAM_BYTES;
    this.maxDatagramBytes = Math.min(Math.max(wanted, BASE_DATAGRAM_BYTES), LARGEST_DATAGRAM_BYTES);
    this.overheadBytes = udpHeaderBytes(remote.ip);
    this.idle = new IdleTimer(
      options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
      options.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
      this.isClient,
      nowMs,
    );
    this.handshakeSpace = new PacketSpace(EPOCH_HANDSHAKE, coder);
    this.dataSpace = new PacketSpace(EPOCH_DATA, coder);
    this.firstLocalId = localId;
    this.localIds = new LocalIds(this.firstLocalId);
    this.remoteIds = new RemoteIds(accepted === undefined ? handshakeId : accepted.sourceId.slice());
    this.path = new Path(remote, null, this.isClient || accepted?.validated === true, this.maxDatagramBytes);
    this.#close = close;
  }

  space(epoch: Epoch): PacketSpace {
    return epoch === EPOCH_DATA ? this.dataSpace : this.handshakeSpace!;
  }

  /** Bytes that the user may count on in a packet without ACK or control frames: header, frame type and tag taken off. */
  get payloadBytes(): number {
    return this.path.mtu.current - 1 - this.remoteIds.current.length - PACKET_NUMBER_MOST - 1 - TAG_BYTES;
  }

  /** The path carries packets of another size from now on. */
  payloadChanged(nowMs: number): void {
    this.congestion.setPacketBytes(this.path.mtu.current + this.overheadBytes);
    this.user.payloadBytesChanged(this.payloadBytes, nowMs);
  }

  /** Ends the link; the peer hears of it when `speaks`. Everything is settled when it returns: whoever calls must look at `closing`. */
  close(reason: CloseReason, speaks: boolean, nowMs: number): void {
    this.#close(reason, speaks, nowMs);
  }

  /** Ends the link because the peer broke the protocol. */
  protocolError(text: string, nowMs: number): void {
    this.#close({ cause: "protocol", code: CLOSE_PROTOCOL, text }, true, nowMs);
  }
}
