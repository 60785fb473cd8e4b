/**
 * The server's end of a tunnel: one interface, many clients. Each packet goes to who has its destination, by the longest prefix; who
 * may have what is decided by the rules when a client asks, and a packet must come from an address of its sender's.
 */
import { performance } from "node:perf_hooks";
import type { CarrierStream } from "../proxy/carrier.ts";
import type { Refusal, TunnelGrant, TunnelHeader } from "../proxy/forward-session.ts";
import { type CertificateNames, nameOf } from "../proxy/identity.ts";
import type { Log } from "../proxy/log.ts";
import { RESET_BY_PROXY } from "../proxy/splice.ts";
import type { Address } from "../transport/address.ts";
import { IpPacket, TunError } from "../tun/index.ts";
import { type Network, networkOf } from "../tun/network.ts";
import { largestOf, packetsOf, trainHeader } from "../tun/tcp-train.ts";
import { TrainCutter } from "../tun/train-cutter.ts";
import { PacketPool } from "./fair-queue.ts";
import { destinationOf, type IcmpError, icmpError, isUnicast, mayTell } from "./icmp.ts";
import { OwnPackets } from "./own-packets.ts";
import { clampMss, decrementHopLimit, isSyn } from "./packet-edits.ts";
import { type PacketCarrier, PacketPath, type PathMemory } from "./packet-path.ts";
import { PrefixTable } from "./prefix-table.ts";
import { TokenBucket } from "./token-bucket.ts";
import { TrainAssembler } from "./train-assembler.ts";
import type { TunPort } from "./tun-port.ts";
import { TunnelCounter } from "./tunnel-counter.ts";
import { TunnelDrops } from "./tunnel-drops.ts";
import { contains, hostOf, parseAddressOrNetwork, type TunnelRules } from "./tunnel-rules.ts";

/** Addresses and networks that one identity may have, over all its sessions: `*=tun` lets nobody have them all. */
const MAX_NETWORKS = 64;
const REFRESH_MS = 250;
/** How often the log tells, at level debug, what has passed. */
const REPORT_MS = 5000;

export interface TunnelServerOptions {
  port: TunPort;
  rules: TunnelRules;
  clientToClient: boolean;
  /** The MTU that the user wants; else what the paths carry. */
  mtu: number | undefined;
  log: Log;
}

/** Whose this machine's own addresses are, whatever network of a client's contains them. */
const SELF = "self";

/** What the server needs of a client's session. */
export interface ServerCarrier extends PacketCarrier {
  readonly peer: { readonly identity: CertificateNames; readonly address: Address };
}

interface Member {
  readonly carrier: ServerCarrier;
  readonly peer: string;
  readonly path: PacketPath;
  readonly addresses: readonly Network[];
  readonly routes: readonly Network[];
  readonly stream: CarrierStream;
  readonly own: OwnPackets;
  readonly errors: TokenBucket;
  /** Packets were queued since the session was last told. */
  touched: boolean;
}

/** For ICMP errors to one receiver, that one who causes many does not silence those that others need. */
function errorBucket(): TokenBucket {
  return new TokenBucket(50, 100);
}

export class TunnelServer {
  readonly drops: TunnelDrops;
  readonly counter: TunnelCounter;
  readonly #options: TunnelServerOptions;
  #rules: TunnelRules;
  readonly #members: Map<ServerCarrier, Member> = new Map();
  readonly #table = new PrefixTable<Member | typeof SELF>();
  readonly #memory: PathMemory = { pool: new PacketPool(), assembler: new TrainAssembler() };
  /** For clients that take no trains from others that send some. */
  #cutter: TrainCutter | null = null;
  readonly #ip = new IpPacket();
  readonly #touched: Member[] = [];
  /** Where the packet before from the interface went, if it went, and when: the parts of a train follow it. */
  #train: Member | null = null;
  #trainMs = 0;
  /** For errors to this machine; each member has its own. */
  readonly #errors = errorBucket();
  /** Apart, since whoever asks for addresses that nobody has causes them: packets that are too long must be told of. */
  readonly #noRoutes = errorBucket();
  readonly #timer: NodeJS.Timeout;
  #reportMs = 0;

  constructor(options: TunnelServerOptions) {
    this.#options = options;
    this.#rules = options.rules;
    this.drops = new TunnelDrops(options.log);
    const { port } = options;
    this.counter = new TunnelCounter(this.drops, port);
    for (const { address } of port.addresses) this.#table.set(address, 8 * address.length, SELF);
    port.onPacket = (packet, follows) => {
      if (follows && this.#train !== null) this.#train.path.sendFollowing(packet, this.#trainMs);
      else this.#fromInterface(packet, 0);
    };
    port.onTrain = (train, segmentBytes) => this.#fromInterface(train, segmentBytes);
    port.onBatchEnd = () => {
      this.#train = null;
      this.#wake();
    };
    this.#timer = setInterval(() => this.#refresh(), REFRESH_MS);
    this.#timer.unref();
  }

  get clients(): number {
    return this.#members.size;
  }

  /** Takes a client's request; what it has now, in words, or why not. `claim` has the session's datagrams of the stream handed over. */
  open(
    carrier: ServerCarrier,
    request: TunnelHeader,
    stream: CarrierStream,
    claim: (receive: (payload: Uint8Array) => void) => void,
  ): TunnelGrant | Refusal {
    // Who resets it right away is told nothing, and its end would never be heard of.
    if (stream.destroyed) return { reason: "unavailable", message: "the request was taken back" };
    const { identity } = carrier.peer;
    const peer = nameOf(identity) || "unnamed peer";
    const networks = this.#parse(request);
    if ("reason" in networks) return networks;
    const { addresses, routes } = networks;
    const message = this.#forbids(identity, addresses, routes);
    if (message !== null) return { reason: "not-allowed", message };
    const own = new OwnPackets();
    own.update(carrier.peer.address);
    const looping = this.#refusesLoop(carrier, own, routes);
    if (looping !== null) return { reason: "not-allowed", message: looping };
    const wanted = [...addresses, ...routes];
    const others = new Set<Member>();
    for (const network of wanted) {
      const message = this.#refusesOverlap(peer, network);
      if (message !== null) return { reason: "in-use", message };
      const other = this.#table.get(network.address, network.prefixLength);
      // The rules give nobody this machine's own.
      if (other !== null && other !== SELF) others.add(other);
    }
    // Who comes back before its old session is known to be dead takes its addresses over.
    const before = this.#members.get(carrier);
    if (before !== undefined) others.add(before);
    let count = wanted.length;
    for (const other of this.#members.values()) {
      if (other.peer === peer && !others.has(other)) count += other.addresses.length + other.routes.length;
    }
    if (count > MAX_NETWORKS) {
      const words = `${peer} would have ${count} addresses and networks, the server lets one identity have ${MAX_NETWORKS}`;
      return { reason: "over-quota", message: words };
    }
    for (const other of others) this.#remove(other);
    const sink = {
      packet: (packet: Uint8Array) => this.#fromMember(member, packet, 0, 0),
      train: (train: Uint8Array, headerBytes: number, segmentBytes: number) =>
        this.#fromMember(member, train, headerBytes, segmentBytes),
    };
    const path = new PacketPath(carrier, stream.id, this.#memory, sink, request.trains === true);
    const member: Member = {
      carrier,
      peer,
      path,
      addresses,
      routes,
      stream,
      own,
      errors: errorBucket(),
      touched: false,
    };
    path.onReleased = () => this.#wake();
    claim((payload) => path.receive(payload, performance.now()));
    this.#members.set(carrier, member);
    this.counter.add(path);
    for (const { address, prefixLength } of wanted) this.#table.set(address, prefixLength, member);
    const refused = routes.filter((route) => !this.#options.port.addRoute(route));
    stream.on("error", () => {});
    stream.once("end", () => this.#remove(member));
    stream.once("close", () => this.#remove(member));
    this.#setMtu();
    const texts = (networks: readonly Network[]) => networks.map(({ text }) => text).join(", ");
    const has = texts(wanted.filter((network) => !refused.includes(network)));
    this.#options.log.info({ audit: "tunnel", peer, networks: has }, `${peer}: has ${has} in the tunnel`);
    return { address: has, trains: true };
  }

  /** Other rules from now on; who has what they do not allow leaves the tunnel, and is told why when it asks again. */
  permit(rules: TunnelRules): void {
    this.#rules = rules;
    for (const member of [...this.#members.values()]) {
      const message = this.#forbids(member.carrier.peer.identity, member.addresses, member.routes);
      if (message === null) continue;
      this.#options.log.warn({ peer: member.peer }, `${member.peer}: no longer allowed in the tunnel: ${message}`);
      this.#remove(member);
    }
  }

  /** Ends all tunnels; the interface stays. */
  close(): void {
    clearInterval(this.#timer);
    for (const member of [...this.#members.values()]) this.#remove(member);
  }

  /** Why the rules do not let a peer have all this; null if they do. */
  #forbids(peer: CertificateNames, addresses: readonly Network[], routes: readonly Network[]): string | null {
    for (const address of addresses) {
      const message = this.#rules.refusesAddress(peer, address);
      if (message !== null) return message;
    }
    for (const route of routes) {
      const message = this.#rules.refusesRoute(peer, route);
      if (message !== null) return message;
    }
    return null;
  }

  #parse({ addresses, routes }: TunnelHeader): { addresses: Network[]; routes: Network[] } | Refusal {
    if (addresses.length === 0) return { reason: "malformed", message: "no address was asked for" };
    if (addresses.length + routes.length > MAX_NETWORKS) {
      return { reason: "malformed", message: `more than ${MAX_NETWORKS} addresses and routes were asked for` };
    }
    try {
      return {
        addresses: addresses.map((text) => hostOf(parseAddressOrNetwork(text))),
        routes: routes.map((text) => networkOf(parseAddressOrNetwork(text))),
      };
    } catch (error) {
      if (error instanceof TunError) return { reason: "malformed", message: error.message };
      throw error;
    }
  }

  /** Why routes must not be added: a session's own packets would go into the tunnel. */
  #refusesLoop(joining: ServerCarrier, own: OwnPackets, routes: readonly Network[]): string | null {
    if (routes.length === 0) return null;
    const table = new PrefixTable<Network>();
    for (const route of routes) table.set(route.address, route.prefixLength, route);
    for (const [{ peer }, { own: packets }] of [[joining, { own }] as const, ...this.#members]) {
      const { ip } = peer.address;
      packets.update(peer.address);
      const route = table.lookup(packets.address, 0, packets.address.length);
      if (route === null) continue;
      return `${route.text} contains ${ip}, where a session comes from: its packets would go into the tunnel`;
    }
    return null;
  }

  /** Why a network is not free for a peer: another has a part of it, or what it is a part of. */
  #refusesOverlap(peer: string, wanted: Network): string | null {
    for (const other of this.#table.overlapping(wanted.address, wanted.prefixLength)) {
      if (other === SELF || other.peer === peer) continue;
      for (const had of [...other.addresses, ...other.routes]) {
        const [outer, inner] = had.prefixLength <= wanted.prefixLength ? [had, wanted] : [wanted, had];
        if (!contains(outer, inner) || this.#rules.isApart(inner, outer)) continue;
        return `${had.text} is in use by ${other.peer}`;
      }
    }
    return null;
  }

  #remove(member: Member): void {
    const { carrier, peer, path, addresses, routes, stream } = member;
    if (this.#members.get(carrier) !== member) return;
    this.#members.delete(carrier);
    for (const { address, prefixLength } of [...addresses, ...routes]) {
      if (this.#table.get(address, prefixLength) === member) this.#table.delete(address, prefixLength);
    }
    for (const route of routes) this.#options.port.removeRoute(route);
    path.close();
    this.counter.end(path);
    if (!stream.destroyed) stream.reset(RESET_BY_PROXY);
    const { sentBytes, receivedBytes } = path.counts;
    this.#options.log.info(
      { audit: "tunnel", peer, bytesSent: sentBytes, bytesReceived: receivedBytes },
      `${peer}: left the tunnel, ${sentBytes} bytes sent, ${receivedBytes} received`,
    );
  }

  #refresh(): void {
    const nowMs = performance.now();
    const report = nowMs >= this.#reportMs;
    if (report) this.#reportMs = nowMs + REPORT_MS;
    for (const [carrier, { path, peer, own }] of this.#members) {
      path.refresh();
      own.update(carrier.peer.address);
      if (report) this.#options.log.debug({ peer, ...path.summary }, `${peer}: ${JSON.stringify(path.summary)}`);
    }
    this.#setMtu();
  }

  /** The longest that a path carries: who has less is told so. */
  #setMtu(): void {
    let mtu = 0;
    for (const { path } of this.#members.values()) mtu = Math.max(mtu, path.mtu);
    if (this.#options.mtu === undefined && mtu > 0) this.#options.port.setMtu(mtu);
  }

  /** Takes a packet, or a train with `segmentBytes` of data in each segment; false: that has to be cut first. */
  #fromInterface(packet: Uint8Array, segmentBytes: number): boolean {
    const ip = this.#ip;
    this.#train = null;
    if (!ip.parse(packet)) {
      this.drops.count("malformed", "");
      return true;
    }
    const at = ip.version === 4 ? 16 : 24;
    const length = ip.version === 4 ? 4 : 16;
    const unicast = isUnicast(packet, at, length);
    const member = unicast ? this.#table.lookup(packet, at, length) : null;
    const headerBytes = segmentBytes === 0 ? 0 : trainHeader(packet, ip, segmentBytes);
    if (segmentBytes > 0) {
      // What goes nowhere is dealt with in its packets.
      if (headerBytes === 0 || member === null || member === SELF || !member.path.takesTrains) return false;
    }
    if (!unicast) {
      this.drops.count("notUnicast", "");
      return true;
    }
    if (member === null || member === SELF) {
      this.drops.count("noRoute", "");
      this.#tell("no-route", packet, null);
      return true;
    }
    if (member.own.has(packet, ip, at, length)) {
      this.drops.count("loop", member.peer, packetsOf(ip.totalBytes, headerBytes, segmentBytes));
      return true;
    }
    if (this.#forward(member, packet, null, headerBytes, segmentBytes) && segmentBytes === 0) {
      this.#train = member;
      this.#trainMs = performance.now();
    }
    return true;
  }

  /** A packet, lent and not to be written to, or a train with headers of `headerBytes`. */
  #fromMember(member: Member, lent: Uint8Array, headerBytes: number, segmentBytes: number): void {
    const ip = this.#ip;
    let packet = lent;
    if (!ip.parse(packet) || ip.totalBytes !== packet.length) {
      this.drops.count("malformed", member.peer);
      return;
    }
    const packets = packetsOf(packet.length, headerBytes, segmentBytes);
    const at = ip.version === 4 ? 12 : 8;
    const length = ip.version === 4 ? 4 : 16;
    if (this.#table.lookup(packet, at, length) !== member) {
      this.drops.count("spoofed", member.peer, packets);
      return;
    }
    if (!isUnicast(packet, at + length, length)) {
      this.drops.count("notUnicast", member.peer, packets);
      return;
    }
    const target = this.#table.lookup(packet, at + length, length);
    const isForMachine = target === null || target === SELF;
    // What is lent must not be written to.
    if (segmentBytes === 0 && (!isForMachine || isSyn(packet, ip))) packet = packet.slice();
    if (isForMachine) {
      const { port } = this.#options;
      if (segmentBytes === 0) clampMss(packet, ip, this.#options.mtu ?? member.path.mtu);
      const isThere = segmentBytes === 0 ? port.write(packet) : port.writeTrain(packet, segmentBytes);
      if (!isThere) this.drops.count("noDevice", member.peer, packets);
    } else if (target === member) {
      this.drops.count("loop", member.peer, packets);
    } else if (!this.#options.clientToClient) {
      this.drops.count("clientToClient", member.peer, packets);
      this.#tell("prohibited", packet, member);
    } else if (!decrementHopLimit(packet, ip)) {
      this.drops.count("hopLimit", member.peer, packets);
      this.#tell("time-exceeded", packet, member);
    } else {
      this.#forward(target, packet, member, headerBytes, segmentBytes);
    }
  }

  /** To a client, from another or (null) from this machine; whether it went. */
  #forward(
    target: Member,
    packet: Uint8Array,
    from: Member | null,
    headerBytes: number,
    segmentBytes: number,
  ): boolean {
    const ip = this.#ip;
    const { path } = target;
    const most = this.#options.mtu ?? path.mtu;
    if (largestOf(ip, headerBytes, segmentBytes) > most && ip.dontFragment) {
      this.drops.count("tooBig", from?.peer ?? "", packetsOf(ip.totalBytes, headerBytes, segmentBytes));
      this.#tell("too-big", packet, from, most);
      return false;
    }
    if (segmentBytes === 0) {
      clampMss(packet, ip, most);
      this.#send(target, packet);
    } else if (path.takesTrains) {
      path.sendTrain(packet, ip, headerBytes, segmentBytes, performance.now());
      this.#touch(target);
    } else {
      this.#cutter ??= new TrainCutter();
      this.#cutter.cut(packet, segmentBytes, (part) => {
        if (ip.parse(part)) this.#send(target, part);
      });
    }
    return true;
  }

  #send(target: Member, packet: Uint8Array): void {
    target.path.send(packet, this.#ip, performance.now());
    this.#touch(target);
  }

  #touch(target: Member): void {
    if (target.touched) return;
    target.touched = true;
    // From the interface the end of a burst is known; from a session the end of the turn is as good.
    if (this.#touched.push(target) === 1) queueMicrotask(this.#wake);
  }

  readonly #wake = (): void => {
    for (const member of this.#touched) {
      member.touched = false;
      member.path.wake();
    }
    this.#touched.length = 0;
  };

  /** Tells who sent a packet, a client or (null) this machine, what became of it. */
  #tell(error: IcmpError, packet: Uint8Array, to: Member | null, mtu = 0): void {
    const ip = this.#ip;
    if (!mayTell(error, packet, ip)) return;
    if (to === null) {
      const bucket = error === "no-route" ? this.#noRoutes : this.#errors;
      if (!bucket.take(performance.now())) return;
      this.#options.port.write(icmpError(error, packet, ip, destinationOf(packet, ip), mtu));
      return;
    }
    const source = this.#options.port.errorSource(ip.version === 4 ? 4 : 16);
    if (source === null || !to.errors.take(performance.now())) return;
    const message = icmpError(error, packet, ip, source, mtu);
    if (ip.parse(message)) this.#send(to, message);
  }
}
