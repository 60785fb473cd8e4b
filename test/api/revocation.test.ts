/** Certificates that are revoked while sessions are open. */
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { type BatsError, Credentials, connect, type Listener, listen, type Session } from "../../src/index.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "../tls/certificates.ts";
import { closeLater } from "./support.ts";

const root = await Authority.root("root");
const issuer = await root.intermediate("issuer");
const cloud = await issuer.issue("CN=cloud", { usage: [SERVER_AUTH], ip: ["127.0.0.1"] });
const [edge1, edge2] = await Promise.all([1, 2].map((i) => issuer.issue(`CN=edge-${i}`, { usage: [CLIENT_AUTH] })));

const listenWith = async (credentials: Credentials) => closeLater(await listen({ listen: "127.0.0.1:0", credentials }));
const dialWith = async ({ address }: Listener, credentials: Credentials) =>
  closeLater(await connect(`127.0.0.1:${address.port}`, { credentials }));
const sourcesOf = (issued: Issued, crl: string[]) => ({ ca: root.pem, cert: issued.chain, key: issued.key, crl });
const revoking = async (...revoked: Issued[]) => [await issuer.crl(revoked), await root.crl([])];

/** Sessions of both nodes at a server that has a CRL without names. */
async function open() {
  const server = new Credentials(sourcesOf(cloud, await revoking()));
  const client = new Credentials(sourcesOf(edge1, await revoking()));
  const to = await listenWith(server);
  const accepted: Session[] = [];
  to.on("session", (session: Session) => accepted.push(session));
  const near = await dialWith(to, client);
  const other = await dialWith(to, new Credentials(sourcesOf(edge2, [])));
  await expect.poll(() => accepted.length).toBe(2);
  return { to, server, client, near, other, far: accepted[0] };
}

async function closeError(session: Session): Promise<BatsError | null> {
  return (await once(session, "close"))[0];
}

describe("a CRL that is loaded again", () => {
  it("ends the session of the node that it names, and of nobody else, and lets it in no more", async () => {
    const { to, server, near, other, far } = await open();
    const ends = Promise.all([closeError(far), closeError(near)]);
    expect(server.reload(sourcesOf(cloud, await revoking(edge1)))).toBe(true);
    const [here, there] = await ends;
    expect(here).toMatchObject({ code: "ERR_BATS_REVOKED", message: expect.stringContaining('"edge-1"') });
    expect(there).toMatchObject({ code: "ERR_BATS_PEER_CLOSED", message: expect.stringContaining("was revoked") });
    await expect(dialWith(to, new Credentials(sourcesOf(edge1, [])))).rejects.toMatchObject({
      code: "ERR_BATS_HANDSHAKE",
      reason: "revoked",
    });
    expect(to.sessions.size).toBe(1);
    const stream = other.openStream();
    [...to.sessions][0].once("stream", (far) => far.pipe(far));
    stream.end("still here");
    expect(await text(stream)).toBe("still here");
  });

  it("ends the session of a node that showed its chain in disorder, too", async () => {
    // The server's own chain has not the CA that issued the node's certificate.
    const own = await root.issue("CN=cloud", { usage: [SERVER_AUTH], ip: ["127.0.0.1"] });
    const server = new Credentials(sourcesOf(own, await revoking()));
    const to = await listenWith(server);
    const disordered = { ...edge1, chain: `${edge1.pem}${root.pem}${issuer.pem}` };
    const accepted = once(to, "session");
    const near = await dialWith(to, new Credentials(sourcesOf(disordered, [])));
    const end = closeError(near);
    await accepted;
    server.reload(sourcesOf(own, await revoking(edge1)));
    expect(await end).toMatchObject({ message: expect.stringContaining("was revoked") });
  });

  it("ends a client's session with a server that it names", async () => {
    const { client, near, far } = await open();
    const ends = Promise.all([closeError(near), closeError(far)]);
    client.reload(sourcesOf(edge1, await revoking(cloud)));
    expect((await ends)[0]).toMatchObject({ code: "ERR_BATS_REVOKED", message: expect.stringContaining('"cloud"') });
  });

  it("ends the sessions of all nodes below a CA that it names", async () => {
    const { to, server, near, other } = await open();
    const ends = Promise.all([closeError(near), closeError(other)]);
    server.reload(
      sourcesOf(cloud, [await issuer.crl([]), await root.crl([{ serialNumber: serialOf(issuer) } as Issued])]),
    );
    await ends;
    await expect.poll(() => to.sessions.size).toBe(0);
  });

  it("counts for nothing when its CA did not sign it", async () => {
    const { to, server } = await open();
    const impostor = await (await Authority.root("root")).intermediate("issuer");
    server.reload(sourcesOf(cloud, [await impostor.crl([edge1, edge2]), await root.crl([])]));
    await server.revocations();
    await sleep(50);
    expect(to.sessions.size).toBe(2);
  });

  it("of a handshake that had begun before is looked at when it is done", async () => {
    const server = new Credentials(sourcesOf(cloud, await revoking()));
    const to = await listenWith(server);
    const errors: (BatsError | null)[] = [];
    to.on("session", (session: Session) => session.once("close", (error) => errors.push(error)));
    const attempt = dialWith(to, new Credentials(sourcesOf(edge1, []))).catch(() => null);
    const crl = await revoking(edge1);
    // Between its first flight and its proof, or before, or after: whenever it is, there is no session in the end.
    server.reload(sourcesOf(cloud, crl));
    await attempt;
    await expect.poll(() => to.sessions.size).toBe(0);
    for (const error of errors) expect(error?.code).toBe("ERR_BATS_REVOKED");
  });
});

function serialOf({ certificate }: Authority): string {
  return certificate.serialNumber;
}
