/**
 * What forwarding needs of a session between two nodes: streams, datagrams, the peer's names. The API's `Session` has this shape;
 * tests put one in memory in its place.
 */
import type { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import type { CertificateNames } from "./identity.ts";

export interface CarrierStream extends Duplex {
  /** The same number at both ends, never used again in a session. */
  readonly id: number;
  /** Ends both directions now; the peer gets an error, never a clean end. */
  reset(code: number): void;
  /** Chunks from now on are released. */
  startReleasing(): void;
  /** A chunk is not looked at any more: its memory may be used again. In the order in which they came. */
  release(chunk: Uint8Array): void;
}

/**
 * Events: "stream" (CarrierStream), one that the peer opened; "datagram" (Uint8Array), lent until the call returns; "close" (Error
 * | null), once, after which all streams are errors.
 */
export interface Carrier extends EventEmitter {
  readonly peer: { readonly identity: CertificateNames };
  openStream(): CarrierStream;
  /** Takes a copy. False: dropped, no room. */
  sendDatagram(data: Uint8Array, options?: { deadlineMs?: number }): boolean;
}
