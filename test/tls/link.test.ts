// The handshake and its keys under real links, over the simulated network: virtual time moves by milliseconds, and between these
// node:tls gets the turns of the event loop that it needs.
import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { Credentials, packetProtection, TlsHandshake } from "../../src/tls/index.ts";
import { createPair, FixedWindow } from "../transport/harness.ts";
import { Authority, CLIENT_AUTH, type KeyKind, SERVER_AUTH } from "./certificates.ts";

/** Turns that node:tls takes at most from bytes to bytes. */
const TURNS = 4;

interface Ends {
  client: Credentials;
  server: Credentials;
}

const ends = new Map<KeyKind, Ends>();

async function makeEnds(kind: KeyKind, name = "root"): Promise<Ends> {
  const root = await Authority.root(name, kind);
  const issuer = await root.intermediate("between");
  const [server, client] = await Promise.all([
    issuer.issue("CN=cloud", { kind, usage: [SERVER_AUTH], dns: ["cloud.example"] }),
    issuer.issue("O=system:nodes, CN=system:node:edge-1", { kind, usage: [CLIENT_AUTH] }),
  ]);
  return {
    client: new Credentials({ ca: root.pem, cert: client.chain, key: client.key }),
    server: new Credentials({ ca: root.pem, cert: server.chain, key: server.key }),
  };
}

beforeAll(async () => {
  for (const kind of ["P-256", "RSA-2048"] as const) ends.set(kind, await makeEnds(kind));
});

function createTlsPair(
  { client, server }: Ends,
  options: Parameters<typeof createPair>[0] & { resume?: boolean } = {},
) {
  const clientTls = new TlsHandshake({
    role: "client",
    credentials: client,
    serverName: "cloud.example",
    resume: options.resume ?? false,
  });
  const serverTls = new TlsHandshake({ role: "server", credentials: server });
  const pair = createPair({
    ...options,
    client: {
      congestion: new FixedWindow(256 * 1024, 3000),
      ...options.client,
      link: { handshake: clientTls, protection: packetProtection },
    },
    server: { ...options.server, link: { handshake: serverTls, protection: packetProtection } },
  });
  const run = async (untilMs: number, done: () => boolean = () => false) => {
    while (pair.network.nowMs < untilMs && !done()) {
      for (let turn = 0; turn < TURNS; turn++) await nextTurn();
      pair.network.run(pair.network.nowMs + 1);
    }
    clientTls.destroy();
    serverTls.destroy();
  };
  return { ...pair, clientTls, serverTls, run };
}

describe.each<KeyKind>(["P-256", "RSA-2048"])("two links with %s certificates and an intermediate", (kind) => {
  test("come to the same keys and carry packets", async () => {
    const p = createTlsPair(ends.get(kind)!, { forward: { delayMs: 20 } });
    p.clientUser.budget = 500;
    await p.run(3000, () => p.serverUser.receivedCount === 500);
    expect(p.serverUser.receivedCount).toBe(500);
    expect(p.serverTls.peer?.commonName).toBe("system:node:edge-1");
    expect(p.client.confirmed).toBe(true);
    // Hello and its answer, one round trip; the rest and the first packet, half of one more.
    expect(p.serverUser.firstReceivedMs).toBeLessThan(60 + 15);
  });

  test("send each flight in more datagrams than it needs, the client's padded, and miss none of the first ones", async () => {
    const losing = (packets: number) => ({ lost: () => packets-- > 0 });
    const p = createTlsPair(ends.get(kind)!, {
      forward: { delayMs: 100, loss: losing(3) },
      backward: { delayMs: 100, loss: losing(2) },
    });
    p.clientUser.budget = 1;
    const sent = { a: [] as number[], b: [] as number[] };
    p.network.observe(({ event, where, atMs, packet }) => {
      if (event !== "send" || (where !== "a" && where !== "b")) return;
      // Before the other end's answer, and probes for want of one.
      if (atMs < (where === "a" ? 15 : 190)) sent[where].push(packet.bytes.length);
    });
    await p.run(3000, () => p.serverUser.receivedCount > 0);
    expect(sent.a.length).toBeGreaterThanOrEqual(3 + 3);
    expect(new Set(sent.a)).toEqual(new Set([1200]));
    // ACKs leave beside it.
    expect(sent.b.filter((bytes) => bytes > 500).length).toBeGreaterThanOrEqual(3 + 2);
    // As soon as when nothing is lost.
    expect(p.serverUser.firstReceivedMs).toBeLessThan(300 + 20);
  });

  test("do so at 30 % loss both ways, within a few round trips", async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const p = createTlsPair(ends.get(kind)!, { seed, forward: { delayMs: 50, loss: 0.3 } });
      p.clientUser.budget = 50;
      await p.run(5000, () => p.serverUser.receivedCount > 0);
      expect(p.serverUser.firstReceivedMs, `seed ${seed}`).toBeLessThan(1000);
    }
  });

  test("update their keys", async () => {
    const p = createTlsPair(ends.get(kind)!, { forward: { delayMs: 5, loss: 0.02 } });
    p.clientUser.budget = 2000;
    let updates = 0;
    p.network.every(100, (nowMs) => {
      if (p.client.updateKeys(nowMs)) updates++;
    });
    await p.run(2500, () => updates > 3 && p.clientUser.outstanding === 0 && p.clientUser.budget === 0);
    expect(updates).toBeGreaterThan(3);
    expect(p.server.link?.stats.keyUpdates).toBeGreaterThan(3);
    expect(p.server.link?.drops["not-authentic"]).toBe(0);
    expect(p.clientUser.losses + p.clientUser.acks).toBe(2000);
  });

  test("resume with tickets that came in the data epoch", async () => {
    const both = ends.get(kind)!;
    const first = createTlsPair(both, { forward: { delayMs: 20 } });
    await first.run(400);
    const second = createTlsPair(both, { forward: { delayMs: 20 }, resume: true, seed: 2 });
    second.clientUser.budget = 10;
    await second.run(2000, () => second.serverUser.receivedCount === 10);
    expect(second.serverUser.receivedCount).toBe(10);
    expect([second.clientTls.resumed, second.serverTls.resumed]).toEqual([true, true]);
    expect(second.serverTls.peer?.commonName).toBe("system:node:edge-1");
  });
});

describe("a link whose handshake fails", () => {
  test("closes at both ends, and both say why", async () => {
    const stranger = await makeEnds("P-256", "stranger");
    const p = createTlsPair(
      { client: stranger.client, server: ends.get("P-256")!.server },
      { forward: { delayMs: 20 } },
    );
    await p.run(1000, () => p.clientUser.closedReason !== null && p.server.link?.closeReason !== null);
    expect(p.clientUser.closedReason).toMatchObject({
      cause: "handshake",
      text: expect.stringMatching(/^the server's certificate CN=cloud was not issued by a CA that the client trusts/),
    });
    expect(p.serverUser.closedReason).toMatchObject({
      cause: "peer",
      text: expect.stringMatching(/^the server's certificate CN=cloud was not issued/),
    });
    expect(p.serverUser.establishedMs).toBeNaN();
  });

  test("at the server, after the client had its keys, tells the client", async () => {
    const { client, server } = ends.get("P-256")!;
    const wary = await makeEnds("P-256", "wary");
    // It shows what the client trusts, and trusts another CA itself.
    const strict = new Credentials({
      ca: String((wary.server.current.options.ca as string[])[0]),
      cert: String(server.current.options.cert),
      key: String(server.current.options.key),
    });
    const p = createTlsPair({ client, server: strict }, { forward: { delayMs: 20 } });
    await p.run(1000, () => p.clientUser.closedReason !== null);
    expect(p.clientUser.closedReason).toMatchObject({
      cause: "peer",
      text: expect.stringMatching(/^the client's certificate was not issued by a CA that the server trusts/),
    });
    expect(p.serverUser.establishedMs).toBeNaN();
  });
});
