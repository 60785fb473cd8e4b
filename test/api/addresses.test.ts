import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { noteAnswer, resolveServer } from "../../src/api/address.ts";
import { type ClientOptions, Credentials, connect, listen, type Session, type Stream } from "../../src/index.ts";
import { Authority } from "../tls/certificates.ts";
import { Relay } from "./relay.ts";
import { clientCredentials, closeLater, drain, listener, serverCredentials, streamPair } from "./support.ts";

const TWO = ["127.0.0.2", "127.0.0.1"];
/** Of names that have not all three. Nothing listens at the first two: an IPv6 route that leads nowhere looks like that. */
const names = new Map<string, string[] | Promise<string[]>>();
vi.mock("node:dns/promises", () => ({
  lookup: async (host: string) => {
    const addresses = (await names.get(host)) ?? (host.startsWith("two-") ? TWO : ["127.0.0.3", ...TWO]);
    return addresses.map((address) => ({ address, family: 4 }));
  },
}));

type Attempt = (options: ClientOptions) => Promise<Session>;

const options = { serverName: "127.0.0.1" };
const server = serverCredentials.current.options;
const foreign = await Authority.root("foreign CA");
/** Of a lookup. Nobody may wait for it. */
const noAnswer = (): Promise<string[]> => {
  const failed = Promise.reject(Object.assign(new Error("no answer"), { code: "EAI_AGAIN" }));
  failed.catch(() => {});
  return failed;
};
/** Of a server with a certificate that clients do not trust. */
const thief = async () => {
  const { chain, key } = await foreign.issue("CN=thief", { ip: ["127.0.0.1"] });
  return new Credentials({ ca: server.ca!, cert: chain, key });
};
const inVain = async (attempt: Attempt) => {
  const failed = expect(attempt({ ...options, connectTimeoutMs: 500 })).rejects;
  await failed.toMatchObject({ code: "ERR_BATS_CONNECT_TIMEOUT" });
};
const arrives = async (attempt: Attempt) =>
  expect(closeLater(await attempt(options)).peer.address.ip).toBe("127.0.0.1");

it("a name that has several addresses leads to the next one when one gives no answer, and stays at the one that does", async () => {
  const [first, second, other] = [await listener(), await listener(), await listener()];
  for (const one of [first, second]) one.on("session", () => {});
  const to = (port: number): Attempt => {
    return (more) => connect(`cloud.example:${port}`, { credentials: clientCredentials, ...more });
  };
  await inVain(to(first.address.port));
  // Another port of the same name is another server.
  for (let i = 0; i < 2; i++) await inVain(to(second.address.port));
  await inVain(to(first.address.port));
  for (let i = 0; i < 2; i++) await arrives(to(first.address.port));
  await arrives(to(second.address.port));
  const fromListener: Attempt = (more) => other.connect(`edge.example:${first.address.port}`, more);
  for (let i = 0; i < 2; i++) await inVain(fromListener);
  await arrives(fromListener);
});

it("an attempt that is given up at once, and a listener of that name, leave it where it was", async () => {
  const { port } = (await listener()).address;
  const soon = (host: string) =>
    connect(`${host}:${port}`, { credentials: clientCredentials, signal: AbortSignal.timeout(50) });
  await expect(soon("brief.example")).rejects.toMatchObject({ name: "TimeoutError" });
  const attempt: Attempt = (more) => connect(`brief.example:${port}`, { credentials: clientCredentials, ...more });
  for (let i = 0; i < 2; i++) await inVain(attempt);
  const bound = closeLater(await listen({ listen: "brief.example:0", credentials: serverCredentials }));
  expect(bound.address.ip).toBe("127.0.0.3");
});

it("a name of which an address refuses leads to the next one", async () => {
  const { port } = (await listener()).on("session", () => {}).address;
  await listener({ listen: `127.0.0.2:${port}`, credentials: await thief() });
  const attempt: Attempt = (more) => connect(`two-minds.example:${port}`, { credentials: clientCredentials, ...more });
  await expect(attempt(options)).rejects.toMatchObject({ code: "ERR_BATS_HANDSHAKE" });
  await arrives(attempt);
});

it("an address where the client itself is at fault stays the first", async () => {
  const { port } = (await listener({ listen: "127.0.0.2:0", maximumSessionsPerIdentity: 1 })).on(
    "session",
    () => {},
  ).address;
  const to = `two-faults.example:${port}`;
  closeLater(await connect(to, { credentials: clientCredentials, ...options }));
  for (let i = 0; i < 2; i++) {
    await expect(connect(to, { credentials: clientCredentials, ...options })).rejects.toThrow(/has 1 sessions/);
  }
});

it("an address that the fallback had to stand in for is not the first of the next session", async () => {
  const to = (await listener({ listenTls: "127.0.0.1:0" })).on("session", () => {});
  const fallback = { target: `tls:127.0.0.1:${to.tlsAddress!.port}`, afterMs: 100, returnMs: 60_000 };
  const name = `two-thirds.example:${to.address.port}`;
  const client = closeLater(await connect(name, { credentials: clientCredentials, ...options, fallback }));
  expect(client.peer.address.carrier).toBeDefined();
  await arrives((more) => connect(name, { credentials: clientCredentials, ...more }));
});

it("an address that gave no answer is the first again after some minutes", async () => {
  const server = { host: "two-weeks.example", port: 1 };
  const ip = async () => (await resolveServer(server)).ip;
  const clock = vi.spyOn(performance, "now");
  try {
    for (const [i, answers] of [false, true].entries()) {
      clock.mockReturnValue(i * 1e9);
      noteAnswer(server, { ip: TWO[0], port: 1 }, false);
      if (answers) noteAnswer(server, { ip: TWO[1], port: 1 }, true);
      clock.mockReturnValue(i * 1e9 + 299_000);
      expect(await ip()).toBe(TWO[1]);
      clock.mockReturnValue(i * 1e9 + 301_000);
      expect(await ip()).toBe(TWO[0]);
    }
  } finally {
    clock.mockRestore();
  }
});

describe("a session whose address falls silent", () => {
  /** A server with an address of its own, and one before it by a relay. */
  const withRelay = async (options: Parameters<typeof listener>[0] = {}) => {
    const to = await listener(options);
    const { port } = to.address;
    return { to, port, relay: closeLater(await Relay.open(port, { listen: { ip: "127.0.0.2", port } })) };
  };
  /** Who waits for no more than the answer to a ping is in no hurry. */
  const silence = (relay: Relay, stream: Stream) => {
    relay.blocked = true;
    stream.write("anyone there?");
  };
  const common = { credentials: clientCredentials, ...options, keepAliveMs: 100, attemptMs: 1000 };

  it("goes on by the next one, and new sessions begin there", async () => {
    const { to, port, relay } = await withRelay();
    const accepted = once(to, "session");
    const client = closeLater(await connect(`two-ways.example:${port}`, common));
    const { near, far } = await streamPair(client, ((await accepted) as [Session])[0]);
    expect(client.peer.address.ip).toBe("127.0.0.2");
    const resumed = once(client, "resumed");
    silence(relay, near);
    await resumed;
    expect(client.peer.address.ip).toBe("127.0.0.1");
    expect(far.destroyed).toBe(false);
    relay.blocked = false;
    to.on("session", () => {});
    const other = closeLater(await connect(`two-ways.example:${port}`, common));
    expect(other.peer.address.ip).toBe("127.0.0.1");
  });

  it("tries all of them beside a fallback", async () => {
    const { to, port, relay } = await withRelay({ listenTls: "127.0.0.1:0" });
    to.on("session", () => {});
    relay.blocked = true;
    const fallback = { target: `tls:127.0.0.1:${to.tlsAddress!.port}`, afterMs: 100, returnMs: 100 };
    const client = closeLater(await connect(`two-tls.example:${port}`, { ...common, fallback }));
    expect(client.peer.address.carrier).toBeDefined();
    await once(client, "path");
    expect(client.peer.address).toMatchObject({ ip: "127.0.0.1", port });
    expect(client.peer.address.carrier).toBeUndefined();
  });

  it("takes the fallback though its name cannot be looked up", async () => {
    const { to, port, relay } = await withRelay({ listenTls: "127.0.0.1:0" });
    const host = "two-blind.example";
    names.set(host, [TWO[0]]);
    const accepted = once(to, "session");
    const fallback = { target: `tls:127.0.0.1:${to.tlsAddress!.port}`, afterMs: 300 };
    const client = closeLater(await connect(`${host}:${port}`, { ...common, fallback }));
    const { near } = await streamPair(client, ((await accepted) as [Session])[0]);
    names.set(host, new Promise(() => {}));
    silence(relay, near);
    await once(client, "resumed");
    expect(client.peer.address.carrier).toBeDefined();
  });

  /** A session by a relay at the first of two addresses; the second is free. */
  const atFirst = async (host: string, more: ClientOptions = {}) => {
    const to = await listener();
    const relay = closeLater(await Relay.open(to.address.port, { listen: { ip: TWO[0], port: 0 } }));
    const accepted = once(to, "session");
    const client = closeLater(await connect(`${host}:${relay.port}`, { ...common, ...more }));
    const streams = await streamPair(client, ((await accepted) as [Session])[0]);
    expect(client.peer.address.ip).toBe(TWO[0]);
    return { client, relay, ...streams };
  };
  /** The address answers again: the session comes back to it, and the stream goes on. */
  const expectReturn = async ({ client, relay, near, far }: Awaited<ReturnType<typeof atFirst>>): Promise<void> => {
    const resumed = once(client, "resumed");
    relay.blocked = false;
    await resumed;
    expect(client.peer.address.ip).toBe(TWO[0]);
    far.end("still here");
    expect((await drain(near)).bytes).toBe(10);
  };
  const untilRetries = async (client: Session, times: number): Promise<string[]> => {
    const said: string[] = [];
    while (said.length < times) said.push(((await once(client, "retry")) as [Error])[0].message);
    return said;
  };

  it("comes back to it, though the other one is dead, and however long it was silent", async () => {
    const first = await atFirst("two-deaths.example", { idleTimeoutMs: 400 });
    const { client, relay, near } = first;
    silence(relay, near);
    await untilRetries(client, 3);
    await expectReturn(first);
  });

  const others: [string, () => Promise<Credentials>, RegExp][] = [
    ["does not know it", async () => serverCredentials, /not known here/],
    [
      "does not accept the client",
      async () => new Credentials({ ca: foreign.pem, cert: server.cert as string, key: server.key as string }),
      /the peer refused: .*not issued by/,
    ],
    ["is not accepted", thief, /not issued by/],
  ];
  it.each(
    others.flatMap(([what, credentials, words]) =>
      [400, 60_000].map((idleTimeoutMs) => [what, idleTimeoutMs, credentials, words] as const),
    ),
  )("outlives that the server at the other one %s, with links that live %i ms", async (...row) => {
    const [what, idleTimeoutMs, credentials, words] = row;
    const first = await atFirst(`two-${what.replaceAll(" ", "-")}.example`, { idleTimeoutMs });
    const { client, relay, near } = first;
    await listener({ listen: `${TWO[1]}:${relay.port}`, credentials: await credentials() });
    const { sentPackets } = client.stats();
    silence(relay, near);
    let said = "";
    while (!words.test(said)) [said] = await untilRetries(client, 1);
    // Counters are those of the link, and start anew with each.
    if (idleTimeoutMs > 400) expect(client.stats().sentPackets).toBeGreaterThan(sentPackets);
    await expectReturn(first);
  });

  it("goes on where its server moved to", async () => {
    const host = "two-homes.example";
    const { to, port, relay } = await withRelay();
    names.set(host, [TWO[0]]);
    const accepted = once(to, "session");
    const client = closeLater(await connect(`${host}:${port}`, common));
    const { near } = await streamPair(client, ((await accepted) as [Session])[0]);
    names.set(host, [TWO[1]]);
    silence(relay, near);
    await once(client, "resumed");
    expect(client.peer.address.ip).toBe(TWO[1]);
  });

  it.each([
    ["moved", [TWO[1]]],
    ["died", TWO],
  ])("ends when its server %s and the session is unknown at the other address", async (what, addresses) => {
    const host = `two-${what}.example`;
    names.set(host, TWO);
    const { client, relay, near } = await atFirst(host, { attemptMs: 300 });
    near.on("error", () => {});
    await listener({ listen: `${TWO[1]}:${relay.port}` });
    names.set(host, addresses);
    silence(relay, near);
    const [error] = await once(client, "close");
    expect(error).toMatchObject({ code: "ERR_BATS_SESSION_LOST" });
  });

  it("outlives that its address is out of the name for a while, and that the session is unknown at the one that is there", async () => {
    const host = "two-names.example";
    names.set(host, TWO);
    const first = await atFirst(host, { idleTimeoutMs: 400 });
    const { client, relay, near } = first;
    await listener({ listen: `${TWO[1]}:${relay.port}` });
    names.set(host, [TWO[1]]);
    silence(relay, near);
    await untilRetries(client, 2);
    await expectReturn(first);
  });

  it("outlives that another server accepts the link and says later that the session is unknown", async () => {
    const first = await atFirst("two-steps.example");
    const { client, relay, near } = first;
    const other = await listener();
    const listen = { ip: TWO[1], port: relay.port };
    closeLater(await Relay.open(other.address.port, { listen, spacingMs: 20 }));
    silence(relay, near);
    let said = "";
    while (!/not known here/.test(said)) [said] = await untilRetries(client, 1);
    await expectReturn(first);
  });

  it("comes back to it while its name cannot be looked up", async () => {
    const host = "two-clouds.example";
    const first = await atFirst(host, { idleTimeoutMs: 400 });
    const { client, relay, near } = first;
    names.set(host, noAnswer());
    silence(relay, near);
    await untilRetries(client, 2);
    await expectReturn(first);
  });

  it("is not disturbed by a lookup that fails when it has come back", async () => {
    const host = "two-late.example";
    const ports = new Set<number>();
    const { client, relay, near, far } = await atFirst(host);
    let fail = (_error: Error): void => {};
    names.set(host, new Promise((_, reject) => (fail = reject)));
    const retries: Error[] = [];
    client.on("retry", (error) => retries.push(error));
    const suspended = once(client, "suspended");
    silence(relay, near);
    await suspended;
    const resumed = once(client, "resumed");
    relay.blocked = false;
    await resumed;
    relay.onClient = (port) => ports.add(port);
    fail(Object.assign(new Error("no answer"), { code: "EAI_AGAIN" }));
    // Longer than the first pause between attempts.
    await setTimeout(1000);
    far.end("still here");
    expect((await drain(near)).bytes).toBe(10);
    expect([retries, ports.size]).toEqual([[], 1]);
  });
});
