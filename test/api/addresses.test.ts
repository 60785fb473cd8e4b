import { once } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { type ClientOptions, connect, listen, type Session } from "../../src/index.ts";
import { Relay } from "./relay.ts";
import { clientCredentials, closeLater, listener, serverCredentials, streamPair } from "./support.ts";

// Nothing listens at the first two: an IPv6 route that leads nowhere looks like that.
vi.mock("node:dns/promises", () => ({
  lookup: async (host: string) => {
    const addresses = host.startsWith("two-") ? ["127.0.0.2", "127.0.0.1"] : ["127.0.0.3", "127.0.0.2", "127.0.0.1"];
    return addresses.map((address) => ({ address, family: 4 }));
  },
}));

type Attempt = (options: ClientOptions) => Promise<Session>;

const options = { serverName: "127.0.0.1" };
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

describe("a session whose address falls silent", () => {
  /** A server with an address of its own, and one before it by a relay. */
  const server = async (options: Parameters<typeof listener>[0] = {}) => {
    const to = await listener(options);
    const { port } = to.address;
    return { to, port, relay: closeLater(await Relay.open(port, { listen: { ip: "127.0.0.2", port } })) };
  };
  const common = { credentials: clientCredentials, ...options, keepAliveMs: 100 };

  it("goes on by the next one, and new sessions begin there", async () => {
    const { to, port, relay } = await server();
    const accepted = once(to, "session");
    const client = closeLater(await connect(`two-ways.example:${port}`, common));
    const { far } = await streamPair(client, ((await accepted) as [Session])[0]);
    expect(client.peer.address.ip).toBe("127.0.0.2");
    const resumed = once(client, "resumed");
    relay.blocked = true;
    await resumed;
    expect(client.peer.address.ip).toBe("127.0.0.1");
    expect(far.destroyed).toBe(false);
    relay.blocked = false;
    to.on("session", () => {});
    const other = closeLater(await connect(`two-ways.example:${port}`, common));
    expect(other.peer.address.ip).toBe("127.0.0.1");
  });

  it("tries all of them beside a fallback", async () => {
    const { to, port, relay } = await server({ listenTls: "127.0.0.1:0" });
    to.on("session", () => {});
    relay.blocked = true;
    const fallback = { target: `tls:127.0.0.1:${to.tlsAddress!.port}`, afterMs: 100, returnMs: 100 };
    const client = closeLater(await connect(`two-tls.example:${port}`, { ...common, fallback }));
    expect(client.peer.address.carrier).toBeDefined();
    await once(client, "path");
    expect(client.peer.address).toMatchObject({ ip: "127.0.0.1", port });
    expect(client.peer.address.carrier).toBeUndefined();
  });
});
