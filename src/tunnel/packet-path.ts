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
import { IpPacket } from "../tun/ip-packet.ts";
import { packetBytesOf, packetsOf, segmentsOf } from "../tun/tcp-train.ts";
import { FairQueue, FLOWS, type PacketPool, type QueuedPacket } from "./fair-queue.ts";
import { hashFlow, isOrdered } from "./flow-key.ts";
import { skipSegments, writeLength } from "./packet-edits.ts";
import { Resequencer } from "./resequencer.ts";
import { SecondSends, SeenNumbers } from "./second-sends.ts";
import { IncomingTrain, type TrainAssembler } from "./train-assembler.ts";
import {
  mostOverheadBytes,
  ORDERED_HEADER_BYTES,
  SEQUENCE_MASK,
  TRAIN_BEGIN_BYTES,
  TRAIN_HEADER_BYTES,
  TunnelFrame,
  TWICE_HEADER_BYTES,
  writeOrderedHeader,
  writeStream,
  writeTrainPart,
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
/** A part of a train has so much data at least, or all that is left: what has less room waits for the next packet. */
const LEAST_PART = 256;
/** Before the round-trip time is known. */
const ASSUMED_RTT_MS = 200;

/** Of datagrams that come, and of packets in them. */
const frames = new Views();
const packets = new Views();

/** What the ends of a tunnel share between their paths. */
export interface PathMemory {
  readonly pool: PacketPool;
  readonly assembler: TrainAssembler;
}

/** Who gets what came. */
export interface PacketSink {
  /** Lent, and not to be written to. */
  packet(packet: Uint8Array): void;
  /** Lent; may be written to. Its headers have `headerBytes`, with right lengths; TCP's checksum is not computed. */
  train(train: Uint8Array, headerBytes: number, segmentBytes: number): void;
}

export class PacketPath implements DatagramFeed {
  readonly counts = {
    sentPackets: 0,
    sentBytes: 0,
    sentTwice: 0,
    receivedPackets: 0,
    receivedBytes: 0,
    malformed: 0,
    incomplete: 0,
  };
  readonly queue: FairQueue;
  readonly resequencer: Resequencer;
  lifeMs = 0;
  readonly #carrier: PacketCarrier;
  readonly #stream: number;
  readonly #streamBytes: number;
  readonly #sink: PacketSink;
  readonly #assembler: TrainAssembler;
  /** Trains of which not all has come, by flow. */
  readonly #trains: Map<number, IncomingTrain> = new Map();
  #spareTrain: IncomingTrain | null = null;
  readonly #ip = new IpPacket();
  readonly #frame = new TunnelFrame();
  readonly #seed = randomInt(2 ** 32);
  readonly #seconds = new SecondSends();
  readonly #seen = new SeenNumbers();
  /** Of the datagram that `next` told of: whether it leaves for the second time, and when that was. */
  #isSecond = false;
  /** What leaves next, as of when; undefined when that may have changed. */
  #first: QueuedPacket | null | undefined = undefined;
  #nowMs = 0;
  readonly #sequences = new Int32Array(FLOWS);
  /** Of the packet that was queued last. */
  #lastHash = 0;
  #lastOrdered = false;
  #timer: NodeJS.Timeout | null = null;
  #rttMs = ASSUMED_RTT_MS;
  #mtu = LEAST_MTU;
  #closed = false;
  /** Whether the peer takes trains whole. */
  readonly takesTrains: boolean;

  /** `stream`: the number of the control stream. */
  constructor(
    carrier: PacketCarrier,
    stream: number,
    { pool, assembler }: PathMemory,
    sink: PacketSink,
    takesTrains: boolean,
  ) {
    this.#carrier = carrier;
    this.#stream = stream;
    this.#streamBytes = varintBytes(stream);
    this.#sink = sink;
    this.#assembler = assembler;
    this.takesTrains = takesTrains;
    this.queue = new FairQueue(pool);
    this.resequencer = new Resequencer(0, (frame, isLate) => this.#released(frame, isLate));
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
    this.#first = undefined;
    this.#lastHash = hashFlow(packet, ip, this.#seed);
    this.#lastOrdered = isOrdered(packet, ip);
    this.queue.push(packet, this.#lastHash, this.#lastOrdered, nowMs);
  }

  /** Queues the next part of a train: of the flow of the packet that was queued before. */
  sendFollowing(packet: Uint8Array, nowMs: number): void {
    this.#first = undefined;
    this.queue.push(packet, this.#lastHash, this.#lastOrdered, nowMs);
  }

  /** Queues a train with headers of `headerBytes`, which is copied, if `takesTrains`. `wake` must follow. */
  sendTrain(train: Uint8Array, ip: IpPacket, headerBytes: number, segmentBytes: number, nowMs: number): void {
    this.#first = undefined;
    this.queue.pushTrain(train, hashFlow(train, ip, this.#seed), headerBytes, segmentBytes, nowMs);
  }

  wake(): void {
    this.#carrier.wakeFeed();
  }

  next(nowMs: number, room: number): number {
    // Asked several times for each packet.
    if (nowMs !== this.#nowMs || this.#first === undefined) {
      this.#nowMs = nowMs;
      this.#first = this.#look(nowMs);
    }
    const packet = this.#first;
    if (packet === null) return 0;
    const before = this.#streamBytes + this.#headerBytes(packet);
    if (packet.segmentBytes === 0) return before + packet.length;
    const data = packet.left - packet.headerBytes;
    const fitting = room - before;
    return before + (fitting >= data ? data : Math.max(fitting, Math.min(data, LEAST_PART)));
  }

  #look(nowMs: number): QueuedPacket | null {
    while (this.#seconds.isStale(nowMs)) this.queue.give(this.#seconds.shift()!);
    const second = this.#seconds.due(nowMs);
    this.#isSecond = second !== null;
    return second ?? this.queue.peek(nowMs);
  }

  take(target: Uint8Array, at: number, bytes: number): void {
    const { queue, counts } = this;
    const packet = this.#first!;
    const isSecond = this.#isSecond;
    const headerAt = writeStream(target, at, this.#stream);
    const headerBytes = this.#headerBytes(packet);
    this.#first = undefined;
    this.lifeMs = packet.ordered ? this.#orderedLifeMs() : Math.max(LEAST_LIFE_MS, LIFE_RTTS * this.#rttMs);
    if (packet.segmentBytes > 0) {
      this.#takePart(packet, target, headerAt, headerAt + headerBytes, at + bytes);
      return;
    }
    const { flow, length } = packet;
    if (packet.ordered) {
      writeOrderedHeader(target, headerAt, flow, this.#sequence(flow));
    } else if (isSecond) {
      writeTwiceHeader(target, headerAt, this.#seconds.number);
    } else if (headerBytes > 0) {
      writeTwiceHeader(target, headerAt, this.#seconds.add(packet, this.#nowMs));
      queue.detach();
    }
    target.set(packet.view(), headerAt + headerBytes);
    if (isSecond) {
      counts.sentTwice++;
      queue.give(this.#seconds.shift()!);
      return;
    }
    counts.sentPackets++;
    counts.sentBytes += length;
    queue.shift();
  }

  /** Writes a train's next part: what stands before its data from `headerAt` on, data from `dataAt` to `end`. */
  #takePart(train: QueuedPacket, target: Uint8Array, headerAt: number, dataAt: number, end: number): void {
    const { bytes, flow, headerBytes, segmentBytes, gone } = train;
    const data = end - dataAt;
    const left = train.left - headerBytes;
    const begins = !train.begun;
    writeTrainPart(target, headerAt, flow, this.#sequence(flow), begins ? segmentBytes : 0, data === left);
    if (begins) {
      const packetAt = headerAt + TRAIN_BEGIN_BYTES;
      for (let i = 0; i < headerBytes; i++) target[packetAt + i] = bytes[i];
      writeLength(target, packetAt, end);
      if (gone > 0) skipSegments(target, packetAt, gone, segmentBytes);
    }
    const segments = segmentsOf(gone + data, segmentBytes) - segmentsOf(gone, segmentBytes);
    this.counts.sentPackets += segments;
    this.counts.sentBytes += data + segments * headerBytes;
    target.set(train.part(headerBytes + gone, headerBytes + gone + data), dataAt);
    this.queue.shiftPart(data);
  }

  #sequence(flow: number): number {
    const sequence = this.#sequences[flow];
    this.#sequences[flow] = (sequence + 1) & SEQUENCE_MASK;
    return sequence;
  }

  /** Bytes between the stream's number and a packet, or a train's data, that leaves now. */
  #headerBytes(packet: QueuedPacket): number {
    if (packet.segmentBytes > 0) return packet.begun ? TRAIN_HEADER_BYTES : TRAIN_BEGIN_BYTES + packet.headerBytes;
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
    const inOrder = frame.read(data, at) ? frame.kind === "ordered" || frame.kind === "train" : null;
    if (inOrder === null || (inOrder && frame.flow >= FLOWS)) {
      this.counts.malformed++;
      return;
    }
    if (!inOrder) {
      if (frame.kind === "twice" && !this.#seen.isNew(frame.sequence)) return;
      this.#deliver(frame.packetAt === 0 ? data : packets.of(data, frame.packetAt, data.length));
      return;
    }
    const bytes = at === 0 ? data : frames.of(data, at, data.length);
    if (this.resequencer.takeNext(frame.flow, frame.sequence, bytes)) return;
    const now = Number.isNaN(nowMs) ? performance.now() : nowMs;
    this.resequencer.take(frame.flow, frame.sequence, bytes, now);
    if (this.#timer === null && this.resequencer.bytes > 0) this.#setTimer(now);
  }

  /** Takes a frame whose turn it is, or was. */
  #released(bytes: Uint8Array, isLate: boolean): void {
    const frame = this.#frame;
    frame.read(bytes, 0);
    const { kind, flow, packetAt } = frame;
    if (kind === "train") {
      // A late part of a train has no place any more; the train that is coming now goes on.
      if (isLate) this.counts.incomplete++;
      else this.#takeTrainPart(bytes);
      return;
    }
    if (this.#trains.size > 0 && !isLate) this.#cutShort(flow);
    this.#deliver(packets.of(bytes, packetAt, bytes.length));
  }

  #takeTrainPart(bytes: Uint8Array): void {
    const { flow, sequence, begins, ends } = this.#frame;
    const assembler = this.#assembler;
    if (begins) {
      this.#cutShort(flow);
      const train = this.#beginTrain(bytes);
      if (train === null) {
        this.counts.malformed++;
        return;
      }
      this.#trains.set(flow, train);
    }
    const train = this.#trains.get(flow);
    // Something before it was given up, or what it belongs to was not to be read.
    const fits = begins || (train?.next === sequence && assembler.add(train, bytes, this.#frame.packetAt));
    if (train === undefined || !fits) {
      this.counts.incomplete++;
      this.#cutShort(flow);
      return;
    }
    train.next = (sequence + 1) & SEQUENCE_MASK;
    if (ends) this.#endTrain(flow, train, true);
  }

  #beginTrain(bytes: Uint8Array): IncomingTrain | null {
    const train = this.#spareTrain ?? new IncomingTrain(this.#deliverTrain);
    this.#spareTrain = null;
    const packet = packets.of(bytes, this.#frame.packetAt, bytes.length);
    const isTrain = this.#ip.parse(packet) && this.#assembler.begin(train, packet, this.#ip, this.#frame.segmentBytes);
    if (isTrain) return train;
    this.#spareTrain = train;
    return null;
  }

  /** The rest of a flow's train does not come, if there is one. */
  #cutShort(flow: number): void {
    const train = this.#trains.get(flow);
    if (train !== undefined) this.#endTrain(flow, train, false);
  }

  #endTrain(flow: number, train: IncomingTrain, whole: boolean): void {
    this.#trains.delete(flow);
    this.#assembler.end(train, whole);
    this.#spareTrain = train;
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
    this.#sink.packet(packet);
  }

  readonly #deliverTrain = (train: Uint8Array, headerBytes: number, segmentBytes: number): void => {
    if (this.#closed) return;
    this.counts.receivedPackets += packetsOf(train.length, headerBytes, segmentBytes);
    this.counts.receivedBytes += packetBytesOf(train.length, headerBytes, segmentBytes);
    this.#sink.train(train, headerBytes, segmentBytes);
  };

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
