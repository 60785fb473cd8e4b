// One link between two hosts: what each part promises, seen from outside.
import { describe, expect, test } from "vitest";
import { AckTracker } from "../../src/transport/link/ack-tracker.ts";
import {
  PacketHeader,
  RSA_FLIGHTS,
  StandInHandshake,
  standInProtection,
  statelessReset,
  versionNegotiation,
  writeRetryHeader,
} from "../../src/transport/link/index.ts";
import { writeVarint } from "../../src/transport/link/varint.ts";
import { Bookkeeper, createClient, createPair, createTransmit, FixedWindow, seededBytes } from "./harness.ts";

/** Bytes on the wire of 100 Mbit/s over `rttMs`, half as much again. */
function window(rttMs: number): number {
  return Math.max(12_500 * rttMs * 1.5, 64_000);
}

/** When packets leave the client, from here on, ms. */
function departures({ network }: ReturnType<typeof createPair>): number[] {
  const sent: number[] = [];
  network.observe((e) => {
    if (e.event === "send" && e.where === "a") sent.push(e.atMs);
  });
  return sent;
}

/** Has nothing to say for a while, as one that computes elsewhere. */
class LateHandshake extends StandInHandshake {
  late = true;

  override poll(): Uint8Array | null {
    return this.late ? null : super.poll();
  }
}

describe("a link", () => {
  test("carries packets both ways and counts every one", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 10 } });
    p.clientUser.budget = 2000;
    p.serverUser.budget = 2000;
    p.network.run(3000);
    expect(p.client.state).toBe("established");
    expect(p.clientUser.acks).toBe(2000);
    expect(p.serverUser.received.size).toBe(2000);
    expect(p.clientUser.received.size).toBe(2000);
    expect(p.client.stats.lostPackets).toBe(0);
    expect(p.client.rtt.minMs).toBeGreaterThan(20);
    expect(p.client.rtt.minMs).toBeLessThan(21);
    expect(p.client.inFlightBytes).toBe(0);
    // Extension frames were sent and skipped.
    expect(p.server.link!.stats.skippedFrames).toBeGreaterThan(0);
    // Drops are those of repairs that were not needed.
    expect(p.server.link!.drops["not-authentic"]).toBe(0);
  });

  test.each([
    { delayMs: 5, loss: 0 },
    { delayMs: 50, loss: 0 },
    { delayMs: 10, loss: 0.1 },
    { delayMs: 50, loss: 0.3 },
  ])("spends at most 3 % of the forward bytes on ACKs at 100 Mbit/s, $delayMs ms, loss $loss", ({ delayMs, loss }) => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs, loss },
      client: {
        congestion: new FixedWindow(window(2 * delayMs), 12_300, false),
        user: new Bookkeeper(1400),
      },
    });
    p.clientUser.budget = 1_000_000;
    p.network.run(2000);
    const server = p.server.link!.stats;
    const client = p.client.stats;
    const share = (server.sentBytes + 28 * server.sentPackets) / (client.sentBytes + 28 * client.sentPackets);
    expect(client.sentBytes).toBeGreaterThan(12e6);
    expect(share).toBeLessThan(0.03);
    // Seldom is a packet taken for lost that was not: its ACK was told often enough.
    expect(p.clientUser.spuriousLosses).toBeLessThan(0.002 * p.clientUser.sent);
    const arrived = p.clientUser.acks + p.clientUser.spuriousLosses;
    expect(arrived).toBeGreaterThan(0.99 * (p.serverUser.received.size - p.client.outstandingPackets));
  });

  test("keeps its header and tag to 30 bytes a packet", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 10 } });
    p.network.run(500);
    expect(p.client.payloadBytes).toBe(1472 - 30);
  });

  test("says its parameters in the handshake's first flight, however late that is, not in packets of their own", () => {
    const handshake = new LateHandshake({ role: "server", random: new Uint8Array(16) });
    const p = createPair({ forward: { rateMbps: 100, delayMs: 10 }, server: { link: { handshake } } });
    p.network.run(30);
    expect(p.server.link!.peerParameters).not.toBe(null);
    expect(p.client.peerParameters).toBe(null);
    handshake.late = false;
    p.network.run(1000);
    expect([p.client.state, p.server.link!.state]).toEqual(["established", "established"]);
  });

  test("adapts to reordering instead of losing packets for good", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 20, jitter: { spreadMs: 5, reorder: true } },
      client: { congestion: new FixedWindow(400_000, 8000) },
    });
    p.clientUser.budget = 20_000;
    p.network.run(6000);
    expect(p.clientUser.outstanding).toBe(0);
    expect(p.clientUser.acks + p.clientUser.spuriousLosses).toBe(20_000);
    // A few at the start, then the thresholds have grown.
    expect(p.clientUser.spuriousLosses).toBeLessThan(400);
    expect(p.client.reorderingThreshold).toBeGreaterThan(3);
  });

  test("hears of all that comes through loss and far reordering, and takes little else for lost", () => {
    const p = createPair({
      forward: { rateMbps: 400, delayMs: 40, loss: 0.05, jitter: { spreadMs: 30, reorder: true } },
      backward: { rateMbps: 400, delayMs: 40 },
      client: { congestion: new FixedWindow(100_000_000, 40_000) },
    });
    p.clientUser.budget = 50_000;
    p.network.run(3000);
    const arrived = p.serverUser.receivedCount;
    expect(p.clientUser.outstanding).toBe(0);
    expect(p.clientUser.acks + p.clientUser.spuriousLosses).toBeGreaterThan(0.99 * arrived);
    expect(p.clientUser.losses - p.clientUser.spuriousLosses).toBeLessThan(1.01 * (50_000 - arrived) + 500);
  });

  test("keeps probing through an outage at most max(1 RTT, 100 ms) apart, and goes on at once after it", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 20, outages: [{ fromMs: 1000, toMs: 21_000 }] } });
    p.clientUser.budget = 1_000_000;
    p.clientUser.bytes = 1000;
    const sent = departures(p);
    p.network.run(21_000);
    const received = p.server.link!.stats.receivedPackets;
    const silent = sent.filter((t) => t > 1300);
    for (let i = 1; i < silent.length; i++) expect(silent[i] - silent[i - 1]).toBeLessThan(100.1);
    // Every 15 ms for six seconds, then every 100 ms.
    expect(silent.length).toBeLessThan(560);
    p.network.run(21_300);
    expect(p.server.link!.stats.receivedPackets).toBeGreaterThan(received + 700);
  });

  test.each([40, 200, 400])("probes through 30 s of silence at most max(1 RTT, 100 ms) apart, RTT %i ms", (rttMs) => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: rttMs / 2, outages: [{ fromMs: 3000, toMs: 1e9 }] },
      client: { link: { idleTimeoutMs: 60_000 } },
    });
    p.clientUser.budget = 1_000_000;
    p.clientUser.bytes = 1000;
    const sent = departures(p);
    p.network.run(33_000);
    // The first waits a probe timeout for what left last.
    const probes = sent.filter((t) => t > 3000 + 3 * rttMs);
    expect(probes.at(-1)).toBeGreaterThan(33_000 - Math.max(rttMs, 100) - 1);
    for (let i = 1; i < probes.length; i++)
      expect(probes[i] - probes[i - 1]).toBeLessThan(Math.max(1.01 * rttMs, 100.1));
  });

  test.each([
    [40, 20],
    [100, 10],
    [100, 100],
    [300, 20],
    [300, 250],
  ])("notices silence though it sends a little all the time, RTT %i ms, a packet every %i ms", (rttMs, gapMs) => {
    // Just made, and used for a while.
    for (const fromMs of [3 * rttMs, 5000]) {
      const p = createPair({ forward: { rateMbps: 100, delayMs: rttMs / 2, outages: [{ fromMs, toMs: 1e9 }] } });
      p.clientUser.bytes = 100;
      p.network.every(gapMs, () => {
        p.clientUser.budget++;
      });
      p.network.run(fromMs + 10 * rttMs + gapMs + 200);
      expect(p.client.unansweredProbes, `silent from ${fromMs} ms on`).toBeGreaterThanOrEqual(3);
    }
  });

  test.each([40, 100, 300])("takes no pause between bursts for silence, RTT %i ms", (rttMs) => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: rttMs / 2 } });
    p.network.every(1, (nowMs) => {
      if (nowMs % 3000 < 200) p.clientUser.budget++;
    });
    p.network.run(1000);
    const { probes } = p.client.stats;
    p.network.run(30_000);
    expect(p.client.stats.probes).toBe(probes);
  });

  test.each([10, 20, 40])("finishes its handshake though it sends a packet every %i ms before it has", (gapMs) => {
    // The client's last flight is lost.
    const p = createPair({ forward: { rateMbps: 100, delayMs: 50, outages: [{ fromMs: 95, toMs: 103 }] } });
    p.network.every(gapMs, () => {
      p.clientUser.budget++;
    });
    p.network.run(1000);
    expect(p.server.link!.state).toBe("established");
  });

  test("probes little for single losses of a thin flow", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 50, loss: 0.01 } });
    p.network.every(90, () => {
      p.clientUser.budget++;
    });
    p.network.run(60_000);
    expect(p.client.stats.probes).toBeLessThan(30);
  });

  test("asks seldom enough when nothing but a ping goes unanswered", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 20, outages: [{ fromMs: 3000, toMs: 1e9 }] },
      client: { link: { keepAliveMs: 5000, idleTimeoutMs: 60_000 } },
    });
    p.clientUser.budget = 100;
    const sent = departures(p);
    p.network.run(15_000);
    const pings = sent.filter((t) => t > 3000);
    expect(pings[0]).toBeGreaterThan(5000);
    expect(pings.length).toBeGreaterThan(80);
    expect(pings.length).toBeLessThan(115);
    for (let i = 1; i < pings.length; i++) expect(pings[i] - pings[i - 1]).toBeLessThan(100.1);
  });

  test("is kept alive by one question and one answer, whoever is how far away", () => {
    for (const delayMs of [0.1, 10, 150]) {
      const link = { keepAliveMs: 3000, idleTimeoutMs: 60_000 };
      const p = createPair({ forward: { rateMbps: 100, delayMs }, client: { link }, server: { link } });
      p.network.run(60_000);
      const before = [p.client.stats.sentPackets, p.server.link!.stats.sentPackets];
      p.network.run(360_000);
      const sent = [p.client.stats.sentPackets, p.server.link!.stats.sentPackets].map((count, i) => count - before[i]);
      expect(sent[0]).toBeGreaterThan(85);
      expect(sent[0]).toBeLessThan(105);
      expect(sent[1]).toBe(sent[0]);
    }
  });

  test("asks in haste why a flow that it was taking in has stopped", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 20, outages: [{ fromMs: 1000, toMs: 1e9 }] } });
    p.serverUser.budget = 1_000_000;
    p.serverUser.bytes = 1000;
    const sent = departures(p);
    p.network.run(3000);
    expect(sent.filter((t) => t > 1100).length).toBeGreaterThan(100);
  });

  test("lets probes grow rarer after 30 s of silence, and dies of the idle timeout", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 20, outages: [{ fromMs: 1000, toMs: 1e9 }] },
      client: { link: { idleTimeoutMs: 90_000 } },
    });
    p.clientUser.budget = 1000;
    p.network.run(990);
    p.clientUser.budget = 10;
    const sent = departures(p);
    p.network.at(1100, () => {
      p.clientUser.budget = 10;
    });
    p.network.run(200_000);
    const last = sent.at(-1)!;
    expect(last).toBeGreaterThan(85_000);
    expect(sent.filter((t) => t > 60_000).length).toBeLessThan(40);
    expect(p.clientUser.closedReason?.cause).toBe("idle");
    expect(p.client.state).toBe("closed");
    expect(p.clientUser.outstanding).toBe(0);
    expect(p.client.nextTimeoutMs()).toBe(Number.POSITIVE_INFINITY);
  });

  test("is kept alive by pings when nobody speaks", () => {
    const p = createPair({ forward: { delayMs: 20 }, client: { link: { idleTimeoutMs: 40_000 } } });
    p.network.run(1000);
    const before = p.client.stats.sentPackets;
    p.network.run(301_000);
    expect(p.client.state).toBe("established");
    expect(p.client.stats.sentPackets - before).toBeLessThan(60);
  });

  test("sends no burst beyond a millisecond of its rate", () => {
    const p = createPair({
      forward: { rateMbps: 1000, delayMs: 10 },
      client: { congestion: new FixedWindow(1e6, 2000), user: new Bookkeeper(1000) },
    });
    p.clientUser.budget = 5000;
    let atMs = -1;
    let burst = 0;
    let largest = 0;
    p.network.observe((e) => {
      if (e.event !== "send" || e.where !== "a" || e.atMs < 100) return;
      burst = e.atMs === atMs ? burst + e.packet.ipBytes : e.packet.ipBytes;
      atMs = e.atMs;
      largest = Math.max(largest, burst);
    });
    p.network.run(2000);
    expect(p.clientUser.acks).toBeGreaterThan(3500);
    expect(largest).toBeLessThan(2000 + 1500);
  });
});

describe("a peer that acknowledges what it did not get", () => {
  test("is found out, by a number not used yet or one that was left out", () => {
    for (const ahead of [true, false]) {
      const p = createPair({
        forward: { rateMbps: 100, delayMs: 10 },
        client: { congestion: new FixedWindow(400_000, 10_000) },
      });
      p.clientUser.budget = 1_000_000;
      // The server claims all numbers up to its latest, or one more than there is.
      const write = AckTracker.prototype.write;
      let lies = 0;
      AckTracker.prototype.write = function (bytes, at, room, nowMs) {
        if (nowMs < 500 || this.largest < 200) return write.call(this, bytes, at, room, nowMs);
        lies++;
        const largest = ahead ? this.largest + 1_000_000 : this.largest;
        bytes[at] = 2;
        let next = writeVarint(bytes, at + 1, largest);
        next = writeVarint(bytes, next, 0);
        next = writeVarint(bytes, next, 0);
        return writeVarint(bytes, next, largest);
      };
      try {
        p.network.run(2500);
      } finally {
        AckTracker.prototype.write = write;
      }
      expect(lies).toBeGreaterThan(0);
      expect(p.clientUser.closedReason?.cause).toBe("protocol");
      expect(p.clientUser.outstanding).toBe(0);
    }
  });
});

describe("ECN", () => {
  test("reports marks of congestion to the controller", () => {
    const congestion = new FixedWindow(300_000, 12_500);
    const p = createPair({
      forward: { rateMbps: 50, delayMs: 10, queueMs: 40, ecnMs: 5 },
      client: { congestion },
    });
    p.clientUser.budget = 3000;
    p.network.run(2000);
    expect(p.client.ecnState).toBe("capable");
    expect(congestion.marks).toBeGreaterThan(100);
    expect(congestion.marks).toBeLessThanOrEqual(p.network.links[0].forward.counters.marked.packets);
  });

  test("is given up when the path clears the marks", () => {
    const p = createPair({ forward: { rateMbps: 50, delayMs: 10 } });
    p.network.observe((e) => {
      if (e.event === "deliver") (e.packet as { ecn: number }).ecn = 0;
    });
    p.clientUser.budget = 200;
    p.network.run(1000);
    expect(p.client.ecnState).toBe("failed");
    expect(p.clientUser.acks).toBe(200);
  });
});

describe("closing", () => {
  test("at once tells the peer why, and settles what was in flight", () => {
    const p = createPair({ forward: { rateMbps: 10, delayMs: 30 } });
    p.clientUser.budget = 10_000;
    p.network.run(1000);
    p.client.close(0x123, "enough", p.network.nowMs);
    p.network.run(1200);
    expect(p.serverUser.closedReason).toEqual({ cause: "peer", code: 0x123, text: "enough" });
    expect(p.clientUser.closedReason?.cause).toBe("local");
    expect(p.clientUser.outstanding).toBe(0);
    expect(p.client.inFlightBytes).toBe(0);
    p.network.run(5000);
    expect(p.client.state).toBe("closed");
    expect(p.server.link!.state).toBe("closed");
    expect(p.server.link!.nextTimeoutMs()).toBe(Number.POSITIVE_INFINITY);
  });

  test("gracefully waits for what is in flight", () => {
    const p = createPair({
      forward: { rateMbps: 10, delayMs: 30 },
      client: { congestion: new FixedWindow(60_000, 1200) },
    });
    p.clientUser.budget = 300;
    p.network.run(300);
    const { sent } = p.clientUser;
    expect(sent).toBeGreaterThan(20);
    p.client.closeGracefully(0x100, "bye", 10_000, p.network.nowMs);
    p.network.run(3000);
    expect(p.clientUser.sent).toBe(sent);
    expect(p.clientUser.acks).toBe(sent);
    expect(p.clientUser.losses).toBe(0);
    expect(p.serverUser.closedReason?.code).toBe(0x100);
  });

  test("may come from within a callback: everything is settled once, and the peer hears", () => {
    for (const when of ["acked", "lost", "receive", "fill"] as const) {
      const p = createPair({ forward: { rateMbps: 20, delayMs: 10, loss: 0.05 } });
      const user = when === "receive" ? p.serverUser : p.clientUser;
      const link = () => (when === "receive" ? p.server.link! : p.client);
      const method = user[when].bind(user) as (...args: never[]) => void;
      let calls = 0;
      user[when] = (...args: never[]) => {
        method(...args);
        if (++calls === 20) link().close(0x100, when, p.network.nowMs);
      };
      p.clientUser.budget = 10_000;
      p.network.run(5000);
      expect(link().state).toBe("closed");
      expect(p.clientUser.outstanding + p.serverUser.outstanding).toBe(when === "fill" ? 1 : 0);
      expect(link().inFlightBytes).toBe(0);
      expect(p.clientUser.spuriousLosses).toBe(0);
      expect((when === "receive" ? p.clientUser : p.serverUser).closedReason).toMatchObject({
        cause: "peer",
        text: when,
      });
    }
  });

  test("is heard at 30 % loss", () => {
    let heard = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const p = createPair({ seed, forward: { rateMbps: 10, delayMs: 30, loss: 0.3 } });
      p.network.run(1500);
      p.client.close(0x100, "", p.network.nowMs);
      p.network.run(4000);
      if (p.serverUser.closedReason?.cause === "peer") heard++;
    }
    expect(heard).toBe(100);
  });
});

describe("keys", () => {
  test("are updated when they have sealed enough, by both ends, without a lost packet", () => {
    const p = createPair({
      forward: { rateMbps: 50, delayMs: 10, jitter: { spreadMs: 2, reorder: true } },
      client: { sealLimit: 1000, congestion: new FixedWindow(100_000, 3000) },
      server: { sealLimit: 1000 },
    });
    p.clientUser.budget = 8000;
    p.network.run(6000);
    expect(p.client.stats.keyUpdates).toBeGreaterThan(5);
    expect(p.server.link!.stats.keyUpdates).toBe(p.client.stats.keyUpdates);
    expect(p.serverUser.received.size).toBe(8000);
    expect(p.server.link!.drops["not-authentic"]).toBe(0);
  });

  test("agree only when both ends saw the same parameters", () => {
    for (const tampered of [false, true]) {
      const client = new StandInHandshake({ role: "client", random: new Uint8Array(16).fill(1) });
      const server = new StandInHandshake({ role: "server", random: new Uint8Array(16).fill(2) });
      client.bind(new Uint8Array([1, 2, 3]));
      server.bind(new Uint8Array([1, 2, tampered ? 4 : 3]));
      server.receive(client.poll()!);
      client.receive(server.poll()!);
      server.receive(client.poll()!);
      const packet = new Uint8Array(40);
      client.keys()!.sealer.seal(packet, 0, 10, 24, 5);
      expect(server.keys()!.opener.open(packet, 10, 5)).toBe(!tampered);
    }
  });

  test("come with what the session layers told each other, and the server's reset token", () => {
    const p = createPair({ forward: { delayMs: 10 }, client: { link: { session: new Uint8Array([1, 2, 3]) } } });
    p.network.run(100);
    expect(p.server.link!.peerParameters!.session).toEqual(new Uint8Array([1, 2, 3]));
    expect(p.client.peerParameters!.resetToken).toHaveLength(16);
    expect(p.server.link!.sendToken(new Uint8Array([9, 9]))).toBe(true);
    p.network.run(200);
    expect(p.client.receivedToken).toEqual(new Uint8Array([9, 9]));
  });
});

describe("the handshake", () => {
  test("tells the user how much the path loses", () => {
    for (const loss of [0, 0.3]) {
      let arrived = 0;
      let lost = 0;
      for (let seed = 1; seed <= 20; seed++) {
        const p = createPair({ seed, forward: { rateMbps: 100, delayMs: 20, loss } });
        p.network.run(1000);
        arrived += p.clientUser.sampled.arrived;
        lost += p.clientUser.sampled.lost;
      }
      expect(arrived).toBeGreaterThan(60);
      expect(Math.abs(lost / (arrived + lost) - loss)).toBeLessThan(0.1);
    }
  });

  test("is done within 3 round trips in 99 % of runs at 30 % loss", () => {
    for (const { delayMs, runs } of [
      { delayMs: 10, runs: 300 },
      { delayMs: 50, runs: 300 },
    ]) {
      let late = 0;
      for (let seed = 1; seed <= runs; seed++) {
        const p = createPair({
          seed,
          forward: { rateMbps: 100, delayMs, loss: 0.3 },
          client: { flights: RSA_FLIGHTS },
          server: { flights: RSA_FLIGHTS },
        });
        p.network.run(6 * delayMs);
        if (!(p.serverUser.establishedMs <= 6 * delayMs && p.clientUser.establishedMs <= 6 * delayMs)) late++;
      }
      expect(late / runs).toBeLessThanOrEqual(0.01);
    }
  });

  test("takes one and a half round trips without loss, and bytes reach the server then", () => {
    const p = createPair({ forward: { rateMbps: 100, delayMs: 50 } });
    p.clientUser.budget = 1;
    p.network.run(160);
    expect(p.clientUser.establishedMs).toBeLessThan(103);
    expect(p.serverUser.establishedMs).toBeLessThan(154);
    expect(p.serverUser.firstReceivedMs).toBeLessThan(154);
  });

  test("sends no more than three times what an unproved address sent", () => {
    const p = createPair({ forward: { delayMs: 50 } });
    // The client falls silent: its address may be forged.
    p.network.at(10, () => p.clientSocket.changeAddress({ port: 9999 }));
    let received = 0;
    let sent = 0;
    p.network.observe((e) => {
      if (e.where !== "b") return;
      if (e.event === "receive" && e.packet.source!.port === 4433) received += e.packet.bytes.length;
      if (e.event === "send") sent += e.packet.bytes.length;
    });
    p.network.run(20_000);
    expect(received).toBeGreaterThanOrEqual(3 * 1200);
    expect(sent).toBeLessThanOrEqual(3 * received);
  });

  test("asks a server that does not answer less and less often, but never further apart than a round trip may be", () => {
    const p = createPair({ forward: { delayMs: 50, loss: 1 } });
    const sent = departures(p);
    p.network.run(9000);
    // A server that is back hears as much from each of its clients.
    expect(sent.filter((t) => t < 1000).length).toBeLessThan(24);
    expect(sent.length).toBeLessThan(72);
    for (let i = 1; i < sent.length; i++) expect(sent[i] - sent[i - 1]).toBeLessThan(334);
  });

  test("gives up after its timeout", () => {
    const p = createPair({ forward: { delayMs: 50, loss: 1 } });
    p.network.run(60_000);
    expect(p.clientUser.closedReason?.cause).toBe("timeout");
    expect(p.client.state).toBe("closed");
  });

  test("follows a retry, and only one", () => {
    const remote = { ip: "10.0.0.2", port: 1 };
    const local = { ip: "10.0.0.1", port: 2 };
    const client = createClient(remote);
    const out = createTransmit();
    expect(client.pollTransmit(out, 0)).toBe(true);
    expect(out.length).toBe(1200);
    const header = new PacketHeader();
    expect(header.parse(out.buffer.slice(0, out.length), 8)).toBe(null);
    const firstId = out.buffer.slice(header.destinationStart, header.destinationEnd);
    const clientId = out.buffer.slice(header.sourceStart, header.sourceEnd);
    const token = new Uint8Array(40).fill(7);
    const serverId = new Uint8Array(8).fill(9);
    const packet = (key: Uint8Array) => {
      const bytes = new Uint8Array(200);
      const end = writeRetryHeader(bytes, 0, clientId, serverId, token);
      standInProtection.handshakeKeys(key, "server").sealer.seal(bytes, 0, end, end, 0);
      return bytes.slice(0, end + 16);
    };
    const give = (bytes: Uint8Array) => {
      client.handleDatagram({ bytes, source: remote, destination: local, ecn: 0 }, 1);
    };
    give(packet(clientId));
    expect(client.drops["not-authentic"]).toBe(1);
    give(packet(firstId));
    expect(client.pollTransmit(out, 1)).toBe(true);
    expect(header.parse(out.buffer.slice(0, out.length), 8)).toBe(null);
    expect(out.buffer.slice(header.tokenStart, header.tokenEnd)).toEqual(token);
    expect(out.buffer.slice(header.destinationStart, header.destinationEnd)).toEqual(serverId);
    give(packet(serverId));
    expect(client.drops["unexpected-packet"]).toBe(1);
    client.destroy(2);
  });

  test("ends when the server speaks no version of ours, and ignores lists that do not fit", () => {
    const remote = { ip: "10.0.0.2", port: 1 };
    const user = new Bookkeeper();
    const client = createClient(remote, { user });
    const out = createTransmit();
    client.pollTransmit(out, 0);
    const header = new PacketHeader();
    header.parse(out.buffer.slice(0, out.length), 8);
    const firstId = out.buffer.slice(header.destinationStart, header.destinationEnd);
    const clientId = out.buffer.slice(header.sourceStart, header.sourceEnd);
    const give = (bytes: Uint8Array) => {
      client.handleDatagram({ bytes, source: remote, destination: { ip: "10.0.0.1", port: 2 }, ecn: 0 }, 1);
    };
    give(versionNegotiation(firstId, firstId, [0x01020304]));
    give(versionNegotiation(clientId, firstId, [header.version]));
    expect(client.drops["unexpected-packet"]).toBe(2);
    expect(user.closedReason).toBe(null);
    give(versionNegotiation(clientId, firstId, [0x0a1a2a3a, 0x01020304]));
    expect(user.closedReason?.cause).toBe("version");
  });
});

describe("a stateless reset", () => {
  test("ends the link when it bears the right token, and only then", () => {
    const p = createPair({ forward: { delayMs: 10 } });
    p.clientUser.budget = 20;
    p.network.run(500);
    const token = p.client.peerParameters!.resetToken!;
    const give = (bytes: Uint8Array) => {
      const { outerAddress: destination } = p.clientSocket;
      p.client.handleDatagram({ bytes, source: p.serverSocket.outerAddress, destination, ecn: 0 }, p.network.nowMs);
    };
    const noise = new Uint8Array(64);
    seededBytes(3)(noise);
    give(
      statelessReset(
        token.map((b) => b ^ 1),
        100,
        noise,
      )!,
    );
    expect(p.clientUser.closedReason).toBe(null);
    give(statelessReset(token, 100, noise)!);
    expect(p.clientUser.closedReason?.cause).toBe("reset");
    expect(statelessReset(token, 20, noise)).toBe(null);
    expect(statelessReset(token, 40, noise)!.length).toBeLessThan(40);
  });
});
