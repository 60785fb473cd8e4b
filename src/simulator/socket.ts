/**
 * The driver of an `Endpoint` in virtual time: hands it datagrams, calls its timeouts, sends what it has. The address
 * that others see may change under it, as behind a NAT or when a host moves to another network.
 */
import { type Address, formatAddress, sameAddress } from "../transport/address.ts";
import type { EcnCodepoint, Endpoint, ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import { checkAddress, SimulatorOptionError } from "./error.ts";
import type { EventHandler } from "./event-queue.ts";
import type { Link } from "./network.ts";
import type { KnownAddress, Packet, PacketPool, PacketReceiver } from "./packet.ts";

/** Calls of one endpoint at one instant after which it is taken to be in an endless loop. */
const SPIN_LIMIT = 1_000_000;
const BUFFER_BYTES = 65_536;
const LARGEST_PAYLOAD = 65_507;

/** What a socket needs of its network. */
export interface SocketHost {
  readonly nowMs: number;
  readonly pool: PacketPool;
  schedule(atMs: number, handler: EventHandler, tag: number): void;
  /** The one object for an address. */
  know(address: Address): KnownAddress;
  /** Puts an address on the socket's node, reached over `link` only if given. */
  bind(known: KnownAddress, receiver: PacketReceiver, link: Link | null): void;
  unbind(known: KnownAddress): void;
  send(packet: Packet, link: Link | null): void;
  dropAtSource(packet: Packet): void;
}

export interface AddressChange {
  /** The new IP address. Default the present one. */
  ip?: string;
  /** The new port. Default the present one. */
  port?: number;
  /** Which local address changes, for a socket with several. Default the first. */
  local?: Address;
  /**
   * Whether the endpoint sees it: then the new address is also its local one, and sending from the old one fails.
   * Default false: a NAT rebinds, or the socket is bound to the unspecified address, and only the peer can tell.
   */
  visible?: boolean;
}

/** An address of a socket: what the endpoint takes it for and what the network sees. */
interface Binding {
  local: KnownAddress;
  outer: KnownAddress;
  readonly link: Link | null;
}

class Received implements ReceivedDatagram {
  bytes: Uint8Array = new Uint8Array(0);
  source!: Address;
  destination!: Address;
  ecn: EcnCodepoint = 0;
}

class Outgoing implements Transmit {
  readonly buffer = new Uint8Array(BUFFER_BYTES);
  length = 0;
  segmentBytes = 0;
  destination: Address | null = null;
  source: Address | null = null;
  ecn: EcnCodepoint = 0;
}

export interface SocketCounters {
  sentDatagrams: number;
  /** UDP payload bytes. */
  sentBytes: number;
  receivedDatagrams: number;
  receivedBytes: number;
  /** Calls of `handleTimeout`. */
  timeouts: number;
}

export class Socket implements PacketReceiver, EventHandler {
  readonly endpoint: Endpoint;
  readonly counters: SocketCounters = {
    sentDatagrams: 0,
    sentBytes: 0,
    receivedDatagrams: 0,
    receivedBytes: 0,
    timeouts: 0,
  };
  readonly #host: SocketHost;
  readonly #bindings: Binding[] = [];
  readonly #received = new Received();
  readonly #outgoing = new Outgoing();
  #armedMs = Number.POSITIVE_INFINITY;
  #armedTag = 0;
  #spinMs = Number.NaN;
  #spins = 0;
  // Endpoints send to the same object again and again: the last look-up usually serves.
  #lastDestination: Address | null = null;
  #lastKnown: KnownAddress | null = null;

  /** @internal Made by `Node.attach`. */
  constructor(host: SocketHost, endpoint: Endpoint, addresses: readonly { address: Address; link: Link | null }[]) {
    this.#host = host;
    this.endpoint = endpoint;
    for (const { address, link } of addresses) {
      const known = host.know(address);
      host.bind(known, this, link);
      this.#bindings.push({ local: known, outer: known, link });
    }
  }

  /** The first local address as the endpoint knows it. */
  get localAddress(): Address {
    return this.#bindings[0].local;
  }

  /** The first address as the network and the peer know it. */
  get outerAddress(): Address {
    return this.#bindings[0].outer;
  }

  /**
   * Changes an address from now on; `network.at(ms, () => socket.changeAddress(...))` does it later. Packets to the old
   * address are dropped on arrival ("unreachable"), those already under way from it still count as sent from it.
   */
  changeAddress(change: AddressChange): void {
    const { local } = change;
    const binding = local === undefined ? this.#bindings[0] : this.#bindingOf(local);
    if (binding === undefined) {
      throw new SimulatorOptionError("local", local && formatAddress(local), "a local address of the socket");
    }
    const address = { ip: change.ip ?? binding.outer.ip, port: change.port ?? binding.outer.port };
    checkAddress("change", address);
    if (sameAddress(address, binding.outer)) return;
    const known = this.#host.know(address);
    this.#host.bind(known, this, binding.link);
    this.#host.unbind(binding.outer);
    binding.outer = known;
    if (change.visible) binding.local = known;
  }

  receive(packet: Packet, nowMs: number): void {
    const bindings = this.#bindings;
    let local: KnownAddress = packet.destination!;
    for (let i = 0; i < bindings.length; i++) {
      if (bindings[i].outer === local) {
        local = bindings[i].local;
        break;
      }
    }
    const datagram = this.#received;
    datagram.bytes = packet.bytes;
    datagram.source = packet.source!;
    datagram.destination = local;
    datagram.ecn = packet.ecn;
    this.counters.receivedDatagrams++;
    this.counters.receivedBytes += packet.bytes.length;
    this.endpoint.handleDatagram(datagram, nowMs);
    packet.free();
    this.pump(nowMs);
  }

  /** The armed timeout, or an older one that no longer counts. */
  handleEvent(nowMs: number, tag: number): void {
    if (tag !== this.#armedTag) return;
    this.#armedMs = Number.POSITIVE_INFINITY;
    if (this.endpoint.nextTimeoutMs() <= nowMs) {
      this.#spin(nowMs, "asks for a timeout");
      this.counters.timeouts++;
      this.endpoint.handleTimeout(nowMs);
      this.pump(nowMs);
    } else {
      this.#arm(nowMs);
    }
  }

  /**
   * Sends all that the endpoint has and arms its timeout. The network does this by itself after all that it delivers
   * and after each callback; only code that touches an endpoint while `run` is further up the stack needs it.
   */
  pump(nowMs: number = this.#host.nowMs): void {
    const transmit = this.#outgoing;
    for (;;) {
      transmit.length = 0;
      transmit.segmentBytes = 0;
      transmit.destination = null;
      transmit.source = null;
      transmit.ecn = 0;
      if (!this.endpoint.pollTransmit(transmit, nowMs)) break;
      this.#spin(nowMs, "transmits");
      this.#send(transmit, nowMs);
    }
    this.#arm(nowMs);
  }

  #arm(nowMs: number): void {
    const timeout = this.endpoint.nextTimeoutMs();
    if (Number.isNaN(timeout)) throw new Error(`nextTimeoutMs of ${this.#label()} is NaN, wanted a time or Infinity`);
    // A later timeout than the armed one waits for that to fire: most timers only ever move back.
    const wanted = Math.max(timeout, nowMs);
    if (wanted < this.#armedMs) {
      this.#armedMs = wanted;
      this.#host.schedule(wanted, this, ++this.#armedTag);
    }
  }

  #send(transmit: Transmit, nowMs: number): void {
    const { length, destination, source, ecn } = transmit;
    const segment = transmit.segmentBytes === 0 ? length : transmit.segmentBytes;
    if (!(length >= 1 && length <= BUFFER_BYTES && segment >= 1 && Math.min(segment, length) <= LARGEST_PAYLOAD)) {
      throw new Error(
        `${this.#label()} transmits ${length} bytes in segments of ${transmit.segmentBytes}, ` +
          `wanted 1 to ${BUFFER_BYTES} bytes in datagrams of at most ${LARGEST_PAYLOAD}`,
      );
    }
    if (destination === null) throw new Error(`${this.#label()} transmits without a destination`);
    if (destination !== this.#lastDestination) {
      this.#lastKnown = this.#host.know(destination);
      this.#lastDestination = destination;
    }
    const to = this.#lastKnown!;
    const binding = source === null ? this.#bindings[0] : this.#bindingOf(source);
    for (let start = 0; start < length; start += segment) {
      const end = Math.min(start + segment, length);
      const packet = this.#host.pool.take();
      packet.setBytes(transmit.buffer, start, end);
      packet.ipBytes = to.headerBytes + end - start;
      packet.source = binding === undefined ? this.#host.know(source!) : binding.outer;
      packet.destination = to;
      packet.ecn = ecn;
      packet.sentMs = nowMs;
      this.counters.sentDatagrams++;
      this.counters.sentBytes += end - start;
      if (binding === undefined) this.#host.dropAtSource(packet);
      else this.#host.send(packet, binding.link);
    }
  }

  #bindingOf(local: Address): Binding | undefined {
    return this.#bindings.find((binding) => sameAddress(binding.local, local));
  }

  #spin(nowMs: number, does: string): void {
    if (nowMs !== this.#spinMs) {
      this.#spinMs = nowMs;
      this.#spins = 0;
    }
    if (++this.#spins > SPIN_LIMIT) {
      throw new Error(`${this.#label()} ${does} without end: ${SPIN_LIMIT} times at ${nowMs} ms`);
    }
  }

  #label(): string {
    return `the endpoint at ${formatAddress(this.localAddress)}`;
  }
}
