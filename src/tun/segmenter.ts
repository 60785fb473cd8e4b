/**
 * Cuts a packet of up to 64 KiB that the kernel left whole (TSO, USO) into the packets that it stands for, and completes checksums: what a
 * network card would do. In place: each packet's header is written before its part of the data, over the end of the packet
 * before, so nothing is copied and a packet is gone when the next is asked for. A hot path.
 */
import { type ByteWork, scalarWork } from "./byte-work.ts";
import { addPseudoHeader, fold, writeIpv4Checksum } from "./checksum.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "./ip-packet.ts";
import {
  CWR,
  FIN,
  PSH,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  UDP_CHECKSUM,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
} from "./tcp.ts";
import {
  CHECKSUM_OFFSET,
  CHECKSUM_START,
  FLAGS,
  GSO_ECN,
  GSO_NONE,
  GSO_SIZE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_TYPE,
  GSO_UDP,
  NEEDS_CHECKSUM,
  VIRTIO_HEADER_BYTES,
} from "./virtio-header.ts";

/** IPv4 with options or IPv6 with extensions, and TCP with options. */
const LARGEST_HEADER = 512;

export class Segmenter {
  /** Where the packet that `next` made lies. */
  start = 0;
  end = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #work: ByteWork;
  readonly #header = new Uint8Array(LARGEST_HEADER);
  #index = 0;
  #ipv4 = false;
  #ipHeaderBytes = 0;
  #headerBytes = 0;
  #transportOffset = 0;
  #protocol = 0;
  #segmentBytes = 0;
  #dataAt = 0;
  #dataEnd = 0;
  #sequence = 0;
  #identification = 0;
  #flags = 0;
  #pseudoSum = 0;

  /** Works on packets within this memory. `work`: on them. */
  constructor(bytes: Uint8Array, work: ByteWork = scalarWork(bytes)) {
    this.#bytes = bytes;
    this.#work = work;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Of what `begin` took: whether it is a train of TCP segments, bytes of its headers, and data of each segment. */
  get isTcpTrain(): boolean {
    return this.#segmentBytes > 0 && this.#protocol === PROTOCOL_TCP;
  }

  get headerBytes(): number {
    return this.#headerBytes;
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  /**
   * Takes what lies from `start` to `end`: a virtio header and a packet. False if they do not fit together; else `next` makes its
   * packets.
   */
  begin(start: number, end: number): boolean {
    const view = this.#view;
    this.#index = 0;
    this.#dataEnd = 0;
    this.#dataAt = 0;
    const packet = start + VIRTIO_HEADER_BYTES;
    if (end - packet < 20) return false;
    const gsoType = view.getUint8(start + GSO_TYPE) & ~GSO_ECN;
    const checksumAt = packet + view.getUint16(start + CHECKSUM_START, true);
    if (gsoType === GSO_NONE) {
      if ((view.getUint8(start + FLAGS) & NEEDS_CHECKSUM) !== 0) {
        const field = checksumAt + view.getUint16(start + CHECKSUM_OFFSET, true);
        if (field + 2 > end) return false;
        this.#completeChecksum(checksumAt, field, end);
      }
      this.start = packet;
      this.end = end;
      this.#segmentBytes = 0;
      return true;
    }
    return this.#beginTrain(packet, end, checksumAt, gsoType, view.getUint16(start + GSO_SIZE, true));
  }

  /** The field holds the sum of the pseudo-header; a UDP checksum that comes out as zero is sent as its other zero. */
  #completeChecksum(from: number, field: number, end: number): void {
    const checksum = ~this.#work.sum(from, end) & 0xffff;
    this.#view.setUint16(field, checksum === 0 ? 0xffff : checksum);
  }

  #beginTrain(packet: number, end: number, transport: number, gsoType: number, segmentBytes: number): boolean {
    const view = this.#view;
    const version = view.getUint8(packet) >>> 4;
    if (gsoType === GSO_TCPV4 ? version !== 4 : gsoType === GSO_TCPV6 ? version !== 6 : gsoType !== GSO_UDP)
      return false;
    const tcp = gsoType !== GSO_UDP;
    const ipHeaderBytes = version === 4 ? 4 * (view.getUint8(packet) & 15) : 40;
    if (segmentBytes === 0 || ipHeaderBytes < 20 || transport < packet + ipHeaderBytes) return false;
    if (transport + (tcp ? TCP_HEADER_BYTES : UDP_HEADER_BYTES) > end) return false;
    const transportBytes = tcp ? 4 * (view.getUint8(transport + TCP_DATA_OFFSET) >>> 4) : UDP_HEADER_BYTES;
    const data = transport + transportBytes;
    const headerBytes = data - packet;
    if ((tcp && transportBytes < TCP_HEADER_BYTES) || data >= end || headerBytes > LARGEST_HEADER) return false;
    this.#ipv4 = version === 4;
    this.#ipHeaderBytes = ipHeaderBytes;
    this.#headerBytes = headerBytes;
    this.#transportOffset = transport - packet;
    this.#protocol = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    this.#segmentBytes = segmentBytes;
    this.#dataAt = data;
    this.#dataEnd = end;
    this.#identification = view.getUint16(packet + 4);
    if (tcp) {
      this.#sequence = view.getUint32(transport + TCP_SEQUENCE);
      this.#flags = view.getUint8(transport + TCP_FLAGS);
    }
    view.setUint16(transport + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM), 0);
    this.#pseudoSum = addPseudoHeader(view, packet, this.#protocol);
    for (let i = 0; i < headerBytes; i++) this.#header[i] = this.#bytes[packet + i];
    return true;
  }

  /** Makes the next packet, from `start` to `end`; false after the last. */
  next(): boolean {
    if (this.#segmentBytes === 0) return this.#index++ === 0;
    if (this.#dataAt >= this.#dataEnd) return false;
    const index = this.#index++;
    const headerBytes = this.#headerBytes;
    const start = this.#dataAt - headerBytes;
    const end = Math.min(this.#dataAt + this.#segmentBytes, this.#dataEnd);
    if (index > 0) {
      // A copy loop: a header is too short for the cost of a view.
      for (let i = 0; i < headerBytes; i++) this.#bytes[start + i] = this.#header[i];
    }
    const last = end === this.#dataEnd;
    this.#dataAt = end;
    this.start = start;
    this.end = end;
    const view = this.#view;
    if (this.#ipv4) {
      view.setUint16(start + 2, end - start);
      view.setUint16(start + 4, this.#identification + index);
      writeIpv4Checksum(view, start, this.#ipHeaderBytes);
    } else {
      view.setUint16(start + 4, end - start - 40);
    }
    const transport = start + this.#transportOffset;
    const transportBytes = end - transport;
    if (this.#protocol === PROTOCOL_TCP) {
      view.setUint32(transport + TCP_SEQUENCE, this.#sequence + index * this.#segmentBytes);
      const kept = (last ? 0xff : ~(FIN | PSH)) & (index === 0 ? 0xff : ~CWR);
      view.setUint8(transport + TCP_FLAGS, this.#flags & kept);
    } else {
      view.setUint16(transport + UDP_LENGTH, transportBytes);
    }
    const field = transport + (this.#protocol === PROTOCOL_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);
    const checksum = ~fold(this.#pseudoSum + transportBytes + this.#work.sum(transport, end)) & 0xffff;
    view.setUint16(field, checksum === 0 && this.#protocol === PROTOCOL_UDP ? 0xffff : checksum);
    return true;
  }
}
