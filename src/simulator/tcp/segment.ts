/**
 * What a model's TCP packet carries. Sequence numbers count segments of one MSS, not bytes. Sizes are those of Linux
 * with timestamps and SACK on IPv4 (RFC 9293, RFC 7323, RFC 2018).
 */
import { PacketPool } from "../packet.ts";

export type SegmentKind = "syn" | "syn-ack" | "data" | "ack";

/** With timestamps there is room for three blocks (RFC 2018, section 3). */
export const MAXIMUM_BLOCKS = 3;
/** IP 20, TCP 20, options 12 (timestamps). */
export const HEADER_BYTES = 52;
export const SYN_BYTES = 60;

export class Segment {
  kind: SegmentKind = "data";
  sequence = 0;
  /** The next segment expected. */
  acknowledged = 0;
  /** When this segment was sent. */
  timestampMs = 0;
  /** The timestamp that this ACK echoes (RFC 7323, section 4.3). */
  echoMs = 0;
  blockCount = 0;
  /** SACK blocks: start, end (not included), start, end ... */
  readonly blocks = new Float64Array(2 * MAXIMUM_BLOCKS);
  /** The first block reports a duplicate (RFC 2883). */
  duplicate = false;
}

/** Bytes of an ACK on IP level; each block takes 8, the option itself 4. */
export function acknowledgementBytes(blockCount: number): number {
  return HEADER_BYTES + (blockCount === 0 ? 0 : 4 + 8 * blockCount);
}

export function createSegmentPool(): PacketPool {
  return new PacketPool(
    () => new Segment(),
    (from, to) => {
      const { blocks, ...rest } = from as Segment;
      Object.assign(to as Segment, rest);
      (to as Segment).blocks.set(blocks);
    },
  );
}
