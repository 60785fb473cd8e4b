/**
 * The sending half of a native socket: a train goes to the kernel in one call, as one message with segmentation offload
 * (UDP_SEGMENT), else as many messages (sendmmsg). A hot path: nothing is allocated per call.
 */
import { errnoName, type Libc, NativeMemory } from "../native/libc.ts";
import type { Address } from "../transport/address.ts";
import type { Transmit } from "../transport/endpoint.ts";
import {
  CMSG_DATA,
  CMSG_LEVEL,
  CMSG_TYPE,
  cmsgSpace,
  EAGAIN,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENOBUFS,
  EOPNOTSUPP,
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
  MSG_NAME,
  MSG_NAMELEN,
  SOL_IP,
  SOL_IPV6,
  SOL_UDP,
  UDP_MAX_SEGMENTS,
  UDP_SEGMENT,
} from "./linux-abi.ts";
import { AF_INET, AF_INET6, encodeSockaddr, type Family, SOCKADDR_STRIDE, WrongFamilyError } from "./sockaddr.ts";
import { countError, LARGEST_PAYLOAD, type UdpCounters } from "./udp-socket.ts";

/** Messages of one sendmmsg. */
const MESSAGES = 64;

// One message to carry a train, then as many as sendmmsg takes, all with one name and one set of control messages.
const HEADERS = 0;
const IOVECS = HEADERS + MESSAGES * MMSGHDR_BYTES;
const NAME = IOVECS + MESSAGES * IOVEC_BYTES;
const CONTROL = NAME + SOCKADDR_STRIDE;
const SEGMENT_SPACE = cmsgSpace(2);
const TOTAL = CONTROL + 128;

/** What the kernel answers to a train that this route cannot carry in one piece. */
const NO_SEGMENTATION: ReadonlySet<number> = new Set([EIO, EINVAL, EMSGSIZE, EOPNOTSUPP]);

const UNSPECIFIED: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

export class NativeSend {
  /** Whether trains go out in one piece. Turned off when the kernel cannot. */
  segmentation: boolean;
  /** What `send` that was not done waits for: memory, of which `poll` says nothing, or else room in the socket's buffer. */
  lacksMemory = false;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #family: Family;
  readonly #pinSource: boolean;
  readonly #counters: UdpCounters;
  readonly #memory: NativeMemory;
  readonly #names = new WeakMap<Address, Uint8Array>();
  // What NAME, and CONTROL behind the segment's length, hold.
  #destination: Address | null = null;
  #source: Address | null = null;
  #ecn = -1;
  #controlBytes = 0;
  // The owner's buffer last sent from, and where it is.
  #buffer: Uint8Array | null = null;
  #bufferAddress = 0n;
  /** Whether the kernel took the first datagram of the last `#sendEach`. */
  #firstWent = false;

  /** `pinSource`: whether a transmit's source is told to the kernel, because the socket itself has none. */
  constructor(
    libc: Libc,
    fd: number,
    options: { family: Family; pinSource: boolean; segmentation: boolean },
    counters: UdpCounters,
  ) {
    this.#libc = libc;
    this.#fd = fd;
    this.#family = options.family;
    this.#pinSource = options.pinSource;
    this.segmentation = options.segmentation;
    this.#counters = counters;
    const memory = new NativeMemory(libc, TOTAL);
    this.#memory = memory;
    for (let i = 0; i < MESSAGES; i++) {
      const header = HEADERS + i * MMSGHDR_BYTES;
      memory.setPointer(header + MSG_NAME, memory.address + BigInt(NAME));
      memory.setPointer(header + MSG_IOV, memory.address + BigInt(IOVECS + i * IOVEC_BYTES));
      memory.view.setUint32(header + MSG_IOVLEN, 1, true);
    }
  }

  /**
   * Sends the transmit from byte `from` on. Returns up to where it is done with: less than the length when the kernel's
   * buffer is full, or it has none. What the kernel refuses is done with, and counted.
   */
  send(transmit: Transmit, from: number): number {
    const { buffer, length, segmentBytes } = transmit;
    if (length > buffer.length) throw new RangeError(`a transmit of ${length} bytes in a buffer of ${buffer.length}`);
    if (!this.#address(transmit)) return length;
    if (buffer !== this.#buffer) {
      this.#buffer = buffer;
      this.#bufferAddress = this.#libc.addressOf(buffer);
    }
    const step = segmentBytes === 0 ? length : segmentBytes;
    const train = Math.max(1, Math.min(UDP_MAX_SEGMENTS, Math.floor(LARGEST_PAYLOAD / step))) * step;
    let at = from;
    while (at < length) {
      const end = Math.min(at + train, length);
      const done =
        this.segmentation && end - at > step ? this.#sendTrain(at, end, step) : this.#sendEach(at, end, step);
      if (done === at) return at;
      at = done;
    }
    return length;
  }

  /** Writes name and control messages, if they are others than last time. False: it cannot be sent to. */
  #address({ destination, source, ecn, length, segmentBytes }: Transmit): boolean {
    if (destination === null) throw new Error("a transmit without a destination");
    const { view, bytes, address } = this.#memory;
    if (destination !== this.#destination) {
      const name = this.#nameOf(destination);
      if (name === null) {
        const datagrams = segmentBytes === 0 ? 1 : Math.ceil(length / segmentBytes);
        countError(this.#counters.sendErrors, "EAFNOSUPPORT", datagrams);
        return false;
      }
      bytes.set(name, NAME);
      for (let i = 0; i < MESSAGES; i++) view.setUint32(HEADERS + i * MMSGHDR_BYTES + MSG_NAMELEN, name.length, true);
    } else if (ecn === this.#ecn && source === this.#source) {
      return true;
    }
    this.#destination = destination;
    this.#source = source;
    this.#ecn = ecn;
    let at = CONTROL;
    if (ecn !== 0) {
      const ipv6 = destination.ip.includes(":");
      at = this.#control(at, ipv6 ? SOL_IPV6 : SOL_IP, ipv6 ? IPV6_TCLASS : IP_TOS, 4);
      view.setInt32(at - cmsgSpace(4) + CMSG_DATA, ecn, true);
    }
    if (source !== null && this.#pinSource && !UNSPECIFIED.has(source.ip)) at = this.#pin(at, source);
    this.#controlBytes = at - CONTROL;
    const pointer = at === CONTROL ? 0n : address + BigInt(CONTROL);
    for (let i = 0; i < MESSAGES; i++) {
      const header = HEADERS + i * MMSGHDR_BYTES;
      this.#memory.setPointer(header + MSG_CONTROL, pointer);
      view.setUint32(header + MSG_CONTROLLEN, this.#controlBytes, true);
    }
    return true;
  }

  /** An address as the kernel has it; null where the socket's family has none such. */
  #nameOf(address: Address): Uint8Array | null {
    let name = this.#names.get(address);
    if (name === undefined) {
      try {
        name = encodeSockaddr(address, this.#family);
      } catch (error) {
        if (error instanceof WrongFamilyError) return null;
        throw error;
      }
      this.#names.set(address, name);
    }
    return name;
  }

  #control(at: number, level: number, type: number, dataBytes: number): number {
    const { view } = this.#memory;
    view.setBigUint64(at, BigInt(CMSG_DATA + dataBytes), true);
    view.setInt32(at + CMSG_LEVEL, level, true);
    view.setInt32(at + CMSG_TYPE, type, true);
    return at + cmsgSpace(dataBytes);
  }

  #pin(at: number, source: Address): number {
    const { view, bytes } = this.#memory;
    const data = at + CMSG_DATA;
    const name = this.#nameOf(source);
    if (name === null) return at;
    if (this.#family === AF_INET6) {
      const next = this.#control(at, SOL_IPV6, IPV6_PKTINFO, 20);
      bytes.set(name.subarray(8, 24), data);
      bytes.set(name.subarray(24, 28), data + 16);
      return next;
    }
    const next = this.#control(at, SOL_IP, IP_PKTINFO, 12);
    view.setUint32(data, 0, true);
    bytes.set(name.subarray(4, 8), data + 4);
    view.setUint32(data + 8, 0, true);
    return next;
  }

  /** Sends a train in one piece; where that does not go, one by one. */
  #sendTrain(at: number, end: number, step: number): number {
    const { view, address } = this.#memory;
    this.#setIovec(0, at, end - at);
    const controlAt = CONTROL + this.#controlBytes;
    this.#control(controlAt, SOL_UDP, UDP_SEGMENT, 2);
    view.setUint16(controlAt + CMSG_DATA, step, true);
    this.#memory.setPointer(HEADERS + MSG_CONTROL, address + BigInt(CONTROL));
    view.setUint32(HEADERS + MSG_CONTROLLEN, this.#controlBytes + SEGMENT_SPACE, true);
    let errno = 0;
    do {
      errno = this.#libc.sendmsg(this.#fd, address, MSG_DONTWAIT) >= 0 ? 0 : this.#libc.errno();
    } while (errno === EINTR);
    view.setUint32(HEADERS + MSG_CONTROLLEN, this.#controlBytes, true);
    const datagrams = Math.ceil((end - at) / step);
    if (errno === 0) {
      this.#counters.sentDatagrams += datagrams;
      this.#counters.sentBytes += end - at;
      return end;
    }
    // For single datagrams there may be memory where there is none for a train.
    if (errno === ENOBUFS) return this.#sendEach(at, end, step);
    if (this.#isFull(errno)) return at;
    if (!NO_SEGMENTATION.has(errno)) {
      countError(this.#counters.sendErrors, errnoName(errno), datagrams);
      return end;
    }
    // Was it the train, or is the datagram too large anyhow? The first one of full length tells.
    const done = this.#sendEach(at, end, step);
    if (this.#firstWent) this.segmentation = false;
    return done;
  }

  /** Sends datagrams as messages of their own, as many as one call takes. Returns where it got to. */
  #sendEach(from: number, end: number, step: number): number {
    let count = 0;
    for (let at = from; at < end && count < MESSAGES; at += step) {
      this.#setIovec(count++, at, Math.min(step, end - at));
    }
    this.#firstWent = false;
    let next = 0;
    while (next < count) {
      const start = this.#memory.address + BigInt(HEADERS + next * MMSGHDR_BYTES);
      const sent = this.#libc.sendmmsg(this.#fd, start, count - next, MSG_DONTWAIT);
      if (sent > 0) {
        if (next === 0) this.#firstWent = true;
        this.#counters.sentDatagrams += sent;
        for (let i = next; i < next + sent; i++) {
          this.#counters.sentBytes += this.#memory.view.getUint32(IOVECS + i * IOVEC_BYTES + 8, true);
        }
        next += sent;
        continue;
      }
      const errno = this.#libc.errno();
      if (this.#isFull(errno)) break;
      if (errno === EINTR) continue;
      countError(this.#counters.sendErrors, errnoName(errno));
      next++;
    }
    return Math.min(from + next * step, end);
  }

  #isFull(errno: number): boolean {
    this.lacksMemory = errno === ENOBUFS;
    return this.lacksMemory || errno === EAGAIN;
  }

  #setIovec(index: number, at: number, length: number): void {
    const iovec = IOVECS + index * IOVEC_BYTES;
    this.#memory.setPointer(iovec, this.#bufferAddress + BigInt(at));
    this.#memory.view.setUint32(iovec + 8, length, true);
  }
}

export function familyOf(ip: string): Family {
  return ip.includes(":") ? AF_INET6 : AF_INET;
}
