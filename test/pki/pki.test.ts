import { execFileSync, spawnSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createAuthority,
  defaultSubjectAltNames,
  issueCertificate,
  type Pem,
  parseSubjectAltName,
} from "../../src/pki/certificates.ts";
import { PkiFileError, pemPaths, readPem, writePem } from "../../src/pki/files.ts";
import { createFolder } from "../proxy/local.ts";

const folder = createFolder();
afterAll(folder.remove);

let authority: Pem;
beforeAll(async () => {
  authority = await createAuthority("test root", 30);
});

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

describe("a small certificate authority", () => {
  it("issues certificates that verify under it, with the names that were asked for", async () => {
    const issued = await issueCertificate(authority, {
      commonName: "system:node:edge-1",
      organization: "system:nodes",
      subjectAltNames: ["edge-1.example", "IP:192.0.2.7", "2001:db8::1", "URI:spiffe://x/edge-1"],
      server: false,
      days: 10,
    });
    const root = new X509Certificate(authority.certificate);
    const certificate = new X509Certificate(issued.certificate);
    expect(certificate.verify(root.publicKey)).toBe(true);
    expect(certificate.checkIssued(root)).toBe(true);
    expect(root.ca).toBe(true);
    expect(certificate.ca).toBe(false);
    expect(certificate.subject).toBe("O=system:nodes\nCN=system:node:edge-1");
    expect(certificate.subjectAltName).toBe(
      "DNS:edge-1.example, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:1, URI:spiffe://x/edge-1",
    );
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
    const { createPrivateKey } = await import("node:crypto");
    expect(certificate.checkPrivateKey(createPrivateKey(issued.key))).toBe(true);
  });

  it("never issues one that outlives it", async () => {
    const { notAfter } = await issueCertificate(authority, {
      commonName: "x",
      subjectAltNames: [],
      server: true,
      days: 9999,
    });
    expect(notAfter).toEqual(new Date(new X509Certificate(authority.certificate).validTo));
  });

  it.runIf(hasOpenssl)("satisfies openssl verify, for a server and for a client", async () => {
    for (const server of [true, false]) {
      const issued = await issueCertificate(authority, {
        commonName: "cloud",
        subjectAltNames: ["cloud"],
        server,
        days: 3,
      });
      const ca = join(folder.path, "ca.crt");
      const certificate = join(folder.path, "cloud.crt");
      writeFileSync(ca, authority.certificate);
      writeFileSync(certificate, issued.certificate);
      const purpose = server ? "sslserver" : "sslclient";
      const options = ["verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca];
      expect(
        String(execFileSync("openssl", [...options, ...(server ? ["-verify_hostname", "cloud"] : []), certificate])),
      ).toContain(": OK");
      const other = server ? "sslclient" : "sslserver";
      expect(spawnSync("openssl", ["verify", "-purpose", other, "-CAfile", ca, certificate]).status).not.toBe(0);
    }
  });

  it("keeps keys private and overwrites nothing", () => {
    const nested = join(folder.path, "a/b");
    const paths = pemPaths(nested, "ca");
    writePem(paths, nested, authority);
    expect(statSync(paths.key).mode & 0o777).toBe(0o600);
    expect(statSync(nested).mode & 0o777).toBe(0o700);
    expect(readPem(paths)).toEqual(authority);
    expect(() => writePem(paths, nested, { certificate: "x", key: "y" })).toThrow(PkiFileError);
    expect(readFileSync(paths.key, "utf8")).toBe(authority.key);
    expect(() => readPem(pemPaths(folder.path, "none"))).toThrow("pki init");
  });

  it("reads alternative names, and takes those of a name that is a host's", () => {
    expect(parseSubjectAltName("*.example.com")).toEqual({ type: "dns", value: "*.example.com" });
    expect(parseSubjectAltName("IP:::1")).toEqual({ type: "ip", value: "::1" });
    expect(defaultSubjectAltNames("cloud.example")).toEqual(["DNS:cloud.example"]);
    expect(defaultSubjectAltNames("10.0.0.1")).toEqual(["IP:10.0.0.1"]);
    expect(defaultSubjectAltNames("system:node:a")).toEqual([]);
    for (const text of ["", "a b", "IP:cloud", "DNS:a/b", "URI:nothing"])
      expect(() => parseSubjectAltName(text)).toThrow("write DNS:HOST");
  });
});
