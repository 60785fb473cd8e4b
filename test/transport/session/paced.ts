/**
 * A flow of pieces of one size at even intervals, over everything there is of the transport, and how long each takes from the sending
 * application to the receiving one. For the tests, and for `npm run bench:sim`.
 */
import { Bbr } from "../../../src/congestion/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import {
  createTwoHosts,
  type Endpoint,
  type LinkOptions as HopOptions,
  type Network,
} from "../../../src/simulator/index.ts";
import type { Link, LinkOptions } from "../../../src/transport/link/index.ts";
import type { RedundancyOptions } from "../../../src/transport/session/redundancy.ts";
import { Session } from "../../../src/transport/session/session.ts";
import type { SessionStats } from "../../../src/transport/session/session-options.ts";
import { createClient, ServerEndpoint } from "../harness.ts";

export interface PacedOptions {
  /** Both directions of the path. */
  hop: HopOptions;
  seed: number;
  /** What carries a piece: a datagram, an unordered message, or so many bytes of one stream. */
  by: "datagram" | "message" | "stream";
  bytes: number;
  intervalMs: number;
  /** Of datagrams. Default: the session's. */
  deadlineMs?: number;
  /** How many pieces count, and for how long pieces that do not count go before them. */
  count: number;
  warmUpMs?: number;
  redundancy?: RedundancyOptions;
  /** Further options of both ends' links, and what stands between an end and its socket. */
  link?: Partial<LinkOptions>;
  host?: (end: Endpoint) => Endpoint;
  /** Called before the network runs, to look on. */
  watch?: (network: Network, client: Link, sending: Session) => void;
}

export interface PacedOutcome {
  /** Milliseconds from sending to delivery of each piece; Infinity for those that never came. Ascending. */
  delaysMs: Float64Array;
  /** The same as they were sent. */
  inOrderMs: Float64Array;
  lost: number;
  /** Delivered twice, damaged, or as nothing that was sent. */
  wrong: number;
  /** The source symbols that the sender made, and its packets that were not ACKs alone, of the pieces' time. */
  symbols: number;
  packets: number;
  stats: SessionStats;
  log: string[];
}

/** The delay that a share of pieces does not exceed. */
export function percentile({ delaysMs }: PacedOutcome, share: number): number {
  return delaysMs[Math.min(delaysMs.length - 1, Math.ceil(share * delaysMs.length) - 1)];
}

/** The flow begins. */
export const FLOW_BEGINS_MS = 1000;

export function paced({
  hop,
  seed,
  by,
  bytes,
  intervalMs,
  deadlineMs,
  count,
  warmUpMs = 3000,
  redundancy,
  link = {},
  host = (end) => end,
  watch = () => {},
}: PacedOptions): PacedOutcome {
  const arena = new Arena();
  const options = redundancy === undefined ? {} : { redundancy };
  const sending = new Session({ isClient: true, arena, ...options });
  const receiving = new Session({ isClient: false, arena, ...options });
  const { network, a, b } = createTwoHosts({ seed, forward: hop });
  const server = new ServerEndpoint({
    seed: 7,
    congestion: new Bbr(),
    link: { user: receiving, session: receiving.localParameters, ...link },
  });
  const warmUp = Math.round(warmUpMs / intervalMs);
  const all = warmUp + count;
  const delaysMs = new Float64Array(all).fill(Number.POSITIVE_INFINITY);
  const log: string[] = [];
  let wrong = 0;
  let buffered = Buffer.alloc(0);

  const take = (piece: Uint8Array, nowMs: number) => {
    const number = new DataView(piece.buffer, piece.byteOffset).getUint32(0);
    const whole = piece.length === bytes && number < all && piece.subarray(4).every((byte) => byte === (number & 255));
    if (!whole || delaysMs[number] !== Number.POSITIVE_INFINITY) wrong++;
    else delaysMs[number] = nowMs - (FLOW_BEGINS_MS + number * intervalMs);
  };
  const read = (nowMs: number) => {
    for (let event = receiving.poll(); event !== null; event = receiving.poll()) {
      if (event.type === "closed" || event.type === "error") log.push(`receiver ${event.type}`);
      if (event.type === "datagram") {
        for (let data = receiving.readDatagram(); data !== null; data = receiving.readDatagram()) take(data, nowMs);
      }
      if (event.type === "message") {
        for (let data = receiving.readMessage(); data !== null; data = receiving.readMessage()) take(data, nowMs);
      }
      if (event.type !== "readable") continue;
      for (let data = receiving.read(event.stream); data !== null; data = receiving.read(event.stream)) {
        buffered = Buffer.concat([buffered, data]);
      }
      for (; buffered.length >= bytes; buffered = buffered.subarray(bytes)) take(buffered.subarray(0, bytes), nowMs);
    }
  };
  const receiver: Endpoint = {
    handleDatagram: (datagram, nowMs) => {
      server.handleDatagram(datagram, nowMs);
      read(nowMs);
    },
    handleTimeout: (nowMs) => server.handleTimeout(nowMs),
    pollTransmit: (transmit, nowMs) => server.pollTransmit(transmit, nowMs),
    nextTimeoutMs: () => server.nextTimeoutMs(),
  };
  const serverSocket = b.attach(host(receiver));
  const client = createClient(serverSocket.localAddress, {
    seed: 3,
    congestion: new Bbr(),
    link: { user: sending, session: sending.localParameters, ...link },
  });

  let before = { symbols: 0, packets: 0 };
  let sent = 0;
  const stream = sending.openStream();
  const send = () => {
    const number = sent++;
    if (number === warmUp) {
      before = { symbols: sending.stats.sentSymbols, packets: client.stats.sentPackets - client.stats.ackPackets };
    }
    const piece = new Uint8Array(bytes).fill(number & 255);
    new DataView(piece.buffer).setUint32(0, number);
    if (by === "datagram") sending.sendDatagram(piece, deadlineMs === undefined ? {} : { deadlineMs });
    else if (by === "message") sending.sendMessage(piece, { ordered: false });
    else sending.write(stream, piece);
    for (let event = sending.poll(); event !== null; event = sending.poll()) {
      if (event.type === "closed" || event.type === "error") log.push(`sender ${event.type}`);
    }
  };
  /** The application comes to its work when the host does. */
  const sender: Endpoint = {
    handleDatagram: (datagram, nowMs) => client.handleDatagram(datagram, nowMs),
    handleTimeout: (nowMs) => {
      if (client.nextTimeoutMs() <= nowMs) client.handleTimeout(nowMs);
      while (sent < all && FLOW_BEGINS_MS + sent * intervalMs <= nowMs) send();
    },
    pollTransmit: (transmit, nowMs) => client.pollTransmit(transmit, nowMs),
    nextTimeoutMs: () => Math.min(client.nextTimeoutMs(), sent < all ? FLOW_BEGINS_MS + sent * intervalMs : Infinity),
  };
  a.attach(host(sender));
  watch(network, client, sending);
  network.run(FLOW_BEGINS_MS + all * intervalMs + 3000);
  const { stats } = sending;
  const packets = client.stats.sentPackets - client.stats.ackPackets - before.packets;
  const inOrderMs = delaysMs.slice(warmUp);
  const counted = delaysMs.subarray(warmUp).sort();
  sending.destroy();
  receiving.destroy();
  const lost = counted.filter((delay) => delay === Number.POSITIVE_INFINITY).length;
  return {
    delaysMs: counted,
    inOrderMs,
    lost,
    wrong,
    symbols: stats.sentSymbols - before.symbols,
    packets,
    stats,
    log,
  };
}
