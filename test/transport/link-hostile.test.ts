// Peers that keep the form and break the spirit, and networks at their worst: what a link must survive.
import { describe, expect, test } from "vitest";
import { Arena } from "../../src/gf/index.ts";
import { AckFrequency } from "../../src/transport/link/ack-frequency.ts";
import { ControlCoder, PacketHeader, standInProtection, writeRetryHeader } from "../../src/transport/link/index.ts";
import { createForgedPair, varints } from "./forger.ts";
import { Bookkeeper, createClient, createPair, createTransmit, FixedWindow } from "./harness.ts";

describe("a peer that never acknowledges", () => {
  test("makes the link forget the oldest packets, however many of its own it sends, and nothing hangs", () => {
    const p = createForgedPair({ forward: { rateMbps: 100, delayMs: 1 } });
    p.network.run(200);
    const link = p.server.link!;
    // One packet of the server's stays unanswered; the client sends on, each packet asking for an ACK.
    p.serverUser.budget = 1;
    const out = createTransmit();
    let nowMs = p.network.nowMs;
    for (let i = 0; i < 140_000; i++) {
      nowMs += 0.01;
      p.give("server", p.packet("server", [0x01, 0x09]), undefined, nowMs);
      if (link.nextTimeoutMs() <= nowMs) link.handleTimeout(nowMs);
      while (link.pollTransmit(out, nowMs)) out.length = 0;
    }
    expect(link.state).toBe("established");
    expect(p.serverUser.outstanding).toBe(0);
    link.close(0x100, "", nowMs);
    expect(link.outstandingPackets).toBe(0);
    expect(link.inFlightBytes).toBe(0);
  });
});

describe("many ACK frames in one packet", () => {
  test("are refused: a sender writes one", () => {
    const p = createForgedPair({ forward: { rateMbps: 100, delayMs: 1 } });
    p.network.run(200);
    const ack = [0x02, ...varints(3, 0, 0, 0)];
    p.give("server", p.packet("server", [...ack, ...ack]));
    expect(p.server.link!.drops["malformed-frame"]).toBe(1);
  });
});

describe("a flood of path challenges", () => {
  test("in one packet from a victim's address does not send the victim more than came from there", () => {
    const p = createForgedPair({ forward: { rateMbps: 100, delayMs: 1 } });
    p.network.run(500);
    const link = p.server.link!;
    const victim = { ip: "198.51.100.7", port: 53 };
    const challenge = [0x05, 1, 2, 3, 4, 5, 6, 7, 8];
    // A number below the largest: it moves nothing, and is no part of what an unproved path may be sent.
    p.give("server", p.packet("server", [0x01], 60_000));
    const frames = new Uint8Array(1100);
    for (let i = 0; i < 8; i++) frames.set(challenge, 9 * i);
    const bytes = p.packet("server", frames, 59_999);
    p.give("server", bytes, victim);
    const out = createTransmit();
    let toVictim = 0;
    while (link.pollTransmit(out, p.network.nowMs)) if (out.destination!.ip === victim.ip) toVictim += out.length;
    expect(toVictim).toBeGreaterThan(0);
    expect(toVictim).toBeLessThanOrEqual(bytes.length);
  });

  test("in small packets from a new address stays within three times their bytes", () => {
    const p = createForgedPair({ forward: { rateMbps: 100, delayMs: 1 } });
    p.network.run(500);
    const link = p.server.link!;
    const victim = { ip: "198.51.100.7", port: 53 };
    let received = 0;
    let sent = 0;
    const out = createTransmit();
    for (let i = 0; i < 20; i++) {
      const bytes = p.packet("server", [0x05, 1, 2, 3, 4, 5, 6, 7, 8]);
      received += bytes.length;
      p.give("server", bytes, victim);
      p.give("server", p.packet("server", [0x05, 1, 2, 3, 4, 5, 6, 7, 8], 49_000 - i), victim);
      received += bytes.length;
      while (link.pollTransmit(out, p.network.nowMs + i)) if (out.destination!.ip === victim.ip) sent += out.length;
      expect(sent).toBeLessThanOrEqual(3 * received);
    }
  });
});

describe("a server before its keys", () => {
  test("keeps no early packets larger than it would ever take", () => {
    const p = createPair({ forward: { delayMs: 50 } });
    p.network.run(60);
    const link = p.server.link!;
    let id: Uint8Array | null = null;
    const out = createTransmit();
    if (link.pollTransmit(out, 60)) {
      const header = new PacketHeader();
      header.parse(out.buffer.slice(0, out.length), 8);
      id = out.buffer.slice(header.sourceStart, header.sourceEnd);
    } else {
      p.network.observe((e) => {
        if (e.event === "send" && e.where === "b" && id === null) id = e.packet.bytes.slice(15, 23);
      });
      p.network.run(100);
    }
    const bytes = new Uint8Array(60_000);
    bytes[0] = 0x40;
    bytes.set(id!, 1);
    link.handleDatagram(
      { bytes, source: p.clientSocket.outerAddress, destination: p.serverSocket.localAddress, ecn: 0 },
      p.network.nowMs,
    );
    expect(link.drops["wrong-connection-id"]).toBe(0);
    expect(link.drops.oversized).toBe(1);
  });
});

describe("a client with a token of an earlier link", () => {
  test("follows a retry all the same: the token may be too old", () => {
    const remote = { ip: "10.0.0.2", port: 1 };
    const local = { ip: "10.0.0.1", port: 2 };
    const client = createClient(remote, { link: { token: new Uint8Array(20).fill(3) } });
    const out = createTransmit();
    client.pollTransmit(out, 0);
    const header = new PacketHeader();
    expect(header.parse(out.buffer.slice(0, out.length), 8)).toBe(null);
    const firstId = out.buffer.slice(header.destinationStart, header.destinationEnd);
    const clientId = out.buffer.slice(header.sourceStart, header.sourceEnd);
    const token = new Uint8Array(40).fill(7);
    const retry = (key: Uint8Array, source: Uint8Array) => {
      const bytes = new Uint8Array(200);
      const end = writeRetryHeader(bytes, 0, clientId, source, token);
      standInProtection.handshakeKeys(key, "server").sealer.seal(bytes, 0, end, end, 0);
      client.handleDatagram({ bytes: bytes.slice(0, end + 16), source: remote, destination: local, ecn: 0 }, 1);
    };
    const serverId = new Uint8Array(8).fill(9);
    retry(firstId, serverId);
    expect(client.drops["unexpected-packet"]).toBe(0);
    expect(client.pollTransmit(out, 1)).toBe(true);
    expect(header.parse(out.buffer.slice(0, out.length), 8)).toBe(null);
    expect(out.buffer.slice(header.tokenStart, header.tokenEnd)).toEqual(token);
    retry(serverId, new Uint8Array(8).fill(10));
    expect(client.drops["unexpected-packet"]).toBe(1);
    client.destroy(2);
  });
});

describe("after a long pause", () => {
  test("a lost packet is probed for as fast as ever: silence counts from when an answer was due", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 20, outages: [{ fromMs: 60_000, toMs: 63_000 }] },
      client: { link: { keepAliveMs: 0 } },
      server: { link: { keepAliveMs: 0 } },
    });
    p.network.run(1000);
    const sent: number[] = [];
    p.network.observe((e) => {
      if (e.event === "send" && e.where === "a") sent.push(e.atMs);
    });
    p.network.at(60_100, () => {
      p.clientUser.budget = 1;
    });
    p.network.at(60_100, (nowMs) => p.client.handleTimeout(nowMs));
    p.network.run(63_000);
    expect(sent.length).toBeGreaterThan(20);
    for (let i = 1; i < sent.length; i++) expect(sent[i] - sent[i - 1]).toBeLessThan(100.1);
  });

  test("keep-alive pings come sooner than the peer's idle timeout", () => {
    const p = createPair({ forward: { delayMs: 20 }, server: { link: { idleTimeoutMs: 6000 } } });
    p.network.run(60_000);
    expect(p.client.state).toBe("established");
    expect(p.server.link!.state).toBe("established");
  });
});

describe("a key update", () => {
  test("comes about for an end that sends ACKs alone: it asks for the answer that an update needs", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 10 },
      client: { sealLimit: 200 },
      server: { congestion: new FixedWindow(300_000, 3000) },
    });
    p.serverUser.budget = 30_000;
    p.network.run(12_000);
    expect(p.clientUser.received.size).toBe(30_000);
    expect(p.client.stats.keyUpdates).toBeGreaterThan(10);
  });

  test("that does not get through for long costs no packet of the peer's, which still seals with the old keys", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 10, outages: [{ fromMs: 1000, toMs: 4000 }] },
      backward: { rateMbps: 100, delayMs: 10 },
      client: { congestion: new FixedWindow(100_000, 500) },
      server: { congestion: new FixedWindow(10_000_000, 500) },
    });
    p.serverUser.budget = 1_000_000;
    p.network.run(1001);
    expect(p.client.updateKeys(p.network.nowMs)).toBe(true);
    p.network.run(3900);
    expect(p.client.drops["not-authentic"]).toBe(0);
    p.network.run(6000);
    expect(p.server.link!.stats.keyUpdates).toBe(1);
    // This end sends ACKs alone: it has to ask for an answer first.
    expect(p.client.updateKeys(p.network.nowMs)).toBe(false);
    p.network.run(6500);
    expect(p.client.updateKeys(p.network.nowMs)).toBe(true);
    p.network.run(7000);
    expect(p.server.link!.stats.keyUpdates).toBe(2);
    expect(p.client.drops["not-authentic"]).toBe(0);
  });

  test("by either end as often as it may, at loss and with reordering, loses nothing more", () => {
    const p = createPair({
      forward: { rateMbps: 50, delayMs: 10, loss: 0.2, jitter: { spreadMs: 8, reorder: true } },
      backward: { rateMbps: 50, delayMs: 40, loss: 0.2, jitter: { spreadMs: 8, reorder: true } },
      client: { congestion: new FixedWindow(200_000, 1000) },
      server: { congestion: new FixedWindow(200_000, 1000) },
    });
    p.clientUser.budget = 5000;
    p.serverUser.budget = 5000;
    let updates = 0;
    p.network.every(20, (nowMs) => {
      if (p.client.updateKeys(nowMs)) updates++;
      if (p.server.link?.updateKeys(nowMs)) updates++;
    });
    p.network.run(12_000);
    expect(updates).toBeGreaterThan(20);
    expect(p.clientUser.outstanding + p.serverUser.outstanding).toBe(0);
    expect(p.client.drops["not-authentic"] + p.server.link!.drops["not-authentic"]).toBe(0);
  });
});

describe("path MTU discovery", () => {
  test("goes on when the link comes back to a path where a probe was under way", () => {
    const p = createForgedPair({ forward: { rateMbps: 50, delayMs: 60 }, server: { user: new Bookkeeper(1100) } });
    p.network.run(300);
    const link = p.server.link!;
    expect(link.stats.mtuProbes).toBeGreaterThan(0);
    // Before the first probe is answered a stranger seems to be the client, from another network, and proves nothing.
    p.give("server", p.packet("server", [0x01], 40), { ip: "198.51.100.7", port: 53 });
    p.network.run(3000);
    expect(link.remote).toEqual(p.clientSocket.outerAddress);
    p.serverUser.budget = 1000;
    p.network.run(6000);
    expect(link.datagramBytes).toBe(1472);
  });

  test("takes a burst of losses for no black hole, though smaller packets arrive", () => {
    const p = createPair({
      forward: { rateMbps: 100, delayMs: 25 },
      client: { user: new Bookkeeper(1430), congestion: new FixedWindow(2_000_000, 12_000, false) },
    });
    p.network.run(1500);
    expect(p.client.datagramBytes).toBe(1472);
    // A queue overflows: 60 full packets in a row are gone, and small ones among them arrive.
    let dropped = 0;
    const poll = p.clientMtu.pollTransmit.bind(p.clientMtu);
    p.clientMtu.pollTransmit = (out, nowMs) => {
      for (;;) {
        if (!poll(out, nowMs)) return false;
        if (dropped >= 60 || out.length < 1400) return true;
        dropped++;
        out.length = 0;
      }
    };
    let turn = 0;
    const fill = p.clientUser.fill.bind(p.clientUser);
    p.clientUser.fill = (packet) => {
      p.clientUser.bytes = ++turn % 8 === 0 ? 300 : 1430;
      fill(packet);
    };
    p.clientUser.budget = 500;
    p.client.handleTimeout(p.network.nowMs);
    let shrunk = 0;
    p.network.every(5, () => {
      if (p.client.datagramBytes < 1472) shrunk++;
    });
    p.network.run(3000);
    expect(dropped).toBe(60);
    expect(p.client.stats.lostPackets).toBeGreaterThanOrEqual(55);
    expect(shrunk).toBe(0);
  });

  test("notices a black hole below which packets of middle size pass", () => {
    const user = new Bookkeeper(1430);
    const p = createPair({
      forward: { rateMbps: 50, delayMs: 10 },
      client: { user, congestion: new FixedWindow(100_000, 3000) },
    });
    user.budget = 1_000_000;
    p.network.run(2000);
    expect(p.client.datagramBytes).toBe(1472);
    p.clientMtu.mtu = 1300;
    let turn = 0;
    const fill = user.fill.bind(user);
    user.fill = (packet) => {
      user.bytes = ++turn % 2 === 0 ? 1430 : 1220;
      fill(packet);
    };
    p.network.run(4000);
    expect(p.client.datagramBytes).toBeLessThanOrEqual(1300);
  });
});

describe("handshakes that never end", () => {
  test("leave links that have proved themselves enough memory for their control streams", () => {
    const small = new ControlCoder({ arena: new Arena(), maximumSymbols: 160 });
    const link = { coder: small };
    const p = createPair({ forward: { rateMbps: 100, delayMs: 5 }, client: { link }, server: { link } });
    p.network.run(500);
    expect(small.symbolsInUse).toBe(0);
    // Their flights wait for room as long as others have it; nobody answers them.
    const halves = Array.from({ length: 140 }, (_, i) =>
      createClient({ ip: "10.0.0.9", port: i + 1 }, { seed: i, link }),
    );
    const out = createTransmit();
    for (const half of halves) half.pollTransmit(out, 0);
    expect(small.symbolsInUse).toBeGreaterThan(80);
    for (let i = 0; i < 10; i++) {
      expect(p.server.link!.sendToken(new Uint8Array([i]))).toBe(true);
      p.server.link!.handleTimeout(p.network.nowMs);
      p.network.run(p.network.nowMs + 200);
      expect(p.client.receivedToken).toEqual(new Uint8Array([i]));
    }
    for (const half of halves) half.destroy(0);
    p.client.destroy(p.network.nowMs);
    p.server.link!.destroy(p.network.nowMs);
    expect(small.symbolsInUse).toBe(0);
    small.destroy();
  });
});

describe("the wish for fewer ACKs", () => {
  test("is told more than once, for a frame that is lost is not sent again", () => {
    const frequency = new AckFrequency();
    const out = new Uint8Array(16);
    let told = 0;
    for (let packet = 0; packet < 1000; packet++) {
      if (!frequency.due(2000, 100, 0)) continue;
      frequency.write(out, 0, 2000, 100, 0);
      told++;
    }
    expect(told).toBe(3);
  });

  test("is for more of them where they are lost, unless they come close anyway", () => {
    const asked = (packetsInFlight: number, minRttMs: number, lossRate: number) => {
      const frequency = new AckFrequency();
      const out = new Uint8Array(16);
      while (!frequency.due(packetsInFlight, minRttMs, lossRate)) {}
      frequency.write(out, 0, packetsInFlight, minRttMs, lossRate);
      return out[2];
    };
    expect(asked(2048, 200, 0)).toBe(16);
    expect(asked(2048, 200, 0.1)).toBe(8);
    expect(asked(2048, 200, 0.3)).toBe(5);
    expect(asked(2048, 20, 0.3)).toBe(16);
  });
});

describe("a peer that gives up connection ids without end", () => {
  test("costs bounded memory, and no id stays that it was not told of", () => {
    const live = new Set<string>();
    const name = (id: Uint8Array) => Buffer.from(id).toString("hex");
    let count = 0;
    const p = createForgedPair({
      forward: { rateMbps: 100, delayMs: 1 },
      server: {
        link: {
          connectionIds: {
            issue: () => {
              const id = new Uint8Array(8);
              new DataView(id.buffer).setUint32(4, ++count);
              live.add(name(id));
              return id;
            },
            resetToken: () => new Uint8Array(16),
            retire: (id) => live.delete(name(id)),
          },
        },
      },
    });
    p.network.run(200);
    expect(live.size).toBe(4);
    const before = count;
    // Each batch of the control stream retires hundreds of ids; nothing that the server says about new ones is acknowledged.
    let sequence = 1;
    for (let batch = 1; batch < 120; batch++) {
      const records: number[] = [];
      while (records.length < 900) {
        const body = varints(sequence++);
        records.push(3, body.length, ...body);
      }
      p.give("server", p.packet("server", [0x04, ...varints(batch), 1, 0, ...varints(records.length), ...records]));
    }
    expect(count - before).toBeGreaterThan(5000);
    expect(count - before).toBeLessThan(12_000);
    expect(live.size).toBeLessThanOrEqual(4);
    expect(p.server.link!.state).toBe("established");
    p.server.link!.close(0x100, "", p.network.nowMs);
    expect(live.size).toBe(0);
  });
});
