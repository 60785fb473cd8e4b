/** What becomes of a session whose client opens it anew, under the same id. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { dial as dialHolder } from "../../src/api/connect.ts";
import { linkSettings, openSocket } from "../../src/api/options.ts";
import { linkSecurity } from "../../src/api/security.ts";
import { sessionFactory } from "../../src/api/session-factory.ts";
import { ClientHolder } from "../../src/endpoint/client-holder.ts";
import { Host } from "../../src/endpoint/host.ts";
import type { Credentials, Listener, Session } from "../../src/index.ts";
import { clientCredentials, closeLater, dial, listener, serverCredentials } from "../api/support.ts";

/** Opens a session of that id, of a port of its own. */
async function open(to: Listener, id: Uint8Array, credentials: Credentials = clientCredentials): Promise<Host> {
  const security = linkSecurity(credentials);
  const host = closeLater(new Host(await openSocket({}, {}), security));
  const { ip, port } = to.address;
  const remote = { ip, port };
  const holder = new ClientHolder({
    session: sessionFactory({}, true)(id),
    driver: host.driver,
    security,
    serverName: ip,
    addresses: { resolve: async () => [remote], note: () => {} },
    settings: linkSettings({}),
    resumeTimeoutMs: 10_000,
  });
  const close = async () => holder.close(0x100, "", 0);
  closeLater({ close });
  const hostPort = { host: ip, port };
  await dialHolder(holder, { target: `${ip}:${port}`, hostPort, remote, timeoutMs: 10_000, signal: undefined });
  return host;
}

/** The listener's sessions, as they come. */
function sessionsOf(to: Listener): Session[] {
  const sessions: Session[] = [];
  to.on("session", (session) => sessions.push(session));
  return sessions;
}

describe("a session that its client opens anew", () => {
  it("ends, and makes room for the new one, for which none else has to go", async () => {
    const to = await listener({ maximumSessionsPerIdentity: 2 });
    const sessions = sessionsOf(to);
    const id = randomBytes(16);
    await open(to, id);
    await dial(to);
    const ended = once(sessions[0], "close");
    await open(to, id);
    expect((await ended)[0]).toMatchObject({ message: expect.stringContaining("opened it anew") });
    expect(sessions.map(({ closed }) => closed)).toEqual([true, false, false]);
  });

  it("lives on when the new one is refused", async () => {
    const to = await listener();
    const sessions = sessionsOf(to);
    const id = randomBytes(16);
    await open(to, id);
    to.refuseNew("closing time");
    await expect(open(to, id)).rejects.toMatchObject({ message: expect.stringContaining("closing time") });
    expect(sessions.map(({ closed }) => closed)).toEqual([false]);
    expect(to.sessions.size).toBe(1);
  });

  it("is none of those without an id, which are not meant to be found again", async () => {
    const to = await listener();
    const sessions = sessionsOf(to);
    await open(to, new Uint8Array(16));
    await open(to, new Uint8Array(16));
    expect(sessions.map(({ closed }) => closed)).toEqual([false, false]);
  });

  it("is not waited for without an id: it ends with its link", async () => {
    const to = await listener({ idleTimeoutMs: 400 });
    const sessions = sessionsOf(to);
    const host = await open(to, new Uint8Array(16));
    await host.close();
    const [error] = await once(sessions[0], "close");
    expect(error).toMatchObject({ message: expect.stringContaining("its client wanted none after it") });
    expect(to.sessions.size).toBe(0);
  });

  it("is none of those of other identities, who may use the same id", async () => {
    const to = await listener();
    const sessions = sessionsOf(to);
    const id = randomBytes(16);
    await open(to, id);
    await open(to, id, serverCredentials);
    expect(sessions.map(({ closed }) => closed)).toEqual([false, false]);
  });
});
