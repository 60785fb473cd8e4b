/**
 * The receiving half of a native socket: one system call takes many datagrams, and trains of them that the kernel has
 * put together again (UDP_GRO), into memory that is used over and over, by all sockets: what a call took is handed over before the next.
 * A hot path: nothing is allocated per datagram.
 */
import { performance } from "node:perf_hooks";
import { type Libc, NativeMemory } from "../native/libc.ts";
import type { Address } from "../transport/address.ts";
import type { EcnCodepoint, ReceivedDatagram } from "../transport/endpoint.ts";
import { ArrivalClock } from "./arrival-clock.ts";
import {
  CMSG_DATA,
  CMSG_LEVEL,
  CMSG_TYPE,
  IOVEC_BYTES,
  IP_PKTINFO,
  IP_TOS,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  MMSGHDR_BYTES,
  MSG_CONTROL,
  MSG_CONTROLLEN,
  MSG_DONTWAIT,
  MSG_IOV,
  MSG_IOVLEN,
  MSG_LEN,
  MSG_NAME,
  MSG_NAMELEN,
  SO_TIMESTAMPNS,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_MAX_SEGMENTS,
} from "./linux-abi.ts";
import { AddressCache, AF_INET, AF_INET6, SOCKADDR_STRIDE } from "./sockaddr.ts";

/** Messages a call, each a datagram or a train. */
const MESSAGES = 16;
/** More than the longest train, and off the power of two, so that the messages do not compete for the same cache lines. */
const MESSAGE_BYTES = 65_536 + 320;
const CONTROL_BYTES = 128;

const HEADERS = 0;
const IOVECS = HEADERS + MESSAGES * MMSGHDR_BYTES;
const NAMES = IOVECS + MESSAGES * IOVEC_BYTES;
const CONTROLS = NAMES + MESSAGES * SOCKADDR_STRIDE;
const LOCAL = CONTROLS + MESSAGES * CONTROL_BYTES;
const DATA = LOCAL + SOCKADDR_STRIDE;

class Datagram implements ReceivedDatagram {
  bytes: Uint8Array = new Uint8Array(0);
  source!: Address;
  destination!: Address;
  ecn: EcnCodepoint = 0;
  waitedMs = 0;
}

/** What becomes of datagrams. False from `datagram` ends the burst: the rest of it is dropped. */
export interface Receiver {
  datagram(datagram: ReceivedDatagram): boolean;
}

/** A mebibyte, and what is known of what lies there. */
class ReceiveMemory {
  readonly memory: NativeMemory;
  readonly addresses = new AddressCache();
  /** The views last made of each message's memory: a flow's datagrams are mostly of one length. */
  readonly views: Uint8Array[] = new Array(MESSAGES * UDP_MAX_SEGMENTS).fill(new Uint8Array(0));

  constructor(libc: Libc) {
    const memory = new NativeMemory(libc, DATA + MESSAGES * MESSAGE_BYTES);
    this.memory = memory;
    const { view, address } = memory;
    for (let i = 0; i < MESSAGES; i++) {
      const header = HEADERS + i * MMSGHDR_BYTES;
      const iovec = IOVECS + i * IOVEC_BYTES;
      memory.setPointer(iovec, address + BigInt(DATA + i * MESSAGE_BYTES));
      view.setUint32(iovec + 8, MESSAGE_BYTES, true);
      memory.setPointer(header + MSG_NAME, address + BigInt(NAMES + i * SOCKADDR_STRIDE));
      memory.setPointer(header + MSG_IOV, address + BigInt(iovec));
      view.setUint32(header + MSG_IOVLEN, 1, true);
      memory.setPointer(header + MSG_CONTROL, address + BigInt(CONTROLS + i * CONTROL_BYTES));
    }
  }
}

/** Made for the first socket: there is one libc, and one thread that calls it. */
let shared: ReceiveMemory | null = null;

export class NativeReceive {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #memory: NativeMemory;
  readonly #addresses: AddressCache;
  readonly #views: Uint8Array[];
  readonly #localAddress: Address;
  readonly #datagram = new Datagram();
  #ecn: EcnCodepoint = 0;
  #segmentBytes = 0;
  readonly #clock = new ArrivalClock();

  constructor(libc: Libc, fd: number, localAddress: Address) {
    this.#libc = libc;
    this.#fd = fd;
    this.#localAddress = localAddress;
    this.#datagram.destination = localAddress;
    shared ??= new ReceiveMemory(libc);
    this.#memory = shared.memory;
    this.#addresses = shared.addresses;
    this.#views = shared.views;
  }

  /** How many messages one `receive` may take: with fewer, there were no more. */
  readonly capacity = MESSAGES;

  /** Takes what waits, up to `capacity` messages, and hands it over; how many messages, or -1 with the libc's errno. */
  receive(receiver: Receiver): number {
    const { view, address } = this.#memory;
    for (let i = 0; i < MESSAGES; i++) {
      const header = HEADERS + i * MMSGHDR_BYTES;
      view.setUint32(header + MSG_NAMELEN, SOCKADDR_STRIDE, true);
      view.setUint32(header + MSG_CONTROLLEN, CONTROL_BYTES, true);
    }
    this.#clock.begin(performance.now(), Date.now());
    const messages = this.#libc.recvmmsg(this.#fd, address, MESSAGES, MSG_DONTWAIT, 0n);
    for (let i = 0; i < messages; i++) {
      if (!this.#handOver(i, receiver)) break;
    }
    if (messages < MESSAGES) this.#clock.emptied();
    return messages;
  }

  #handOver(message: number, receiver: Receiver): boolean {
    const { view, bytes } = this.#memory;
    const header = HEADERS + message * MMSGHDR_BYTES;
    const length = view.getUint32(header + MSG_LEN, true);
    const controls = CONTROLS + message * CONTROL_BYTES;
    this.#readControls(controls, controls + view.getUint32(header + MSG_CONTROLLEN, true));
    const datagram = this.#datagram;
    datagram.source = this.#addresses.at(view, NAMES + message * SOCKADDR_STRIDE);
    const step = this.#segmentBytes === 0 ? length : this.#segmentBytes;
    const start = DATA + message * MESSAGE_BYTES;
    const end = start + length;
    let offset = start;
    for (let segment = 0; ; segment++) {
      const take = Math.min(step, end - offset);
      datagram.bytes = this.#viewOf(message, segment, bytes, offset, take);
      datagram.ecn = this.#ecn;
      if (!receiver.datagram(datagram)) return false;
      offset += take;
      if (offset >= end) return true;
    }
  }

  #viewOf(message: number, segment: number, bytes: Uint8Array, offset: number, length: number): Uint8Array {
    const index = message * UDP_MAX_SEGMENTS + segment;
    if (segment < UDP_MAX_SEGMENTS) {
      const known = this.#views[index];
      if (known.byteOffset === offset && known.length === length) return known;
    }
    const made = bytes.subarray(offset, offset + length);
    if (segment < UDP_MAX_SEGMENTS) this.#views[index] = made;
    return made;
  }

  /** Reads what the kernel says beside the bytes: ECN, the time of arrival, the length of a train's segments, the local address. */
  #readControls(start: number, end: number): void {
    const { view } = this.#memory;
    this.#ecn = 0;
    this.#segmentBytes = 0;
    this.#datagram.destination = this.#localAddress;
    this.#datagram.waitedMs = 0;
    let at = start;
    while (at + CMSG_DATA <= end) {
      const length = view.getUint32(at, true);
      if (length < CMSG_DATA) return;
      const level = view.getInt32(at + CMSG_LEVEL, true);
      const type = view.getInt32(at + CMSG_TYPE, true);
      const data = at + CMSG_DATA;
      if ((level === SOL_IP && type === IP_TOS) || (level === SOL_IPV6 && type === IPV6_TCLASS)) {
        this.#ecn = (view.getUint8(data) & 3) as EcnCodepoint;
      } else if (level === SOL_UDP && type === UDP_GRO) {
        this.#segmentBytes = view.getUint16(data, true);
      } else if (level === SOL_SOCKET && type === SO_TIMESTAMPNS) {
        const seconds = view.getUint32(data + 4, true) * 2 ** 32 + view.getUint32(data, true);
        this.#datagram.waitedMs = this.#clock.waitedMs(
          seconds * 1000 + view.getUint32(data + 8, true) / 1e6,
          performance.now(),
        );
      } else if (level === SOL_IP && type === IP_PKTINFO) {
        view.setUint16(LOCAL, AF_INET, true);
        view.setUint16(LOCAL + 2, this.#localAddress.port);
        view.setUint32(LOCAL + 4, view.getUint32(data + 8, true), true);
        this.#datagram.destination = this.#addresses.at(view, LOCAL);
      } else if (level === SOL_IPV6 && type === IPV6_PKTINFO) {
        view.setUint16(LOCAL, AF_INET6, true);
        view.setUint16(LOCAL + 2, this.#localAddress.port);
        for (let i = 0; i < 16; i += 4) view.setUint32(LOCAL + 8 + i, view.getUint32(data + i, true), true);
        const linkLocal = (view.getUint16(data) & 0xffc0) === 0xfe80;
        view.setUint32(LOCAL + 24, linkLocal ? view.getUint32(data + 16, true) : 0, true);
        this.#datagram.destination = this.#addresses.at(view, LOCAL);
      }
      at += (length + 7) & ~7;
    }
  }
}
