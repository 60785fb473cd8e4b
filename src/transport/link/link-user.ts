/**
 * The contract between a link and the layer above it. The link asks for bytes when a packet may leave, hands over what came,
 * and says of each packet that carried such bytes what became of it. It calls only from within its own methods; the user may
 * close the link in these, and must not call any of the driver's verbs.
 */
import type { Address } from "../address.ts";
import type { CloseReason } from "./close.ts";
import type { LinkParameters } from "./parameters.ts";

/** What the user fills in. The link reuses it. */
export interface PacketFill {
  /** Write from `start` on, at most `room` bytes. */
  buffer: Uint8Array;
  start: number;
  room: number;
  /** The packet answers a probe timeout: it is worth sending something that may be lost already. */
  probe: boolean;
  /** How many bytes were written. Reset to 0, which means nothing to send. */
  length: number;
  /** The user's name for the packet, any number, given back with its fate. */
  tag: number;
}

export interface LinkUser {
  /** Whether it has bytes to send now. May err: `fill` decides. */
  ready(nowMs: number): boolean;
  /**
   * When `ready` may turn true though nothing is sent or received until then; Infinity when never. Once the time has passed `ready`
   * answers for it, and the link wakes for window and pacer only.
   */
  nextTimeoutMs(): number;
  /** Writes the bytes of one packet, if any. */
  fill(packet: PacketFill, nowMs: number): void;
  /** The packet of this tag arrived. Of `acked` and `lost` exactly one comes for each packet filled. */
  acked(tag: number, nowMs: number): void;
  /** The packet of this tag is given up for lost, also when the link ends before its fate is known. */
  lost(tag: number, nowMs: number): void;
  /** A packet that was reported lost arrived after all. */
  spurious(tag: number, nowMs: number): void;
  /** Of packets that carried nothing of the user's, and were as likely to be lost as those that do, so many arrived, so many did not. */
  pathSampled(arrived: number, lost: number): void;
  /** Bytes `start` to `end` are what the peer's user wrote into one packet: the driver's memory, valid until it returns. */
  receive(bytes: Uint8Array, start: number, end: number, nowMs: number): void;
  /** Keys are there and the peer is authenticated: from now on packets are filled. */
  established(peer: LinkParameters, nowMs: number): void;
  /** `Link.payloadBytes` changed. */
  payloadBytesChanged(payloadBytes: number, nowMs: number): void;
  /** The peer, or this end, moved. `restarted`: to another IP address, so that RTT, MTU and congestion control start again. */
  pathChanged(remote: Address, restarted: boolean, nowMs: number): void;
  /** The link is over: nothing more is filled or received. All packets were settled before. */
  closed(reason: CloseReason, nowMs: number): void;
}

/** Connection ids by which datagrams find the link, for whoever routes them. */
export interface ConnectionIdSource {
  /** A new id, always of the same length, 8 to 20 bytes, not in use; from now on it leads to this link. */
  issue(): Uint8Array;
  /** The token for a stateless reset of `id`: the same each time it is asked, 16 bytes. */
  resetToken(id: Uint8Array): Uint8Array;
  /** The id leads nowhere any more. */
  retire(id: Uint8Array): void;
}
