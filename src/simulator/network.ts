/**
 * The network: nodes, links between them, static routes, and the virtual clock that drives it all. Everything that
 * happens is an event at a time; with the same seed and the same calls it happens the same, bit for bit. No wall clock,
 * no timers, no I/O.
 */
import { type Address, formatAddress, udpHeaderBytes } from "../transport/address.ts";
import type { Endpoint } from "../transport/endpoint.ts";
import { checkAddress, checkInteger, checkNumber, checkPositive, SimulatorOptionError } from "./error.ts";
import { type EventHandler, EventQueue } from "./event-queue.ts";
import { LinkDirection, type LinkOptions, type PacketSink, type Tally } from "./link.ts";
import { type DropCause, Observation, type PacketObserver } from "./observer.ts";
import { type Carrier, type KnownAddress, type Packet, PacketPool, type PacketReceiver } from "./packet.ts";
import { Random } from "./random.ts";
import { Socket, type SocketHost } from "./socket.ts";

const DEFAULT_PORT = 4433;
/** More hops than this is a loop of routes; the initial TTL of most systems. */
const HOP_LIMIT = 64;
/** Events of one instant after which the run is taken to be stuck: a loop without rate or delay. */
const INSTANT_LIMIT = 10_000_000;

export interface NetworkOptions {
  /** Seed of all randomness, a whole number from 0. Default 1. */
  seed?: number;
}

export interface NodeOptions {
  /** The node's IP address. Default 10.x.y.z, counted up from 10.0.0.1. */
  ip?: string;
}

/** Where an endpoint listens; every field has a default. */
export interface AttachAddress {
  /** Default the node's `ip`. */
  ip?: string;
  /** Default 4433, or the next port of this IP that is free. */
  port?: number;
  /** The link over which alone this address sends and is reached: one interface of several. Default as routes say. */
  link?: Link;
}

/** Packets that ended at a node rather than on a link. */
export interface NetworkCounters {
  sent: Tally;
  received: Tally;
  dropped: { unreachable: Tally; source: Tally; checksum: Tally };
}

/** A link between two nodes, one direction each way. */
export interface Link {
  /** "a-b" for node names a and b. */
  readonly name: string;
  readonly a: Node;
  readonly b: Node;
  /** From a to b. */
  readonly forward: LinkDirection;
  /** From b to a. */
  readonly backward: LinkDirection;
}

/** A destination of routes: a node, or one interface of it. */
interface RouteTarget {
  readonly node: Node;
  readonly link: Link | null;
}

export class Node implements PacketSink, Carrier {
  readonly name: string;
  readonly ip: string;
  /** @internal */
  readonly index: number;
  /** @internal Outgoing links. */
  readonly links: Link[] = [];
  /** @internal The way out for each route index; filled by the network. */
  routes: (LinkDirection | null)[] = [];
  readonly #network: Network;

  /** @internal Made by `Network.addNode`. */
  constructor(network: Network, name: string, index: number, ip: string) {
    this.#network = network;
    this.name = name;
    this.index = index;
    this.ip = ip;
  }

  /**
   * Puts an endpoint on this node, at one address or several, the first of which is the default source. Throws a
   * SimulatorOptionError for an address that is taken.
   */
  attach(endpoint: Endpoint, at: AttachAddress | readonly AttachAddress[] = {}): Socket {
    return this.#network.attach(this, endpoint, Array.isArray(at) ? at : [at as AttachAddress]);
  }

  /** A packet arrives from a link. */
  accept(packet: Packet, nowMs: number): void {
    const destination = packet.destination!;
    if (this.#network.nodeOf(destination) === this) this.release(packet, nowMs);
    else if (++packet.hops > HOP_LIMIT) this.#network.drop(packet, "unreachable", this);
    else this.#network.forward(packet, this);
  }

  /** A packet has come to its node. */
  release(packet: Packet, nowMs: number): void {
    const receiver = packet.destination!.receiver;
    if (receiver === null) {
      this.#network.drop(packet, "unreachable", this);
      return;
    }
    this.#network.countReceived(packet, this);
    receiver.receive(packet, nowMs);
  }
}

/** A callback of the user at a time, or again and again. */
class Callback implements EventHandler {
  readonly #network: Network;
  readonly #callback: (nowMs: number) => void;
  readonly #firstMs: number;
  readonly #intervalMs: number;
  readonly #acts: boolean;
  #count = 0;
  cancelled = false;

  constructor(network: Network, callback: (nowMs: number) => void, firstMs: number, intervalMs: number, acts: boolean) {
    this.#acts = acts;
    this.#network = network;
    this.#callback = callback;
    this.#firstMs = firstMs;
    this.#intervalMs = intervalMs;
  }

  handleEvent(nowMs: number): void {
    if (this.cancelled) return;
    this.#callback(nowMs);
    // A product, not a running sum: the millionth sample is as exact as the first.
    if (this.#intervalMs > 0 && !this.cancelled) {
      this.#network.schedule(this.#firstMs + ++this.#count * this.#intervalMs, this, 0);
    }
    if (this.#acts) this.#network.pumpAll();
  }
}

export class Network {
  readonly seed: number;
  readonly nodes: readonly Node[];
  readonly links: readonly Link[];
  readonly counters: NetworkCounters = {
    sent: { packets: 0, bytes: 0 },
    received: { packets: 0, bytes: 0 },
    dropped: {
      unreachable: { packets: 0, bytes: 0 },
      source: { packets: 0, bytes: 0 },
      checksum: { packets: 0, bytes: 0 },
    },
  };
  readonly #nodes: Node[] = [];
  readonly #links: Link[] = [];
  readonly #sockets: Socket[] = [];
  readonly #events = new EventQueue();
  readonly #observation = new Observation();
  readonly #known = new Map<string, KnownAddress>();
  readonly #targets: RouteTarget[] = [];
  readonly #overrides: { at: Node; to: Node; link: Link }[] = [];
  readonly #bytePool = new PacketPool();
  #routesValid = false;
  #nowMs = 0;
  #nextPacketId = 1;
  #running = false;
  #stopped = false;
  #fired = 0;

  constructor(options: NetworkOptions = {}) {
    this.seed = checkInteger("seed", options.seed ?? 1, 0, Number.MAX_SAFE_INTEGER, "a seed");
    this.nodes = this.#nodes;
    this.links = this.#links;
  }

  /** Virtual time in milliseconds, 0 at the start. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events fired so far: a measure of work. */
  get eventCount(): number {
    return this.#fired;
  }

  /** Adds a host or router. Throws a SimulatorOptionError for a name or IP address already in use. */
  addNode(name: string, options: NodeOptions = {}): Node {
    const index = this.#nodes.length;
    const number = index + 1;
    const ip = options.ip ?? `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
    if (typeof name !== "string" || name.length === 0 || this.#nodes.some((node) => node.name === name)) {
      throw new SimulatorOptionError("name", name, "a name that no other node has");
    }
    if (this.#nodes.some((node) => node.ip === ip)) {
      throw new SimulatorOptionError("ip", ip, "an IP address that no other node has");
    }
    const node = new Node(this, name, index, ip);
    this.#nodes.push(node);
    this.#targets.push({ node, link: null });
    this.#routesValid = false;
    return node;
  }

  /**
   * Adds a link; without `backward` both directions have the options of `forward`. Throws a SimulatorOptionError for
   * bad options.
   */
  addLink(a: Node, b: Node, forward: LinkOptions = {}, backward: LinkOptions = forward): Link {
    this.#checkNode("a", a);
    this.#checkNode("b", b);
    if (a === b) throw new SimulatorOptionError("b", b.name, "another node than a");
    const parallel = this.#links.filter((l) => (l.a === a && l.b === b) || (l.a === b && l.b === a)).length;
    const suffix = parallel === 0 ? "" : `#${parallel + 1}`;
    const direction = (from: Node, to: Node, options: LinkOptions): LinkDirection => {
      const name = `${from.name}>${to.name}${suffix}`;
      return new LinkDirection(name, options, this.random(`link ${name}`), this.#events, this.#observation, to);
    };
    const link: Link = {
      name: `${a.name}-${b.name}${suffix}`,
      a,
      b,
      forward: direction(a, b, forward),
      backward: direction(b, a, backward),
    };
    this.#links.push(link);
    a.links.push(link);
    b.links.push(link);
    this.#routesValid = false;
    return link;
  }

  /**
   * Makes packets at node `at` for node `to` leave by `link`. Without this they take the way of fewest hops, of several
   * the one whose links were added first.
   */
  setRoute(at: Node, to: Node, link: Link): void {
    if (link.a !== at && link.b !== at) throw new SimulatorOptionError("link", link.name, `a link of ${at.name}`);
    this.#overrides.push({ at, to, link });
    this.#routesValid = false;
  }

  /** A random stream of its own for `label`, drawn from the network's seed. */
  random(label: string): Random {
    return new Random(this.seed, label);
  }

  /**
   * Runs until the clock stands at `untilMs`, events at that time included, or until `stop`. Throws an Error when time
   * stands still: TCP without end over links with neither rate nor delay, say.
   */
  run(untilMs: number): void {
    checkNumber("untilMs", untilMs, this.#nowMs, Number.MAX_VALUE, "ms");
    this.#enter();
    try {
      this.pumpAll();
      const events = this.#events;
      let instantEnd = this.#fired + INSTANT_LIMIT;
      while (!this.#stopped && events.nextMs <= untilMs) {
        if (events.nextMs > this.#nowMs) {
          this.#nowMs = events.nextMs;
          instantEnd = this.#fired + INSTANT_LIMIT;
        } else if (this.#fired >= instantEnd) {
          throw new Error(
            `time stands still at ${this.#nowMs} ms: ${INSTANT_LIMIT} events there; a loop without delay?`,
          );
        }
        this.#fired++;
        events.fireNext();
      }
      if (!this.#stopped) this.#nowMs = untilMs;
    } finally {
      this.#running = false;
    }
  }

  /** Fires one event; false when none is left. For stepping through a run by hand. */
  step(): boolean {
    this.#enter();
    try {
      this.pumpAll();
      if (this.#events.length === 0) return false;
      this.#nowMs = this.#events.nextMs;
      this.#fired++;
      this.#events.fireNext();
      return true;
    } finally {
      this.#running = false;
    }
  }

  /** Ends the `run` under way after the present event; another `run` goes on from there. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Calls back at `atMs`, now or later. Endpoints may be used in it: all are polled afterwards. Returns a canceller.
   */
  at(atMs: number, callback: (nowMs: number) => void): () => void {
    checkNumber("atMs", atMs, this.#nowMs, Number.MAX_VALUE, "ms");
    return this.#call(new Callback(this, callback, atMs, 0, true), atMs);
  }

  /** Like `at`, every `intervalMs` from `firstMs` on (default: one interval from now). */
  every(intervalMs: number, callback: (nowMs: number) => void, firstMs?: number): () => void {
    checkPositive("intervalMs", intervalMs, "ms");
    const first = checkNumber("firstMs", firstMs ?? this.#nowMs + intervalMs, this.#nowMs, Number.MAX_VALUE, "ms");
    return this.#call(new Callback(this, callback, first, intervalMs, true), first);
  }

  /** @internal Like `every` for callbacks that only look: endpoints are not polled, so that looking changes nothing. */
  watch(intervalMs: number, callback: (nowMs: number) => void): () => void {
    checkPositive("intervalMs", intervalMs, "ms");
    const first = this.#nowMs + intervalMs;
    return this.#call(new Callback(this, callback, first, intervalMs, false), first);
  }

  /** Shows every packet event to `observer`; costs time only while there is one. Returns what ends it. */
  observe(observer: PacketObserver): () => void {
    this.#observation.add(observer);
    return () => this.#observation.remove(observer);
  }

  /** @internal */
  attach(node: Node, endpoint: Endpoint, at: readonly AttachAddress[]): Socket {
    if (at.length === 0) throw new SimulatorOptionError("at", "[]", "at least one address");
    const taken = new Set<string>();
    const addresses = at.map(({ ip = node.ip, port, link }, i) => {
      const address = { ip, port: port ?? this.#freePort(ip, taken) };
      checkAddress(`at[${i}]`, address);
      if (link !== undefined && link.a !== node && link.b !== node) {
        throw new SimulatorOptionError(`at[${i}].link`, link.name, `a link of ${node.name}`);
      }
      const text = formatAddress(address);
      if (taken.has(text)) throw new SimulatorOptionError(`at[${i}]`, text, "an address that nobody has");
      taken.add(text);
      return { address, link: link ?? null };
    });
    const socket = new Socket(this.#hostFor(node), endpoint, addresses);
    this.#sockets.push(socket);
    return socket;
  }

  /** @internal Puts a model on a node: `receiver` gets the packets for the address returned. */
  attachModel(node: Node, receiver: PacketReceiver): KnownAddress {
    const known = this.know({ ip: node.ip, port: this.#freePort(node.ip, new Set()) });
    this.#bind(node, known, receiver, null);
    return known;
  }

  /** @internal Sends a model's or a socket's packet from `node`. */
  send(packet: Packet, node: Node, link: Link | null): void {
    packet.id = this.#nextPacketId++;
    const bytes = packet.ipBytes;
    this.counters.sent.packets++;
    this.counters.sent.bytes += bytes;
    if (this.#observation.active) this.#observation.report("send", this.#nowMs, node.name, packet);
    const destination = packet.destination!;
    if (destination.routeIndex >= 0 && this.#targets[destination.routeIndex].node === node) {
      // Its own node: by way of the queue, so that no endpoint is called from within itself.
      packet.carrier = node;
      this.#events.push(this.#nowMs, packet, 0);
    } else if (link !== null) {
      (link.a === node ? link.forward : link.backward).offer(packet, this.#nowMs);
    } else {
      this.forward(packet, node);
    }
  }

  /** @internal */
  forward(packet: Packet, node: Node): void {
    if (!this.#routesValid) this.#computeRoutes();
    const index = packet.destination!.routeIndex;
    const direction = index < 0 ? null : node.routes[index];
    if (direction === null) this.drop(packet, "unreachable", node);
    else direction.offer(packet, this.#nowMs);
  }

  /** @internal */
  drop(packet: Packet, cause: DropCause & keyof NetworkCounters["dropped"], node: Node): void {
    const tally = this.counters.dropped[cause];
    tally.packets++;
    tally.bytes += packet.ipBytes;
    if (this.#observation.active) this.#observation.report("drop", this.#nowMs, node.name, packet, cause);
    packet.free();
  }

  /** @internal */
  countReceived(packet: Packet, node: Node): void {
    this.counters.received.packets++;
    this.counters.received.bytes += packet.ipBytes;
    if (this.#observation.active) this.#observation.report("receive", this.#nowMs, node.name, packet);
  }

  /** @internal The node at which a destination lives. */
  nodeOf(address: KnownAddress): Node | null {
    return address.routeIndex < 0 ? null : this.#targets[address.routeIndex].node;
  }

  /** @internal */
  schedule(atMs: number, handler: EventHandler, tag: number): void {
    // An infinite time never comes; keeping it would only fill the queue.
    if (atMs !== Number.POSITIVE_INFINITY) this.#events.push(atMs, handler, tag);
  }

  /** @internal */
  pumpAll(): void {
    for (const socket of this.#sockets) socket.pump(this.#nowMs);
  }

  /** @internal */
  know(address: Address): KnownAddress {
    const text = formatAddress(address);
    let known = this.#known.get(text);
    if (known === undefined) {
      const { ip, port } = address;
      known = { ip, port, headerBytes: udpHeaderBytes(ip), routeIndex: -1, receiver: null };
      this.#known.set(text, known);
    }
    return known;
  }

  #hostFor(node: Node): SocketHost {
    const network = this;
    return {
      get nowMs() {
        return network.nowMs;
      },
      pool: this.#bytePool,
      schedule: (atMs, handler, tag) => this.schedule(atMs, handler, tag),
      know: (address) => this.know(address),
      bind: (known, receiver, link) => this.#bind(node, known, receiver, link),
      unbind: (known) => {
        // The route stays: packets under way to the old address still travel, and end at the node.
        known.receiver = null;
      },
      send: (packet, link) => this.send(packet, node, link),
      dropAtSource: (packet) => {
        packet.id = this.#nextPacketId++;
        this.counters.sent.packets++;
        this.counters.sent.bytes += packet.ipBytes;
        this.drop(packet, "source", node);
      },
    };
  }

  #bind(node: Node, known: KnownAddress, receiver: PacketReceiver, link: Link | null): void {
    if (known.receiver !== null) {
      throw new SimulatorOptionError("address", formatAddress(known), "an address that nobody has");
    }
    let index = this.#targets.findIndex((target) => target.node === node && target.link === link);
    if (index < 0) {
      index = this.#targets.push({ node, link }) - 1;
      this.#routesValid = false;
    }
    known.receiver = receiver;
    known.routeIndex = index;
  }

  #freePort(ip: string, taken: ReadonlySet<string>): number {
    for (let port = DEFAULT_PORT; port <= 65535; port++) {
      const text = formatAddress({ ip, port });
      if (!taken.has(text) && (this.#known.get(text)?.receiver ?? null) === null) return port;
    }
    throw new SimulatorOptionError("port", undefined, `a port: every one of ${ip} from ${DEFAULT_PORT} on is taken`);
  }

  /** Breadth first from each target, against the direction of travel. */
  #computeRoutes(): void {
    for (const node of this.#nodes) node.routes = this.#targets.map(() => null);
    this.#targets.forEach((target, index) => {
      const reached = new Set<Node>([target.node]);
      const frontier = [target.node];
      for (const node of frontier) {
        for (const link of node.links) {
          if (node === target.node && target.link !== null && link !== target.link) continue;
          const near = link.a === node ? link.b : link.a;
          if (reached.has(near)) continue;
          reached.add(near);
          frontier.push(near);
          near.routes[index] = link.a === near ? link.forward : link.backward;
        }
      }
    });
    for (const { at, to, link } of this.#overrides) {
      at.routes[this.#targets.findIndex((t) => t.node === to && t.link === null)] =
        link.a === at ? link.forward : link.backward;
    }
    this.#routesValid = true;
  }

  #checkNode(field: string, node: Node): void {
    if (this.#nodes[node.index] !== node) throw new SimulatorOptionError(field, node.name, "a node of this network");
  }

  #call(callback: Callback, atMs: number): () => void {
    this.#events.push(atMs, callback, 0);
    return () => {
      callback.cancelled = true;
    };
  }

  #enter(): void {
    if (this.#running) throw new Error("the network is running already: run and step may not be called from within");
    this.#running = true;
    this.#stopped = false;
  }
}
