/**
 * The contract between a protocol endpoint without I/O and whoever drives it: the simulator, a socket, a test. Four
 * verbs, after quinn-proto: handle a datagram, handle a timeout, poll for something to transmit, next timeout. What the
 * application says to an endpoint (open a stream, read an event) is the endpoint's own interface, not part of this.
 */
import type { Address } from "./address.ts";

/** The ECN codepoint of an IP packet (RFC 3168): 0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
export type EcnCodepoint = 0 | 1 | 2 | 3;

/** A datagram that arrived. The driver reuses the object and the bytes. */
export interface ReceivedDatagram {
  /** The UDP payload. The endpoint's until `handleDatagram` returns; it may write to it (decrypt in place). */
  readonly bytes: Uint8Array;
  /** Who sent it, as seen here: behind a NAT, the NAT's address. May be kept. */
  readonly source: Address;
  /** The local address it came to. May be kept. */
  readonly destination: Address;
  readonly ecn: EcnCodepoint;
  /** How long before `nowMs` it came, where the driver knows: a busy host is no part of the path. Default 0. */
  readonly waitedMs?: number;
}

/** What `pollTransmit` fills in. The driver reuses it and resets all but `buffer` before each call. */
export interface Transmit {
  /** The driver's memory, at least 65,535 bytes. The endpoint writes the UDP payload from 0 on. */
  readonly buffer: Uint8Array;
  /** How many bytes it wrote, at least 1. Reset to 0. */
  length: number;
  /** How many datagrams the driver takes at once (`segmentBytes`). Default 1. */
  maxSegments?: number;
  /**
   * 0: one datagram. Else `buffer` holds several datagrams of this many bytes each to one destination, of which the
   * last may be shorter (UDP segmentation offload). Reset to 0.
   */
  segmentBytes: number;
  /** Where to. Must be set. Reset to null. */
  destination: Address | null;
  /** Which local address to send from; null leaves it to the driver. Reset to null. */
  source: Address | null;
  /** Reset to 0. */
  ecn: EcnCodepoint;
}

/**
 * A protocol endpoint. It has no clock, timer, socket or randomness of its own: equal calls give equal results.
 *
 * `nowMs` is a monotonic time in milliseconds, a double, whose zero means nothing; it never runs backwards from call to
 * call, and many calls may bear the same.
 *
 * A driver keeps this cycle: after `handleDatagram`, `handleTimeout` or anything the application did, it calls
 * `pollTransmit` until false, then asks `nextTimeoutMs` and calls `handleTimeout` as soon as `nowMs` reaches it. It
 * may handle several datagrams before it polls. No method calls back into the driver; all may throw only for bugs.
 */
export interface Endpoint {
  /** Takes a datagram. Anything may be in it: an endpoint never throws for what a peer, or a stranger, sent. */
  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void;
  /** Called when `nowMs` has reached `nextTimeoutMs()`; may be late, and does nothing when called early. */
  handleTimeout(nowMs: number): void;
  /**
   * Writes the next datagram due by `nowMs` into `transmit` and returns true, or returns false when nothing is due.
   * What it returned counts as sent. Pacing is the endpoint's: it returns false until the next time of `nextTimeoutMs`.
   */
  pollTransmit(transmit: Transmit, nowMs: number): boolean;
  /**
   * When it next wants `handleTimeout`, in the time of `nowMs`; Infinity when never. A time that has passed means at
   * once. Valid until the next call of another method.
   */
  nextTimeoutMs(): number;
}
