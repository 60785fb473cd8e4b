/** Signals given to `connect`, `listen` and `listener.connect`: before, while a name is looked up, while nobody answers, and afterwards. */
import { getEventListeners, once } from "node:events";
import { expect, it, vi } from "vitest";
import { connect, listen, type Session } from "../../src/index.ts";
import { clientCredentials, closeLater, dial, listener, serverCredentials, silentPort, streamPair } from "./support.ts";

const lookups: ((address: string) => void)[] = [];
/** Names are found when a test says so. */
vi.mock("node:dns/promises", () => ({
  lookup: () =>
    new Promise((resolve) => {
      lookups.push((address) => resolve([{ address, family: 4 }]));
    }),
}));

type Attempt = (target: string, signal: AbortSignal) => Promise<unknown>;
const attempts: [string, () => Promise<Attempt>][] = [
  [
    "connect",
    async () => (target, signal) =>
      connect(target, { credentials: clientCredentials, serverName: "127.0.0.1", connectTimeoutMs: 600_000, signal }),
  ],
  [
    "listener.connect",
    async () => {
      const from = await listener();
      return (target, signal) => from.connect(target, { serverName: "127.0.0.1", connectTimeoutMs: 600_000, signal });
    },
  ],
  ["listen", async () => (target, signal) => listen({ listen: target, credentials: serverCredentials, signal })],
  [
    "listen, with a name for TLS,",
    async () => (target, signal) =>
      listen({ listen: "127.0.0.1:0", listenTls: target, credentials: serverCredentials, signal }),
  ],
];

it.each(attempts)("%s that is aborted before it begins rejects with the reason", async (_name, prepare) => {
  const reason = new Error("no more");
  const before = lookups.length;
  const attempt = await prepare();
  await expect(attempt("somewhere.example:4433", AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(lookups.length).toBe(before);
});

it.each(attempts)("%s that is aborted while a name is looked up rejects at once", async (_name, prepare) => {
  const controller = new AbortController();
  const attempt = await prepare();
  const before = lookups.length;
  const failed = attempt("somewhere.example:4433", controller.signal).catch((error) => error);
  while (lookups.length === before) await new Promise(setImmediate);
  const reason = new Error("no more");
  controller.abort(reason);
  expect(await failed).toBe(reason);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  // What comes late is nobody's.
  lookups[before]("127.0.0.1");
});

it.each(attempts.slice(0, 2))("%s that is aborted while nobody answers rejects at once", async (_name, prepare) => {
  const controller = new AbortController();
  const attempt = await prepare();
  const failed = attempt(`127.0.0.1:${await silentPort()}`, controller.signal).catch((error) => error);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const reason = new Error("no more");
  controller.abort(reason);
  expect(await failed).toBe(reason);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
});

it.each(attempts.slice(0, 2))("%s leaves a session alone that is there, and its signal", async (_name, prepare) => {
  const controller = new AbortController();
  const to = await listener();
  const accepted = once(to, "session");
  const attempt = await prepare();
  const client = closeLater((await attempt(`127.0.0.1:${to.address.port}`, controller.signal)) as Session);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  controller.abort();
  const [server] = (await accepted) as [Session];
  await streamPair(client, server);
});

it("a listener's signal closes it and its sessions, and is let go by one that is closed", async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const other = await listener({ signal });
  await other.close();
  expect(getEventListeners(signal, "abort")).toEqual([]);
  const to = await listener({ signal });
  to.on("session", () => {});
  const client = await dial(to);
  const closed = Promise.all([once(to, "close"), once(client, "close")]);
  controller.abort();
  await closed;
  expect(to.sessions.size).toBe(0);
  const again = await listen({ listen: `127.0.0.1:${to.address.port}`, credentials: serverCredentials });
  await again.close();
});

it("a listener that closes ends what it dials", async () => {
  const from = await listener();
  const options = { serverName: "127.0.0.1", connectTimeoutMs: 600_000 };
  const before = lookups.length;
  const dialling = from.connect(`127.0.0.1:${await silentPort()}`, options).catch((error) => error);
  const looking = from.connect("somewhere.example:4433", options).catch((error) => error);
  while (lookups.length === before) await new Promise(setImmediate);
  await from.close();
  expect(await dialling).toMatchObject({ code: "ERR_BATS_SESSION_CLOSED" });
  lookups[before]("127.0.0.1");
  expect(await looking).toMatchObject({ code: "ERR_BATS_SESSION_CLOSED" });
});
