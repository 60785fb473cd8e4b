/**
 * What a node proves itself with and whom it trusts: PEM files or buffers, checked as soon as they are loaded, replaceable while
 * handshakes go on. A handshake takes the material that is current when it begins. Not here: watching files, issuing
 * certificates.
 */
import { createHash, createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import type { Role } from "../transport/link/aead.ts";
import { preferredAeads } from "./aead.ts";
import { CredentialsError, type CredentialsPart } from "./credentials-error.ts";
import { type PeerChain, PeerChains, pathToTrust } from "./peer-chain.ts";
import { subjectOf } from "./peer-identity.ts";
import type { RevocationLists } from "./revocation.ts";
import { SessionStore } from "./session-store.ts";

/** The path of a PEM file, or PEM text itself: as bytes, or as a string that contains "-----BEGIN ". */
export type PemSource = string | Uint8Array;

/** Where certificates and keys come from. */
export interface CredentialSources {
  /** Certificates of the CAs that may have issued the peer's certificate. */
  ca: PemSource | readonly PemSource[];
  /** This node's certificate, followed by the intermediates up to the peer's CA. */
  cert: PemSource;
  /** The private key of `cert`. */
  key: PemSource;
  /** Certificate revocation lists. When there are any, every CA in a peer's chain needs one. */
  crl?: PemSource | readonly PemSource[];
  /** Of an encrypted key. */
  passphrase?: string;
}

/** One generation of credentials: never changes. */
export interface CredentialMaterial {
  readonly leaf: X509Certificate;
  /** Whether a CA that this node trusts issued `leaf`: usual, and no must, for the peer may trust others. */
  readonly isOwnCa: boolean;
  /** Of peers, up to the CAs that it trusts. */
  readonly chains: PeerChains;
  /** The CAs that it trusts, and those of its own chain. */
  readonly authorities: readonly X509Certificate[];
  readonly crl: readonly string[];
  /** For tls.createServer. */
  readonly options: SecureContextOptions;
  /** For tls.connect. */
  readonly clientContext: SecureContext;
  /** Sessions that a client may resume: with these credentials only. */
  readonly sessions: SessionStore;
  /** The same for the same sources. */
  readonly fingerprint: string;
}

const CIPHER_SUITES = {
  "aes-128-gcm": "TLS_AES_128_GCM_SHA256",
  "chacha20-poly1305": "TLS_CHACHA20_POLY1305_SHA256",
} as const;

/** The extended key usages that the two ends of TLS need (RFC 5280, section 4.2.1.12). */
const USES = {
  server: { oid: "1.3.6.1.5.5.7.3.1", name: "serverAuth" },
  client: { oid: "1.3.6.1.5.5.7.3.2", name: "clientAuth" },
} as const;

/** CAs of peers' chains that are remembered. */
const MAX_SEEN = 64;

/** Certificates and key of a node, which several calls share and `reload()` renews. */
export class Credentials {
  #sources: CredentialSources;
  #material: CredentialMaterial;
  /** The parts that these credentials play. */
  readonly #roles = new Set<Role>();
  /** CAs between those that are trusted and peers, by fingerprint. */
  readonly #seen = new Map<string, X509Certificate>();
  readonly #watchers = new Set<() => void>();
  /** Of what is current. */
  #revocations: Promise<RevocationLists | null> | null = null;

  /** Loads and checks at once. Throws a CredentialsError. */
  constructor(sources: CredentialSources) {
    this.#sources = sources;
    this.#material = load(sources);
  }

  /** What handshakes that begin now use. */
  get current(): CredentialMaterial {
    return this.#material;
  }

  /** This node's certificate. */
  get certificate(): X509Certificate {
    return this.#material.leaf;
  }

  /**
   * Checks that the certificate is made for the part of `role`, now and at each `reload`: no peer would take another. Throws a
   * CredentialsError.
   */
  useAs(role: Role): void {
    checkUse(this.#sources, this.#material.leaf, role);
    this.#roles.add(role);
  }

  /**
   * Reads the same sources again, or takes others: handshakes that begin later use them, and no session from before can be
   * resumed. Returns whether anything changed. Throws a CredentialsError and keeps what it had when something is wrong.
   */
  reload(sources: CredentialSources = this.#sources): boolean {
    const material = load(sources);
    for (const role of this.#roles) checkUse(sources, material.leaf, role);
    this.#sources = sources;
    if (material.fingerprint === this.#material.fingerprint) return false;
    this.#material = material;
    this.#revocations = null;
    for (const watcher of this.#watchers) watcher();
    return true;
  }

  /** Calls `watcher` after each change. Returns what ends that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Remembers CAs of a chain that was accepted: later CRLs may be theirs. */
  remember(authorities: PeerChain["authorities"]): void {
    for (const authority of authorities) {
      const { fingerprint256 } = authority;
      if (this.#seen.size < MAX_SEEN && !this.#seen.has(fingerprint256)) {
        this.#seen.set(fingerprint256, authority);
        this.#revocations = null;
      }
    }
  }

  /** The CRLs that are current, to ask about certificates that were accepted before; null when there are none. */
  revocations(): Promise<RevocationLists | null> {
    this.#revocations ??= this.#readRevocations();
    return this.#revocations;
  }

  async #readRevocations(): Promise<RevocationLists | null> {
    const { crl, authorities } = this.#material;
    if (crl.length === 0) return null;
    const { RevocationLists } = await import("./revocation.ts");
    return RevocationLists.read(crl, [...authorities, ...this.#seen.values()]);
  }
}

function load(sources: CredentialSources): CredentialMaterial {
  const ca = listOf(sources.ca).flatMap((source) => pemBlocks("ca", source, "CERTIFICATE"));
  if (ca.length === 0)
    throw new CredentialsError("ca", "malformed", "no CA certificate was given: whom should this node trust?");
  const chain = pemBlocks("cert", sources.cert, "CERTIFICATE");
  const crl = listOf(sources.crl ?? []).flatMap((source) => pemBlocks("crl", source, "X509 CRL"));
  const keyPem = readPem("key", sources.key);

  const authorities = ca.map((pem) => parseCertificate("ca", sources.ca, pem));
  const [leaf, ...intermediates] = chain.map((pem) => parseCertificate("cert", sources.cert, pem));
  for (const certificate of [leaf, ...intermediates]) checkValidity("cert", sources.cert, certificate);
  // Of several CAs some may have had their day, as long as one has not.
  if (!authorities.some(isValidNow)) checkValidity("ca", sources.ca, authorities[0]);
  checkKey(sources, keyPem, leaf);

  const options: SecureContextOptions = {
    ca,
    cert: chain.join("\n"),
    key: keyPem,
    ...(crl.length > 0 ? { crl } : {}),
    ...(sources.passphrase === undefined ? {} : { passphrase: sources.passphrase }),
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: preferredAeads()
      .map((aead) => CIPHER_SUITES[aead])
      .join(":"),
  };
  return {
    leaf,
    isOwnCa: pathToTrust(leaf, intermediates, authorities) !== null,
    chains: new PeerChains(authorities),
    authorities: [...authorities, ...intermediates],
    crl,
    options,
    clientContext: createContext(options, sources),
    sessions: new SessionStore(),
    fingerprint: createHash("sha256")
      .update(JSON.stringify([ca, chain, crl, keyPem]))
      .digest("hex"),
  };
}

function createContext(options: SecureContextOptions, sources: CredentialSources): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    const { message } = error as Error;
    const part: CredentialsPart = /crl/i.test(message) ? "crl" : "cert";
    throw new CredentialsError(
      part,
      "malformed",
      `TLS cannot use ${placeOf(part, sources[part] ?? sources.cert)}: ${message}`,
    );
  }
}

function checkKey(sources: CredentialSources, pem: string, leaf: X509Certificate): void {
  const place = placeOf("key", sources.key);
  let matches: boolean;
  try {
    const { passphrase } = sources;
    matches = leaf.checkPrivateKey(createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase }));
  } catch {
    // Both PEM forms of an encrypted key say so in their headers.
    if (pem.includes("ENCRYPTED")) {
      const how =
        sources.passphrase === undefined ? "is encrypted: give its passphrase" : "does not open with this passphrase";
      throw new CredentialsError("key", "encrypted", `${place} ${how}`);
    }
    throw new CredentialsError("key", "malformed", `${place} holds no private key in PEM that OpenSSL can read`);
  }
  if (!matches) {
    throw new CredentialsError(
      "key",
      "other-key",
      `${place} is not the key of ${placeOf("cert", sources.cert)} (${subjectOf(leaf)})`,
    );
  }
}

/** Where there are extended key usages they must fit; that "any" is among them is not enough for OpenSSL, and so for no peer. */
function checkUse({ cert }: CredentialSources, leaf: X509Certificate, role: Role): void {
  const uses: readonly string[] | undefined = leaf.keyUsage;
  const { oid, name } = USES[role];
  if (uses === undefined || uses.includes(oid)) return;
  const other = role === "server" ? "client" : "server";
  const what = uses.includes(USES[other].oid) ? `for a ${other}` : "for another purpose";
  throw new CredentialsError(
    "cert",
    "wrong-use",
    `${placeOf("cert", cert)} (${subjectOf(leaf)}) is ${what}, no ${other} accepts it from a ${role}: ` +
      `its extended key usage must have ${name} in it`,
  );
}

function isValidNow(certificate: X509Certificate): boolean {
  const now = Date.now();
  return now >= Date.parse(certificate.validFrom) && now <= Date.parse(certificate.validTo);
}

function checkValidity(part: CredentialsPart, source: PemSource | readonly PemSource[], certificate: X509Certificate) {
  if (isValidNow(certificate)) return;
  const now = new Date();
  const expired = now.getTime() > Date.parse(certificate.validTo);
  const what = `${placeOf(part, source)}: the certificate of ${subjectOf(certificate)}`;
  const clock = `this machine's clock says ${now.toISOString().slice(0, 19)}Z`;
  throw new CredentialsError(
    part,
    expired ? "expired" : "not-yet-valid",
    expired
      ? `${what} expired on ${certificate.validTo}; ${clock}`
      : `${what} is not valid before ${certificate.validFrom}; ${clock}: is it wrong?`,
  );
}

function parseCertificate(part: CredentialsPart, source: PemSource | readonly PemSource[], pem: string) {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CredentialsError(part, "malformed", `${placeOf(part, source)} holds a damaged certificate`);
  }
}

/** The blocks of one kind, each a PEM text of its own. At least one. */
function pemBlocks(part: CredentialsPart, source: PemSource, label: string): string[] {
  const text = readPem(part, source);
  const blocks = text.match(new RegExp(`-----BEGIN ${label}-----[^-]*-----END ${label}-----`, "g"));
  if (blocks !== null) return blocks;
  const other = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(text)?.[1];
  const found = other === undefined ? "is not PEM" : `holds a "${other}"`;
  throw new CredentialsError(
    part,
    "malformed",
    `${placeOf(part, source)} ${found}; wanted: "-----BEGIN ${label}-----"`,
  );
}

function readPem(part: CredentialsPart, source: PemSource): string {
  if (typeof source !== "string") return Buffer.from(source).toString("latin1");
  if (source.includes("-----BEGIN ")) return source;
  try {
    return readFileSync(source, "latin1");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const place = placeOf(part, source);
    if (code === "ENOENT") throw new CredentialsError(part, "missing", `${place} does not exist`);
    if (code === "EACCES") throw new CredentialsError(part, "unreadable", `${place} may not be read by this user`);
    if (code === "EISDIR")
      throw new CredentialsError(part, "unreadable", `${place} is a directory; wanted: a PEM file`);
    throw new CredentialsError(part, "unreadable", `${place} cannot be read: ${message}`);
  }
}

const NAMES: Record<CredentialsPart, string> = {
  ca: "the CA certificate",
  cert: "the certificate",
  key: "the private key",
  crl: "the CRL",
};

/** What and where: "the private key /etc/bats/node.key". */
function placeOf(part: CredentialsPart, source: PemSource | readonly PemSource[]): string {
  const paths = listOf(source).filter((one) => typeof one === "string" && !one.includes("-----BEGIN "));
  return paths.length === 0 ? NAMES[part] : `${NAMES[part]} ${paths.join(", ")}`;
}

function listOf(source: PemSource | readonly PemSource[]): readonly PemSource[] {
  return typeof source === "string" || source instanceof Uint8Array ? [source] : source;
}
