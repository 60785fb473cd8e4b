/**
 * Trains: packets of one size handed to the driver at once, which it sends with one system call (UDP segmentation offload). Packets of
 * the user's differ by a few bytes, so shorter ones are padded to the size that was usual of late. Which packets follow each
 * other is the sender's business.
 */
import type { Address } from "../address.ts";
import type { EcnCodepoint, Transmit } from "../endpoint.ts";
import { FRAME_PADDING } from "./frames.ts";

/** Bytes of a train at most: what IPv6 carries in one UDP datagram, for the kernel cuts one up. */
export const MAX_TRAIN_BYTES = 65_487;
/** A packet is padded by this share of its size at most. */
const MAX_PADDING_SHARE = 1 / 64;
/** Packets after which the usual size is looked at anew. */
const MEMORY_PACKETS = 512;

export class Train {
  /** The largest size of late, and of those since the last look. */
  #usualBytes = 0;
  #largestBytes = 0;
  #packets = 0;
  /** A packet that was too large for the train that it should have followed in. */
  #held: Uint8Array | null = null;
  #heldDestination: Address | null = null;
  #heldSource: Address | null = null;
  #heldEcn: EcnCodepoint = 0;

  /** How much a packet that would be `bytes` long is to be padded. */
  padding(bytes: number): number {
    if (bytes > this.#usualBytes) this.#usualBytes = bytes;
    if (bytes > this.#largestBytes) this.#largestBytes = bytes;
    if (++this.#packets >= MEMORY_PACKETS) {
      this.#usualBytes = this.#largestBytes;
      this.#largestBytes = 0;
      this.#packets = 0;
    }
    const missing = this.#usualBytes - bytes;
    return missing <= bytes * MAX_PADDING_SHARE ? missing : 0;
  }

  /** Takes the last packet of `transmit`, from `start` on, out of it: it goes alone, next. */
  hold(transmit: Transmit, start: number): void {
    this.#held = transmit.buffer.slice(start, transmit.length);
    this.#heldDestination = transmit.destination;
    this.#heldSource = transmit.source;
    this.#heldEcn = transmit.ecn;
    transmit.length = start;
  }

  /** Hands out the packet that was held; false when none was. */
  release(transmit: Transmit): boolean {
    const held = this.#held;
    if (held === null) return false;
    transmit.buffer.set(held);
    transmit.length = held.length;
    transmit.destination = this.#heldDestination;
    transmit.source = this.#heldSource;
    transmit.ecn = this.#heldEcn;
    this.#held = null;
    return true;
  }
}

/** Puts `padding` bytes of PADDING frames before a frame that must be the last, at `at` to `end`. Returns the new end. */
export function padBefore(out: Uint8Array, at: number, end: number, padding: number): number {
  if (padding === 0) return end;
  out.copyWithin(at + padding, at, end);
  out.fill(FRAME_PADDING, at, at + padding);
  return end + padding;
}
