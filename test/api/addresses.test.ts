import { expect, it, vi } from "vitest";
import { type ClientOptions, connect, listen, type Session } from "../../src/index.ts";
import { clientCredentials, closeLater, listener, serverCredentials } from "./support.ts";

// Nothing listens at the first two: an IPv6 route that leads nowhere looks like that.
vi.mock("node:dns/promises", () => ({
  lookup: async () => ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map((address) => ({ address, family: 4 })),
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
