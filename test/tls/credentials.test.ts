import { createPrivateKey, X509Certificate } from "node:crypto";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CredentialSources, Credentials, CredentialsError } from "../../src/tls/index.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "./certificates.ts";

const NODE = "O=system:nodes, CN=system:node:edge-1";

let folder: string;
let root: Authority;
let node: Issued;
let other: Issued;

const file = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "bats-credentials-"));
  root = await Authority.root("root");
  [node, other] = await Promise.all([root.issue(NODE, { usage: [CLIENT_AUTH] }), root.issue("CN=other")]);
  writeFileSync(file("ca.pem"), root.pem);
  writeFileSync(file("node.pem"), node.chain);
  writeFileSync(file("node.key"), node.key);
  writeFileSync(file("noise"), "noise\n");
});

afterAll(() => rmSync(folder, { recursive: true }));

function problem(change: Partial<CredentialSources>): CredentialsError {
  try {
    new Credentials({ ca: file("ca.pem"), cert: file("node.pem"), key: file("node.key"), ...change });
  } catch (error) {
    expect(error).toBeInstanceOf(CredentialsError);
    return error as CredentialsError;
  }
  throw new Error("nothing was found wrong");
}

describe("credentials", () => {
  test("come from files, text or bytes", () => {
    for (const sources of [
      { ca: file("ca.pem"), cert: file("node.pem"), key: file("node.key") },
      { ca: root.pem, cert: node.chain, key: node.key },
      { ca: [Buffer.from(root.pem), file("ca.pem")], cert: Buffer.from(node.chain), key: Buffer.from(node.key) },
    ]) {
      expect(new Credentials(sources).certificate.subject).toBe("O=system:nodes\nCN=system:node:edge-1");
    }
  });

  test("take keys in any of the PEM forms", () => {
    const key = createPrivateKey(node.key);
    for (const type of ["sec1", "pkcs8"] as const) {
      const pem = key.export({ type, format: "pem" }) as string;
      new Credentials({ ca: root.pem, cert: node.chain.replaceAll("\n", "\r\n"), key: `some text\n${pem}` });
    }
  });

  test("name a file that is not there, as one to wait for", () => {
    for (const part of ["ca", "cert", "key", "crl"] as const) {
      const error = problem({ [part]: file("nowhere") });
      expect(error).toMatchObject({ part, code: "missing" });
      expect(error.message).toBe(`the ${named(part)} ${file("nowhere")} does not exist`);
    }
  });

  test("name what is not PEM, or another PEM", () => {
    expect(problem({ cert: file("noise") }).message).toBe(
      `the certificate ${file("noise")} is not PEM; wanted: "-----BEGIN CERTIFICATE-----"`,
    );
    expect(problem({ ca: file("node.key") }).message).toBe(
      `the CA certificate ${file("node.key")} holds a "PRIVATE KEY"; wanted: "-----BEGIN CERTIFICATE-----"`,
    );
    expect(problem({ key: file("node.pem") }).message).toBe(
      `the private key ${file("node.pem")} holds no private key in PEM that OpenSSL can read`,
    );
    expect(problem({ crl: root.pem }).message).toBe(
      `the CRL holds a "CERTIFICATE"; wanted: "-----BEGIN X509 CRL-----"`,
    );
    expect(problem({ cert: folder }).message).toBe(`the certificate ${folder} is a directory; wanted: a PEM file`);
  });

  test("name damage", () => {
    const damaged = node.pem.replace(/[A-Za-z]{20}/, "AAAAAAAAAAAAAAAAAAAA");
    expect(problem({ cert: damaged }).message).toMatch(
      /^the certificate holds a damaged certificate$|is not the key of/,
    );
    expect(problem({ crl: "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----" })).toMatchObject({ part: "crl" });
  });

  test("name a key of another certificate", () => {
    expect(problem({ key: other.key }).message).toBe(
      `the private key is not the key of the certificate ${file("node.pem")} (O=system:nodes, CN=system:node:edge-1)`,
    );
  });

  test("name an encrypted key without its passphrase", () => {
    const key = createPrivateKey(node.key).export({
      type: "pkcs8",
      format: "pem",
      cipher: "aes-256-cbc",
      passphrase: "x",
    });
    expect(problem({ key }).message).toBe("the private key is encrypted: give its passphrase");
    expect(problem({ key, passphrase: "y" }).message).toBe("the private key does not open with this passphrase");
    new Credentials({ ca: root.pem, cert: node.chain, key, passphrase: "x" });
  });

  test("name an expired certificate, or one that is not valid yet, and the clock", async () => {
    const expired = await root.issue(NODE, { fromDays: -9, toDays: -2 });
    expect(problem({ cert: expired.chain, key: expired.key }).message).toMatch(
      /^the certificate: the certificate of O=system:nodes, CN=system:node:edge-1 expired on .* GMT; this machine's clock says 20.*Z$/,
    );
    const early = await root.issue(NODE, { fromDays: 2 });
    expect(problem({ cert: early.chain, key: early.key }).message).toMatch(
      /is not valid before .* GMT; this machine's clock says 20.*Z: is it wrong\?$/,
    );
    const oldCa = await Authority.root("old", "P-256", { fromDays: -9, toDays: -2 });
    expect(problem({ ca: oldCa.pem })).toMatchObject({
      part: "ca",
      message: expect.stringContaining("CN=old expired on"),
    });
    new Credentials({ ca: [oldCa.pem, root.pem], cert: node.chain, key: node.key });
  });

  test("name a certificate that is not made for the part which it is to play, also a renewed one", async () => {
    const [client, server, signing] = await Promise.all(
      [[CLIENT_AUTH], [SERVER_AUTH], ["1.3.6.1.5.5.7.3.3"]].map((usage) => root.issue(NODE, { usage })),
    );
    const of = ({ chain, key }: Issued) => new Credentials({ ca: root.pem, cert: chain, key });
    const refuses = (issued: Issued, role: "client" | "server", words: string) =>
      expect(() => of(issued).useAs(role)).toThrow(
        expect.objectContaining({ part: "cert", code: "wrong-use", message: expect.stringContaining(words) }),
      );
    refuses(
      client,
      "server",
      "is for a client, no client accepts it from a server: its extended key usage must have serverAuth",
    );
    refuses(
      server,
      "client",
      "is for a server, no server accepts it from a client: its extended key usage must have clientAuth",
    );
    refuses(signing, "client", "is for another purpose");
    for (const role of ["client", "server"] as const) of(other).useAs(role);

    const credentials = of(server);
    credentials.useAs("server");
    expect(() => credentials.reload({ ca: root.pem, cert: client.chain, key: client.key })).toThrow("is for a client");
    expect(credentials.certificate.serialNumber).toBe(new X509Certificate(server.pem).serialNumber);
  });

  test("know whether their own CA issued them, through intermediates", async () => {
    const intermediate = await root.intermediate("below");
    const stranger = await Authority.root("stranger");
    const below = await intermediate.issue(NODE);
    const isOwn = (ca: Authority, { key }: Issued, cert: string) =>
      new Credentials({ ca: ca.pem, cert, key }).current.isOwnCa;
    expect(isOwn(root, node, node.chain)).toBe(true);
    expect(isOwn(stranger, node, node.chain)).toBe(false);
    expect(isOwn(root, below, below.chain)).toBe(true);
    expect(isOwn(root, below, below.pem)).toBe(false);
  });

  test("name the lack of a CA", () => {
    expect(problem({ ca: [] }).message).toBe("no CA certificate was given: whom should this node trust?");
  });

  test.skipIf(process.getuid?.() === 0)("name a file that may not be read", () => {
    writeFileSync(file("secret.key"), node.key);
    chmodSync(file("secret.key"), 0);
    expect(problem({ key: file("secret.key") }).message).toBe(
      `the private key ${file("secret.key")} may not be read by this user`,
    );
  });

  test("are read again on request, say whether anything changed, and stay as they were when something is wrong", async () => {
    const renewed = await root.issue(NODE, { usage: [CLIENT_AUTH] });
    for (const [name, text] of [
      ["r.pem", node.chain],
      ["r.key", node.key],
    ]) {
      writeFileSync(file(name), text);
    }
    const credentials = new Credentials({ ca: root.pem, cert: file("r.pem"), key: file("r.key") });
    const before = credentials.current;
    expect(credentials.reload()).toBe(false);
    expect(credentials.current).toBe(before);
    writeFileSync(file("r.pem"), renewed.chain);
    // Rotation is not atomic: the key comes a moment later.
    expect(() => credentials.reload()).toThrow(CredentialsError);
    expect(credentials.current).toBe(before);
    writeFileSync(file("r.key"), renewed.key);
    expect(credentials.reload()).toBe(true);
    expect(credentials.certificate.serialNumber.toLowerCase()).toBe(renewed.serialNumber);
  });
});

function named(part: "ca" | "cert" | "key" | "crl"): string {
  return { ca: "CA certificate", cert: "certificate", key: "private key", crl: "CRL" }[part];
}
