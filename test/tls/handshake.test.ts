import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { Credentials, identityOf, TlsHandshake } from "../../src/tls/index.ts";
import { Authority, CLIENT_AUTH, type Issued, type IssueOptions, type KeyKind, SERVER_AUTH } from "./certificates.ts";
import { destroy, keysFit, type Pair, type PairOptions, settle, shake } from "./pair.ts";

const NODE = "O=system:nodes, CN=system:node:edge-1";
const SERVER: IssueOptions = { usage: [SERVER_AUTH], dns: ["cloud.example"], ip: ["192.0.2.1", "2001:db8::1"] };

let root: Authority;
let serverCert: Issued;
let clientCert: Issued;

function credentials(issued: Issued, ca: Authority = root, crl: string[] = []): Credentials {
  return new Credentials({ ca: ca.pem, cert: issued.chain, key: issued.key, crl });
}

async function run<T>(options: Partial<PairOptions>, check: (pair: Pair) => T): Promise<T> {
  const pair = await shake({ client: credentials(clientCert), server: credentials(serverCert), ...options });
  try {
    return check(pair);
  } finally {
    destroy(pair);
  }
}

beforeAll(async () => {
  root = await Authority.root("root");
  serverCert = await root.issue("CN=cloud", SERVER);
  clientCert = await root.issue(NODE, { usage: [CLIENT_AUTH] });
});

describe("a handshake", () => {
  test("gives both ends the same keys and each the other's identity", () =>
    run({}, (pair) => {
      expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
      expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(true);
      expect(keysFit(pair.clientKeys!.next(), pair.serverKeys!.next())).toBe(true);
      expect(keysFit(pair.clientKeys!.next(), pair.serverKeys!)).toBe(false);
      expect(pair.server.peer).toMatchObject({
        commonName: "system:node:edge-1",
        organization: ["system:nodes"],
        subjectAltNames: [],
      });
      expect(pair.server.peer!.serialNumber.toLowerCase()).toBe(clientCert.serialNumber);
      expect(pair.client.peer!.subjectAltNames).toEqual([
        "DNS:cloud.example",
        "IP Address:192.0.2.1",
        "IP Address:2001:DB8:0:0:0:0:0:1",
      ]);
      expect(pair.client.aead).toBe(pair.server.aead);
    }));

  test.each<[KeyKind, boolean]>([
    ["P-256", false],
    ["P-256", true],
    ["RSA-2048", false],
    ["RSA-2048", true],
    ["Ed25519", false],
    ["Ed25519", true],
  ])("works with %s certificates, with an intermediate: %s", async (kind, withIntermediate) => {
    const ca = await Authority.root("a root", kind);
    const issuer = withIntermediate ? await ca.intermediate("an intermediate") : ca;
    const server = credentials(await issuer.issue("CN=cloud", { ...SERVER, kind }), ca);
    const client = credentials(await issuer.issue(NODE, { usage: [CLIENT_AUTH], kind }), ca);
    await run({ client, server }, (pair) => {
      expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
      expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(true);
    });
  });

  test("has no keys before the peer can have its own", async () => {
    const pair = await shake({ client: credentials(clientCert), server: credentials(serverCert) });
    destroy(pair);
    // hello; hello to finished; certificate to finished; tickets, which only keys let go.
    expect(pair.flights.map(({ from }) => from)).toEqual(["client", "server", "client", "server"]);
  });

  test("gives other keys when the transcripts differ in one byte", () =>
    run({ clientTranscript: Uint8Array.of(1, 2, 3), serverTranscript: Uint8Array.of(1, 2, 4) }, (pair) => {
      expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
      expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(false);
    }));

  test("waits for the transcript when that comes last", async () => {
    const client = new TlsHandshake({
      role: "client",
      credentials: credentials(clientCert),
      serverName: "cloud.example",
    });
    const server = new TlsHandshake({ role: "server", credentials: credentials(serverCert) });
    const pair: Pair = { client, server, clientKeys: null, serverKeys: null, flights: [] };
    await settle(pair);
    expect([pair.clientKeys, pair.serverKeys]).toEqual([null, null]);
    client.bind(Uint8Array.of(1));
    server.bind(Uint8Array.of(1));
    await settle(pair);
    expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(true);
    destroy(pair);
  });

  test.each(["192.0.2.1", "2001:db8::1", "2001:db8::1%eth0", "Cloud.Example."])(
    "accepts %s as the server's name",
    (serverName) =>
      run({ serverName }, (pair) => {
        expect(pair.client.failure).toBe(null);
        expect(keysFit(pair.clientKeys!, pair.serverKeys!)).toBe(true);
      }),
  );
});

describe("an identity", () => {
  const of = async (subject: string, dns: string[] = []) =>
    identityOf(new X509Certificate((await root.issue(subject, { dns })).pem));

  test("has the last CN and every O", async () => {
    expect(await of("CN=first, O=one, O=two, CN=last")).toMatchObject({
      commonName: "last",
      organization: ["one", "two"],
      subjectAltNames: [],
    });
    expect((await of("O=nobody")).commonName).toBe("");
  });

  test("takes no name for two, whatever is in it", async () => {
    const tricky = ["a.example, DNS:evil.example", 'quo"te', "plain.example"];
    const identity = await of("CN=node\\, O=system:masters\\+O=x", tricky);
    expect(identity.commonName).toBe("node, O=system:masters+O=x");
    expect(identity.organization).toEqual([]);
    expect(identity.subjectAltNames).toEqual(tricky.map((name) => `DNS:${name}`));
  });
});
