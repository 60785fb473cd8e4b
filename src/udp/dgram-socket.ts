/**
 * A UDP socket over `node:dgram`: the way that works wherever Node does, one system call a datagram and each in a
 * buffer of its own. No trains, no ECN, no say over fragmentation, no local address of a datagram.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import type { Address } from "../transport/address.ts";
import type { EcnCodepoint, ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import type { BindOptions } from "./bind-options.ts";
import { openError } from "./open-error.ts";
import { countError, datagramsIn, emptyCounters, type UdpFeatures, type UdpSocket } from "./udp-socket.ts";

const FEATURES: UdpFeatures = {
  segmentation: false,
  coalescing: false,
  ecn: false,
  dontFragment: false,
  localAddress: false,
};

const MAPPED = "::ffff:";

class Datagram implements ReceivedDatagram {
  bytes: Uint8Array = new Uint8Array(0);
  source!: Address;
  destination!: Address;
  readonly ecn: EcnCodepoint = 0;
}

// Names are resolved above; without this, dgram would ask dns.lookup about every numeric address.
function numericLookup(
  ip: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, ip, 0);
}

function ignore(): void {}

export class DgramSocket implements UdpSocket {
  readonly kind = "dgram";
  readonly features = FEATURES;
  readonly maxSegments = 1;
  readonly receiveOverflows = null;
  readonly counters = emptyCounters();
  readonly localAddress: Address;
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  onDatagram: (datagram: ReceivedDatagram) => void = ignore;
  onBatchEnd: () => void = ignore;
  onWritable: () => void = ignore;
  readonly #socket: Socket;
  readonly #ipv6: boolean;
  readonly #datagram = new Datagram();
  #source: Address;
  #batchOpen = false;
  #started = false;
  /** Datagrams that wait in libuv for the kernel. */
  #stalled = false;
  #closing: Promise<void> | null = null;
  // dgram sends from this memory, and only when the kernel is full does it do so after the call.
  #outgoing = Buffer.allocUnsafeSlow(2048);
  // The address last sent to, in the socket's own family.
  #destination: Address | null = null;
  #destinationIp = "";

  static async open(options: BindOptions): Promise<DgramSocket> {
    const socket = createSocket({
      type: options.ip.includes(":") ? "udp6" : "udp4",
      ipv6Only: options.ipv6Only,
      lookup: numericLookup as never,
    });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind({ address: options.ip, port: options.port, exclusive: true }, () => {
          socket.off("error", reject);
          resolve();
        });
      });
    } catch (error) {
      socket.close();
      throw openError(options, (error as NodeJS.ErrnoException).code ?? "", error);
    }
    return new DgramSocket(socket, options);
  }

  private constructor(socket: Socket, { receiveBufferBytes, sendBufferBytes }: BindOptions) {
    this.#socket = socket;
    const { address, port, family } = socket.address();
    this.#ipv6 = family === "IPv6";
    this.localAddress = { ip: address, port };
    this.#source = this.localAddress;
    this.receiveBufferBytes = grow(receiveBufferBytes, (bytes) => {
      socket.setRecvBufferSize(bytes);
      return socket.getRecvBufferSize();
    });
    this.sendBufferBytes = grow(sendBufferBytes, (bytes) => {
      socket.setSendBufferSize(bytes);
      return socket.getSendBufferSize();
    });
    socket.on("message", this.#receive);
    socket.on("error", this.#receiveError);
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  start(): void {
    this.#started = true;
  }

  send(transmit: Transmit): boolean {
    const { buffer, length, destination } = transmit;
    if (destination === null) throw new Error("a transmit without a destination");
    const { counters } = this;
    if (this.#stalled || this.#closing !== null) {
      counters.sendDropped += datagramsIn(length, transmit.segmentBytes);
      return false;
    }
    if (destination !== this.#destination) {
      this.#destination = destination;
      const { ip } = destination;
      this.#destinationIp = this.#ipv6 && !ip.includes(":") ? MAPPED + ip : ip;
    }
    const step = transmit.segmentBytes === 0 ? length : transmit.segmentBytes;
    for (let start = 0; start < length; start += step) {
      this.#sendOne(buffer, start, Math.min(start + step, length), destination.port);
    }
    if (this.#stalled) counters.sendStalls++;
    return !this.#stalled;
  }

  #sendOne(buffer: Uint8Array, start: number, end: number, port: number): void {
    const length = end - start;
    if (length > this.#outgoing.length) this.#outgoing = Buffer.allocUnsafeSlow(length);
    const outgoing = this.#outgoing;
    outgoing.set(buffer.subarray(start, end));
    try {
      this.#socket.send(outgoing, 0, length, port, this.#destinationIp, this.#sent);
    } catch (error) {
      countError(this.counters.sendErrors, (error as NodeJS.ErrnoException).code ?? "unknown");
      return;
    }
    if (this.#socket.getSendQueueCount() > 0) {
      this.#stalled = true;
      this.#outgoing = Buffer.allocUnsafeSlow(outgoing.length);
    }
  }

  readonly #sent = (error: Error | null, bytes: number): void => {
    const { counters } = this;
    if (error === null) {
      counters.sentDatagrams++;
      counters.sentBytes += bytes;
    } else if (this.#closing === null) {
      countError(counters.sendErrors, (error as NodeJS.ErrnoException).code ?? "unknown");
    } else {
      counters.sendDropped++;
    }
    if (this.#stalled && this.#closing === null && this.#socket.getSendQueueCount() === 0) {
      this.#stalled = false;
      this.onWritable();
    }
  };

  readonly #receive = (bytes: Buffer, remote: RemoteInfo): void => {
    if (!this.#started || this.#closing !== null) return;
    const { counters } = this;
    counters.receivedDatagrams++;
    counters.receivedBytes += bytes.length;
    const ip = remote.address.startsWith(MAPPED) ? remote.address.slice(MAPPED.length) : remote.address;
    if (remote.port !== this.#source.port || ip !== this.#source.ip) this.#source = { ip, port: remote.port };
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.source = this.#source;
    datagram.destination = this.localAddress;
    // dgram drains microtasks after every datagram; immediates come once all of the turn have been handed over.
    if (!this.#batchOpen) {
      this.#batchOpen = true;
      setImmediate(this.#endBatch);
    }
    this.onDatagram(datagram);
  };

  readonly #endBatch = (): void => {
    this.#batchOpen = false;
    if (this.#closing !== null) return;
    this.counters.receiveBatches++;
    this.onBatchEnd();
  };

  readonly #receiveError = (error: NodeJS.ErrnoException): void => {
    if (this.#closing === null) countError(this.counters.receiveErrors, error.code ?? "unknown");
  };

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => this.#socket.close(resolve));
    return this.#closing;
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }
}

/** Asks for less and less until the kernel agrees; what it grants in the end. */
function grow(bytes: number, ask: (bytes: number) => number): number {
  for (let wanted = bytes; wanted > 65_536; wanted /= 2) {
    try {
      return ask(Math.floor(wanted));
    } catch {
      // Some systems refuse a size above their limit where others clip it.
    }
  }
  return ask(65_536);
}
