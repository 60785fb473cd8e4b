/**
 * A UDP socket over Linux's own system calls: trains in one call each way, ECN, don't-fragment, the local address of each
 * datagram. What the kernel lacks of these is missing from `features` and done without.
 */
import { performance } from "node:perf_hooks";
import { FdWatcher } from "../native/fd-watcher.ts";
import { errnoName, type Libc, NativeMemory } from "../native/libc.ts";
import type { Address } from "../transport/address.ts";
import type { EcnCodepoint, ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import type { BindOptions } from "./bind-options.ts";
import {
  EAGAIN,
  EINTR,
  IP_MTU_DISCOVER,
  IP_PKTINFO,
  IP_RECVTOS,
  IPV6_DONTFRAG,
  IPV6_MTU_DISCOVER,
  IPV6_RECVPKTINFO,
  IPV6_RECVTCLASS,
  IPV6_V6ONLY,
  MEMINFO_BYTES,
  MEMINFO_DROPS,
  PMTUDISC_PROBE,
  SO_MEMINFO,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_MAX_SEGMENTS,
  UDP_SEGMENT,
} from "./linux-abi.ts";
import { NativeReceive, type Receiver } from "./native-receive.ts";
import { familyOf, NativeSend } from "./native-send.ts";
import { openError } from "./open-error.ts";
import { AF_INET6, decodeSockaddr, encodeSockaddr } from "./sockaddr.ts";
import { countError, datagramsIn, emptyCounters, type UdpFeatures, type UdpSocket } from "./udp-socket.ts";

/**
 * Datagrams a ms from which on it reads every millisecond instead of at each arrival, for waking up costs more than they do, and up to
 * which it does: more than that come several at a time by themselves, and would fill a small buffer meanwhile.
 */
const REST_FROM = 2;
const REST_UP_TO = 20;
const REST_MS = 1;
/** Datagrams after which a turn ends, so that a flood does not starve timers. */
const DATAGRAMS_A_TURN = 256;
/** Calls of a turn, should each bring no more than an error. */
const CALLS_A_TURN = 32;

/** When a kernel without memory is asked again: it would say "writable" all the while. And for how long, before a transmit is given up. */
const MEMORY_MS = 5;
const MEMORY_PATIENCE_MS = 1000;

/** What waits for room in the kernel: the rest of one transmit. */
class Pending implements Transmit {
  readonly buffer = new Uint8Array(65_536);
  length = 0;
  segmentBytes = 0;
  destination: Address | null = null;
  source: Address | null = null;
  ecn: EcnCodepoint = 0;
}

function ignore(): void {}

export class NativeSocket implements UdpSocket, Receiver {
  readonly kind = "native";
  readonly counters = emptyCounters();
  readonly localAddress: Address;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  onDatagram: (datagram: ReceivedDatagram) => void = ignore;
  onBatchEnd: () => void = ignore;
  onWritable: () => void = ignore;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #features: UdpFeatures;
  readonly #send: NativeSend;
  readonly #receive: NativeReceive;
  /** Made when the kernel first takes no more. */
  #pending: Pending | null = null;
  readonly #scratch: NativeMemory;
  #receiveOverflows = 0;
  /** When it read last, and the mean of datagrams a ms. */
  #readMs = 0;
  #rate = 0;
  #restTimer: NodeJS.Timeout | null = null;
  #memoryTimer: NodeJS.Timeout | null = null;
  /** Since when the kernel has said nothing but that it has no memory. Infinity: it said something else last. */
  #lacksMemorySinceMs = Number.POSITIVE_INFINITY;
  #watcher: FdWatcher | null = null;
  #referenced = true;
  #stalled = false;
  #closed = false;

  /** Throws as `openError` says. */
  static open(libc: Libc, options: BindOptions): NativeSocket {
    const family = familyOf(options.ip);
    const fd = libc.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) throw openError(options, errnoName(libc.errno()));
    try {
      return new NativeSocket(libc, fd, options);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  private constructor(libc: Libc, fd: number, bind: BindOptions) {
    this.#libc = libc;
    this.#fd = fd;
    const scratch = new NativeMemory(libc, 128);
    this.#scratch = scratch;
    const set = (level: number, option: number, value: number): boolean => {
      scratch.view.setInt32(0, value, true);
      return libc.setsockopt(fd, level, option, scratch.address, 4) === 0;
    };
    const get = (level: number, option: number): number => {
      scratch.view.setUint32(64, 4, true);
      return libc.getsockopt(fd, level, option, scratch.address, scratch.address + 64n) === 0
        ? scratch.view.getInt32(0, true)
        : 0;
    };

    const family = familyOf(bind.ip);
    const ipv6 = family === AF_INET6;
    const ipv4 = !ipv6 || !bind.ipv6Only;
    if (ipv6) set(SOL_IPV6, IPV6_V6ONLY, bind.ipv6Only ? 1 : 0);
    if (!set(SOL_SOCKET, SO_RCVBUFFORCE, bind.receiveBufferBytes)) set(SOL_SOCKET, SO_RCVBUF, bind.receiveBufferBytes);
    if (!set(SOL_SOCKET, SO_SNDBUFFORCE, bind.sendBufferBytes)) set(SOL_SOCKET, SO_SNDBUF, bind.sendBufferBytes);
    this.receiveBufferBytes = get(SOL_SOCKET, SO_RCVBUF);
    this.sendBufferBytes = get(SOL_SOCKET, SO_SNDBUF);

    const name = encodeSockaddr({ ip: bind.ip, port: bind.port }, family);
    scratch.bytes.set(name);
    if (libc.bind(fd, scratch.address, name.length) < 0) throw openError(bind, errnoName(libc.errno()));
    scratch.view.setUint32(64, 32, true);
    if (libc.getsockname(fd, scratch.address, scratch.address + 64n) < 0) {
      throw openError(bind, errnoName(libc.errno()));
    }
    this.localAddress = { ...decodeSockaddr(scratch.view, 0) };

    const anyAddress = this.localAddress.ip === "0.0.0.0" || this.localAddress.ip === "::";
    const ecn = (!ipv4 || set(SOL_IP, IP_RECVTOS, 1)) && (!ipv6 || set(SOL_IPV6, IPV6_RECVTCLASS, 1));
    const dontFragment =
      (!ipv4 || set(SOL_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)) &&
      (!ipv6 || (set(SOL_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE) && set(SOL_IPV6, IPV6_DONTFRAG, 1)));
    const packetInfo = anyAddress && (ipv6 ? set(SOL_IPV6, IPV6_RECVPKTINFO, 1) : set(SOL_IP, IP_PKTINFO, 1));
    // Without, nobody knows how long a datagram waited.
    set(SOL_SOCKET, SO_TIMESTAMPNS, 1);
    const coalescing = set(SOL_UDP, UDP_GRO, 1);
    const segmentation = set(SOL_UDP, UDP_SEGMENT, 0);

    this.#send = new NativeSend(libc, fd, { family, pinSource: packetInfo, segmentation }, this.counters);
    this.#receive = new NativeReceive(libc, fd, this.localAddress);
    this.#features = { segmentation, coalescing, ecn, dontFragment, localAddress: packetInfo || !anyAddress };
  }

  get features(): UdpFeatures {
    return { ...this.#features, segmentation: this.#send.segmentation };
  }

  get maxSegments(): number {
    return this.#send.segmentation ? UDP_MAX_SEGMENTS : 1;
  }

  get receiveOverflows(): number | null {
    if (!this.#closed) {
      const { view, address } = this.#scratch;
      view.setUint32(MEMINFO_BYTES, MEMINFO_BYTES, true);
      const answer = this.#libc.getsockopt(this.#fd, SOL_SOCKET, SO_MEMINFO, address, address + BigInt(MEMINFO_BYTES));
      if (answer === 0) this.#receiveOverflows = view.getUint32(MEMINFO_DROPS, true);
    }
    return this.#receiveOverflows;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  start(): void {
    if (this.#closed || this.#watcher !== null) return;
    this.#watcher = new FdWatcher(this.#libc, this.#fd, this.#readable, this.#writable);
    if (!this.#referenced) this.#watcher.unref();
    if (this.#stalled) this.#awaitRoom();
  }

  send(transmit: Transmit): boolean {
    if (this.#stalled || this.#closed) {
      this.counters.sendDropped += datagramsIn(transmit.length, transmit.segmentBytes);
      return false;
    }
    const done = this.#send.send(transmit, 0);
    if (done === transmit.length) return true;
    this.counters.sendStalls++;
    this.#stalled = true;
    this.#pending ??= new Pending();
    const pending = this.#pending;
    pending.buffer.set(transmit.buffer.subarray(done, transmit.length));
    pending.length = transmit.length - done;
    pending.segmentBytes = transmit.segmentBytes;
    pending.destination = transmit.destination;
    pending.source = transmit.source;
    pending.ecn = transmit.ecn;
    this.#lacksMemorySinceMs = this.#send.lacksMemory ? performance.now() : Number.POSITIVE_INFINITY;
    this.#awaitRoom();
    return false;
  }

  #awaitRoom(): void {
    if (!this.#send.lacksMemory) {
      this.#watcher?.awaitWritable();
      return;
    }
    this.#memoryTimer ??= setTimeout(this.#memoryAwaited, MEMORY_MS);
    if (!this.#referenced) this.#memoryTimer.unref();
  }

  readonly #memoryAwaited = (): void => {
    this.#memoryTimer = null;
    this.#writable();
  };

  readonly #writable = (): void => {
    const pending = this.#pending!;
    const done = this.#send.send(pending, 0);
    if (done < pending.length) {
      pending.buffer.copyWithin(0, done, pending.length);
      pending.length -= done;
      const nowMs = performance.now();
      if (!this.#send.lacksMemory) this.#lacksMemorySinceMs = Number.POSITIVE_INFINITY;
      else if (done > 0) this.#lacksMemorySinceMs = nowMs;
      else this.#lacksMemorySinceMs = Math.min(this.#lacksMemorySinceMs, nowMs);
      if (nowMs - this.#lacksMemorySinceMs < MEMORY_PATIENCE_MS) {
        this.#awaitRoom();
        return;
      }
      countError(this.counters.sendErrors, "ENOBUFS", datagramsIn(pending.length, pending.segmentBytes));
    }
    this.#stalled = false;
    this.onWritable();
  };

  readonly #readable = (): void => {
    const { counters } = this;
    const before = counters.receivedDatagrams;
    for (let calls = 0; calls < CALLS_A_TURN && !this.#closed; calls++) {
      const messages = this.#receive.receive(this);
      if (messages < 0) {
        const errno = this.#libc.errno();
        if (errno === EAGAIN) break;
        if (errno !== EINTR) countError(counters.receiveErrors, errnoName(errno));
      } else if (messages < this.#receive.capacity || counters.receivedDatagrams - before >= DATAGRAMS_A_TURN) {
        break;
      }
    }
    if (this.#closed) return;
    const datagrams = counters.receivedDatagrams - before;
    if (datagrams > 0) {
      counters.receiveBatches++;
      this.onBatchEnd();
    }
    if (!this.#closed) this.#rest(datagrams);
  };

  readonly #rested = (): void => {
    this.#restTimer = null;
    this.#readable();
  };

  /** Decides, after `datagrams` were read, whether the next ones are waited for or left alone for a while. */
  #rest(datagrams: number): void {
    const nowMs = performance.now();
    const rate = datagrams / Math.max(nowMs - this.#readMs, 0.01);
    this.#readMs = nowMs;
    this.#rate += (rate - this.#rate) / 8;
    if (Math.min(rate, this.#rate) >= REST_FROM && this.#rate <= REST_UP_TO) {
      this.#watcher?.pause();
      this.#restTimer ??= setTimeout(this.#rested, REST_MS);
      if (!this.#referenced) this.#restTimer.unref();
    } else {
      this.#watcher?.resume();
    }
  }

  /** @internal Called by the receiving half for each datagram. */
  datagram(datagram: ReceivedDatagram): boolean {
    this.counters.receivedDatagrams++;
    this.counters.receivedBytes += datagram.bytes.length;
    this.onDatagram(datagram);
    return !this.#closed;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#stalled) {
      const { length, segmentBytes } = this.#pending!;
      this.counters.sendDropped += datagramsIn(length, segmentBytes);
    }
    if (this.#restTimer !== null) clearTimeout(this.#restTimer);
    if (this.#memoryTimer !== null) clearTimeout(this.#memoryTimer);
    this.#watcher?.close();
    this.#libc.close(this.#fd);
  }

  ref(): void {
    this.#referenced = true;
    this.#restTimer?.ref();
    this.#memoryTimer?.ref();
    this.#watcher?.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#restTimer?.unref();
    this.#memoryTimer?.unref();
    this.#watcher?.unref();
  }
}
