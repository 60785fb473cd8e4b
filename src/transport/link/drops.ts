/** What became of datagrams and frames that were not used, by cause. Nothing that arrives is dropped uncounted. */
import type { ControlVerdict } from "./control-stream.ts";
import type { FrameError } from "./frames.ts";
import type { HeaderError } from "./packet-header.ts";

export type DropCause =
  | HeaderError
  | FrameError
  | Exclude<ControlVerdict, "taken">
  /** For another link. */
  | "wrong-connection-id"
  /** Before there are keys, and no room to keep it; or of an epoch that is over. */
  | "no-keys"
  | "not-authentic"
  /** Its packet number came already, or is too old to tell. */
  | "replayed"
  /** A client's first datagrams have a least size. */
  | "undersized"
  /** Larger than this end said that it takes. */
  | "oversized"
  /** From an address that the peer does not have during the handshake. */
  | "unexpected-address"
  /** A frame that its epoch does not allow. */
  | "wrong-epoch"
  /** An ACK of packets that were never sent. */
  | "impossible-ack"
  /** A version negotiation or retry that does not fit the state of things. */
  | "unexpected-packet"
  /** The link is over. */
  | "closed";

export type DropCounts = Record<DropCause, number>;

/** Of datagrams whose header says that they are none of ours. */
export function headerDropCounts(): Record<HeaderError, number> {
  return {
    empty: 0,
    "not-a-packet": 0,
    truncated: 0,
    "connection-id-length": 0,
    "unknown-version": 0,
    "unknown-type": 0,
  };
}

export function dropCounts(): DropCounts {
  // Written out, for an object made of another's properties is several times as large and as slow.
  return {
    empty: 0,
    "not-a-packet": 0,
    truncated: 0,
    "connection-id-length": 0,
    "unknown-version": 0,
    "unknown-type": 0,
    "unknown-frame": 0,
    "malformed-frame": 0,
    "empty-payload": 0,
    redundant: 0,
    "control-window": 0,
    "control-invalid": 0,
    "control-memory": 0,
    "wrong-connection-id": 0,
    "no-keys": 0,
    "not-authentic": 0,
    replayed: 0,
    undersized: 0,
    oversized: 0,
    "unexpected-address": 0,
    "wrong-epoch": 0,
    "impossible-ack": 0,
    "unexpected-packet": 0,
    closed: 0,
  };
}
