/**
 * Packets, and trains of TCP segments (tun/tcp-train.ts), that wait for a path, in turn between flows: FQ-CoDel (RFC 8290), which is deficit
 * round robin over flows in which those that send little go first, and in each flow CoDel (RFC 8289), which tells a sender early that its
 * queue does not drain. A train leaves in parts, as long as they fit. When memory runs out the flow that holds most of it loses. Without
 * clock. A hot path: nothing is made for a packet but what is used again.
 */
import { segmentsOf } from "../tun/tcp-train.ts";
import { markCongestion } from "./packet-edits.ts";

/** Flows that are told apart; must be a power of two. */
export const FLOWS = 1024;
/** Bytes that a queue may hold, each packet counted with all of its buffer and what that has beside. */
export const QUEUE_BYTES = 6 * 2 ** 20;
const PACKET_COST = 256;
/** A view of a part of a train. */
const PART_COST = 100;
/** Of the flow that holds most memory so many packets give way at a time, RFC 8290, section 4.1.3. */
const DROP_BATCH = 64;
/** Bytes of a flow's turn. */
const QUANTUM = 1514;
/** Buffers have this size, or twice that and so on, to what holds the longest packet. So many bytes of them are kept to be used again. */
const BUFFER_BYTES = 2048;
const BUFFER_SIZES = 6;
const SPARE_BYTES = 4 * 2 ** 20;
/** Places in a buffer that are told apart lie so many bits apart: parts are mostly longer. */
const PART_BITS = 10;
/** What waited longer is not worth sending: the path was away. */
const MOST_AGE_MS = 1500;
/** CoDel: the interval is its default, the target leaves room for how late a busy event loop may be; longer paths get more. */
const TARGET_MS = 15;
const INTERVAL_MS = 100;
/** A flow's queue delays that flow alone, and CUBIC, which goes back by 0.3, fills its path only with 0.43 of a round trip queued, that of repairs included (RFC 9438, 4.6). */
const TARGET_RTTS = 1;
/** With repair and queue, an answer to a drop may take as many. */
const INTERVAL_RTTS = 4;
/** CoDel leaves a flow alone that has less than this. */
const LEAST_BACKLOG = 2 * 1514;

const NONE = -1;
const IDLE = 0;
const NEW = 1;
const OLD = 2;

export class QueuedPacket {
  readonly bytes: Uint8Array;
  length = 0;
  flow = 0;
  ordered = false;
  /** Its flow sends so little that it went before others. */
  sparse = false;
  sinceMs = 0;
  /** Of a train: data of each segment, and bytes of the headers before them. 0: it is a packet. */
  segmentBytes = 0;
  headerBytes = 0;
  /** Data of a train that have left, or were dropped, so far. */
  gone = 0;
  /** What leaves next follows what left before: the other end has the headers. */
  begun = false;
  next: QueuedPacket | null = null;
  #view: Uint8Array;
  /** Parts of trains, by where they begin: those of the next train in this buffer mostly lie at the same places. */
  readonly #parts: (Uint8Array | undefined)[] = [];

  constructor(bufferBytes: number) {
    this.bytes = new Uint8Array(bufferBytes);
    this.#view = this.bytes;
  }

  /** Bytes still to leave, of a train with its headers. */
  get left(): number {
    return this.length - this.gone;
  }

  /** Bytes of memory. */
  get cost(): number {
    const parts = this.segmentBytes === 0 ? 0 : this.bytes.length >>> PART_BITS;
    return this.bytes.length + PACKET_COST + parts * PART_COST;
  }

  /** Packets that it stands for: of a train, segments of which not all has left. */
  get packets(): number {
    if (this.segmentBytes === 0) return 1;
    return segmentsOf(this.length - this.headerBytes, this.segmentBytes) - Math.floor(this.gone / this.segmentBytes);
  }

  /** The packet. What was made for one of the same length serves again. */
  view(): Uint8Array {
    if (this.#view.length !== this.length) this.#view = this.bytes.subarray(0, this.length);
    return this.#view;
  }

  /** What lies from `start` to `end`. */
  part(start: number, end: number): Uint8Array {
    const slot = start >>> PART_BITS;
    const known = this.#parts[slot];
    if (known !== undefined && known.byteOffset === start && known.length === end - start) return known;
    const made = this.bytes.subarray(start, end);
    while (this.#parts.length < slot) this.#parts.push(undefined);
    this.#parts[slot] = made;
    return made;
  }
}

/** Buffers that queues share: what one does not need any more another can use. */
export class PacketPool {
  /** By size. */
  readonly #spare: QueuedPacket[][] = Array.from({ length: BUFFER_SIZES }, () => []);
  #spareBytes = 0;

  take(source: Uint8Array): QueuedPacket {
    const size = sizeOf(source.length);
    let packet = this.#spare[size].pop();
    if (packet === undefined) packet = new QueuedPacket(BUFFER_BYTES << size);
    else this.#spareBytes -= packet.bytes.length;
    packet.bytes.set(source);
    packet.length = source.length;
    packet.segmentBytes = 0;
    packet.headerBytes = 0;
    packet.gone = 0;
    packet.begun = false;
    return packet;
  }

  give(packet: QueuedPacket): void {
    packet.next = null;
    const { length } = packet.bytes;
    if (this.#spareBytes + length > SPARE_BYTES) return;
    this.#spareBytes += length;
    this.#spare[sizeOf(length)].push(packet);
  }
}

/** Which of the sizes of buffers holds `bytes`, 65,536 at most. */
function sizeOf(bytes: number): number {
  return bytes <= BUFFER_BYTES ? 0 : 32 - Math.clz32((bytes - 1) >>> 11);
}

/** A list of flows, each of which is in one list at most. */
class FlowList {
  head = NONE;
  #tail = NONE;
  readonly #next: Int32Array;

  constructor(next: Int32Array) {
    this.#next = next;
  }

  push(flow: number): void {
    this.#next[flow] = NONE;
    if (this.head === NONE) this.head = flow;
    else this.#next[this.#tail] = flow;
    this.#tail = flow;
  }

  shift(): void {
    this.head = this.#next[this.head];
  }
}

export class FairQueue {
  /** Packets dropped, of trains each segment: for want of room, by CoDel, too old. Marked instead of dropped by CoDel: a train as a whole. */
  readonly counts = { overflowed: 0, early: 0, stale: 0, marked: 0 };
  readonly #pool: PacketPool;
  readonly #heads: (QueuedPacket | null)[] = new Array(FLOWS).fill(null);
  readonly #tails: (QueuedPacket | null)[] = new Array(FLOWS).fill(null);
  readonly #flowBytes = new Int32Array(FLOWS);
  /** What each flow has of `bytes`. */
  readonly #flowCosts = new Int32Array(FLOWS);
  readonly #deficits = new Int32Array(FLOWS);
  readonly #states = new Uint8Array(FLOWS);
  readonly #links = new Int32Array(FLOWS);
  readonly #new = new FlowList(this.#links);
  readonly #old = new FlowList(this.#links);
  // CoDel's of each flow.
  readonly #aboveMs = new Float64Array(FLOWS);
  readonly #dropMs = new Float64Array(FLOWS);
  readonly #drops = new Int32Array(FLOWS);
  readonly #lastDrops = new Int32Array(FLOWS);
  readonly #dropping = new Uint8Array(FLOWS);
  #bytes = 0;
  #packets = 0;
  #targetMs = TARGET_MS;
  #intervalMs = INTERVAL_MS;
  #staged: QueuedPacket | null = null;

  constructor(pool: PacketPool) {
    this.#pool = pool;
  }

  get packets(): number {
    return this.#packets;
  }

  /** Bytes held, with what they cost. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Who sends over a path of this round-trip time takes so long to answer, and needs a queue to match. */
  set rttMs(rttMs: number) {
    this.#intervalMs = Math.max(INTERVAL_MS, INTERVAL_RTTS * rttMs);
    this.#targetMs = Math.max(TARGET_MS, TARGET_RTTS * rttMs);
  }

  /** Takes a copy of a packet. `hash` tells its flow. */
  push(source: Uint8Array, hash: number, ordered: boolean, nowMs: number): void {
    const packet = this.#pool.take(source);
    packet.ordered = ordered;
    this.#enqueue(packet, hash & (FLOWS - 1), nowMs);
  }

  /** Takes a copy of a train, which leaves in parts. */
  pushTrain(source: Uint8Array, hash: number, headerBytes: number, segmentBytes: number, nowMs: number): void {
    const packet = this.#pool.take(source);
    packet.ordered = true;
    packet.headerBytes = headerBytes;
    packet.segmentBytes = segmentBytes;
    this.#enqueue(packet, hash & (FLOWS - 1), nowMs);
  }

  #enqueue(packet: QueuedPacket, flow: number, nowMs: number): void {
    // While the path is away nothing is taken out.
    this.#dropStale(flow, nowMs);
    packet.flow = flow;
    packet.sinceMs = nowMs;
    const tail = this.#tails[flow];
    if (tail === null) this.#heads[flow] = packet;
    else tail.next = packet;
    this.#tails[flow] = packet;
    this.#add(packet);
    if (this.#states[flow] === IDLE) {
      this.#states[flow] = NEW;
      this.#deficits[flow] = QUANTUM;
      this.#new.push(flow);
    }
    if (this.#bytes > QUEUE_BYTES) this.#dropFromLargest();
  }

  /** The packet that is next; it stays so until `shift`. Null when there is none. */
  peek(nowMs: number): QueuedPacket | null {
    const staged = this.#staged;
    if (staged !== null && nowMs - staged.sinceMs >= MOST_AGE_MS) {
      this.counts.stale += staged.packets;
      this.shift();
    }
    this.#staged ??= this.#packets > 0 ? this.#dequeue(nowMs) : null;
    return this.#staged;
  }

  /** The packet that `peek` returned is done with. */
  shift(): void {
    const packet = this.#staged;
    if (packet === null) return;
    this.#staged = null;
    this.#pool.give(packet);
  }

  /**
   * `bytes` of the data of the train that `peek` returned have left. The rest waits, before all else of its flow, when this one's turn is over
   * or another flow goes first.
   */
  shiftPart(bytes: number): void {
    const train = this.#staged!;
    const { flow } = train;
    this.#deficits[flow] -= bytes + (train.begun ? 0 : train.headerBytes);
    train.begun = true;
    train.gone += bytes;
    if (train.left === train.headerBytes) this.shift();
    else if (this.#deficits[flow] <= 0 || (this.#new.head !== NONE && this.#new.head !== flow)) {
      this.#staged = null;
      train.next = this.#heads[flow];
      this.#heads[flow] = train;
      this.#tails[flow] ??= train;
      this.#add(train);
    }
  }

  /** The packet that `peek` returned is the caller's, to be given back with `give`. */
  detach(): void {
    this.#staged = null;
  }

  give(packet: QueuedPacket): void {
    this.#pool.give(packet);
  }

  clear(): void {
    this.shift();
    for (let flow = 0; flow < FLOWS; flow++) while (this.#heads[flow] !== null) this.#pool.give(this.#pop(flow)!);
  }

  #dequeue(nowMs: number): QueuedPacket | null {
    for (;;) {
      const list = this.#new.head !== NONE ? this.#new : this.#old;
      const flow = list.head;
      if (flow === NONE) return null;
      if (this.#deficits[flow] <= 0) {
        this.#deficits[flow] += QUANTUM;
        list.shift();
        this.#states[flow] = OLD;
        this.#old.push(flow);
        continue;
      }
      const packet = this.#codel(flow, nowMs);
      if (packet === null) {
        list.shift();
        // A new flow that has become empty waits for its turn once, or it could be new again for ever.
        if (list === this.#new && this.#old.head !== NONE) {
          this.#states[flow] = OLD;
          this.#old.push(flow);
        } else this.#states[flow] = IDLE;
        continue;
      }
      // A train's parts, as they leave.
      if (packet.segmentBytes === 0) this.#deficits[flow] -= packet.length;
      packet.sparse = list === this.#new;
      return packet;
    }
  }

  #pop(flow: number): QueuedPacket | null {
    const packet = this.#heads[flow];
    if (packet === null) return null;
    this.#heads[flow] = packet.next;
    if (packet.next === null) this.#tails[flow] = null;
    packet.next = null;
    this.#flowBytes[flow] -= packet.left;
    this.#charge(flow, -packet.cost);
    this.#packets--;
    return packet;
  }

  #add(packet: QueuedPacket): void {
    this.#flowBytes[packet.flow] += packet.left;
    this.#charge(packet.flow, packet.cost);
    this.#packets++;
  }

  /** The first packet that is not too old. */
  #fresh(flow: number, nowMs: number): QueuedPacket | null {
    this.#dropStale(flow, nowMs);
    return this.#pop(flow);
  }

  #dropStale(flow: number, nowMs: number): void {
    for (let head = this.#heads[flow]; head !== null && nowMs - head.sinceMs >= MOST_AGE_MS; head = this.#heads[flow]) {
      this.counts.stale += head.packets;
      this.#pool.give(this.#pop(flow)!);
    }
  }

  /** Whether the queue has been too long for an interval; keeps when that began. */
  #tooLong(flow: number, packet: QueuedPacket | null, nowMs: number): boolean {
    const behind = this.#flowBytes[flow] + (packet === null || packet.segmentBytes === 0 ? 0 : packet.left);
    if (packet === null || nowMs - packet.sinceMs < this.#targetMs || behind < LEAST_BACKLOG) {
      this.#aboveMs[flow] = 0;
      return false;
    }
    if (this.#aboveMs[flow] === 0) {
      this.#aboveMs[flow] = nowMs + this.#intervalMs;
      return false;
    }
    return nowMs >= this.#aboveMs[flow];
  }

  /** RFC 8289, section 5.5. */
  #codel(flow: number, nowMs: number): QueuedPacket | null {
    let packet = this.#fresh(flow, nowMs);
    let tooLong = this.#tooLong(flow, packet, nowMs);
    if (packet === null) {
      this.#dropping[flow] = 0;
      return null;
    }
    if (this.#dropping[flow] === 1) {
      if (!tooLong) this.#dropping[flow] = 0;
      while (packet !== null && this.#dropping[flow] === 1 && nowMs >= this.#dropMs[flow]) {
        this.#drops[flow]++;
        this.#dropMs[flow] = this.#control(flow, this.#dropMs[flow]);
        if (this.#mark(packet)) break;
        packet = this.#dropFirst(packet, nowMs);
        tooLong = this.#tooLong(flow, packet, nowMs);
        if (!tooLong) this.#dropping[flow] = 0;
      }
      return packet;
    }
    if (!tooLong) return packet;
    if (!this.#mark(packet)) {
      packet = this.#dropFirst(packet, nowMs);
      this.#tooLong(flow, packet, nowMs);
    }
    this.#dropping[flow] = 1;
    const delta = this.#drops[flow] - this.#lastDrops[flow];
    this.#drops[flow] = delta > 1 && nowMs - this.#dropMs[flow] < 16 * this.#intervalMs ? delta : 1;
    this.#dropMs[flow] = this.#control(flow, nowMs);
    this.#lastDrops[flow] = this.#drops[flow];
    return packet;
  }

  /** Drops a packet, of a train the first segment; what is next. */
  #dropFirst(packet: QueuedPacket, nowMs: number): QueuedPacket | null {
    if (packet.packets > 1) {
      // All of it, were a part of it gone: the next one is whole.
      packet.gone += packet.segmentBytes - (packet.gone % packet.segmentBytes);
      // What is left is a train of its own.
      packet.begun = false;
      return packet;
    }
    this.#pool.give(packet);
    return this.#fresh(packet.flow, nowMs);
  }

  #control(flow: number, fromMs: number): number {
    return fromMs + this.#intervalMs / Math.sqrt(this.#drops[flow]);
  }

  /** Marks a packet instead of dropping it, where that is understood. */
  #mark(packet: QueuedPacket): boolean {
    const marked = markCongestion(packet.bytes);
    if (marked) {
      this.counts.marked++;
      // A train's headers are the mark.
      packet.begun = false;
    } else this.counts.early++;
    return marked;
  }

  #charge(flow: number, bytes: number): void {
    this.#flowCosts[flow] += bytes;
    this.#bytes += bytes;
  }

  /** Of memory, not of packets' bytes: else one of tiny packets would take the room of all others. */
  #dropFromLargest(): void {
    const costs = this.#flowCosts;
    let largest = 0;
    for (let flow = 1; flow < FLOWS; flow++) if (costs[flow] > costs[largest]) largest = flow;
    const half = costs[largest] / 2;
    for (let dropped = 0; dropped < DROP_BATCH && costs[largest] > half; ) {
      const packet = this.#pop(largest)!;
      dropped += packet.packets;
      this.counts.overflowed += packet.packets;
      this.#pool.give(packet);
    }
  }
}
