import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { chainAbove } from "../../src/tls/peer-chain.ts";
import { Authority, CLIENT_AUTH } from "./certificates.ts";

const read = (pem: string) => new X509Certificate(pem);
const root = await Authority.root("root");
const issuer = await root.intermediate("issuer", "P-256", { toDays: 5 });
const edge = read((await issuer.issue("CN=edge", { usage: [CLIENT_AUTH], toDays: 20 })).pem);
const [trusted, above] = [root, issuer].map(({ pem }) => read(pem));

const namesOf = (shown: X509Certificate[], anchors = [trusted]) =>
  chainAbove(edge, () => shown, anchors).authorities.map(({ serialNumber }) => serialNumber);

describe("the chain of a peer", () => {
  it("is that from its certificate to a CA that is trusted, in whatever order it was shown", async () => {
    const stranger = read((await Authority.root("stranger", "P-256", { toDays: 1 })).pem);
    for (const shown of [[above], [trusted, above], [stranger, above], [above, trusted, stranger]]) {
      expect(namesOf(shown)).toEqual([above.serialNumber]);
      expect(chainAbove(edge, () => shown, [trusted]).endMs).toBe(Date.parse(above.validTo));
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
      expect(chainAbove(edge, () => [above], anchors).endMs).toBe(Date.parse(edge.validTo));
    }
  });
});
