/**
 * Many links on one UDP port, without I/O: routes each datagram to its link by connection id, makes links of clients' first
 * packets, and lets each link send in its turn. An `Endpoint` of `Link`s that is an `Endpoint` itself, so that the simulator
 * drives it as well as a socket.
 *
 * What leads to no link is answered, if at all, without keeping state, rarely, and with less than it was: version negotiation and
 * retry (RFC 9000, sections 6 and 8.1), stateless reset (section 10.3). All else is dropped and counted.
 *
 * Cost: a datagram or a send concerns one link; links that wait cost nothing. Nothing is allocated for a packet.
 */

import type { AddressTokens } from "../tls/index.ts";
import { type Address, sameAddress } from "../transport/address.ts";
import type { Endpoint, ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import {
  type ConnectionIdSource,
  type ControlCoder,
  Link,
  type LinkOptions,
  MIN_INITIAL_BYTES,
  PacketHeader,
  type PacketProtection,
} from "../transport/link/index.ts";
import { readPacketNumber } from "../transport/link/packet-number.ts";
import { CONNECTION_ID_BYTES, ConnectionIdMap } from "./connection-id-map.ts";
import { endpointCounters } from "./endpoint-counters.ts";
import { type LinkObserver, RoutedLink } from "./routed-link.ts";
import { StatelessAnswers } from "./stateless-answers.ts";
import { TimerHeap } from "./timer-heap.ts";

/** What whoever dials or accepts a link has to say about it; the endpoint knows the rest. */
export type LinkSettings = Omit<
  LinkOptions,
  "role" | "remote" | "nowMs" | "accepted" | "connectionIds" | "random" | "coder" | "protection"
>;

/** Who takes links from clients. */
export interface LinkAcceptor {
  /**
   * A client's first packet came: what its link shall be, and who looks after it; null to ignore it. Nothing is known of the
   * client but an address, which may be forged unless `validated`.
   */
  accept(remote: Address, validated: boolean, nowMs: number): { settings: LinkSettings; observer: LinkObserver } | null;
  readonly tokens: AddressTokens;
}

export interface TransportEndpointOptions {
  protection: PacketProtection;
  coder: ControlCoder;
  /** Fills `bytes` with randomness that nobody can guess. */
  random: (bytes: Uint8Array) => void;
  /**
   * The token by which a peer knows that this end lost its link of connection id `id`: 16 bytes that depend on the id and a secret.
   * Where the secret outlives a restart, peers hear of one at once.
   */
  resetToken: (id: Uint8Array) => Uint8Array;
  /** Takes clients' links; null or left out: none are taken. May be set later. */
  acceptor?: LinkAcceptor | null;
  /** Handshakes of clients that have not proved their address; beyond it they must do that first (retry). Default 256. */
  maximumUnvalidated?: number;
  /**
   * Clients' handshakes at once, whether their addresses are proved or not; beyond it first packets are dropped. One costs some
   * 130 kB and lasts 30 s, and anybody may begin it. Default 2048.
   */
  maximumHandshakes?: number;
  /** Links at once; beyond it first packets are dropped. Default 65,536. */
  maximumLinks?: number;
}

/** Datagrams that a link may send before it is the next one's turn. */
const TURN_DATAGRAMS = 32;
/** Stateless resets of ours are shorter; only the first so many links that were dialled are asked about one. */
const MOST_RESET_BYTES = 64;
const MOST_RESET_LINKS = 64;
/**
 * With so many handshakes under way none is begun for a packet that waited this long for the processor: clients give up after a while,
 * and if all are served at once, all do so before they are done. Who is not served asks again.
 */
const BUSY_HANDSHAKES = 16;
const BUSY_MS = 200;
const EMPTY = new Uint8Array(0);

export class TransportEndpoint implements Endpoint {
  readonly counters = endpointCounters();
  acceptor: LinkAcceptor | null;
  readonly #options: TransportEndpointOptions;
  readonly #maximumUnvalidated: number;
  readonly #maximumHandshakes: number;
  readonly #maximumLinks: number;
  readonly #header = new PacketHeader();
  readonly #byId = new ConnectionIdMap<RoutedLink>();
  /** By the ids that clients chose themselves: a `Map`, for they may choose them to collide. */
  readonly #byFirstId = new Map<string, RoutedLink>();
  readonly #links = new Set<RoutedLink>();
  readonly #dialled = new Set<RoutedLink>();
  readonly #timers = new TimerHeap<RoutedLink>();
  /** Links that may have something to send, in turn; taken from `#turn` on. */
  #ready: RoutedLink[] = [];
  #turn = 0;
  #turnDatagrams = 0;
  #touched: RoutedLink[] = [];
  #touchedBefore: RoutedLink[] = [];
  readonly #answers: StatelessAnswers;
  #unvalidated = 0;
  #handshakes = 0;

  constructor(options: TransportEndpointOptions) {
    this.#options = options;
    this.#answers = new StatelessAnswers(options, this.counters);
    this.acceptor = options.acceptor ?? null;
    this.#maximumUnvalidated = options.maximumUnvalidated ?? 256;
    this.#maximumHandshakes = options.maximumHandshakes ?? 2048;
    this.#maximumLinks = options.maximumLinks ?? 65_536;
  }

  /** Links that are there, closing ones too. */
  get linkCount(): number {
    return this.#links.size;
  }

  get links(): IterableIterator<RoutedLink> {
    return this.#links.values();
  }

  /** Those of them that were dialled from here. */
  get dialledLinks(): IterableIterator<RoutedLink> {
    return this.#dialled.values();
  }

  /** Handshakes of clients that have not proved their address. */
  get unvalidatedCount(): number {
    return this.#unvalidated;
  }

  /** Handshakes that clients have begun and neither they nor this end have finished or given up. */
  get handshakeCount(): number {
    return this.#handshakes;
  }

  /** Dials. The link sends at the next `pollTransmit`. */
  connect(remote: Address, settings: LinkSettings, observer: LinkObserver, nowMs: number): RoutedLink {
    const routed = new RoutedLink(observer, "");
    this.#make(routed, { ...settings, role: "client", remote, nowMs, ...this.#common(routed) });
    this.#dialled.add(routed);
    return routed;
  }

  /** Something happened above the link, or in its handshake: it may have something to send. */
  wake(routed: RoutedLink): void {
    if (routed.queued || routed.gone) return;
    routed.queued = true;
    this.#ready.push(routed);
  }

  /** Ends a link without a word to the peer and forgets it. */
  destroy(routed: RoutedLink, nowMs: number): void {
    if (routed.gone) return;
    routed.link.destroy(nowMs);
    this.#remove(routed, nowMs);
  }

  /** Whether observers wait for `progress`. */
  get progressWaits(): boolean {
    return this.#touched.length > 0;
  }

  /** Lets the observers of all links that something happened to go to work. What they do may touch links anew: call until false. */
  progress(nowMs: number): boolean {
    const touched = this.#touched;
    if (touched.length === 0) return false;
    this.#touched = this.#touchedBefore;
    this.#touchedBefore = touched;
    for (const routed of touched) {
      routed.touched = false;
      routed.observer.progressed(nowMs);
    }
    touched.length = 0;
    return true;
  }

  // ---------------------------------------------------------------- the driver's verbs

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const header = this.#header;
    const error = header.parse(bytes, CONNECTION_ID_BYTES);
    if (error !== null) {
      this.counters.drops[error]++;
      if (error === "unknown-version" && this.acceptor !== null) {
        this.#answers.negotiateVersion(datagram, header, nowMs);
      }
      return;
    }
    const routed = this.#find(bytes);
    if (routed !== null) {
      this.counters.routed++;
      routed.link.handleDatagram(datagram, nowMs);
      this.#after(routed, nowMs);
    } else if (header.kind === "handshake") {
      this.#onFirstPacket(datagram, nowMs);
    } else if (header.kind !== "short" || !this.#onReset(datagram, nowMs)) {
      this.counters.drops["unknown-connection-id"]++;
      // Who takes no links lost none of a peer's, either.
      if (header.kind === "short" && this.acceptor !== null) this.#answers.reset(datagram, header, nowMs);
    }
  }

  handleTimeout(nowMs: number): void {
    for (let routed = this.#timers.pop(nowMs); routed !== null; routed = this.#timers.pop(nowMs)) {
      routed.link.handleTimeout(nowMs);
      this.#after(routed, nowMs);
    }
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    if (this.#answers.pollTransmit(transmit)) return true;
    while (this.#turn < this.#ready.length) {
      const routed = this.#ready[this.#turn];
      if (routed.gone) {
        this.#next();
        continue;
      }
      if (routed.link.pollTransmit(transmit, nowMs)) {
        if (++this.#turnDatagrams >= TURN_DATAGRAMS) {
          this.#next();
          this.#ready.push(routed);
        }
        return true;
      }
      this.#next();
      routed.queued = false;
      this.#touch(routed);
      if (routed.link.state === "closed") this.#remove(routed, nowMs);
      else this.#timers.set(routed, routed.link.nextTimeoutMs());
    }
    this.#ready.length = 0;
    this.#turn = 0;
    return false;
  }

  nextTimeoutMs(): number {
    return this.#turn < this.#ready.length || this.#answers.wait ? Number.NEGATIVE_INFINITY : this.#timers.nextMs;
  }

  #next(): void {
    this.#turn++;
    this.#turnDatagrams = 0;
    // The queue moves to the front now and then, so that it does not grow while it never runs empty.
    if (this.#turn < 1024 || 2 * this.#turn < this.#ready.length) return;
    this.#ready.splice(0, this.#turn);
    this.#turn = 0;
  }

  #find(bytes: Uint8Array): RoutedLink | null {
    const { destinationStart, destinationEnd, kind } = this.#header;
    if (destinationEnd - destinationStart === CONNECTION_ID_BYTES) {
      const routed = this.#byId.get(bytes, destinationStart);
      if (routed !== null) return routed;
    }
    if (kind !== "handshake" || this.#byFirstId.size === 0) return null;
    return this.#byFirstId.get(idString(bytes, destinationStart, destinationEnd)) ?? null;
  }

  /** A stateless reset bears no id: whether this is one, the links that were dialled to where it comes from can tell. */
  #onReset(datagram: ReceivedDatagram, nowMs: number): boolean {
    if (datagram.bytes.length > MOST_RESET_BYTES) return false;
    let looked = 0;
    for (const routed of this.#dialled) {
      if (++looked > MOST_RESET_LINKS) return false;
      const { link } = routed;
      if (!sameAddress(link.remote, datagram.source) || link.closeReason !== null) continue;
      link.handleDatagram(datagram, nowMs);
      if (link.closeReason === null) continue;
      this.#after(routed, nowMs);
      return true;
    }
    return false;
  }

  /** A link did something: it may want to send, and its owner to hear of it. */
  #after(routed: RoutedLink, nowMs: number): void {
    this.#touch(routed);
    if (routed.unvalidated && (routed.link.pathValidated || routed.link.closeReason !== null)) {
      routed.unvalidated = false;
      this.#unvalidated--;
    }
    if (routed.handshaking && routed.link.state !== "handshaking") this.#endHandshake(routed);
    if (routed.link.state === "closed") this.#remove(routed, nowMs);
    else this.wake(routed);
  }

  #endHandshake(routed: RoutedLink): void {
    routed.handshaking = false;
    this.#handshakes--;
  }

  #touch(routed: RoutedLink): void {
    if (routed.touched || routed.gone) return;
    routed.touched = true;
    this.#touched.push(routed);
  }

  // ---------------------------------------------------------------- links come and go

  #make(routed: RoutedLink, options: LinkOptions): void {
    routed.link = new Link(options);
    this.#links.add(routed);
    if (routed.firstId !== "") this.#byFirstId.set(routed.firstId, routed);
    this.wake(routed);
    this.#touch(routed);
  }

  #common(routed: RoutedLink): Pick<LinkOptions, "connectionIds" | "random" | "coder" | "protection"> {
    const { random, coder, protection } = this.#options;
    return { connectionIds: this.#idsOf(routed), random, coder, protection };
  }

  #idsOf(routed: RoutedLink): ConnectionIdSource {
    return {
      issue: () => {
        const id = new Uint8Array(CONNECTION_ID_BYTES);
        do this.#options.random(id);
        while (this.#byId.get(id, 0) !== null);
        this.#byId.add(id, routed);
        routed.ids.push(id);
        return id;
      },
      resetToken: this.#options.resetToken,
      retire: (id) => {
        // A link that closes still hears its peer, to say so again.
        if (routed.link?.closeReason != null) return;
        const index = routed.ids.indexOf(id);
        if (index >= 0) routed.ids.splice(index, 1);
        this.#byId.delete(id);
      },
    };
  }

  #remove(routed: RoutedLink, nowMs: number): void {
    routed.gone = true;
    if (routed.unvalidated) this.#unvalidated--;
    if (routed.handshaking) this.#endHandshake(routed);
    for (const id of routed.ids) this.#byId.delete(id);
    routed.ids.length = 0;
    if (routed.firstId !== "") this.#byFirstId.delete(routed.firstId);
    this.#timers.remove(routed);
    this.#links.delete(routed);
    this.#dialled.delete(routed);
    routed.observer.removed(nowMs);
  }

  // ---------------------------------------------------------------- strangers

  #onFirstPacket(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes, source } = datagram;
    const { drops } = this.counters;
    const { acceptor } = this;
    const header = this.#header;
    if (acceptor === null) {
      drops["not-accepted"]++;
      return;
    }
    if (bytes.length < MIN_INITIAL_BYTES) {
      drops["no-first-packet"]++;
      return;
    }
    if (this.#links.size >= this.#maximumLinks || this.#handshakes >= this.#maximumHandshakes) {
      drops["too-many-links"]++;
      return;
    }
    if (this.#handshakes >= BUSY_HANDSHAKES && (datagram.waitedMs ?? 0) > BUSY_MS) {
      drops.busy++;
      return;
    }
    const token = header.tokenEnd > header.tokenStart ? bytes.slice(header.tokenStart, header.tokenEnd) : EMPTY;
    const validated = token.length > 0 && acceptor.tokens.check(token, source, nowMs) !== null;
    if (!validated && this.#unvalidated >= this.#maximumUnvalidated) {
      this.#answers.retry(datagram, header, acceptor.tokens, nowMs);
      return;
    }
    const destinationId = bytes.slice(header.destinationStart, header.destinationEnd);
    const sourceId = bytes.slice(header.sourceStart, header.sourceEnd);
    // It must open before anything is made of it. A copy, for the link opens it in place.
    const keys = this.#options.protection.handshakeKeys(destinationId, "server");
    const packetNumber = readPacketNumber(bytes, header.numberStart, header.numberBytes);
    if (!keys.opener.open(bytes.slice(), header.headerEnd, packetNumber)) {
      drops["no-first-packet"]++;
      return;
    }
    const wanted = acceptor.accept(source, validated, nowMs);
    if (wanted === null) {
      drops["not-accepted"]++;
      return;
    }
    const routed = new RoutedLink(wanted.observer, idString(destinationId, 0, destinationId.length));
    if (!validated) {
      routed.unvalidated = true;
      this.#unvalidated++;
    }
    routed.handshaking = true;
    this.#handshakes++;
    const accepted = { destinationId, sourceId, token, validated, keys };
    this.#make(routed, {
      ...wanted.settings,
      role: "server",
      remote: source,
      nowMs,
      accepted,
      ...this.#common(routed),
    });
    this.counters.accepted++;
    routed.link.handleDatagram(datagram, nowMs);
    this.#after(routed, nowMs);
  }
}

function idString(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
}
