/**
 * One session's packets in both directions: a fair queue which the session takes from when a packet may leave, and what came put in
 * order. Sequence numbers are given when a packet leaves: what the queue drops leaves no hole. Knows no addresses.
 */
import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import { readVarint, varintBytes, varintLengthAt } from "../transport/link/varint.ts";
import type { DatagramSink } from "../transport/session/datagram-receiver.ts";
import type { DatagramFeed } from "../transport/session/datagram-sender.ts";
import { Views } from "../transport/session/views.ts";
import type { IpPacket } from "../tun/ip-packet.ts";
import { FairQueue, FLOWS, type PacketPool, type QueuedPacket } from "./fair-queue.ts";
import { hashFlow, isOrdered } from "./flow-key.ts";
import { Resequencer } from "./resequencer.ts";
import { SecondSends, SeenNumbers } from "./second-sends.ts";
import {
  mostOverheadBytes,
  ORDERED_HEADER_BYTES,
  SEQUENCE_MASK,
  TunnelFrame,
  TWICE_HEADER_BYTES,
  writeOrderedHeader,
  writeStream,
  writeTwiceHeader,
} from "./tunnel-frames.ts";

/** What a tunnel needs of a session, besides its streams. */
export interface PacketCarrier {
  datagramFeed: DatagramFeed | null;
  datagramSink: DatagramSink | null;
  wakeFeed(): void;
  readonly packetDatagramBytes: number;
  readonly rttMs: number;
}

/** Every IPv6 link carries this (RFC 8200, section 5): where a packet of the path does not, it travels in parts. */
const LEAST_MTU = 1280;
/** How long a packet of a flow in order is worth something: that long it can be repaired, and is waited for. */
const ORDERED_LIFE_RTTS = 6;
const LEAST_ORDERED_LIFE_MS = 150;
/** Any other. */
const LIFE_RTTS = 3;
const LEAST_LIFE_MS = 100;
/** Packets that leave twice while others wait are no longer than this. */
const LARGEST_TWICE = 512;
/** Before the round-trip time is known. */
const ASSUMED_RTT_MS = 200;

/** Of datagrams that come. */
const views = new Views();

export class PacketPath implements DatagramFeed {
  readonly counts = { sentPackets: 0, sentBytes: 0, sentTwice: 0, receivedPackets: 0, receivedBytes: 0, malformed: 0 };
  readonly queue: FairQueue;
  readonly resequencer: Resequencer;
  lifeMs = 0;
  readonly #carrier: PacketCarrier;
  readonly #stream: number;
  readonly #streamBytes: number;
  readonly #release: (packet: Uint8Array) => void;
  readonly #frame = new TunnelFrame();
  readonly #seed = randomInt(2 ** 32);
  readonly #seconds = new SecondSends();
  readonly #seen = new SeenNumbers();
  /** Of the datagram that `next` told of: whether it leaves for the second time, and when that was. */
  #isSecond = false;
  /** What `next` answered last, and for when; -1 when that may have changed. */
  #told = -1;
  #nowMs = 0;
  readonly #sequences = new Int32Array(FLOWS);
  /** Of the packet that was queued last. */
  #lastHash = 0;
  #lastOrdered = false;
  #timer: NodeJS.Timeout | null = null;
  #rttMs = ASSUMED_RTT_MS;
  #mtu = LEAST_MTU;
  #closed = false;

  /** `stream`: the number of the control stream. `release` gets the packets that came, lent and not to be written to. */
  constructor(carrier: PacketCarrier, stream: number, pool: PacketPool, release: (packet: Uint8Array) => void) {
    this.#carrier = carrier;
    this.#stream = stream;
    this.#streamBytes = varintBytes(stream);
    this.#release = release;
    this.queue = new FairQueue(pool);
    this.resequencer = new Resequencer(0, (packet) => this.#deliver(packet));
    this.refresh();
    carrier.datagramFeed = this;
    carrier.datagramSink = (data) => this.#take(data);
  }

  /** The longest packet that travels in one packet of the path, but at least what IPv6 needs. */
  get mtu(): number {
    return this.#mtu;
  }

  /** What passed and what did not, for logs. */
  get summary(): Record<string, number> {
    const { counts: queue, packets } = this.queue;
    const { counts: order, bytes } = this.resequencer;
    return { ...this.counts, mtu: this.#mtu, waiting: packets, ...queue, ...order, heldBytes: bytes };
  }

  /** Looks at the path again; to be called a few times a second. */
  refresh(): void {
    const { packetDatagramBytes, rttMs } = this.#carrier;
    this.#mtu = Math.max(LEAST_MTU, packetDatagramBytes - mostOverheadBytes(this.#stream));
    if (!Number.isNaN(rttMs)) this.#rttMs = rttMs;
    this.queue.rttMs = this.#rttMs;
    this.resequencer.patienceMs = this.#orderedLifeMs();
  }

  /** Queues a packet, which is copied. `wake` must follow. */
  send(packet: Uint8Array, ip: IpPacket, nowMs: number): void {
    this.#told = -1;
    this.#lastHash = hashFlow(packet, ip, this.#seed);
    this.#lastOrdered = isOrdered(packet, ip);
    this.queue.push(packet, this.#lastHash, this.#lastOrdered, nowMs);
  }

  /** Queues the next part of a train: of the flow of the packet that was queued before. */
  sendFollowing(packet: Uint8Array, nowMs: number): void {
    this.#told = -1;
    this.queue.push(packet, this.#lastHash, this.#lastOrdered, nowMs);
  }

  wake(): void {
    this.#carrier.wakeFeed();
  }

  next(nowMs: number): number {
    // Asked several times for each packet.
    if (nowMs === this.#nowMs && this.#told >= 0) return this.#told;
    this.#nowMs = nowMs;
    this.#told = this.#look(nowMs);
    return this.#told;
  }

  #look(nowMs: number): number {
    while (this.#seconds.isStale(nowMs)) this.queue.give(this.#seconds.shift()!);
    const second = this.#seconds.due(nowMs);
    this.#isSecond = second !== null;
    const packet = second ?? this.queue.peek(nowMs);
    if (packet === null) return 0;
    return this.#streamBytes + this.#headerBytes(packet) + packet.length;
  }

  take(target: Uint8Array, at: number): void {
    const { queue } = this;
    this.#told = -1;
    const isSecond = this.#isSecond;
    const packet = isSecond ? this.#seconds.due(this.#nowMs)! : queue.peek(this.#nowMs)!;
    const { bytes, length, flow, ordered } = packet;
    const headerAt = writeStream(target, at, this.#stream);
    const packetAt = headerAt + this.#headerBytes(packet);
    if (ordered) {
      writeOrderedHeader(target, headerAt, flow, this.#sequences[flow]);
      this.#sequences[flow] = (this.#sequences[flow] + 1) & SEQUENCE_MASK;
    } else if (isSecond) {
      writeTwiceHeader(target, headerAt, this.#seconds.number);
    } else if (packetAt > headerAt) {
      writeTwiceHeader(target, headerAt, this.#seconds.add(packet, this.#nowMs));
      queue.detach();
    }
    target.set(bytes.length === length ? bytes : packet.view(), packetAt);
    this.lifeMs = ordered ? this.#orderedLifeMs() : Math.max(LEAST_LIFE_MS, LIFE_RTTS * this.#rttMs);
    if (isSecond) {
      this.counts.sentTwice++;
      queue.give(this.#seconds.shift()!);
      return;
    }
    this.counts.sentPackets++;
    this.counts.sentBytes += length;
    queue.shift();
  }

  /** Bytes between the stream's number and a packet that leaves now. */
  #headerBytes(packet: QueuedPacket): number {
    if (packet.ordered) return ORDERED_HEADER_BYTES;
    if (this.#isSecond) return TWICE_HEADER_BYTES;
    const twice = packet.sparse && packet.length <= LARGEST_TWICE && this.queue.packets > 0 && !this.#seconds.full;
    return twice ? TWICE_HEADER_BYTES : 0;
  }

  /** Takes what came behind the stream's number, lent. */
  receive(payload: Uint8Array, nowMs: number): void {
    if (!this.#closed) this.#receive(payload, 0, nowMs);
  }

  /** Takes a datagram, if it is this tunnel's. */
  #take(data: Uint8Array): boolean {
    if (this.#closed || readVarint(data, 0, data.length) !== this.#stream) return false;
    this.#receive(data, varintLengthAt(data, 0), Number.NaN);
    return true;
  }

  /** `nowMs`: NaN where nobody has looked yet, for most packets need no time. */
  #receive(data: Uint8Array, at: number, nowMs: number): void {
    const frame = this.#frame;
    if (!frame.read(data, at) || (frame.kind === "ordered" && frame.flow >= FLOWS)) {
      this.counts.malformed++;
      return;
    }
    const packet = frame.packetAt === 0 ? data : views.of(data, frame.packetAt, data.length);
    if (frame.kind === "twice" && !this.#seen.isNew(frame.sequence)) return;
    if (frame.kind !== "ordered") {
      this.#deliver(packet);
      return;
    }
    if (this.resequencer.takeNext(frame.flow, frame.sequence, packet)) return;
    const now = Number.isNaN(nowMs) ? performance.now() : nowMs;
    this.resequencer.take(frame.flow, frame.sequence, packet, now);
    if (this.#timer === null && this.resequencer.bytes > 0) this.#setTimer(now);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#carrier.datagramFeed = null;
    this.#carrier.datagramSink = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    for (let packet = this.#seconds.shift(); packet !== null; packet = this.#seconds.shift()) this.queue.give(packet);
    this.queue.clear();
  }

  /** Called after packets were released by the clock rather than by what came. */
  onReleased: () => void = () => {};

  #orderedLifeMs(): number {
    return Math.max(LEAST_ORDERED_LIFE_MS, ORDERED_LIFE_RTTS * this.#rttMs);
  }

  #deliver(packet: Uint8Array): void {
    this.counts.receivedPackets++;
    this.counts.receivedBytes += packet.length;
    this.#release(packet);
  }

  #setTimer(nowMs: number): void {
    const delayMs = Math.max(1, this.resequencer.nextTimeoutMs - nowMs);
    this.#timer = setTimeout(() => {
      this.#timer = null;
      const now = performance.now();
      this.resequencer.expire(now);
      this.onReleased();
      if (this.resequencer.bytes > 0) this.#setTimer(now);
    }, delayMs);
    this.#timer.unref();
  }
}
