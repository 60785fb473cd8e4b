import { describe, expect, test } from "vitest";
import { Bbr } from "../../../src/congestion/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { createTwoHosts, type Endpoint, type LinkOptions as HopOptions } from "../../../src/simulator/index.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { createClient, ServerEndpoint } from "../harness.ts";

// Everything there is of the transport so far, put together: a session over a real link with the default congestion control,
// through the simulated network, real coding. Virtual time makes the figures exact.

/** What is sent, over and over: a length that no symbol's length divides. */
const PATTERN = Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >>> 8) * 17) & 255);

interface Outcome {
  /** Bytes read in order by `fromMs`, and by the end. */
  early: number;
  total: number;
  wrong: number;
  log: string[];
  queueDropShare: number;
}

function bulk(hop: HopOptions, seconds: number, fromMs: number): Outcome {
  const arena = new Arena();
  const { network, a, b, link } = createTwoHosts({ seed: 5, forward: hop, backward: hop });
  const sending = new Session({ isClient: true, arena });
  const receiving = new Session({ isClient: false, arena });
  const server = new ServerEndpoint({ seed: 7, link: { user: receiving }, congestion: new Bbr() });
  const serverSocket = b.attach(server, { port: 5000 });
  const client = createClient(serverSocket.localAddress, { seed: 3, link: { user: sending }, congestion: new Bbr() });
  const outcome: Outcome = { early: 0, total: 0, wrong: 0, log: [], queueDropShare: 0 };
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
  });
  network.run(seconds * 1000);
  const { dropped, offered } = link.forward.counters;
  outcome.queueDropShare = dropped.queue.packets / offered.packets;
  return outcome;
}

describe("a stream over a session, a link and a lossy path", () => {
  test.each([
    { loss: 0, delayMs: 50, least: 0.9 },
    { loss: 0.1, delayMs: 110, least: 0.8 },
    { loss: 0.3, delayMs: 10, least: 0.8 },
  ])("gets most of what the path carries at $loss loss and $delayMs ms one way", ({ loss, delayMs, least }) => {
    const outcome = bulk({ rateMbps: 100, delayMs, queueMs: 10, loss }, 9, 3000);
    expect(outcome.log).toEqual([]);
    expect(outcome.wrong).toBe(0);
    const goodputMbps = ((outcome.total - outcome.early) * 8) / 6000 / 1000;
    expect(goodputMbps / (100 * (1 - loss))).toBeGreaterThan(least);
    expect(outcome.queueDropShare).toBeLessThan(0.04);
  });

  test("goes on after an outage, with nothing lost", () => {
    const hop = { rateMbps: 20, delayMs: 20, queueMs: 20, loss: 0.05, outages: [{ fromMs: 2000, toMs: 5000 }] };
    const outcome = bulk(hop, 9, 5500);
    expect(outcome.log).toEqual([]);
    expect(outcome.wrong).toBe(0);
    const goodputMbps = ((outcome.total - outcome.early) * 8) / 3500 / 1000;
    expect(goodputMbps / (20 * 0.95)).toBeGreaterThan(0.7);
  });
});
