/**
 * A TUN device of Linux: a read or a write moves one packet, with offload one train of up to 64 KiB (IFF_VNET_HDR), which is cut
 * and put together here. Opened by open-tun.ts.
 */
import { closeSync } from "node:fs";
import { FdWatcher } from "../native/fd-watcher.ts";
import { errnoName, type Libc, NativeMemory } from "../native/libc.ts";
import { workMemory } from "./byte-work.ts";
import { COALESCER_BYTES, Coalescer } from "./coalescer.ts";
import { IpPacket, LARGEST_PACKET } from "./ip-packet.ts";
import { parseNetwork } from "./network.ts";
import { Segmenter } from "./segmenter.ts";
import { packetBytesOf, packetsOf } from "./tcp-train.ts";
import { TrainCutter } from "./train-cutter.ts";
import type { TunConfiguration } from "./tun-configuration.ts";
import { checkMtu, emptyTunCounters, type TunDevice, TunError, type TunOffloads } from "./tun-device.ts";
import { VIRTIO_HEADER_BYTES } from "./virtio-header.ts";

/** Reads and packets after which a turn ends, so that a flood does not starve timers and sockets. */
const READS_A_TURN = 64;
const PACKETS_A_TURN = 256;
/** Segments of a train for which a view is kept. */
const VIEWS = 64;

const EAGAIN = 11;
const EINTR = 4;

function ignore(): void {}

export class LinuxTun implements TunDevice {
  readonly offloads: TunOffloads;
  readonly counters = emptyTunCounters();
  onPacket: (packet: Uint8Array, follows: boolean) => void = ignore;
  onTrain: (train: Uint8Array, segmentBytes: number) => boolean = () => false;
  onBatchEnd: () => void = ignore;
  onGone: (error: Error) => void = ignore;
  /** A packet was handed over since the last batch ended. */
  #inBatch = false;
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #configuration: TunConfiguration;
  /** Bytes before each packet. */
  readonly #headerBytes: number;
  readonly #input: NativeMemory;
  readonly #output: NativeMemory;
  readonly #segmenter: Segmenter;
  readonly #coalescer: Coalescer | null;
  /** Where the kernel takes no trains. */
  #cutter: TrainCutter | null = null;
  readonly #packet = new IpPacket();
  // The views last made: a train's packets are mostly of one length.
  readonly #views: Uint8Array[] = new Array(VIEWS).fill(new Uint8Array(0));
  #watcher: FdWatcher | null = null;
  #referenced = true;
  #paused = false;
  #closed = false;

  constructor(libc: Libc, fd: number, virtioHeader: boolean, offloads: TunOffloads, configuration: TunConfiguration) {
    this.#libc = libc;
    this.#fd = fd;
    this.offloads = offloads;
    this.#configuration = configuration;
    this.#headerBytes = virtioHeader ? VIRTIO_HEADER_BYTES : 0;
    const input = workMemory(VIRTIO_HEADER_BYTES + LARGEST_PACKET + 1);
    this.#input = new NativeMemory(libc, input.buffer);
    this.#segmenter = new Segmenter(this.#input.bytes, input.work);
    const output = workMemory(offloads.tcp ? COALESCER_BYTES : VIRTIO_HEADER_BYTES + LARGEST_PACKET + 1);
    this.#output = new NativeMemory(libc, output.buffer);
    this.#coalescer = offloads.tcp ? new Coalescer(this.#output.bytes, this.#emit, output.work) : null;
  }

  get name(): string {
    return this.#configuration.name;
  }

  get mtu(): number {
    return this.#configuration.mtu;
  }

  get created(): boolean {
    return this.#configuration.created;
  }

  get isUp(): boolean | null {
    return this.#configuration.isUp;
  }

  start(): void {
    if (this.#closed || this.#watcher !== null) return;
    this.#watcher = new FdWatcher(this.#libc, this.#fd, this.#readable, ignore);
    if (!this.#referenced) this.#watcher.unref();
    if (this.#paused) this.#watcher.pause();
  }

  readonly #readable = (): void => {
    const { counters } = this;
    const before = counters.readPackets;
    // A device without header reads to where the header would end, so that packets always lie at the same place.
    const readAt = VIRTIO_HEADER_BYTES - this.#headerBytes;
    const address = this.#input.address + BigInt(readAt);
    const room = this.#headerBytes + LARGEST_PACKET;
    for (let reads = 0; reads < READS_A_TURN && counters.readPackets - before < PACKETS_A_TURN; reads++) {
      const length = this.#libc.read(this.#fd, address, room);
      if (length < 0) {
        const errno = this.#libc.errno();
        if (errno === EINTR) continue;
        if (errno !== EAGAIN) this.#gone(errno);
        break;
      }
      counters.reads++;
      this.#handOver(readAt + length);
      if (this.#closed || this.#paused) break;
    }
    if (!this.#closed) this.#endBatch();
  };

  #endBatch(): void {
    if (!this.#inBatch) return;
    this.#inBatch = false;
    this.onBatchEnd();
  }

  #handOver(end: number): void {
    const { counters } = this;
    const segmenter = this.#segmenter;
    if (!segmenter.begin(0, end)) {
      counters.readMalformed++;
      return;
    }
    if (segmenter.isTcpTrain && this.#offer(end)) return;
    for (let i = 0; segmenter.next(); i++) {
      const packet = this.#viewOf(i, segmenter.start, segmenter.end - segmenter.start);
      counters.readPackets++;
      counters.readBytes += packet.length;
      this.#inBatch = true;
      this.onPacket(packet, i > 0);
      if (this.#closed) return;
    }
  }

  /** Whether a train from where packets lie to `end` was taken whole. */
  #offer(end: number): boolean {
    const { counters } = this;
    const { headerBytes, segmentBytes } = this.#segmenter;
    const train = this.#viewOf(0, VIRTIO_HEADER_BYTES, end - VIRTIO_HEADER_BYTES);
    if (!this.onTrain(train, segmentBytes)) return false;
    counters.readPackets += packetsOf(train.length, headerBytes, segmentBytes);
    counters.readBytes += packetBytesOf(train.length, headerBytes, segmentBytes);
    this.#inBatch = true;
    return true;
  }

  #viewOf(index: number, offset: number, length: number): Uint8Array {
    if (index < VIEWS) {
      const known = this.#views[index];
      if (known.byteOffset === offset && known.length === length) return known;
    }
    const made = this.#input.bytes.subarray(offset, offset + length);
    if (index < VIEWS) this.#views[index] = made;
    return made;
  }

  write(packet: Uint8Array): boolean {
    if (this.#closed) return false;
    const { counters } = this;
    if (this.#coalescer === null ? !this.#writeOne(packet) : !this.#coalescer.add(packet)) {
      counters.writeMalformed++;
      return false;
    }
    counters.writtenPackets++;
    counters.writtenBytes += packet.length;
    return true;
  }

  writeTrain(train: Uint8Array, segmentBytes: number): boolean {
    if (this.#closed) return false;
    const { counters } = this;
    if (this.#coalescer === null) {
      this.#cutter ??= new TrainCutter();
      if (this.#cutter.cut(train, segmentBytes, this.#writeCut)) return true;
    } else {
      const headerBytes = this.#coalescer.addTrain(train, segmentBytes);
      if (headerBytes > 0) {
        counters.writtenPackets += packetsOf(train.length, headerBytes, segmentBytes);
        counters.writtenBytes += packetBytesOf(train.length, headerBytes, segmentBytes);
        return true;
      }
    }
    counters.writeMalformed++;
    return false;
  }

  readonly #writeCut = (packet: Uint8Array): void => void this.write(packet);

  #writeOne(packet: Uint8Array): boolean {
    const ip = this.#packet;
    if (packet.length > LARGEST_PACKET || !ip.parse(packet) || ip.totalBytes !== packet.length) return false;
    this.#output.bytes.set(packet, VIRTIO_HEADER_BYTES);
    this.#emit(0, VIRTIO_HEADER_BYTES + packet.length);
    return true;
  }

  readonly #emit = (start: number, end: number): void => {
    const at = start + VIRTIO_HEADER_BYTES - this.#headerBytes;
    const address = this.#output.address + BigInt(at);
    const { counters } = this;
    counters.writes++;
    while (this.#libc.write(this.#fd, address, end - at) < 0) {
      const errno = this.#libc.errno();
      if (errno === EINTR) continue;
      const name = errnoName(errno);
      counters.writeErrors[name] = (counters.writeErrors[name] ?? 0) + 1;
      return;
    }
  };

  flush(): void {
    if (!this.#closed) this.#coalescer?.flush();
  }

  pause(): void {
    this.#paused = true;
    this.#watcher?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#watcher?.resume();
  }

  setMtu(mtu: number): void {
    checkMtu(mtu);
    this.#configuration.setMtu(mtu);
  }

  addAddress(network: string): void {
    this.#configuration.addAddress(parseNetwork(network, "the address"));
  }

  addRoute(network: string): void {
    this.#configuration.addRoute(parseNetwork(network, "the route"));
  }

  removeRoute(network: string): void {
    this.#configuration.removeRoute(parseNetwork(network, "the route"));
  }

  #gone(errno: number): void {
    const code = errnoName(errno);
    const error = new TunError(`the TUN device ${this.name} is gone: someone deleted the interface (${code})`, code);
    // What was read before is on its way.
    this.#endBatch();
    void this.close();
    this.onGone(error);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    this.#watcher?.close();
    this.#configuration.undo();
    closeSync(this.#fd);
  }

  ref(): void {
    this.#referenced = true;
    this.#watcher?.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#watcher?.unref();
  }
}
