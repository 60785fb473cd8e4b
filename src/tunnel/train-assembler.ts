/**
 * Trains of TCP segments as their parts come, put together again for as long as a turn of the event loop lasts: who waits for what is there
 * does not wait for the rest. What is released is a train of its own, with right lengths, and of whole segments, so that no more of them come
 * out than went in, but where a mark of congestion began it anew amid one; TCP's checksum is left to whoever takes it. Knows nothing of
 * order: parts of a flow must come as they were sent, one missing ends the train.
 *
 * Hot: once a packet of the path.
 */
import { Views } from "../transport/session/views.ts";
import { writeIpv4Checksum } from "../tun/checksum.ts";
import { type IpPacket, LARGEST_PACKET } from "../tun/ip-packet.ts";
import { FIN, PSH, TCP_FLAGS, TCP_SEQUENCE } from "../tun/tcp.ts";
import { MOST_TRAIN_HEADER, segmentsOf, trainHeader } from "../tun/tcp-train.ts";
import { writeLength } from "./packet-edits.ts";

/** Trains that are put together at a time; one more, and one of them is released. */
const SLOTS = 8;
/** A part of a segment waits for the rest of it, if that is no more. */
const MOST_WAITING = 2048;

/** Gets a train, lent, whose headers have `headerBytes`; it may be written to. */
export type ReleaseTrain = (train: Uint8Array, headerBytes: number, segmentBytes: number) => void;

/** Of data that come. */
const views = new Views();

/** A train of which not all has come. */
export class IncomingTrain {
  readonly release: ReleaseTrain;
  readonly header = new Uint8Array(MOST_TRAIN_HEADER);
  headerBytes = 0;
  ipHeaderBytes = 0;
  segmentBytes = 0;
  /** Of the next part, in its flow. */
  next = 0;
  /** TCP's sequence number of the data that are released next, and their packet's identification. */
  tcpSequence = 0;
  identification = 0;
  slot: Slot | null = null;
  /** Of a segment of which not all has come. */
  readonly waiting = new Uint8Array(MOST_WAITING);
  waitingBytes = 0;

  constructor(release: ReleaseTrain) {
    this.release = release;
  }
}

class Slot {
  readonly bytes = new Uint8Array(LARGEST_PACKET);
  readonly view = new DataView(this.bytes.buffer);
  length = 0;
  train: IncomingTrain | null = null;
}

export class TrainAssembler {
  readonly #slots: Slot[] = [];
  /** The slot that was taken from a train when all had one: the next one is next. */
  #taken = 0;
  #flushing = false;

  /** Begins `train` with a packet, which `ip` has parsed: headers and the first data. False: it is none. */
  begin(train: IncomingTrain, packet: Uint8Array, ip: IpPacket, segmentBytes: number): boolean {
    const headerBytes = trainHeader(packet, ip, segmentBytes);
    if (headerBytes === 0 || ip.totalBytes !== packet.length) return false;
    for (let i = 0; i < headerBytes; i++) train.header[i] = packet[i];
    train.headerBytes = headerBytes;
    train.ipHeaderBytes = ip.headerBytes;
    train.segmentBytes = segmentBytes;
    const sequenceAt = ip.headerBytes + TCP_SEQUENCE;
    train.tcpSequence = readUint32(packet, sequenceAt);
    train.identification = (packet[4] << 8) | packet[5];
    train.waitingBytes = 0;
    return this.add(train, packet, headerBytes);
  }

  /** Adds what `bytes` hold from `from` on to a train's data. False: that is more than a packet can hold. */
  add(train: IncomingTrain, bytes: Uint8Array, from: number): boolean {
    if (train.headerBytes + train.waitingBytes + bytes.length - from > LARGEST_PACKET) return false;
    let slot = train.slot;
    if (slot !== null && slot.length + bytes.length - from > LARGEST_PACKET) {
      this.#releaseWhole(slot);
      slot = null;
      // What waits of a segment now comes before it.
      if (train.headerBytes + train.waitingBytes + bytes.length - from > LARGEST_PACKET) return false;
    }
    slot ??= this.#open(train);
    slot.bytes.set(views.of(bytes, from, bytes.length), slot.length);
    slot.length += bytes.length - from;
    return true;
  }

  /** Nothing follows: `ends` if it is whole. */
  end(train: IncomingTrain, ends: boolean): void {
    if (train.slot !== null) this.#release(train.slot, ends);
    else if (train.waitingBytes > 0) this.#release(this.#open(train), ends);
  }

  #open(train: IncomingTrain): Slot {
    const slot = this.#free();
    for (let i = 0; i < train.headerBytes; i++) slot.bytes[i] = train.header[i];
    const { headerBytes, waitingBytes } = train;
    for (let i = 0; i < waitingBytes; i++) slot.bytes[headerBytes + i] = train.waiting[i];
    slot.length = headerBytes + waitingBytes;
    train.waitingBytes = 0;
    slot.train = train;
    train.slot = slot;
    if (!this.#flushing) {
      this.#flushing = true;
      queueMicrotask(this.#flush);
    }
    return slot;
  }

  #free(): Slot {
    const slots = this.#slots;
    for (const slot of slots) if (slot.train === null) return slot;
    if (slots.length < SLOTS) {
      slots.push(new Slot());
      return slots[slots.length - 1];
    }
    this.#taken = (this.#taken + 1) % SLOTS;
    this.#releaseWhole(slots[this.#taken]);
    return slots[this.#taken];
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    for (const slot of this.#slots) if (slot.train !== null) this.#releaseWhole(slot);
  };

  /** Releases the whole segments in a slot; the rest waits. */
  #releaseWhole(slot: Slot): void {
    const train = slot.train!;
    const { headerBytes, segmentBytes } = train;
    const rest = (slot.length - headerBytes) % segmentBytes;
    if (rest === 0 || segmentBytes > MOST_WAITING) {
      this.#release(slot, false);
      return;
    }
    slot.length -= rest;
    for (let i = 0; i < rest; i++) train.waiting[i] = slot.bytes[slot.length + i];
    train.waitingBytes = rest;
    if (slot.length > headerBytes) this.#release(slot, false);
    else {
      slot.train = null;
      train.slot = null;
    }
  }

  /** Releases what a slot holds; `last`: it has the end of the train. */
  #release(slot: Slot, last: boolean): void {
    const { bytes, view, length } = slot;
    const train = slot.train!;
    const { headerBytes, ipHeaderBytes, segmentBytes } = train;
    slot.train = null;
    train.slot = null;
    writeLength(bytes, 0, length);
    if (bytes[0] >>> 4 === 4) {
      view.setUint16(4, train.identification);
      writeIpv4Checksum(view, 0, ipHeaderBytes);
    }
    view.setUint32(ipHeaderBytes + TCP_SEQUENCE, train.tcpSequence);
    if (!last) bytes[ipHeaderBytes + TCP_FLAGS] &= ~(FIN | PSH);
    train.tcpSequence = (train.tcpSequence + length - headerBytes) >>> 0;
    train.identification = (train.identification + segmentsOf(length - headerBytes, segmentBytes)) & 0xffff;
    train.release(views.of(bytes, 0, length), headerBytes, segmentBytes);
  }
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
