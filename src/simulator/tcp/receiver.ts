/**
 * The receiving side of the TCP model: reassembly, SACK blocks (RFC 2018, RFC 2883), delayed ACKs as Linux sends them
 * (every second segment, after 40 ms at the latest, at once at the start, out of order and when a gap closes). The
 * window is always open.
 */

import type { EventHandler } from "../event-queue.ts";
import type { Network, Node } from "../network.ts";
import type { KnownAddress, Packet, PacketPool, PacketReceiver } from "../packet.ts";
import { acknowledgementBytes, MAXIMUM_BLOCKS, type Segment, SYN_BYTES } from "./segment.ts";

const DELAYED_ACK_MS = 40;
/** ACKs sent at once at the start and after trouble: Linux's TCP_MAX_QUICKACKS. */
const QUICK_ACKS = 16;
/** Blocks remembered in the order of their last change; Linux keeps four. */
const REMEMBERED = 4;

export class TcpReceiver implements PacketReceiver, EventHandler {
  /** The next segment expected; all before it have been delivered in order. */
  expected = 0;
  /** Segments that came more than once. */
  duplicates = 0;
  acknowledgementsSent = 0;
  readonly #network: Network;
  readonly #node: Node;
  readonly #pool: PacketPool;
  readonly #address: KnownAddress;
  #peer: KnownAddress | null = null;
  // Intervals received above `expected`, ascending, never adjacent: [#starts[i], #ends[i]).
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  // First segments of the intervals that changed last, latest first.
  readonly #recent: number[] = [];
  #quick = QUICK_ACKS;
  #unacknowledged = 0;
  #lastAcknowledged = 0;
  #echoMs = 0;
  #duplicateOf = -1;
  #timerTag = 0;
  #timerArmed = false;

  constructor(network: Network, node: Node, pool: PacketPool) {
    this.#network = network;
    this.#node = node;
    this.#pool = pool;
    this.#address = network.attachModel(node, this);
  }

  get address(): KnownAddress {
    return this.#address;
  }

  receive(packet: Packet, nowMs: number): void {
    if (packet.corrupted) {
      this.#network.drop(packet, "checksum", this.#node);
      return;
    }
    this.#peer = packet.source;
    const segment = packet.model as Segment;
    if (segment.kind === "syn") this.#reply("syn-ack", segment.timestampMs);
    else if (segment.kind === "data") this.#onData(segment, nowMs);
    packet.free();
  }

  /** The delayed ACK is due. */
  handleEvent(_nowMs: number, tag: number): void {
    if (tag === this.#timerTag && this.#timerArmed) this.#acknowledge();
  }

  #onData(segment: Segment, nowMs: number): void {
    const { sequence } = segment;
    // RFC 7323, section 4.3: the echo is of the segment that the last ACK asked for, whatever came after it.
    if (sequence <= this.#lastAcknowledged) this.#echoMs = segment.timestampMs;
    if (sequence < this.expected || this.#holds(sequence)) {
      this.duplicates++;
      this.#quick = QUICK_ACKS;
      this.#duplicateOf = sequence;
      this.#acknowledge();
      return;
    }
    if (sequence > this.expected) {
      this.#insert(sequence);
      this.#acknowledge();
      return;
    }
    this.expected++;
    this.#unacknowledged++;
    const hadGap = this.#starts.length > 0;
    if (hadGap && this.#starts[0] === this.expected) {
      this.expected = this.#ends[0];
      const start = this.#starts.shift()!;
      this.#ends.shift();
      this.#forget(start);
    }
    if (hadGap || this.#quick > 0 || this.#unacknowledged > 1) this.#acknowledge();
    else if (!this.#timerArmed) {
      this.#timerArmed = true;
      this.#network.schedule(nowMs + DELAYED_ACK_MS, this, ++this.#timerTag);
    }
  }

  #acknowledge(): void {
    if (this.#quick > 0) this.#quick--;
    this.#unacknowledged = 0;
    this.#timerArmed = false;
    this.acknowledgementsSent++;
    this.#reply("ack", this.#echoMs);
    this.#lastAcknowledged = this.expected;
    this.#duplicateOf = -1;
  }

  #reply(kind: "ack" | "syn-ack", echoMs: number): void {
    const packet = this.#pool.take();
    const segment = packet.model as Segment;
    segment.kind = kind;
    segment.sequence = 0;
    segment.acknowledged = this.expected;
    segment.timestampMs = this.#network.nowMs;
    segment.echoMs = echoMs;
    const { blocks } = segment;
    let count = 0;
    segment.duplicate = this.#duplicateOf >= 0;
    if (segment.duplicate) {
      blocks[0] = this.#duplicateOf;
      blocks[1] = this.#duplicateOf + 1;
      count = 1;
    }
    for (let i = 0; i < this.#recent.length && count < MAXIMUM_BLOCKS; i++) {
      const start = this.#recent[i];
      blocks[2 * count] = start;
      blocks[2 * count + 1] = this.#ends[this.#find(start)];
      count++;
    }
    segment.blockCount = count;
    packet.ipBytes = kind === "ack" ? acknowledgementBytes(count) : SYN_BYTES;
    packet.source = this.#address;
    packet.destination = this.#peer;
    packet.sentMs = this.#network.nowMs;
    this.#network.send(packet, this.#node, null);
  }

  /** Index of the last interval that starts at or before `sequence`; -1 when none does. */
  #find(sequence: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle] <= sequence) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #holds(sequence: number): boolean {
    const index = this.#find(sequence);
    return index >= 0 && sequence < this.#ends[index];
  }

  #insert(sequence: number): void {
    const before = this.#find(sequence);
    const joinsBefore = before >= 0 && this.#ends[before] === sequence;
    const joinsAfter = before + 1 < this.#starts.length && this.#starts[before + 1] === sequence + 1;
    let start = sequence;
    if (joinsBefore) {
      start = this.#starts[before];
      this.#ends[before] = joinsAfter ? this.#ends[before + 1] : sequence + 1;
      if (joinsAfter) {
        this.#forget(sequence + 1);
        this.#starts.splice(before + 1, 1);
        this.#ends.splice(before + 1, 1);
      }
    } else if (joinsAfter) {
      this.#forget(sequence + 1);
      this.#starts[before + 1] = sequence;
    } else {
      this.#starts.splice(before + 1, 0, sequence);
      this.#ends.splice(before + 1, 0, sequence + 1);
    }
    this.#forget(start);
    this.#recent.unshift(start);
    if (this.#recent.length > REMEMBERED) this.#recent.pop();
  }

  #forget(start: number): void {
    const index = this.#recent.indexOf(start);
    if (index >= 0) this.#recent.splice(index, 1);
  }
}
