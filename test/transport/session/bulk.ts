/**
 * Everything there is of the transport so far, put together: a stream over a session over a real link with the default congestion
 * control, through the simulated network, with real coding. For the tests, and for `npm run bench:sim`.
 */
import { Bbr } from "../../../src/congestion/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { createTwoHosts, type Endpoint, type LinkOptions as HopOptions } from "../../../src/simulator/index.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { createClient, ServerEndpoint } from "../harness.ts";

/** What is sent, over and over: a length that no symbol's length divides. */
const PATTERN = Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >>> 8) * 17) & 255);

/** What came of a transfer. */
export interface Outcome {
  /** Bytes read in order by `fromMs`, and by the end. */
  early: number;
  total: number;
  wrong: number;
  log: string[];
  /** Packets offered to the bottleneck, and those that its queue dropped, from `fromMs` on. */
  packets: number;
  queueDrops: number;
  /** Source symbols that the sender made, and repairs, over the whole run. */
  symbols: number;
  repairs: number;
}

export interface BulkOptions {
  /** Both directions of the path. */
  hop: HopOptions;
  seconds: number;
  /** The steady state begins here. */
  fromMs: number;
  seed: number;
}

/** One stream that always has something to send, from a client to a server. */
export function bulk({ hop, seconds, fromMs, seed }: BulkOptions): Outcome {
  const arena = new Arena();
  const { network, a, b, link } = createTwoHosts({ seed, forward: hop, backward: hop });
  const sending = new Session({ isClient: true, arena });
  const receiving = new Session({ isClient: false, arena });
  const server = new ServerEndpoint({ seed: 7, link: { user: receiving }, congestion: new Bbr() });
  const serverSocket = b.attach(server, { port: 5000 });
  const client = createClient(serverSocket.localAddress, { seed: 3, link: { user: sending }, congestion: new Bbr() });
  const outcome: Outcome = { early: 0, total: 0, wrong: 0, log: [], packets: 0, queueDrops: 0, symbols: 0, repairs: 0 };
  let stream = -1;
  let written = 0;
  const feed = () => {
    for (let event = sending.poll(); event !== null; event = sending.poll()) {
      if (event.type === "established") stream = sending.openStream();
      if (event.type === "closed" || event.type === "error") outcome.log.push(`client ${event.type}`);
    }
    while (stream >= 0) {
      const piece = PATTERN.subarray(written % PATTERN.length);
      const taken = sending.write(stream, piece);
      written += taken;
      if (taken < piece.length) return;
    }
  };
  const endpoint: Endpoint = {
    handleDatagram: (datagram, nowMs) => client.handleDatagram(datagram, nowMs),
    handleTimeout: (nowMs) => client.handleTimeout(nowMs),
    pollTransmit: (transmit, nowMs) => {
      feed();
      return client.pollTransmit(transmit, nowMs);
    },
    nextTimeoutMs: () => client.nextTimeoutMs(),
  };
  a.attach(endpoint);
  network.every(5, () => {
    for (let event = receiving.poll(); event !== null; event = receiving.poll()) {
      if (event.type === "closed" || event.type === "error") outcome.log.push(`server ${event.type}`);
      if (event.type !== "readable") continue;
      for (let data = receiving.read(event.stream); data !== null; data = receiving.read(event.stream)) {
        for (let i = 0; i < data.length; i += 7) {
          if (data[i] !== PATTERN[(outcome.total + i) % PATTERN.length]) outcome.wrong++;
        }
        outcome.total += data.length;
      }
    }
    serverSocket.pump();
  });
  network.at(fromMs, () => {
    outcome.early = outcome.total;
    outcome.packets = -link.forward.counters.offered.packets;
    outcome.queueDrops = -link.forward.counters.dropped.queue.packets;
  });
  network.run(seconds * 1000);
  const { dropped, offered } = link.forward.counters;
  outcome.packets += offered.packets;
  outcome.queueDrops += dropped.queue.packets;
  const { sentSymbols, sentRepairs } = sending.stats;
  outcome.symbols = sentSymbols;
  outcome.repairs = sentRepairs;
  return outcome;
}
