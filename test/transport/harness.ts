// What the link tests share: a fixed-window controller, a user that keeps account of every tag, endpoints for the simulator.
import type { CongestionController, CongestionMetrics } from "../../src/congestion/controller.ts";
import { Arena } from "../../src/gf/index.ts";
import {
  type Address,
  createTwoHosts,
  type Endpoint,
  type LinkOptions as HopOptions,
  type ReceivedDatagram,
  type Transmit,
} from "../../src/simulator/index.ts";
import { LinkAcceptor, simulatedLink } from "../../src/simulator/transport/link-holder.ts";
import {
  type CloseReason,
  ControlCoder,
  type FlightSizes,
  Link,
  type LinkOptions,
  type LinkUser,
  type PacketFill,
  StandInHandshake,
} from "../../src/transport/link/index.ts";

export const coder = new ControlCoder({ arena: new Arena() });

/** What `pollTransmit` fills: room for any datagram or train. */
export function createTransmit(): Transmit {
  return { buffer: new Uint8Array(65_536), length: 0, segmentBytes: 0, destination: null, source: null, ecn: 0 };
}

/** A window and a rate that never change, and checks of the order in which the link calls. */
export class FixedWindow implements CongestionController {
  readonly name = "fixed-window";
  readonly windowBytes: number;
  readonly pacingRate: number;
  readonly lateAckRate = 0;
  readonly fates = new Map<number, "sent" | "acked" | "lost" | "forgotten" | "spurious">();
  readonly keep: boolean;
  lastSent = -1;
  marks = 0;
  persistent = 0;
  pathChanges = 0;
  packetBytes = 0;

  constructor(windowBytes: number, pacingRate: number, keep = true) {
    this.windowBytes = windowBytes;
    this.pacingRate = pacingRate;
    this.keep = keep;
  }

  onPacketSent(packet: number): void {
    if (packet <= this.lastSent) throw new Error(`packet ${packet} sent after ${this.lastSent}`);
    this.lastSent = packet;
    if (this.keep) this.fates.set(packet, "sent");
  }

  onPacketAcked(packet: number): void {
    this.#turn(packet, "sent", "acked");
  }

  onPacketLost(packet: number): void {
    this.#turn(packet, "sent", "lost");
  }

  onSpuriousLoss(packet: number): void {
    this.#turn(packet, "lost", "spurious");
  }

  onPacketForgotten(packet: number): void {
    this.#turn(packet, "sent", "forgotten");
  }

  onUpdate(update: { inFlightBytes: number; congestionMarks: number }): void {
    if (!(update.inFlightBytes >= 0)) throw new Error(`${update.inFlightBytes} bytes in flight`);
    this.marks += update.congestionMarks;
  }

  onAppLimited(): void {}

  onPersistentCongestion(): void {
    this.persistent++;
  }

  onPathChange(): void {
    this.pathChanges++;
    for (const [packet, fate] of this.fates) if (fate === "sent") throw new Error(`packet ${packet} not forgotten`);
  }

  setPacketBytes(bytes: number): void {
    this.packetBytes = bytes;
  }

  metrics(): CongestionMetrics {
    throw new Error("not needed");
  }

  #turn(packet: number, from: string, to: "acked" | "lost" | "forgotten" | "spurious"): void {
    if (!this.keep) return;
    const fate = this.fates.get(packet);
    if (fate !== from) throw new Error(`packet ${packet} was ${fate}, becomes ${to}`);
    this.fates.set(packet, to);
  }
}

/** Sends numbered packets of `bytes` bytes and books each tag's fate; whatever breaks the contract throws. */
export class Bookkeeper implements LinkUser {
  /** How many packets may still be filled. */
  budget = 0;
  bytes: number;
  readonly received = new Map<number, number>();
  receivedCount = 0;
  receivedBytes = 0;
  sent = 0;
  readonly fate: (0 | 1 | 2 | 3)[] = [];
  outstanding = 0;
  acks = 0;
  losses = 0;
  spuriousLosses = 0;
  /** Packets of the link's own. */
  readonly sampled = { arrived: 0, lost: 0 };
  establishedMs = Number.NaN;
  firstReceivedMs = Number.NaN;
  closedReason: CloseReason | null = null;
  payload = 0;
  paths: { remote: Address; restarted: boolean; atMs: number }[] = [];
  filledAfterClose = 0;
  onEstablished: (() => void) | null = null;

  constructor(bytes = 1000) {
    this.bytes = bytes;
  }

  ready(): boolean {
    return this.budget > 0;
  }

  nextTimeoutMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  fill(packet: PacketFill): void {
    if (this.closedReason !== null) this.filledAfterClose++;
    if (this.budget === 0) return;
    const bytes = Math.min(this.bytes, this.payload);
    if (packet.room < bytes) return;
    this.budget--;
    const tag = this.sent++;
    new DataView(packet.buffer.buffer, packet.buffer.byteOffset).setUint32(packet.start, tag);
    packet.buffer.fill(tag & 255, packet.start + 4, packet.start + bytes);
    packet.length = bytes;
    packet.tag = tag;
    this.fate[tag] = 0;
    this.outstanding++;
  }

  acked(tag: number): void {
    if (this.fate[tag] !== 0) throw new Error(`tag ${tag} acked with fate ${this.fate[tag]}`);
    this.fate[tag] = 1;
    this.outstanding--;
    this.acks++;
  }

  lost(tag: number): void {
    if (this.fate[tag] !== 0) throw new Error(`tag ${tag} lost with fate ${this.fate[tag]}`);
    this.fate[tag] = 2;
    this.outstanding--;
    this.losses++;
  }

  pathSampled(arrived: number, lost: number): void {
    this.sampled.arrived += arrived;
    this.sampled.lost += lost;
  }

  spurious(tag: number): void {
    if (this.fate[tag] !== 2) throw new Error(`tag ${tag} spurious with fate ${this.fate[tag]}`);
    this.fate[tag] = 3;
    this.spuriousLosses++;
  }

  receive(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    if (this.receivedCount++ === 0) this.firstReceivedMs = nowMs;
    this.receivedBytes += end - start;
    const tag = new DataView(bytes.buffer, bytes.byteOffset).getUint32(start);
    for (let i = start + 4; i < end; i++) {
      if (bytes[i] !== (tag & 255)) throw new Error(`tag ${tag} arrived damaged`);
    }
    if (this.received.has(tag)) throw new Error(`tag ${tag} arrived twice`);
    this.received.set(tag, end - start);
  }

  established(_peer: unknown, nowMs: number): void {
    this.establishedMs = nowMs;
    this.onEstablished?.();
  }

  payloadBytesChanged(payloadBytes: number): void {
    this.payload = payloadBytes;
  }

  pathChanged(remote: Address, restarted: boolean, nowMs: number): void {
    this.paths.push({ remote, restarted, atMs: nowMs });
  }

  closed(reason: CloseReason): void {
    if (this.closedReason !== null) throw new Error("closed twice");
    this.closedReason = reason;
  }
}

/** Deterministic bytes: not for secrets. */
export function seededBytes(seed: number): (bytes: Uint8Array) => void {
  let state = (seed * 2654435761) >>> 0 || 1;
  return (bytes) => {
    for (let i = 0; i < bytes.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[i] = state >>> 8;
    }
  };
}

export interface EndOptions {
  seed?: number;
  user?: Bookkeeper;
  congestion?: CongestionController;
  flights?: FlightSizes;
  link?: Partial<LinkOptions>;
  sealLimit?: number;
}

function linkOptions(role: "client" | "server", remote: Address, nowMs: number, options: EndOptions): LinkOptions {
  const random = seededBytes((options.seed ?? 1) * 2 + (role === "client" ? 0 : 1));
  const hello = new Uint8Array(16);
  random(hello);
  return simulatedLink(role, remote, nowMs, {
    user: options.user ?? new Bookkeeper(),
    handshake: new StandInHandshake({
      role,
      random: hello,
      ...(options.flights === undefined ? {} : { flights: options.flights }),
      ...(options.sealLimit === undefined ? {} : { sealLimit: options.sealLimit }),
    }),
    congestion: options.congestion ?? new FixedWindow(256 * 1024, 12_000),
    coder,
    random,
    ...options.link,
  });
}

export function createClient(remote: Address, options: EndOptions = {}, nowMs = 0): Link {
  return new Link(linkOptions("client", remote, nowMs, options));
}

/** Makes a link of the first good handshake packet and gives everything to it. */
export class ServerEndpoint extends LinkAcceptor {
  constructor(options: EndOptions = {}) {
    super((remote, nowMs) => linkOptions("server", remote, nowMs, options));
  }
}

/** Drops what an endpoint sends beyond the MTU of the moment, in UDP payload bytes. */
export class MtuLimited implements Endpoint {
  readonly #inner: Endpoint;
  mtu: number;
  dropped = 0;

  constructor(inner: Endpoint, mtu: number) {
    this.#inner = inner;
    this.mtu = mtu;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#inner.handleDatagram(datagram, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#inner.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    while (this.#inner.pollTransmit(transmit, nowMs)) {
      if (transmit.length <= this.mtu) return true;
      this.dropped++;
      transmit.length = 0;
    }
    return false;
  }

  nextTimeoutMs(): number {
    return this.#inner.nextTimeoutMs();
  }
}

/** Watches that an endpoint's timers progress: a few timeouts at one instant, never more. */
export class Guarded implements Endpoint {
  readonly #inner: Endpoint;
  #atMs = Number.NaN;
  #timeouts = 0;
  #transmits = 0;

  constructor(inner: Endpoint) {
    this.#inner = inner;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#inner.handleDatagram(datagram, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#turn(nowMs);
    if (++this.#timeouts > 8) throw new Error(`${this.#timeouts} timeouts at ${nowMs} ms`);
    this.#inner.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    this.#turn(nowMs);
    const sends = this.#inner.pollTransmit(transmit, nowMs);
    if (sends && ++this.#transmits > 2000) throw new Error(`${this.#transmits} datagrams at ${nowMs} ms`);
    return sends;
  }

  nextTimeoutMs(): number {
    const next = this.#inner.nextTimeoutMs();
    if (Number.isNaN(next)) throw new Error("a timeout at NaN");
    return next;
  }

  #turn(nowMs: number): void {
    if (nowMs === this.#atMs) return;
    this.#atMs = nowMs;
    this.#timeouts = 0;
    this.#transmits = 0;
  }
}

export interface PairOptions {
  seed?: number;
  /** From the client. */
  forward?: HopOptions;
  /** Default as `forward`. */
  backward?: HopOptions;
  client?: EndOptions;
  server?: EndOptions;
  /** UDP payload that the network carries. */
  mtu?: number;
}

/** A client and a server on two hosts with one link between them. */
export function createPair(options: PairOptions = {}) {
  const { seed = 1, forward = {}, backward = forward, mtu = 65_535 } = options;
  const { network, a, b } = createTwoHosts({ seed, forward, backward });
  const clientUser = options.client?.user ?? new Bookkeeper();
  const serverUser = options.server?.user ?? new Bookkeeper();
  const client = createClient({ ip: b.ip, port: 4433 }, { seed, ...options.client, user: clientUser });
  const server = new ServerEndpoint({ seed: seed + 100_000, ...options.server, user: serverUser });
  const clientMtu = new MtuLimited(client, mtu);
  const serverMtu = new MtuLimited(server, mtu);
  const clientSocket = a.attach(new Guarded(clientMtu));
  const serverSocket = b.attach(new Guarded(serverMtu));
  clientUser.payload = client.payloadBytes;
  serverUser.payload = client.payloadBytes;
  return { network, a, b, client, server, clientUser, serverUser, clientSocket, serverSocket, clientMtu, serverMtu };
}
