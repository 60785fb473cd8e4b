/**
 * The contract between a link and its congestion controller, after quinn-proto's `Controller`. The link numbers packets,
 * reads ACKs, declares losses, counts bytes in flight and paces; a controller says how fast and how much. It has no clock
 * and no timers: the same calls give the same answers.
 *
 * Times are milliseconds (doubles) of one monotonic clock that never runs backwards from call to call. Bytes are those of
 * the wire: UDP payload plus whatever overhead the link counts, always the same way. Rates are bytes a millisecond.
 *
 * The link keeps this order. For every packet that counts towards congestion: `onPacketSent` once, numbers ascending
 * (gaps are fine); then one of `onPacketAcked`, `onPacketLost`, `onPacketForgotten`; after `onPacketLost` perhaps
 * `onSpuriousLoss`. For each ACK frame, and each time a timer declares losses: first the acknowledged packets (ascending or
 * descending), then the lost ones, then one `onUpdate`; only that may change `windowBytes` and `pacingRate` much, so read
 * both again after it. Packets of ACKs alone count for nothing and are not reported. No call allocates in steady state.
 */
export interface CongestionController {
  readonly name: string;
  /** A packet may leave while bytes in flight + its own are at most this. Probes (RFC 9002, 6.2.4) may exceed it. */
  readonly windowBytes: number;
  /** Bytes a millisecond, all that is reported as sent counted; Infinity when nothing limits. See `Pacer`. */
  readonly pacingRate: number;
  /** Bytes a millisecond by which the flight is taken to shrink while an ACK is late (`late-ack.ts`); 0: only ACKs tell. */
  readonly lateAckRate: number;

  /** `inFlightBytes` counts this packet. A packet sent into an empty flight after a pause restarts from idle. */
  onPacketSent(packet: number, bytes: number, inFlightBytes: number, nowMs: number): void;
  onPacketAcked(packet: number, bytes: number, nowMs: number): void;
  /** The link gave the packet up for lost. */
  onPacketLost(packet: number, bytes: number, nowMs: number): void;
  /** A packet given up for lost was acknowledged after all: it does not count as lost any more, but as delivered. */
  onSpuriousLoss(packet: number, bytes: number, nowMs: number): void;
  /** The packet's fate says nothing of congestion: a lost MTU probe, a packet of an abandoned path. */
  onPacketForgotten(packet: number, bytes: number, nowMs: number): void;
  /** What an ACK or a loss timer came to as a whole. The object is the link's and is reused: copy what is to be kept. */
  onUpdate(update: CongestionUpdate): void;
  /** There was nothing to send though window and pacing allowed it; call it whenever sending stops for that. */
  onAppLimited(inFlightBytes: number, nowMs: number): void;
  /** RFC 9002, 7.6, or an outage: nothing sent over a long time arrived. Comes after those packets were reported lost. */
  onPersistentCongestion(nowMs: number): void;
  /** A new path (address), of which nothing is known: starts again. What is still in flight has been forgotten. */
  onPathChange(nowMs: number): void;
  /** The size of a full packet from now on, as path MTU discovery found it. */
  setPacketBytes(packetBytes: number): void;
  /** For statistics. Allocates. */
  metrics(): CongestionMetrics;
}

export interface CongestionUpdate {
  nowMs: number;
  /** When the ACK came: before `nowMs` when the host was busy. May run backwards a little. */
  arrivedMs: number;
  /** A sample: `arrivedMs` less the time the largest newly acknowledged packet was sent, less the peer's ACK delay; else NaN. */
  rttMs: number;
  /** RFC 9002, 5.3; NaN before the first sample. */
  smoothedRttMs: number;
  /** After the packets of this update were taken off. */
  inFlightBytes: number;
  /** By how much the peer's count of packets marked Congestion Experienced (RFC 3168) grew. */
  congestionMarks: number;
}

export interface CongestionMetrics {
  name: string;
  /** The controller's own word for what it is doing: "startup", "cruise", "recovery". */
  state: string;
  windowBytes: number;
  pacingRate: number;
  /** What the path is thought to deliver, bytes a millisecond; 0 when unknown or not modelled. */
  bandwidth: number;
  /** Infinity when unknown or not modelled. */
  minRttMs: number;
  /** Share of packets thought to be lost whatever is sent (not to congestion); 0 when not modelled. */
  lossEstimate: number;
  /** How often a congestion signal was obeyed. */
  congestionEvents: number;
  /** Packets given up for lost that arrived. */
  spuriousLosses: number;
}

export interface CongestionOptions {
  /** Bytes of a full packet on the wire. Default 1200. */
  packetBytes?: number;
  /** Numbers from 0 to below 1, for whoever must not act in step with others. Default a fixed sequence. */
  random?: () => number;
}
