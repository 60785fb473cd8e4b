/** Sessions over TLS on TCP where UDP does not pass, and back. */
import { once } from "node:events";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import {
  type Address,
  Credentials,
  connect,
  type FallbackOptions,
  type Listener,
  type Session,
  type Stream,
} from "../../src/index.ts";
import { Authority, CLIENT_AUTH } from "../tls/certificates.ts";
import { Relay } from "./relay.ts";
import { clientCredentials, closeLater, drain, listener, pour, serverCredentials, streamPair } from "./support.ts";

const foreign = await Authority.root("foreign CA");
const foreignCertificate = await foreign.issue("CN=edge-1", { usage: [CLIENT_AUTH] });

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A listener behind a relay of UDP, with a port for TLS. */
async function ends(): Promise<{ server: Listener; relay: Relay; tls: number }> {
  const server = await listener({ listenTls: "127.0.0.1:0" });
  const relay = closeLater(await Relay.open(server.address.port));
  return { server, relay, tls: server.tlsAddress!.port };
}

async function dial(relay: Relay, tls: number, options: Partial<FallbackOptions> = {}): Promise<Session> {
  const fallback = { target: `tls:127.0.0.1:${tls}`, afterMs: 300, returnMs: 300, ...options };
  return closeLater(await connect(`127.0.0.1:${relay.port}`, { credentials: clientCredentials, fallback }));
}

/** Streams that are cut when the test is over. */
async function openPair(client: Session, peer: Session): Promise<{ near: Stream; far: Stream }> {
  const pair = await streamPair(client, peer);
  pair.near.on("error", () => {});
  pair.far.on("error", () => {});
  return pair;
}

/** Until the session is by TLS, or not. */
async function onPath(session: Session, tls: boolean): Promise<void> {
  while ((session.peer.address.carrier !== undefined) !== tls) await once(session, "path");
}

/** A TCP relay whose connections a test can cut, and which it can close. */
async function tcpRelay(to: number): Promise<{ port: number; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connectTcp(to, "127.0.0.1");
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const close = (): void => {
    server.close();
    cut();
  };
  return { port: (server.address() as { port: number }).port, cut, close };
}

describe("a session where UDP is blocked", () => {
  it("opens over TLS, returns to UDP when that works, and its streams stay whole", async () => {
    const { server, relay, tls } = await ends();
    relay.blocked = true;
    const accepted = once(server, "session");
    const client = await dial(relay, tls);
    const [peer] = (await accepted) as [Session];
    expect(client.peer.address).toMatchObject({ port: tls, carrier: expect.any(Number) });
    expect(peer.peer.address.carrier).toBeDefined();
    const { near, far } = await openPair(client, peer);
    const got = drain(far);
    const part = pour(near, 8_000_000);
    relay.blocked = false;
    await onPath(client, false);
    expect(client.peer.address.port).toBe(relay.port);
    expect(await got).toMatchObject({ bytes: 8_000_000, sha1: await part });
    const more = await openPair(client, peer);
    const back = drain(more.near);
    const sent = pour(more.far, 1_000_000);
    expect(await back).toMatchObject({ sha1: await sent });
    const before = relay.forwarded;
    more.near.end();
    await client.sendMessage("over UDP");
    expect(relay.forwarded).toBeGreaterThanOrEqual(before);
    expect(client.closed || peer.closed).toBe(false);
  });

  it("goes over to TLS when that happens later, and loses nothing", async () => {
    const { server, relay, tls } = await ends();
    const accepted = once(server, "session");
    const client = await dial(relay, tls, { returnMs: 60_000 });
    const [peer] = (await accepted) as [Session];
    expect(client.peer.address.carrier).toBeUndefined();
    expect(server.fallbackStats()).toMatchObject({ connections: 0, sentDatagrams: 0, receivedDatagrams: 0 });
    const { near, far } = await openPair(client, peer);
    const got = drain(far);
    relay.blocked = true;
    const sent = pour(near, 4_000_000);
    await onPath(client, true);
    expect(await got).toMatchObject({ bytes: 4_000_000, sha1: await sent });
    // Counted at both ends.
    const here = client.fallbackStats()!;
    const there = server.fallbackStats()!;
    expect([here.connections, there.connections]).toEqual([1, 1]);
    expect(there.receivedBytes).toBeGreaterThan(there.receivedDatagrams);
    expect(here.sentBytes).toBeGreaterThanOrEqual(there.receivedBytes);
    expect(here.receivedDatagrams).toBeGreaterThan(0);
  });

  it("goes on over another connection when its own is cut", async () => {
    const { server, relay, tls } = await ends();
    const middle = await tcpRelay(tls);
    relay.blocked = true;
    const accepted = once(server, "session");
    const client = await dial(relay, middle.port, { returnMs: 60_000 });
    const [peer] = (await accepted) as [Session];
    const { near, far } = await openPair(client, peer);
    const got = drain(far);
    const first = client.peer.address;
    const moved = once(client, "path") as Promise<[Address]>;
    middle.cut();
    const sent = pour(near, 2_000_000);
    expect((await moved)[0].carrier).not.toBe(first.carrier);
    expect(await got).toMatchObject({ bytes: 2_000_000, sha1: await sent });
  });

  it("ends when TLS is gone and the session is unknown where UDP leads to, but not before", async () => {
    const { server, relay, tls } = await ends();
    const middle = await tcpRelay(tls);
    relay.blocked = true;
    server.on("session", () => {});
    const client = await dial(relay, middle.port);
    relay.redirect((await listener()).address.port);
    relay.blocked = false;
    const [retry] = (await once(client, "retry")) as [Error];
    expect(retry.message).toMatch(/not known here/);
    expect(client.closed).toBe(false);
    const closed = once(client, "close");
    middle.close();
    expect((await closed)[0]).toMatchObject({ code: "ERR_BATS_SESSION_LOST" });
  });

  it("fails in words when there is no way by TLS either", async () => {
    const { relay, tls, server } = await ends();
    relay.blocked = true;
    await server.close({ timeoutMs: 0 });
    const attempt = connect(`127.0.0.1:${relay.port}`, {
      credentials: clientCredentials,
      connectTimeoutMs: 1000,
      fallback: { target: `tls:127.0.0.1:${tls}`, afterMs: 100 },
    });
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_BATS_CONNECT_TIMEOUT",
      message: expect.stringMatching(/no answer over UDP, and none by the fallback: nothing listens there/),
    });
  });

  it.each(["127.0.0.1:1", "tcp:127.0.0.1:1", "tls:127.0.0.1"])("refuses a fallback of %s", async (fallback) => {
    const attempt = connect("127.0.0.1:1", { credentials: clientCredentials, fallback });
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_BATS_ARGUMENT",
      message: expect.stringContaining("fallback"),
    });
  });
});

describe("the port for TLS", () => {
  it("lets nobody in without a certificate of its CA", async () => {
    const { server, relay, tls } = await ends();
    relay.blocked = true;
    const credentials = new Credentials({
      ca: serverCredentials.current.options.ca as string[],
      cert: foreignCertificate.chain,
      key: foreignCertificate.key,
    });
    const attempt = connect(`127.0.0.1:${relay.port}`, {
      credentials,
      connectTimeoutMs: 2000,
      fallback: { target: `tls:127.0.0.1:${tls}`, afterMs: 50 },
    });
    await expect(attempt).rejects.toThrow(
      /fallback: the server ended the TLS connection; .* does not accept the certificate/,
    );
    const bare = connectTls({ port: tls, host: "127.0.0.1", rejectUnauthorized: false });
    await once(bare, "secureConnect");
    bare.write(Buffer.from([0, 1, 0]));
    const [error] = (await once(bare, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toMatch(/CERTIFICATE_REQUIRED|ECONNRESET/);
    expect(server.fallbackStats()).toMatchObject({ connections: 0, receivedBytes: 0 });
    expect(server.fallbackStats()!.refused).toBeGreaterThanOrEqual(2);
  });

  it("ends a connection that sends no datagrams but garbage, and nothing else", async () => {
    const { server, relay, tls } = await ends();
    server.on("session", () => {});
    const client = await dial(relay, tls, { afterMs: 3000 });
    const { key, cert } = clientCredentials.current.options;
    const peer = connectTls({
      port: tls,
      host: "127.0.0.1",
      rejectUnauthorized: false,
      key: String(key),
      cert: String(cert),
      ALPNProtocols: ["bats-datagrams/1"],
    });
    peer.on("error", () => {});
    await once(peer, "secureConnect");
    peer.resume();
    for (let i = 0; i < 100; i++) peer.write(Buffer.from([0, 5, i, 2, 3, 4, 5]));
    peer.write(Buffer.from([0, 0]));
    await once(peer, "close");
    expect(client.closed).toBe(false);
    expect(server.sessions.size).toBe(1);
  });
});
