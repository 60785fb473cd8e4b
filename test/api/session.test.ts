import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type BatsError, Credentials, connect, listen, type Session } from "../../src/index.ts";
import { until } from "../proxy/local.ts";
import { Authority } from "../tls/certificates.ts";
import { Relay } from "./relay.ts";
import {
  clientCredentials,
  closeLater,
  dial,
  drain,
  listener,
  otherServerCredentials,
  pair,
  pour,
  serverCredentials,
  silentPort,
  streamPair,
} from "./support.ts";

async function closeError(session: Session): Promise<BatsError | null> {
  const [error] = (await once(session, "close")) as [BatsError | null];
  return error;
}

/** A session whose datagrams pass a relay, with that relay and its listener. */
async function throughRelay(client: Parameters<typeof dial>[1] = {}, server: Parameters<typeof listener>[0] = {}) {
  const listening = await listener(server);
  const relay = closeLater(await Relay.open(listening.address.port));
  const accepted = once(listening, "session");
  const near = await dial(relay.port, client);
  const [far] = (await accepted) as [Session];
  return { client: near, server: far, relay, listening };
}

describe("an identity that has as many sessions as it may", () => {
  it("is refused in words, until one is closed, and others are not", async () => {
    const to = await listener({ maximumSessionsPerIdentity: 2 });
    to.on("session", () => {});
    const refused: string[] = [];
    to.on("refused", ({ identity }, reason, code) => refused.push(`${identity.commonName}: ${code}: ${reason}`));
    const [first] = [await dial(to), await dial(to)];
    const words = "this identity has 2 sessions, the most that the server lets one have";
    await expect(dial(to)).rejects.toMatchObject({
      code: "ERR_BATS_PEER_CLOSED",
      message: expect.stringContaining(words),
    });
    expect(refused).toEqual([`system:node:edge-1: over-quota: ${words}`]);
    closeLater(await connect(`127.0.0.1:${to.address.port}`, { credentials: serverCredentials }));
    await first.close();
    await until(() => to.sessions.size === 2);
    await dial(to);
  });

  it("has those give way that wait for their clients", async () => {
    const options = { maximumSessionsPerIdentity: 1 };
    const { server, relay, listening } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 }, options);
    listening.on("session", () => {});
    relay.blocked = true;
    await once(server, "suspended");
    const over = closeError(server);
    await dial(listening);
    expect(await over).toMatchObject({ message: expect.stringContaining("a newer session of its identity") });
  });
});

it("a new session is refused by a listener that takes none, in its words; one that is there goes on over another link", async () => {
  const { client, server, relay, listening } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 });
  const refused: string[] = [];
  listening.on("refused", ({ identity }, reason, code) => refused.push(`${identity.commonName}: ${code}: ${reason}`));
  listening.on("session", () => refused.push("taken"));
  listening.refuseNew("closing time");
  await expect(dial(listening)).rejects.toMatchObject({
    code: "ERR_BATS_PEER_CLOSED",
    message: expect.stringContaining("closing time"),
  });
  expect(refused).toEqual(["system:node:edge-1: no-new-sessions: closing time"]);
  const gone = once(server, "suspended");
  relay.blocked = true;
  await gone;
  const resumed = once(client, "resumed");
  relay.blocked = false;
  await resumed;
  await streamPair(client, server);
});

describe("opening a session", () => {
  it("tells each end who the other is", async () => {
    const { client, server } = await pair();
    expect(server.peer.identity).toMatchObject({ commonName: "system:node:edge-1", organization: ["system:nodes"] });
    expect(client.peer.identity.commonName).toBe("cloud");
    expect(client.peer.address.ip).toBe("127.0.0.1");
    expect(client.stats()).toMatchObject({
      state: "open",
      aead: expect.stringMatching(/aes-128-gcm|chacha20-poly1305/),
    });
  });

  it("fails in words when nobody answers", async () => {
    const port = await silentPort();
    const attempt = connect(`127.0.0.1:${port}`, { credentials: clientCredentials, connectTimeoutMs: 200 });
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_BATS_CONNECT_TIMEOUT",
      message: `cannot connect to 127.0.0.1:${port}: no answer; is the server running there, and does UDP pass?`,
    });
  });

  it("fails when the server's certificate has another name", async () => {
    const server = await listener();
    await expect(dial(server, { serverName: "elsewhere.example" })).rejects.toMatchObject({
      code: "ERR_BATS_HANDSHAKE",
      reason: "name",
      message: expect.stringContaining("elsewhere.example"),
    });
  });

  it("fails when the two speak different application protocols", async () => {
    const server = closeLater(await listen({ listen: "127.0.0.1:0", credentials: serverCredentials, alpn: "one" }));
    const target = `127.0.0.1:${server.address.port}`;
    await expect(connect(target, { credentials: clientCredentials, alpn: "two" })).rejects.toMatchObject({
      code: "ERR_BATS_HANDSHAKE",
      reason: "protocol",
    });
  });

  it("can be given up with a signal, with the signal's reason", async () => {
    const target = `127.0.0.1:${await silentPort()}`;
    const signal = AbortSignal.timeout(50);
    const failure = await connect(target, { credentials: clientCredentials, signal }).catch((error) => error);
    expect(failure).toBe(signal.reason);
    await expect(connect(target, { credentials: clientCredentials, signal })).rejects.toBe(signal.reason);
  });

  it.each([
    ["no port", "example.org", /target is "example.org": the port is missing: write HOST:PORT/],
    ["port 0", "example.org:0", /"0" is no port: it is a number from 1 to 65535/],
    ["a port too large", "example.org:70000", /"70000" is no port/],
    ["IPv6 without brackets", "::1:443", /an IPv6 address stands in brackets: write \[::1\]:443/],
  ])("refuses a target with %s", async (_what, target, message) => {
    await expect(connect(target, { credentials: clientCredentials })).rejects.toThrow(message);
  });

  it("says which host cannot be found", async () => {
    await expect(connect("no-such-host.invalid:1", { credentials: clientCredentials })).rejects.toMatchObject({
      code: "ERR_BATS_LOOKUP",
    });
  });

  it("says when a port is taken", async () => {
    const first = await listener();
    const second = listen({ listen: `127.0.0.1:${first.address.port}`, credentials: serverCredentials });
    await expect(second).rejects.toMatchObject({
      code: "ERR_BATS_BIND",
      message: expect.stringContaining("EADDRINUSE"),
    });
  });

  it("says which certificate file does not exist", async () => {
    const attempt = listen({ listen: "127.0.0.1:0", ca: "/no/ca.pem", cert: "/no/cert.pem", key: "/no/key.pem" });
    await expect(attempt).rejects.toMatchObject({
      code: "ERR_BATS_CREDENTIALS",
      message: expect.stringMatching("/no/"),
    });
  });

  it("works from a listener's own port", async () => {
    const [a, b] = [await listener(), await listener()];
    const accepted = once(b, "session");
    const session = await a.connect(`127.0.0.1:${b.address.port}`);
    const [server] = (await accepted) as [Session];
    expect(server.peer.address.port).toBe(a.address.port);
    await session.close();
  });
});

describe("closing a session", () => {
  it("delivers all that was written before", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    const got = drain(far);
    const sent = await pour(near, 3_000_000);
    const ended = closeError(server);
    await client.close();
    expect((await got).sha1).toBe(sent);
    far.on("error", () => {});
    expect(await ended).toBeNull();
    expect(client.closed).toBe(true);
    expect(() => client.openStream()).toThrow(/closed/);
  });

  it("cuts streams that are open: an error at the peer", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    const failed = once(far, "error");
    const closed = once(near, "close");
    far.resume();
    await client.close();
    const [error] = (await failed) as [BatsError];
    expect(error.code).toBe("ERR_BATS_PEER_CLOSED");
    await closed;
    expect(near.readableEnded).toBe(false);
  });

  it("is over at once when it is destroyed, with the reason at the peer", async () => {
    const { client, server } = await pair();
    const ended = closeError(server);
    client.destroy(new Error("out of order"));
    expect(await ended).toMatchObject({
      code: "ERR_BATS_PEER_CLOSED",
      message: expect.stringContaining("out of order"),
    });
  });

  it("is heard by the peer at once, also when nothing was said for a while", async () => {
    const { client, server } = await pair({ connect: { keepAliveMs: 0 }, listen: { keepAliveMs: 0 } });
    // Acknowledgements and probes of the path's size have settled; there is no timer that would wake the link soon.
    await sleep(700);
    const over = closeError(server);
    await client.close();
    expect(await over).toBe(null);
  });

  it("has a time limit, when the peer takes nothing", async () => {
    const { client, server } = await pair();
    const { near, far } = await streamPair(client, server);
    far.pause();
    far.on("error", () => {});
    for (let i = 0; i < 80; i++) near.write(Buffer.alloc(1 << 20));
    const before = performance.now();
    await client.close({ timeoutMs: 100 });
    expect(performance.now() - before).toBeLessThan(5000);
  });

  it("happens at the end of a block with `await using`'s method, listener and all", async () => {
    const { listener: listening, client, server } = await pair();
    const ended = closeError(server);
    await client[Symbol.asyncDispose]();
    expect(await ended).toBeNull();
    await listening[Symbol.asyncDispose]();
    expect(listening.sessions.size).toBe(0);
  });

  it("of a listener closes its sessions", async () => {
    const { listener: listening, client } = await pair();
    const ended = closeError(client);
    await listening.close();
    expect(await ended).toBeNull();
  });
});

describe("a session over a bad network", () => {
  it("carries streams whole through loss, duplicates and reordering", async () => {
    const listening = await listener();
    const relay = closeLater(
      await Relay.open(listening.address.port, { loss: 0.1, duplicates: 0.05, delayMs: 2, jitterMs: 3, seed: 5 }),
    );
    const accepted = once(listening, "session");
    const client = await dial(relay.port);
    const [server] = (await accepted) as [Session];
    server.on("stream", (stream) => stream.pipe(stream));
    const stream = client.openStream();
    const [sent, back] = await Promise.all([pour(stream, 2_000_000), drain(stream)]);
    expect(back).toEqual({ bytes: 2_000_000, sha1: sent });
    expect(client.stats().sentRepairs).toBeGreaterThan(0);
  });

  it("goes on when the NAT gives it another port", async () => {
    const { client, server, relay } = await throughRelay();
    const { near, far } = await streamPair(client, server);
    const moved = once(server, "path");
    await relay.rebind();
    const got = drain(far);
    const sent = await pour(near, 1_000_000);
    expect((await got).sha1).toBe(sent);
    await moved;
  });

  it("ignores garbage and replayed packets", async () => {
    const { client, server, relay, listening } = await throughRelay();
    const { near, far } = await streamPair(client, server);
    const stranger = createSocket("udp4").bind(0, "127.0.0.1");
    await once(stranger, "listening");
    let answered = 0;
    let answeredBytes = 0;
    stranger.on("message", (bytes) => {
      answered++;
      answeredBytes += bytes.length;
    });
    let sentBytes = 0;
    for (let i = 0; i < 2000; i++) {
      const bytes = Buffer.alloc(1 + ((i * 7919) % 1400));
      for (let j = 0; j < bytes.length; j++) bytes[j] = (i * 31 + j * 17 + (i % 3 === 0 ? 0x40 : 0)) & 255;
      const replay = i % 10 === 0 && relay.lastFromClient !== null ? relay.lastFromClient : bytes;
      stranger.send(replay, listening.address.port, "127.0.0.1");
      sentBytes += replay.length;
      if (i % 50 === 0) await sleep(1);
    }
    const got = drain(far);
    const sent = await pour(near, 500_000);
    expect((await got).sha1).toBe(sent);
    expect(server.peer.address.port).not.toBe(stranger.address().port);
    expect(answered).toBeLessThan(400);
    expect(answeredBytes).toBeLessThan(sentBytes / 10);
    stranger.close();
  });
});

describe("a session that loses its link", () => {
  it("is suspended while nothing passes, and goes on when it does", async () => {
    const { client, server, relay } = await throughRelay();
    const { near, far } = await streamPair(client, server);
    relay.blocked = true;
    const suspended = once(client, "suspended");
    near.write("into the void");
    await suspended;
    expect(client.suspended).toBe(true);
    const resumed = once(client, "resumed");
    relay.blocked = false;
    await resumed;
    const got = drain(far);
    near.end();
    expect((await got).bytes).toBe(13);
  });

  it("goes on over a new one when the old is gone", async () => {
    const { client, server, relay, listening } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 });
    const { near, far } = await streamPair(client, server);
    const got = drain(far);
    near.write(Buffer.alloc(200_000, 1));
    relay.blocked = true;
    near.write(Buffer.alloc(200_000, 2));
    await Promise.all([once(client, "suspended"), once(server, "suspended")]);
    near.write(Buffer.alloc(200_000, 3));
    await sleep(500);
    const resumed = Promise.all([once(client, "resumed"), once(server, "resumed")]);
    relay.blocked = false;
    await resumed;
    near.end(Buffer.alloc(200_000, 4));
    expect((await got).bytes).toBe(800_000);
    expect(listening.sessions.size).toBe(1);
    expect(client.stats().state).toBe("open");
  });

  it("hears within a second that its server was restarted and has lost it", async () => {
    const first = await listener();
    const relay = closeLater(await Relay.open(first.address.port));
    const accepted = once(first, "session");
    const client = await dial(relay.port);
    const [server] = (await accepted) as [Session];
    const { near } = await streamPair(client, server);
    const second = await listener();
    // As if killed: it says nothing any more.
    relay.redirect(second.address.port);
    const failed = once(near, "error");
    const ended = closeError(client);
    const before = performance.now();
    near.write("anyone there?");
    const [error] = (await failed) as [BatsError];
    expect(error.code).toBe("ERR_BATS_SESSION_LOST");
    expect(performance.now() - before).toBeLessThan(1000);
    expect(await ended).toMatchObject({ code: "ERR_BATS_SESSION_LOST" });
  });

  it.each([
    ["by its next ping", "the same key", serverCredentials],
    ["by its next link", "another key", otherServerCredentials],
  ])("hears %s that its server was restarted, with %s, though nobody said anything", async (way, _key, credentials) => {
    const { client, server, relay } = await throughRelay({ keepAliveMs: 300 });
    const { near } = await streamPair(client, server);
    // A reset ends the link, where silence leaves it to be tried on.
    const silent = once(client, "suspended").then(() => client.stats().sentPackets > 0);
    // All is said, and the link at rest.
    await sleep(1000);
    const second = await listener({ credentials });
    const failed = once(near, "error");
    const ended = closeError(client);
    relay.redirect(second.address.port);
    const [error] = (await failed) as [BatsError];
    expect(error.code).toBe("ERR_BATS_SESSION_LOST");
    expect(await ended).toMatchObject({ code: "ERR_BATS_SESSION_LOST" });
    expect(await silent).toBe(way === "by its next link");
    expect(second.sessions.size).toBe(0);
  });

  it("is found again by a client that vanished without a word and comes back from another port", async () => {
    const { client, server, relay, listening } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 });
    const { near, far } = await streamPair(client, server);
    const before = server.peer.address.port;
    const gone = once(server, "suspended");
    relay.blocked = true;
    await gone;
    await relay.rebind();
    const back = Promise.all([once(client, "resumed"), once(server, "resumed")]);
    relay.blocked = false;
    await back;
    expect(server.peer.address.port).not.toBe(before);
    expect(listening.sessions.size).toBe(1);
    const [got, answer] = [drain(far), drain(near)];
    const sent = [await pour(near, 200_000), await pour(far, 200_000, 2)];
    expect([(await got).sha1, (await answer).sha1]).toEqual(sent);
  });

  it("says why attempts at a new one come to nothing, and tries on", async () => {
    const { client, server, relay, listening } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 });
    const foreign = await (await Authority.root("foreign CA")).issue("CN=thief", { ip: ["127.0.0.1"] });
    const credentials = new Credentials({
      ca: serverCredentials.current.options.ca as string[],
      cert: foreign.chain,
      key: foreign.key,
    });
    const thief = closeLater(await listen({ listen: "127.0.0.1:0", credentials }));
    relay.redirect(thief.address.port);
    const [error] = await once(client, "retry");
    expect(error).toMatchObject({ code: "ERR_BATS_HANDSHAKE", reason: "certificate" });
    const resumed = once(client, "resumed");
    relay.redirect(listening.address.port);
    await resumed;
    const { near, far } = await streamPair(client, server);
    near.end("again");
    expect((await drain(far)).bytes).toBe(5);
  });

  it.skipIf(process.platform !== "linux")(
    "leaves nothing behind of attempts in vain, each from another port",
    async () => {
      const { client, relay } = await throughRelay({ idleTimeoutMs: 400, keepAliveMs: 100 });
      const foreign = await (await Authority.root("foreign CA")).issue("CN=thief", { ip: ["127.0.0.1"] });
      const ca = serverCredentials.current.options.ca as string[];
      const thief = await listener({ credentials: new Credentials({ ca, cert: foreign.chain, key: foreign.key }) });
      const ports = new Set<number>();
      relay.onClient = (port) => ports.add(port);
      const descriptors = () => readdirSync("/proc/self/fd").length;
      const before = descriptors();
      relay.redirect(thief.address.port);
      for (let i = 0; i < 5; i++) await once(client, "retry");
      expect(ports.size).toBeGreaterThanOrEqual(5);
      await expect.poll(() => descriptors() - before, { timeout: 10_000 }).toBeLessThan(3);
    },
  );

  it("is given up after its time", async () => {
    const { client, server, relay, listening } = await throughRelay(
      { resumeTimeoutMs: 300, idleTimeoutMs: 300, keepAliveMs: 50 },
      { keepSessionMs: 100, idleTimeoutMs: 300 },
    );
    relay.blocked = true;
    const [there, here] = await Promise.all([closeError(server), closeError(client)]);
    expect(here).toMatchObject({ code: "ERR_BATS_SESSION_TIMEOUT" });
    expect(there).toMatchObject({ code: "ERR_BATS_SESSION_TIMEOUT" });
    expect(listening.sessions.size).toBe(0);
  });
});
