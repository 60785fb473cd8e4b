// A peer that lies: knows the keys of both ends, and makes genuine packets of any frames.
import type { Address } from "../../src/simulator/index.ts";
import { type Handshake, type Link, type LinkKeys, StandInHandshake } from "../../src/transport/link/index.ts";
import { writeShortHeader } from "../../src/transport/link/packet-header.ts";
import { writePacketNumber } from "../../src/transport/link/packet-number.ts";
import { writeVarint } from "../../src/transport/link/varint.ts";
import { createPair, type PairOptions } from "./harness.ts";

/** A stand-in handshake whose keys can be had. */
class OpenHandshake implements Handshake {
  readonly role: "client" | "server";
  readonly #inner: StandInHandshake;
  taken: LinkKeys | null = null;

  constructor(role: "client" | "server", seed: number) {
    this.role = role;
    this.#inner = new StandInHandshake({ role, random: new Uint8Array(16).fill(seed) });
  }

  bind(transcript: Uint8Array): void {
    this.#inner.bind(transcript);
  }

  receive(bytes: Uint8Array): void {
    this.#inner.receive(bytes);
  }

  poll(): Uint8Array | null {
    return this.#inner.poll();
  }

  keys(): LinkKeys | null {
    this.taken = this.#inner.keys();
    return this.taken;
  }

  get failure(): string | null {
    return this.#inner.failure;
  }
}

/** A pair, and packets to either end that the other did not send. */
export function createForgedPair(options: PairOptions = {}) {
  const handshakes = { client: new OpenHandshake("client", 1), server: new OpenHandshake("server", 2) };
  const p = createPair({
    ...options,
    client: { ...options.client, link: { ...options.client?.link, handshake: handshakes.client } },
    server: { ...options.server, link: { ...options.server?.link, handshake: handshakes.server } },
  });
  const ids = { client: new Uint8Array(8), server: new Uint8Array(8) };
  p.network.observe((e) => {
    if (e.event !== "send") return;
    const at = (e.packet.bytes[0] & 0x80) === 0 ? 1 : 6;
    ids[e.where === "a" ? "server" : "client"] = e.packet.bytes.slice(at, at + 8);
  });
  const numbers = { client: 50_000, server: 50_000 };
  const link = (end: "client" | "server"): Link => (end === "client" ? p.client : p.server.link!);
  return {
    ...p,
    handshakes,
    /** By which each end is found now. */
    ids,
    /** The next packet to `end`: genuine, with a number beyond the true peer's. */
    packet(end: "client" | "server", frames: Uint8Array | number[], number = numbers[end]++): Uint8Array {
      const bytes = new Uint8Array(40 + frames.length);
      let at = writePacketNumber(bytes, writeShortHeader(bytes, 0, ids[end], 0, 4), number, 4);
      const headerEnd = at;
      bytes.set(frames, at);
      at += frames.length;
      const { sealer } = handshakes[end === "client" ? "server" : "client"].taken!;
      sealer.seal(bytes, 0, headerEnd, at, number);
      return bytes.slice(0, at + 16);
    },
    /** Hands a datagram over, from where the peer is unless said otherwise. */
    give(
      end: "client" | "server",
      bytes: Uint8Array,
      source: Address = link(end).remote,
      nowMs = p.network.nowMs,
    ): void {
      const destination = end === "client" ? p.clientSocket.outerAddress : p.serverSocket.localAddress;
      link(end).handleDatagram({ bytes, source, destination, ecn: 0 }, nowMs);
    },
    link,
  };
}

export function varints(...values: number[]): number[] {
  const out = new Uint8Array(8 * values.length);
  let at = 0;
  for (const value of values) at = writeVarint(out, at, value);
  return [...out.subarray(0, at)];
}
