/**
 * The ends of one link of the transport, for a driver of endpoints. All of a link is real but its security: a handshake with flights
 * of TLS's sizes that authenticates nobody, and a checksum of an AEAD's size that hides nothing. Not here: which link a datagram
 * belongs to when there are many, tokens, and sessions that go from link to link; those are `src/endpoint/`.
 */
import type { Address } from "../../transport/address.ts";
import type { Endpoint, ReceivedDatagram, Transmit } from "../../transport/endpoint.ts";
import {
  Link,
  type LinkOptions,
  MIN_INITIAL_BYTES,
  PacketHeader,
  type Role,
  StandInHandshake,
  standInProtection,
} from "../../transport/link/index.ts";

const CONNECTION_ID_BYTES = 8;
const RESET_TOKEN_BYTES = 16;

/** What must be said of a link, and what may be. */
export type SimulatedLinkOptions = Pick<LinkOptions, "user" | "congestion" | "coder" | "random"> & Partial<LinkOptions>;

/** A link's options with stand-ins for all that would be secret; equal bytes of `random` make equal links. */
export function simulatedLink(role: Role, remote: Address, nowMs: number, options: SimulatedLinkOptions): LinkOptions {
  const draw = (count: number): Uint8Array => {
    const bytes = new Uint8Array(count);
    options.random(bytes);
    return bytes;
  };
  return {
    role,
    handshake: options.handshake ?? new StandInHandshake({ role, random: draw(16) }),
    protection: standInProtection,
    connectionIds: {
      issue: () => draw(CONNECTION_ID_BYTES),
      resetToken: (id) => Uint8Array.from({ length: RESET_TOKEN_BYTES }, (_, i) => id[i % id.length] ^ (i * 17)),
      retire: () => {},
    },
    remote,
    nowMs,
    ...options,
  };
}

/** An end that does nothing until it has a link. */
export class LinkHolder implements Endpoint {
  link: Link | null = null;

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.link?.handleDatagram(datagram, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.link?.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    return this.link?.pollTransmit(transmit, nowMs) ?? false;
  }

  nextTimeoutMs(): number {
    return this.link?.nextTimeoutMs() ?? Number.POSITIVE_INFINITY;
  }
}

/** A server's: makes a link of the first good handshake packet and gives everything to it. */
export class LinkAcceptor extends LinkHolder {
  readonly #options: (remote: Address, nowMs: number) => LinkOptions;
  readonly #header = new PacketHeader();

  constructor(options: (remote: Address, nowMs: number) => LinkOptions) {
    super();
    this.#options = options;
  }

  override handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    if (this.link !== null) {
      this.link.handleDatagram(datagram, nowMs);
      return;
    }
    const { bytes, source } = datagram;
    const header = this.#header;
    const begins = header.parse(bytes, CONNECTION_ID_BYTES) === null && header.kind === "handshake";
    if (!begins || bytes.length < MIN_INITIAL_BYTES) return;
    const link = new Link({
      ...this.#options(source, nowMs),
      accepted: {
        destinationId: bytes.slice(header.destinationStart, header.destinationEnd),
        sourceId: bytes.slice(header.sourceStart, header.sourceEnd),
        token: bytes.slice(header.tokenStart, header.tokenEnd),
        validated: false,
      },
    });
    link.handleDatagram(datagram, nowMs);
    // A first packet that is not genuine makes no link.
    if (link.stats.receivedPackets > 0) this.link = link;
  }
}
