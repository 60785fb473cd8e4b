import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Credentials } from "../../src/tls/index.ts";
import { chainAbove } from "../../src/tls/peer-chain.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "./certificates.ts";
import { destroy, type Pair, shake } from "./pair.ts";

const read = (pem: string) => new X509Certificate(pem);
const root = await Authority.root("root");
const issuer = await root.intermediate("issuer", "P-256", { toDays: 5 });
const edge = read((await issuer.issue("CN=edge", { usage: [CLIENT_AUTH], toDays: 20 })).pem);
const [trusted, above] = [root, issuer].map(({ pem }) => read(pem));

const namesOf = (shown: X509Certificate[], anchors = [trusted]) =>
  chainAbove(edge, shown, anchors).authorities.map(({ serialNumber }) => serialNumber);

describe("the chain of a peer", () => {
  it("is that from its certificate to a CA that is trusted, in whatever order it was shown", async () => {
    const stranger = read((await Authority.root("stranger", "P-256", { toDays: 1 })).pem);
    for (const shown of [[above], [trusted, above], [stranger, above], [above, trusted, stranger]]) {
      expect(namesOf(shown)).toEqual([above.serialNumber]);
      expect(chainAbove(edge, shown, [trusted]).endMs).toBe(Date.parse(above.validTo));
    }
  });

  it("has no part that only bears the name of one of its CAs", async () => {
    const impostor = read((await (await Authority.root("root")).intermediate("issuer")).pem);
    expect(namesOf([impostor, above])).toEqual([above.serialNumber]);
    expect(namesOf([impostor])).toEqual([]);
  });

  it("nor one that bears its name and key, but comes from nobody trusted", async () => {
    const copy = read((await issuer.certifiedBy(await Authority.root("root"))).pem);
    expect(edge.verify(copy.publicKey)).toBe(true);
    expect(namesOf([copy, above])).toEqual([above.serialNumber]);
    expect(namesOf([copy])).toEqual([]);
  });

  it("ends where trusted CAs have certified each other", async () => {
    const other = await Authority.root("other");
    const mutual = [await issuer.certifiedBy(other), await other.certifiedBy(issuer)].map(({ pem }) => read(pem));
    expect(namesOf([], mutual)).toEqual(mutual.map(({ serialNumber }) => serialNumber));
  });

  it("goes by what is trusted before what was shown, and of two CAs that may have issued it, by the one that lasts longest", async () => {
    const renewed = read((await issuer.certifiedBy(root, { toDays: 25 })).pem);
    for (const anchors of [
      [above, renewed, trusted],
      [renewed, above, trusted],
    ]) {
      expect(namesOf([above], anchors)).toEqual([renewed.serialNumber]);
      expect(chainAbove(edge, [above], anchors).endMs).toBe(Date.parse(edge.validTo));
    }
  });
});

describe("a handshake", () => {
  const client = { usage: [CLIENT_AUTH] };
  const server = { usage: [SERVER_AUTH], dns: ["cloud.example"] };
  const of = ({ chain, key }: Issued, ca: string) => new Credentials({ ca, cert: chain, key });

  async function shakeOnce(ends: Parameters<typeof shake>[0]): Promise<Pair> {
    const pair = await shake(ends);
    destroy(pair);
    return pair;
  }

  it("takes a peer for who its own certificate says, whatever other one stands in a text of that", async () => {
    const [victim, named] = await Promise.all([root.issue("CN=victim", client), root.issue("CN=cloud", server)]);
    const thief = await root.issue("CN=thief", { ...client, text: `\n${victim.pem}` });
    const other = await root.issue("CN=other", { ...server, dns: ["other.example"], text: `\n${named.pem}` });
    const { server: took } = await shakeOnce({ client: of(thief, root.pem), server: of(named, root.pem) });
    expect(took.peer?.commonName).toBe("thief");
    const { client: dialled } = await shakeOnce({ client: of(victim, root.pem), server: of(other, root.pem) });
    expect(dialled.failure).toMatch(/other\.example/);
  });

  it("ends where trusted CAs have certified each other, in whatever order they are given", async () => {
    const stranger = await Authority.root("stranger");
    const [one, two] = [(await root.certifiedBy(stranger)).pem, (await stranger.certifiedBy(root)).pem];
    const between = await root.intermediate("between");
    const [edgeOf, cloudOf] = [await between.issue("CN=edge", client), await between.issue("CN=cloud", server)];
    for (const ca of [root.pem + one + two, one + two + root.pem, two + one + root.pem, one + two, two + one]) {
      const pair = await shakeOnce({ client: of(edgeOf, ca), server: of(cloudOf, ca) });
      // OpenSSL goes round as well, if not for ever, and may miss the root.
      expect(pair.client.failure ?? "trusted").toMatch(/^trusted$|not issued by a CA that the client trusts/);
      if (ca.startsWith(root.pem)) expect([pair.client.failure, pair.server.failure]).toEqual([null, null]);
    }
  });

  it("reads certificates of any length", async () => {
    const named = of(await root.issue("CN=cloud", server), root.pem);
    for (let bytes = 1; bytes <= 48; bytes++) {
      const edgeOf = await root.issue("CN=edge", { ...client, text: "x".repeat(bytes) });
      const { server: took } = await shakeOnce({ client: of(edgeOf, root.pem), server: named });
      expect(took.peer?.serialNumber.toLowerCase()).toBe(edgeOf.serialNumber);
    }
  });
});
