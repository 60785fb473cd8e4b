import { beforeAll, describe, expect, test, vi } from "vitest";
import { Credentials } from "../../src/tls/index.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "./certificates.ts";
import { destroy, keysFit, type Pair, type PairOptions, shake } from "./pair.ts";

let root: Authority;
let issuer: Authority;
let serverCert: Issued;
let clientCert: Issued;
let client: Credentials;
let server: Credentials;

const sourcesOf = (issued: Issued, crl: string[] = []) => ({ ca: root.pem, cert: issued.chain, key: issued.key, crl });

/** With CRLs each CA of the chain needs one. */
const revoking = async (issued: Issued) => [await issuer.crl([issued]), await root.crl([])];

async function once(options: Partial<PairOptions> = {}): Promise<Pair> {
  const pair = await shake({ client, server, ...options });
  destroy(pair);
  return pair;
}

beforeAll(async () => {
  root = await Authority.root("root");
  issuer = await root.intermediate("between");
  serverCert = await issuer.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example", "also.example"] });
  clientCert = await issuer.issue("O=system:nodes, CN=system:node:edge-1", { usage: [CLIENT_AUTH] });
});

describe("a second handshake", () => {
  const fresh = () => {
    client = new Credentials(sourcesOf(clientCert));
    server = new Credentials(sourcesOf(serverCert));
  };

  test("resumes the first, with keys of its own and both identities, in fewer bytes", async () => {
    fresh();
    const first = await once();
    const second = await once();
    const third = await once();
    expect([first.client.resumed, first.server.resumed]).toEqual([false, false]);
    for (const pair of [second, third]) {
      expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
      expect([pair.client.resumed, pair.server.resumed]).toEqual([true, true]);
      expect(pair.client.peer).toEqual(first.client.peer);
      expect(pair.server.peer).toEqual(first.server.peer);
      expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(true);
      expect(keysFit(pair.clientKeys!, first.serverKeys!)).toBe(false);
    }
    // The server's flight is without certificates; a post-quantum key share may still be in it.
    expect(second.flights[1].bytes).toBeLessThan(first.flights[1].bytes - 800);
  });

  test("still depends on the transcript", async () => {
    fresh();
    await once();
    const pair = await once({ clientTranscript: Uint8Array.of(1), serverTranscript: Uint8Array.of(2) });
    expect([pair.client.resumed, pair.server.resumed]).toEqual([true, true]);
    expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(false);
  });

  test("does not resume when it is told not to", async () => {
    fresh();
    await once();
    expect((await once({ resume: false })).server.resumed).toBe(false);
  });

  test("with another expected name shows certificates again", async () => {
    fresh();
    await once();
    const pair = await once({ serverName: "also.example" });
    expect(pair.client.failure).toBe(null);
    expect(pair.client.resumed).toBe(false);
    const wrong = await once({ serverName: "third.example" });
    expect(wrong.client.failure).toMatch(/is not for "third.example"/);
  });

  test("is refused when the client's certificate was revoked in between", async () => {
    fresh();
    await once();
    expect(server.reload(sourcesOf(serverCert, await revoking(clientCert)))).toBe(true);
    const pair = await once();
    expect(pair.server.failure).toMatch(/has been revoked$/);
    expect(pair.server.peer).toBe(null);
  });

  test("is refused by the client when the server's certificate was revoked in between", async () => {
    fresh();
    await once();
    client.reload(sourcesOf(clientCert, await revoking(serverCert)));
    const pair = await once();
    expect(pair.client.failure).toMatch(/has been revoked$/);
  });

  test("is made in full after either end's credentials changed, or the server's process", async () => {
    fresh();
    await once();
    const another = await Authority.root("another root");
    const renewed = await another.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example"] });
    server.reload({ ...sourcesOf(renewed), ca: [root.pem, another.pem] });
    client.reload({ ...sourcesOf(clientCert), ca: [root.pem, another.pem] });
    const pair = await once();
    expect([pair.client.failure, pair.client.resumed]).toEqual([null, false]);
    server = new Credentials(sourcesOf(serverCert));
    expect((await once()).server).toMatchObject({ failure: null, resumed: false });
    expect((await once()).server).toMatchObject({ failure: null, resumed: true });
  });

  test("is not resumed once a certificate has expired: a server refuses the ticket, a client does not try", async () => {
    const soon = { toDays: 0.1 };
    const expiredAt = (credentials: Credentials) => Date.parse(credentials.certificate.validTo) + 1000;
    try {
      fresh();
      client = new Credentials(sourcesOf(await issuer.issue("CN=short", { usage: [CLIENT_AUTH], ...soon })));
      await once();
      vi.useFakeTimers({ toFake: ["Date"], now: expiredAt(client) });
      const refused = await once();
      expect(refused.server.resumed).toBe(true);
      expect(refused.server.failure).toMatch(/^the client's certificate, or a CA of its chain, has expired since/);
      expect([refused.serverKeys, refused.server.peer]).toEqual([null, null]);
      vi.useRealTimers();

      fresh();
      const short = await issuer.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example"], ...soon });
      server = new Credentials(sourcesOf(short));
      await once();
      vi.useFakeTimers({ toFake: ["Date"], now: expiredAt(server) });
      expect((await once()).client.resumed).toBe(false);
    } finally {
      vi.useRealTimers();
    }
  });

  test.each(["an intermediate", "a root"])(
    "is not resumed once %s above the certificates has expired",
    async (which) => {
      const soon = { toDays: 0.1 };
      const top = await Authority.root("top", "P-256", which === "a root" ? soon : {});
      const between = await top.intermediate("between", "P-256", which === "a root" ? {} : soon);
      const sources = (issued: Issued) => ({ ca: top.pem, cert: issued.chain, key: issued.key });
      client = new Credentials(sources(await between.issue("CN=edge", { usage: [CLIENT_AUTH] })));
      server = new Credentials(
        sources(await between.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["cloud.example"] })),
      );
      await once();
      expect((await once()).server).toMatchObject({ failure: null, resumed: true });
      const end = Date.parse((which === "a root" ? top : between).certificate.notAfter.toISOString());
      vi.useFakeTimers({ toFake: ["Date"], now: end + 1000 });
      try {
        // The client would not offer its ticket; one that does all the same is refused.
        expect((await once()).client.resumed).toBe(false);
      } finally {
        vi.useRealTimers();
      }
    },
  );
});

test("tickets are void after a day, when the server takes new keys for them", async () => {
  client = new Credentials(sourcesOf(clientCert));
  server = new Credentials(sourcesOf(serverCert));
  await once();
  expect((await once()).server.resumed).toBe(true);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 25 * 3_600_000 });
  try {
    expect((await once()).server).toMatchObject({ failure: null, resumed: false });
    expect((await once()).server).toMatchObject({ failure: null, resumed: true });
  } finally {
    vi.useRealTimers();
  }
});

test("a handshake that began before the credentials changed goes on with the old ones", async () => {
  client = new Credentials(sourcesOf(clientCert));
  server = new Credentials(sourcesOf(serverCert));
  const other = await Authority.root("other");
  const pair = shake({ client, server, clientAlpn: "x/1", serverAlpn: "x/1" });
  server.reload({ ...sourcesOf(serverCert), ca: other.pem });
  expect((await pair).server.failure).toBe(null);
  destroy(await pair);
  expect((await once()).server.failure).toMatch(/was not issued by a CA that the server trusts/);
});
