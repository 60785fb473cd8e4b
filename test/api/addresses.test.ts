import { expect, it, vi } from "vitest";
import { connect, type Session } from "../../src/index.ts";
import { clientCredentials, closeLater, listener } from "./support.ts";

// Nothing listens at the first two: an IPv6 route that leads nowhere looks like that.
vi.mock("node:dns/promises", () => ({
  lookup: async () => ["127.0.0.3", "127.0.0.2", "127.0.0.1"].map((address) => ({ address, family: 4 })),
}));

/** Two attempts in vain, then two that succeed. */
async function reachesTheThird(attempt: () => Promise<Session>): Promise<void> {
  for (let i = 0; i < 2; i++) await expect(attempt()).rejects.toMatchObject({ code: "ERR_BATS_CONNECT_TIMEOUT" });
  for (let i = 0; i < 2; i++) expect(closeLater(await attempt()).peer.address.ip).toBe("127.0.0.1");
}

it("a name that has several addresses leads to the next one when one gives no answer, and stays at the one that does", async () => {
  const listening = await listener();
  listening.on("session", () => {});
  const options = { serverName: "127.0.0.1", connectTimeoutMs: 1000 };
  const target = (host: string) => `${host}:${listening.address.port}`;
  await reachesTheThird(() => connect(target("cloud.example"), { credentials: clientCredentials, ...options }));
  const other = await listener();
  await reachesTheThird(() => other.connect(target("edge.example"), options));
});
