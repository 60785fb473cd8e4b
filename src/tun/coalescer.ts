/**
 * Puts TCP segments that follow one another back together, so that the kernel takes up to 64 KiB of a flow in one write: what a
 * network card's receive offload does, by the rules of Linux's own (net/ipv4/tcp_offload.c): same flow, headers that differ in nothing but
 * sequence number and length, each segment's checksum right, only the last one shorter. All else passes as it is. Packets of
 * a flow keep their order; those of different flows may overtake each other until `flush`. A hot path.
 */
import { type ByteWork, scalarWork } from "./byte-work.ts";
import { addBytes, addPseudoHeader, fold, writeIpv4Checksum } from "./checksum.ts";
import { IpPacket, LARGEST_PACKET, PROTOCOL_TCP } from "./ip-packet.ts";
import {
  ACK,
  PSH,
  TCP_ACKNOWLEDGEMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  TCP_WINDOW,
} from "./tcp.ts";
import { trainHeader } from "./tcp-train.ts";
import { GSO_NONE, GSO_TYPE, VIRTIO_HEADER_BYTES, writePlainHeader, writeTrainHeader } from "./virtio-header.ts";

/** Flows that can be put together at a time. */
const SLOTS = 8;
const SLOT_BYTES = VIRTIO_HEADER_BYTES + LARGEST_PACKET + 3;

/** Memory that a coalescer needs: one slot a flow, and one for what passes as it is. */
export const COALESCER_BYTES = (SLOTS + 1) * SLOT_BYTES;

/** A packet under construction, in the memory at `at`. */
class Slot {
  readonly at: number;
  /** Segments so far; 0: free. */
  segments = 0;
  /** The packet, without the virtio header. */
  bytes = 0;
  hash = 0;
  ipHeaderBytes = 0;
  headerBytes = 0;
  segmentBytes = 0;
  nextSequence = 0;
  /** Whether the first segment's checksum has been found right. */
  verified = false;
  /** When it was opened, in packets. */
  opened = 0;

  constructor(at: number) {
    this.at = at;
  }
}

/** Takes a virtio header and a packet, from `start` to `end` of the coalescer's memory, for the time of the call. */
export type Emit = (start: number, end: number) => void;

export class Coalescer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #work: ByteWork;
  readonly #emit: Emit;
  readonly #slots: readonly Slot[];
  readonly #passAt: number;
  readonly #packet = new IpPacket();
  #packets = 0;
  // The candidate at hand, which lies at #passAt.
  #hash = 0;
  #headerBytes = 0;
  #flags = 0;
  #sequence = 0;

  /** Works within `bytes`, of which it needs COALESCER_BYTES. `work`: on them. */
  constructor(bytes: Uint8Array, emit: Emit, work: ByteWork = scalarWork(bytes)) {
    this.#bytes = bytes;
    this.#work = work;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#emit = emit;
    this.#slots = Array.from({ length: SLOTS }, (_, i) => new Slot(i * SLOT_BYTES));
    this.#passAt = SLOTS * SLOT_BYTES;
  }

  /** Takes a packet, which is copied. False: it is none, and nothing was done. */
  add(packet: Uint8Array): boolean {
    const ip = this.#packet;
    if (packet.length > LARGEST_PACKET || !ip.parse(packet) || ip.totalBytes !== packet.length) return false;
    this.#packets++;
    const at = this.#passAt + VIRTIO_HEADER_BYTES;
    this.#bytes.set(packet, at);
    if (ip.protocol !== PROTOCOL_TCP || ip.fragment || ip.transportAt + TCP_HEADER_BYTES > packet.length) {
      this.#pass(packet.length);
      return true;
    }
    const tcp = at + ip.transportAt;
    this.#hash = this.#hashFlow(at, tcp);
    const slot = this.#find(at, tcp);
    if (!this.#eligible(at, tcp, packet.length)) {
      if (slot !== null) this.#finish(slot);
      this.#pass(packet.length);
      return true;
    }
    if (slot !== null) {
      if (this.#append(slot, at, packet.length)) return true;
      this.#finish(slot);
    }
    this.#open(slot ?? this.#free(), at, packet.length);
    return true;
  }

  /**
   * Takes a train, which is copied and passes as it is after what is being put together of its flow. Bytes of its headers; 0: it is none,
   * and nothing was done.
   */
  addTrain(train: Uint8Array, segmentBytes: number): number {
    const ip = this.#packet;
    if (train.length > LARGEST_PACKET || !ip.parse(train) || ip.totalBytes !== train.length) return 0;
    const headerBytes = trainHeader(train, ip, segmentBytes);
    if (headerBytes === 0) return 0;
    const at = this.#passAt;
    const packet = at + VIRTIO_HEADER_BYTES;
    this.#bytes.set(train, packet);
    this.#hash = this.#hashFlow(packet, packet + ip.transportAt);
    const slot = this.#find(packet, packet + ip.transportAt);
    if (slot !== null) this.#finish(slot);
    this.#leaveToKernel(at, train.length, ip.version, ip.headerBytes, headerBytes, segmentBytes);
    // A segment alone has a checksum to be completed, and nothing to be cut.
    if (train.length - headerBytes <= segmentBytes) this.#bytes[at + GSO_TYPE] = GSO_NONE;
    this.#emit(at, packet + train.length);
    return headerBytes;
  }

  /** Lets go of all that is being put together: at the end of a burst, before waiting for more. */
  flush(): void {
    for (const slot of this.#slots) {
      if (slot.segments > 0) this.#finish(slot);
    }
  }

  #pass(length: number): void {
    writePlainHeader(this.#bytes, this.#passAt);
    this.#emit(this.#passAt, this.#passAt + VIRTIO_HEADER_BYTES + length);
  }

  #hashFlow(at: number, tcp: number): number {
    const view = this.#view;
    let hash = view.getInt32(tcp);
    const end = this.#packet.version === 4 ? at + 20 : at + 40;
    for (let i = this.#packet.version === 4 ? at + 12 : at + 8; i < end; i += 4) {
      hash = Math.imul(hash ^ view.getInt32(i), 0x9e37_79b1);
    }
    return hash;
  }

  /** The slot of the packet's flow: same version, addresses and ports. */
  #find(at: number, tcp: number): Slot | null {
    const view = this.#view;
    const ipv4 = this.#packet.version === 4;
    for (const slot of this.#slots) {
      if (slot.segments === 0 || slot.hash !== this.#hash) continue;
      const other = slot.at + VIRTIO_HEADER_BYTES;
      if (view.getUint8(other) >>> 4 !== this.#packet.version) continue;
      if (view.getInt32(other + slot.ipHeaderBytes) !== view.getInt32(tcp)) continue;
      if (ipv4 ? this.#same(other, at, 12, 20) : this.#same(other, at, 8, 40)) return slot;
    }
    return null;
  }

  #same(a: number, b: number, from: number, to: number): boolean {
    for (let i = from; i < to; i += 4) {
      if (this.#view.getInt32(a + i) !== this.#view.getInt32(b + i)) return false;
    }
    return true;
  }

  /** Whether it is a plain data segment: no options of IP, no flag but ACK and PSH, and an IPv4 header that is right. */
  #eligible(at: number, tcp: number, length: number): boolean {
    const ip = this.#packet;
    const ipHeaderBytes = ip.version === 4 ? 20 : 40;
    if (ip.transportAt !== ipHeaderBytes) return false;
    const tcpHeaderBytes = 4 * (this.#view.getUint8(tcp + TCP_DATA_OFFSET) >>> 4);
    this.#headerBytes = ipHeaderBytes + tcpHeaderBytes;
    this.#flags = this.#view.getUint8(tcp + TCP_FLAGS);
    this.#sequence = this.#view.getUint32(tcp + TCP_SEQUENCE);
    if (tcpHeaderBytes < TCP_HEADER_BYTES || this.#headerBytes >= length || (this.#flags & ~PSH) !== ACK) return false;
    return ip.version === 6 || fold(addBytes(0, this.#view, at, at + 20)) === 0xffff;
  }

  /** Whether the TCP checksum of a packet at `at`, headers included, is right. */
  #rightChecksum(at: number, ipHeaderBytes: number, length: number): boolean {
    const sum = addPseudoHeader(this.#view, at, PROTOCOL_TCP) + length - ipHeaderBytes;
    return fold(sum + this.#work.sum(at + ipHeaderBytes, at + length)) === 0xffff;
  }

  #open(slot: Slot, at: number, length: number): void {
    const ipHeaderBytes = this.#packet.headerBytes;
    this.#work.move(slot.at + VIRTIO_HEADER_BYTES, at, length);
    slot.segments = 1;
    slot.bytes = length;
    slot.hash = this.#hash;
    slot.ipHeaderBytes = ipHeaderBytes;
    slot.headerBytes = this.#headerBytes;
    slot.segmentBytes = length - this.#headerBytes;
    slot.nextSequence = (this.#sequence + slot.segmentBytes) >>> 0;
    slot.verified = false;
    slot.opened = this.#packets;
    // Pushed data are waited for.
    if ((this.#flags & PSH) !== 0) this.#finish(slot);
  }

  #append(slot: Slot, at: number, length: number): boolean {
    const view = this.#view;
    const first = slot.at + VIRTIO_HEADER_BYTES;
    const { ipHeaderBytes, headerBytes } = slot;
    const data = length - headerBytes;
    if (
      this.#headerBytes !== headerBytes ||
      this.#sequence !== slot.nextSequence ||
      data > slot.segmentBytes ||
      slot.bytes + data > LARGEST_PACKET ||
      !this.#sameHeaders(slot, first, at)
    ) {
      return false;
    }
    if (!slot.verified) {
      if (!this.#rightChecksum(first, ipHeaderBytes, slot.bytes)) return false;
      slot.verified = true;
    }
    if (!this.#rightChecksum(at, ipHeaderBytes, length)) return false;
    this.#work.move(first + slot.bytes, at + headerBytes, length - headerBytes);
    slot.segments++;
    slot.bytes += data;
    slot.nextSequence = (slot.nextSequence + data) >>> 0;
    if ((this.#flags & PSH) !== 0) view.setUint8(first + ipHeaderBytes + TCP_FLAGS, this.#flags);
    if (data < slot.segmentBytes || (this.#flags & PSH) !== 0) this.#finish(slot);
    return true;
  }

  /** Whether the headers are such that cutting the whole up again gives back the parts. */
  #sameHeaders(slot: Slot, first: number, at: number): boolean {
    const view = this.#view;
    const { ipHeaderBytes, headerBytes } = slot;
    if (ipHeaderBytes === 20) {
      // Class; flags and offset; hop limit. The identification counts up, or means nothing with don't-fragment (RFC 6864).
      if (view.getUint16(first) !== view.getUint16(at) || view.getUint16(first + 6) !== view.getUint16(at + 6))
        return false;
      if (view.getUint8(first + 8) !== view.getUint8(at + 8)) return false;
      const identification = (view.getUint16(first + 4) + slot.segments) & 0xffff;
      if (!this.#packet.dontFragment && identification !== view.getUint16(at + 4)) return false;
    } else {
      // Version, class and flow label; next header and hop limit.
      if (view.getUint32(first) !== view.getUint32(at) || view.getUint16(first + 6) !== view.getUint16(at + 6))
        return false;
    }
    const a = first + ipHeaderBytes;
    const b = at + ipHeaderBytes;
    return (
      view.getUint32(a + TCP_ACKNOWLEDGEMENT) === view.getUint32(b + TCP_ACKNOWLEDGEMENT) &&
      view.getUint16(a + TCP_WINDOW) === view.getUint16(b + TCP_WINDOW) &&
      this.#same(a, b, TCP_HEADER_BYTES, headerBytes - ipHeaderBytes)
    );
  }

  /** A free slot; if there is none, the one opened first goes out. */
  #free(): Slot {
    let oldest = this.#slots[0];
    for (const slot of this.#slots) {
      if (slot.segments === 0) return slot;
      if (slot.opened < oldest.opened) oldest = slot;
    }
    this.#finish(oldest);
    return oldest;
  }

  #finish(slot: Slot): void {
    const view = this.#view;
    const { at, bytes, segments, ipHeaderBytes } = slot;
    slot.segments = 0;
    writePlainHeader(this.#bytes, at);
    const packet = at + VIRTIO_HEADER_BYTES;
    if (segments > 1) {
      const ipv4 = ipHeaderBytes === 20;
      if (ipv4) {
        view.setUint16(packet + 2, bytes);
        writeIpv4Checksum(view, packet, 20);
      } else {
        view.setUint16(packet + 4, bytes - 40);
      }
      this.#leaveToKernel(at, bytes, ipv4 ? 4 : 6, ipHeaderBytes, slot.headerBytes, slot.segmentBytes);
    }
    this.#emit(at, packet + bytes);
  }

  /** The virtio header of a train, and of its checksum what the kernel completes, or never looks at if the train stays on this machine. */
  #leaveToKernel(
    at: number,
    bytes: number,
    version: 4 | 6,
    ipHeaderBytes: number,
    headerBytes: number,
    segmentBytes: number,
  ): void {
    const packet = at + VIRTIO_HEADER_BYTES;
    const pseudo = addPseudoHeader(this.#view, packet, PROTOCOL_TCP) + bytes - ipHeaderBytes;
    this.#view.setUint16(packet + ipHeaderBytes + TCP_CHECKSUM, fold(pseudo));
    writeTrainHeader(this.#view, at, version, ipHeaderBytes, headerBytes, segmentBytes);
  }
}
