// Trains of packets for one system call, and bursts of them that arrive.
import { describe, expect, test } from "vitest";
import { createTwoHosts, type Endpoint, type ReceivedDatagram, type Transmit } from "../../src/simulator/index.ts";
import {
  Bookkeeper,
  createClient,
  createPair,
  createTransmit,
  FixedWindow,
  Guarded,
  ServerEndpoint,
} from "./harness.ts";

/** A driver that takes trains: what it took is noted. */
class TrainDriver implements Endpoint {
  readonly trains: { segments: number; bytes: number; segmentBytes: number; last: number }[] = [];
  readonly #inner: Endpoint;
  readonly #maxSegments: number;

  constructor(inner: Endpoint, maxSegments: number) {
    this.#inner = inner;
    this.#maxSegments = maxSegments;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#inner.handleDatagram(datagram, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#inner.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    transmit.maxSegments = this.#maxSegments;
    if (!this.#inner.pollTransmit(transmit, nowMs)) return false;
    const { length: bytes, segmentBytes } = transmit;
    const segments = segmentBytes === 0 ? 1 : Math.ceil(bytes / segmentBytes);
    this.trains.push({ segments, bytes, segmentBytes, last: bytes - (segments - 1) * (segmentBytes || bytes) });
    return true;
  }

  nextTimeoutMs(): number {
    return this.#inner.nextTimeoutMs();
  }
}

function drive(user: Bookkeeper, maxSegments: number, loss = 0, pacingRate = 12_000) {
  const hop = { rateMbps: 1000, delayMs: 10, loss };
  const { network, a, b } = createTwoHosts({ seed: 5, forward: hop, backward: hop });
  const serverUser = new Bookkeeper();
  const server = new ServerEndpoint({ seed: 9, user: serverUser });
  const congestion = new FixedWindow(8_000_000, pacingRate);
  const client = createClient({ ip: b.ip, port: 4433 }, { seed: 2, user, congestion });
  const driver = new TrainDriver(client, maxSegments);
  a.attach(new Guarded(driver));
  b.attach(new Guarded(server));
  user.payload = client.payloadBytes;
  serverUser.payload = client.payloadBytes;
  return { network, client, server, serverUser, driver };
}

describe("a driver that takes trains", () => {
  test.each([0, 0.1])("gets packets of one size, which all arrive or are lost, at loss %f", (loss) => {
    const user = new Bookkeeper(1400);
    const p = drive(user, 16, loss, 60_000);
    user.budget = 20_000;
    // Sizes differ as those of symbols and repairs do.
    const fill = user.fill.bind(user);
    user.fill = (packet) => {
      user.bytes = user.sent % 10 === 7 ? 1403 : 1400;
      fill(packet);
    };
    p.network.run(4000);
    expect(user.outstanding).toBe(0);
    expect(user.acks + user.losses).toBe(20_000);
    expect(p.serverUser.received.size).toBeGreaterThan(20_000 * (1 - loss) * 0.98);
    const long = p.driver.trains.filter((train) => train.segments > 1);
    const packets = long.reduce((sum, train) => sum + train.segments, 0);
    expect(packets).toBeGreaterThan(19_000);
    expect(packets / long.length).toBeGreaterThan(6);
    for (const { segments, bytes, segmentBytes, last } of long) {
      expect(segments).toBeLessThanOrEqual(16);
      expect(bytes).toBeLessThanOrEqual(65_487);
      expect(last).toBeLessThanOrEqual(segmentBytes);
    }
    // Padding costs next to nothing.
    expect(p.client.stats.sentBytes / p.client.stats.sentPackets).toBeLessThan(1400 + 36);
  });

  test("gets a packet that is too large for its train alone, and nothing is lost of it", () => {
    const user = new Bookkeeper(1000);
    const p = drive(user, 40, 0, 100_000);
    user.budget = 3000;
    const fill = user.fill.bind(user);
    user.fill = (packet) => {
      user.bytes = 1000 + (user.sent % 300);
      fill(packet);
    };
    p.network.run(3000);
    expect(user.acks).toBe(3000);
    expect(p.client.stats.lostPackets).toBe(0);
  });

  test("gets no more than pacer and window allow", () => {
    const user = new Bookkeeper(1400);
    const p = drive(user, 40, 0, 3000);
    user.budget = 3000;
    p.network.run(2000);
    expect(user.acks).toBe(3000);
    for (const { bytes } of p.driver.trains) expect(bytes).toBeLessThanOrEqual(3000 + 1472);
  });

  test("gets single datagrams when it does not ask for more", () => {
    const user = new Bookkeeper(1400);
    const p = drive(user, 1, 0, 60_000);
    user.budget = 500;
    p.network.run(1000);
    expect(user.acks).toBe(500);
    expect(p.driver.trains.every((train) => train.segmentBytes === 0)).toBe(true);
  });

  test("may see the link closed by its user in the middle of one", () => {
    const user = new Bookkeeper(1400);
    const p = drive(user, 32, 0, 60_000);
    user.budget = 2000;
    const fill = user.fill.bind(user);
    user.fill = (packet, ...rest) => {
      fill(packet, ...(rest as []));
      if (user.sent === 1000) p.client.close(0x100, "enough", p.network.nowMs);
    };
    p.network.run(3000);
    expect(p.client.state).toBe("closed");
    expect(user.outstanding).toBe(1);
    expect(p.client.inFlightBytes).toBe(0);
    expect(p.serverUser.closedReason).toMatchObject({ cause: "peer", text: "enough" });
  });
});

describe("a burst of datagrams that a driver hands over before it polls", () => {
  test("is acknowledged once", () => {
    const p = createPair({ forward: { rateMbps: 1000, delayMs: 10 } });
    p.network.run(500);
    p.clientUser.budget = 32;
    const out = createTransmit();
    const link = p.server.link!;
    const nowMs = p.network.nowMs;
    const source = p.clientSocket.outerAddress;
    const destination = p.serverSocket.localAddress;
    let given = 0;
    for (let wait = 0; given < 32; wait += 0.5) {
      while (p.client.pollTransmit(out, nowMs + wait)) {
        given++;
        link.handleDatagram({ bytes: out.buffer.slice(0, out.length), source, destination, ecn: 2 }, nowMs + 20);
      }
    }
    let acks = 0;
    while (link.pollTransmit(out, nowMs + 20)) acks++;
    expect(acks).toBe(1);
  });
});
