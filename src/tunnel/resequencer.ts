/**
 * Releases packets of each flow in the order in which they were sent, so that what is above sees neither the repair of a loss nor
 * reordering: who comes before one that is missing waits for it, within bounds of time and memory. What comes after its place was
 * given up is released at once, out of order: better late than never.
 */
import { SEQUENCE_BITS, SEQUENCE_MASK } from "./tunnel-frames.ts";

/** Bytes of a tunnel that may be held back, each packet counted with what it costs beside its bytes. */
export const HELD_BYTES = 16 * 2 ** 20;
const HELD_COST = 128;
/** Packets of a flow that may be held back: putting one in its place must not take long. */
export const HELD_PACKETS = 8192;
/** A packet this far ahead, or behind, begins its flow anew. */
const MOST_AHEAD = 65_536;

interface Held {
  readonly sequence: number;
  readonly packet: Uint8Array;
  /** Since when it is known that something before it is missing: it came then, or one behind it did. */
  readonly sinceMs: number;
}

class Flow {
  expected = 0;
  /** In the order of their sequence numbers. */
  readonly held: Held[] = [];
  bytes = 0;
}

export class Resequencer {
  readonly counts = { inOrder: 0, heldBack: 0, late: 0, givenUp: 0 };
  readonly #release: (packet: Uint8Array, isLate: boolean) => void;
  readonly #flows: Map<number, Flow> = new Map();
  /** The flow that was looked up last. */
  #lastNumber = -1;
  #last: Flow | null = null;
  /** Those that hold something. */
  readonly #waiting: Set<Flow> = new Set();
  #bytes = 0;
  /** How long a missing packet is waited for. */
  patienceMs: number;

  /** `release`: `isLate` is true of what comes after its place was given up. */
  constructor(patienceMs: number, release: (packet: Uint8Array, isLate: boolean) => void) {
    this.patienceMs = patienceMs;
    this.#release = release;
  }

  /** Bytes held back. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes packet `sequence` of a flow if it is the one that comes next and nothing waits behind it: mostly so. */
  takeNext(number: number, sequence: number, packet: Uint8Array): boolean {
    if (number !== this.#lastNumber) {
      const found = this.#flows.get(number);
      if (found === undefined) return false;
      this.#lastNumber = number;
      this.#last = found;
    }
    const flow = this.#last!;
    if (sequence !== flow.expected || flow.held.length > 0) return false;
    flow.expected = (sequence + 1) & SEQUENCE_MASK;
    this.counts.inOrder++;
    this.#release(packet, false);
    return true;
  }

  /** Takes packet `sequence` of a flow, of which the caller bounds the number; copies it if it has to wait. */
  take(number: number, sequence: number, packet: Uint8Array, nowMs: number): void {
    let flow = this.#flows.get(number);
    if (flow === undefined) {
      flow = new Flow();
      this.#flows.set(number, flow);
    }
    const ahead = distance(flow.expected, sequence);
    if (ahead === 0) {
      flow.expected = (sequence + 1) & SEQUENCE_MASK;
      this.counts.inOrder++;
      this.#release(packet, false);
      if (flow.held.length > 0) this.#drain(flow);
      return;
    }
    if (Math.abs(ahead) > MOST_AHEAD) {
      while (flow.held.length > 0) this.#skip(flow);
      flow.expected = (sequence + 1) & SEQUENCE_MASK;
      this.#release(packet, false);
      return;
    }
    const place = ahead < 0 ? -1 : placeOf(flow, ahead);
    if (place < 0) {
      this.counts.late++;
      this.#release(packet, true);
      return;
    }
    const { held } = flow;
    const sinceMs = place < held.length ? held[place].sinceMs : nowMs;
    held.splice(place, 0, { sequence, packet: packet.slice(), sinceMs });
    this.#waiting.add(flow);
    this.counts.heldBack++;
    flow.bytes += packet.length + HELD_COST;
    this.#bytes += packet.length + HELD_COST;
    if (held.length > HELD_PACKETS) this.#skip(flow);
    while (this.#bytes > HELD_BYTES) this.#skip(this.#largest());
  }

  /** Gives up what was waited for too long. */
  expire(nowMs: number): void {
    for (const flow of this.#waiting) {
      const { held } = flow;
      while (held.length > 0 && nowMs - held[0].sinceMs >= this.patienceMs) this.#skip(flow);
    }
  }

  /** When `expire` has something to do; Infinity when nothing is held. */
  get nextTimeoutMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const { held } of this.#waiting) next = Math.min(next, held[0].sinceMs + this.patienceMs);
    return next;
  }

  /** Goes on with the first packet that is held, without what comes before it. */
  #skip(flow: Flow): void {
    const { sequence } = flow.held[0];
    this.counts.givenUp += distance(flow.expected, sequence);
    flow.expected = sequence;
    this.#drain(flow);
  }

  #drain(flow: Flow): void {
    const { held } = flow;
    while (held.length > 0 && held[0].sequence === flow.expected) {
      const { packet } = held.shift()!;
      flow.expected = (flow.expected + 1) & SEQUENCE_MASK;
      flow.bytes -= packet.length + HELD_COST;
      this.#bytes -= packet.length + HELD_COST;
      this.#release(packet, false);
    }
    if (held.length === 0) this.#waiting.delete(flow);
  }

  #largest(): Flow {
    let largest: Flow | null = null;
    for (const flow of this.#waiting) if (largest === null || flow.bytes > largest.bytes) largest = flow;
    return largest!;
  }
}

/** Where in what is held the packet `ahead` of the one expected belongs; -1 if it is there. */
function placeOf({ expected, held }: Flow, ahead: number): number {
  let low = 0;
  let high = held.length;
  // Mostly it is the last.
  if (high > 0 && distance(expected, held[high - 1].sequence) < ahead) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const there = distance(expected, held[middle].sequence);
    if (there === ahead) return -1;
    if (there < ahead) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** From one sequence number to another, the shorter way round. */
function distance(from: number, to: number): number {
  return ((to - from) << (32 - SEQUENCE_BITS)) >> (32 - SEQUENCE_BITS);
}
