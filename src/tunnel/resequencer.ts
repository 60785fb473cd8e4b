/**
 * Releases packets of each flow in the order in which they were sent, so that what is above sees neither the repair of a loss nor
 * reordering: who comes before one that is missing waits for it, within bounds of time and memory. What comes after its place was
 * given up is released at once, out of order: better late than never.
 */
import { SEQUENCE_BITS, SEQUENCE_MASK } from "./tunnel-frames.ts";

/** Bytes of a tunnel that may be held back, each packet counted with what it costs beside its bytes. */
export const HELD_BYTES = 16 * 2 ** 20;
const HELD_COST = 128;
/** A packet this far ahead, or behind, begins its flow anew. */
const MOST_AHEAD = 65_536;

class Flow {
  expected = 0;
  readonly held: Map<number, Uint8Array> = new Map();
  bytes = 0;
  /** Since when it waits for `expected`. */
  sinceMs = 0;
}

export class Resequencer {
  readonly counts = { inOrder: 0, heldBack: 0, late: 0, givenUp: 0 };
  readonly #release: (packet: Uint8Array) => void;
  readonly #flows: Map<number, Flow> = new Map();
  /** The flow that was looked up last. */
  #lastNumber = -1;
  #last: Flow | null = null;
  /** Those that hold something. */
  readonly #waiting: Set<Flow> = new Set();
  #bytes = 0;
  /** How long a missing packet is waited for. */
  patienceMs: number;

  constructor(patienceMs: number, release: (packet: Uint8Array) => void) {
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
    if (sequence !== flow.expected || flow.held.size > 0) return false;
    flow.expected = (sequence + 1) & SEQUENCE_MASK;
    this.counts.inOrder++;
    this.#release(packet);
    return true;
  }

  /** Takes packet `sequence` of a flow, of which there are at most 65,536; copies it if it has to wait. */
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
      this.#release(packet);
      if (flow.held.size > 0) this.#drain(flow, nowMs);
      return;
    }
    if (Math.abs(ahead) > MOST_AHEAD) {
      while (flow.held.size > 0) this.#skip(flow, nowMs);
      flow.expected = (sequence + 1) & SEQUENCE_MASK;
      this.#release(packet);
      return;
    }
    if (ahead < 0 || flow.held.has(sequence)) {
      this.counts.late++;
      this.#release(packet);
      return;
    }
    if (flow.held.size === 0) {
      flow.sinceMs = nowMs;
      this.#waiting.add(flow);
    }
    flow.held.set(sequence, packet.slice());
    this.counts.heldBack++;
    flow.bytes += packet.length + HELD_COST;
    this.#bytes += packet.length + HELD_COST;
    while (this.#bytes > HELD_BYTES) this.#skip(this.#largest(), nowMs);
  }

  /** Gives up what was waited for too long. */
  expire(nowMs: number): void {
    for (const flow of this.#waiting) {
      while (flow.held.size > 0 && nowMs - flow.sinceMs >= this.patienceMs) this.#skip(flow, nowMs);
    }
  }

  /** When `expire` has something to do; Infinity when nothing is held. */
  get nextTimeoutMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const flow of this.#waiting) next = Math.min(next, flow.sinceMs + this.patienceMs);
    return next;
  }

  /** Goes on with the oldest packet that is held, without what comes before it. */
  #skip(flow: Flow, nowMs: number): void {
    let least = Number.POSITIVE_INFINITY;
    for (const sequence of flow.held.keys()) least = Math.min(least, distance(flow.expected, sequence));
    this.counts.givenUp += least;
    flow.expected = (flow.expected + least) & SEQUENCE_MASK;
    this.#drain(flow, nowMs);
  }

  #drain(flow: Flow, nowMs: number): void {
    for (;;) {
      const packet = flow.held.get(flow.expected);
      if (packet === undefined) break;
      flow.held.delete(flow.expected);
      flow.expected = (flow.expected + 1) & SEQUENCE_MASK;
      flow.bytes -= packet.length + HELD_COST;
      this.#bytes -= packet.length + HELD_COST;
      this.#release(packet);
    }
    // What is missing next was noticed later than this; that it is waited for a little longer does no harm.
    flow.sinceMs = nowMs;
    if (flow.held.size === 0) this.#waiting.delete(flow);
  }

  #largest(): Flow {
    let largest: Flow | null = null;
    for (const flow of this.#waiting) if (largest === null || flow.bytes > largest.bytes) largest = flow;
    return largest!;
  }
}

/** From one sequence number to another, the shorter way round. */
function distance(from: number, to: number): number {
  return ((to - from) << (32 - SEQUENCE_BITS)) >> (32 - SEQUENCE_BITS);
}
