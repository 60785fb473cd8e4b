/**
 * A UDP socket with TLS connections beside it: one `UdpSocket` to whoever drives it. A datagram's address says which of them it came
 * by, and is to leave by. Knows nothing of links; who may open a connection is decided elsewhere (`carrier-listener.ts`, `open-carrier.ts`).
 */
import type { TLSSocket } from "node:tls";
import type { Address } from "../transport/address.ts";
import type { ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import type { UdpCounters, UdpFeatures, UdpSocket } from "../udp/index.ts";
import { Carrier, type CarrierCounters, type CarrierUser } from "./carrier.ts";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const NOWHERE: Address = { ip: "", port: 0 };

export class CarrierSocket implements UdpSocket, CarrierUser {
  onDatagram: (datagram: ReceivedDatagram) => void = () => {};
  onBatchEnd: () => void = () => {};
  onWritable: () => void = () => {};
  /** Of all connections together. */
  readonly carried: CarrierCounters = {
    sentDatagrams: 0,
    sentBytes: 0,
    receivedDatagrams: 0,
    receivedBytes: 0,
    dropped: 0,
  };
  #udp: UdpSocket;
  readonly #holdsBack: boolean;
  readonly #carriers = new Map<number, { carrier: Carrier; onGone: (error: Error | null) => void }>();
  readonly #datagram: Writable<ReceivedDatagram> = {
    bytes: new Uint8Array(0),
    source: NOWHERE,
    destination: NOWHERE,
    ecn: 0,
  };
  #nextId = 1;
  #closed = false;
  #referenced = true;

  /** `holdsBack`: a full connection makes `send` false. Not where it would hold up others: there its datagrams are dropped. */
  constructor(udp: UdpSocket, holdsBack: boolean) {
    this.#udp = udp;
    this.#holdsBack = holdsBack;
  }

  /** Takes over a connection whose ends have accepted each other; where its peer is. `onGone` is called once. */
  add(socket: TLSSocket, onGone: (error: Error | null) => void): Address {
    const id = this.#nextId++;
    const carrier = new Carrier(socket, id, this.carried, this);
    this.#carriers.set(id, { carrier, onGone });
    if (!this.#referenced) carrier.unref();
    if (this.#closed) carrier.close();
    return carrier.remote;
  }

  /** Ends a connection; whoever added it hears no more of it. */
  remove(address: Address): void {
    const entry = this.#carriers.get(address.carrier ?? 0);
    if (entry === undefined) return;
    entry.onGone = () => {};
    entry.carrier.close();
  }

  /** Goes on with another UDP socket. */
  async replaceUdp(udp: UdpSocket): Promise<void> {
    const old = this.#udp;
    if (this.#closed) {
      await udp.close();
      return;
    }
    this.#udp = udp;
    this.start();
    if (!this.#referenced) udp.unref();
    // Whoever waited for room in the old one finds it in this.
    setImmediate(() => this.onWritable());
    await old.close();
  }

  /** Connections that are open. */
  get carriers(): number {
    return this.#carriers.size;
  }

  // ---------------------------------------------------------------- UdpSocket

  get kind(): "dgram" | "native" {
    return this.#udp.kind;
  }

  get localAddress(): Address {
    return this.#udp.localAddress;
  }

  get features(): UdpFeatures {
    return this.#udp.features;
  }

  get receiveBufferBytes(): number {
    return this.#udp.receiveBufferBytes;
  }

  get sendBufferBytes(): number {
    return this.#udp.sendBufferBytes;
  }

  get maxSegments(): number {
    return this.#udp.maxSegments;
  }

  get counters(): UdpCounters {
    return this.#udp.counters;
  }

  get receiveOverflows(): number | null {
    return this.#udp.receiveOverflows;
  }

  /** A connection may have room where UDP has none. */
  get stalled(): boolean {
    return this.#udp.stalled && this.#carriers.size === 0;
  }

  start(): void {
    const udp = this.#udp;
    udp.onDatagram = (datagram) => {
      if (udp === this.#udp) this.onDatagram(datagram);
    };
    udp.onBatchEnd = () => this.onBatchEnd();
    udp.onWritable = () => {
      if (udp === this.#udp) this.onWritable();
    };
    udp.start();
  }

  send(transmit: Transmit): boolean {
    const id = transmit.destination?.carrier;
    if (id === undefined) return this.#udp.send(transmit);
    const entry = this.#carriers.get(id);
    if (entry === undefined) {
      this.carried.dropped++;
      return true;
    }
    return entry.carrier.send(transmit.buffer, transmit.length, transmit.segmentBytes) || !this.#holdsBack;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const { carrier } of this.#carriers.values()) this.remove(carrier.remote);
    await this.#udp.close();
  }

  ref(): void {
    this.#referenced = true;
    this.#udp.ref();
    for (const { carrier } of this.#carriers.values()) carrier.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#udp.unref();
    for (const { carrier } of this.#carriers.values()) carrier.unref();
  }

  // ---------------------------------------------------------------- what connections say

  /** @internal */
  onCarried(carrier: Carrier, bytes: Uint8Array): void {
    if (this.#closed) return;
    const datagram = this.#datagram;
    datagram.bytes = bytes;
    datagram.source = carrier.remote;
    datagram.destination = carrier.local;
    this.onDatagram(datagram);
  }

  /** @internal */
  onClose(carrier: Carrier, error: Error | null): void {
    const id = carrier.remote.carrier ?? 0;
    const entry = this.#carriers.get(id);
    this.#carriers.delete(id);
    entry?.onGone(error);
    // Nothing waits for room in it any more.
    if (!this.#closed) this.onWritable();
  }
}
