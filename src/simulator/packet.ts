/**
 * Packets in flight and the pools they come from. A packet carries real bytes (of an `Endpoint`) or a model's object
 * (of TCP cross traffic), at a size counted on IP level. Hot: a packet goes back to its pool with its buffer or object
 * and is used again, so a steady flow makes no garbage.
 */
import type { Address } from "../transport/address.ts";
import type { EcnCodepoint } from "../transport/endpoint.ts";
import type { EventHandler } from "./event-queue.ts";

/** What takes packets off the network at their destination. */
export interface PacketReceiver {
  /** The packet is the receiver's for the length of the call. */
  receive(packet: Packet, nowMs: number): void;
}

/** An address known to the network: where it lives and who listens. There is one object for each address. */
export interface KnownAddress extends Address {
  readonly headerBytes: number;
  /** Index of the route entry that leads to it; -1 while no node has it. */
  routeIndex: number;
  /** Who gets packets to this address; null once it has been given up. */
  receiver: PacketReceiver | null;
}

/** Whoever carries packets one by one rather than in order, and so needs one event for each. */
export interface Carrier {
  release(packet: Packet, nowMs: number): void;
}

const NO_BYTES = new Uint8Array(0);

export class Packet implements EventHandler {
  /** Counts packets sent into the network, from 1; a duplicate keeps the number of its original. */
  id = 0;
  source: KnownAddress | null = null;
  destination: KnownAddress | null = null;
  /** Payload and all headers. */
  ipBytes = 0;
  ecn: EcnCodepoint = 0;
  /** Damaged on the way. For bytes the damage is real; a model drops the packet for its checksum. */
  corrupted = false;
  hops = 0;
  sentMs = 0;
  /** The UDP payload, empty for a model's packet. */
  bytes: Uint8Array = NO_BYTES;
  /** The model's object, null for real bytes. */
  readonly model: unknown;
  readonly pool: PacketPool;
  carrier: Carrier | null = null;
  #buffer: Uint8Array = NO_BYTES;

  constructor(pool: PacketPool, model: unknown) {
    this.pool = pool;
    this.model = model;
  }

  /** Copies `from[start, end)` as the payload. */
  setBytes(from: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#buffer.length < length) {
      this.#buffer = new Uint8Array(Math.max(2048, length));
      this.bytes = NO_BYTES;
    }
    // A view is an object too: keep the old one while the size stays the same.
    if (this.bytes.length !== length) this.bytes = this.#buffer.subarray(0, length);
    // Copying short payloads byte by byte avoids another view.
    if (start === 0 && end === from.length) this.bytes.set(from);
    else if (length <= 64) for (let i = 0; i < length; i++) this.bytes[i] = from[start + i];
    else this.bytes.set(this.pool.view(from, start, end));
  }

  handleEvent(nowMs: number): void {
    this.carrier!.release(this, nowMs);
  }

  /** Gives the packet back to its pool. */
  free(): void {
    this.pool.put(this);
  }
}

export class PacketPool {
  readonly #free: Packet[] = [];
  readonly #createModel: () => unknown;
  readonly #copyModel: (from: unknown, to: unknown) => void;
  #viewed: Uint8Array | null = null;
  #view: Uint8Array = NO_BYTES;
  #viewStart = 0;
  #viewEnd = 0;

  /** Without arguments a pool of packets with bytes; else each packet has an object made by `createModel`. */
  constructor(createModel: () => unknown = () => null, copyModel: (from: unknown, to: unknown) => void = () => {}) {
    this.#createModel = createModel;
    this.#copyModel = copyModel;
  }

  take(): Packet {
    const packet = this.#free.pop();
    if (packet === undefined) return new Packet(this, this.#createModel());
    packet.corrupted = false;
    packet.hops = 0;
    packet.ecn = 0;
    return packet;
  }

  put(packet: Packet): void {
    this.#free.push(packet);
  }

  /** A view of `from[start, end)`, kept while the same is asked for: senders fill one buffer with packets of one size. */
  view(from: Uint8Array, start: number, end: number): Uint8Array {
    const same = from === this.#viewed && start === this.#viewStart && end === this.#viewEnd;
    if (!same) {
      this.#view = from.subarray(start, end);
      this.#viewed = from;
      this.#viewStart = start;
      this.#viewEnd = end;
    }
    return this.#view;
  }

  /** A second packet with the same content and its own memory. */
  duplicate(packet: Packet): Packet {
    const copy = this.take();
    copy.id = packet.id;
    copy.source = packet.source;
    copy.destination = packet.destination;
    copy.ipBytes = packet.ipBytes;
    copy.ecn = packet.ecn;
    copy.corrupted = packet.corrupted;
    copy.hops = packet.hops;
    copy.sentMs = packet.sentMs;
    if (packet.model === null) copy.setBytes(packet.bytes, 0, packet.bytes.length);
    else this.#copyModel(packet.model, copy.model);
    return copy;
  }
}
