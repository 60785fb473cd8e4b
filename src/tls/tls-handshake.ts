/**
 * TLS 1.3 with mutual authentication (RFC 8446) as a link's handshake: node:tls over a stream in memory whose bytes the link
 * carries. Packet keys come from the exporter (section 7.5), with the hash of the link's transcript as context, so both ends
 * have the same keys only if both saw the same versions, connection ids, token and parameters.
 *
 * node:tls works in its own time: `onProgress` says that there may be bytes, keys or a failure to fetch. It is never called from within a
 * call of the link's.
 */
import { createHash, type X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { LinkKeys, Role } from "../transport/link/aead.ts";
import type { Handshake } from "../transport/link/handshake.ts";
import type { AeadName } from "./aead.ts";
import type { CredentialMaterial, Credentials } from "./credentials.ts";
import { codeOfReason, type FailureReason, failureReason } from "./failure-reason.ts";
import { failureWords, wrongNameWords } from "./failure-words.ts";
import { HandshakePipe } from "./handshake-pipe.ts";
import { keysOf, SECRET_BYTES } from "./key-schedule.ts";
import { certificateName, certificateOf, hideChain, isFor } from "./peer-chain.ts";
import { identityOf, type PeerIdentity } from "./peer-identity.ts";
import { TlsAcceptor } from "./tls-acceptor.ts";

export const DEFAULT_ALPN = "bats/1";
export const EXPORTER_LABEL = "EXPORTER-bats-transport";

/** What a peer may send: chains of a few RSA-4096 certificates take a tenth of it. */
export const MAX_HANDSHAKE_BYTES = 64 * 1024;
/** OpenSSL's server gives a client this many tickets. */
const TICKETS = 2;

const AEAD_OF_SUITE: Record<string, AeadName> = {
  TLS_AES_128_GCM_SHA256: "aes-128-gcm",
  TLS_CHACHA20_POLY1305_SHA256: "chacha20-poly1305",
};

interface CommonOptions {
  credentials: Credentials;
  /** Application protocol: both ends must have the same. Default "bats/1". */
  alpn?: string;
  /** There may be something to fetch. Not called from within a method of the handshake. */
  onProgress?: () => void;
}

export interface ClientHandshakeOptions extends CommonOptions {
  role: "client";
  /** The name or IP address that the server's certificate must bear. */
  serverName: string;
  /** Whether an earlier session with this server may be resumed. Default true. */
  resume?: boolean;
}

export interface ServerHandshakeOptions extends CommonOptions {
  role: "server";
}

export type TlsHandshakeOptions = ClientHandshakeOptions | ServerHandshakeOptions;

export class TlsHandshake implements Handshake {
  readonly role: Role;
  readonly #options: TlsHandshakeOptions;
  readonly #material: CredentialMaterial;
  readonly #alpn: string;
  /** What TLS runs over; null when TLS is done with, for all that TLS holds hangs on it. */
  #pipe: HandshakePipe | null;
  #socket: TLSSocket | null = null;
  #out: Buffer[] = [];
  #receivedBytes = 0;
  #tickets = 0;
  #transcriptHash: Buffer | null = null;
  /** TLS says that the peer is authenticated; whether its own last bytes were written is another matter. */
  #secure = false;
  /** TLS has written encrypted records: a client's only ones before tickets are its certificate to finished. */
  #encrypted = false;
  /** All bytes that the peer needs were written. */
  #complete = false;
  #keys: LinkKeys | null = null;
  #failure: string | null = null;
  #failureReason: FailureReason | null = null;
  #peer: PeerIdentity | null = null;
  #chainEndMs = 0;
  #resumed = false;
  #aead: AeadName | null = null;
  #settling: NodeJS.Immediate | null = null;
  #over = false;

  constructor(options: TlsHandshakeOptions) {
    this.role = options.role;
    this.#options = options;
    this.#material = options.credentials.current;
    this.#alpn = options.alpn ?? DEFAULT_ALPN;
    this.#pipe = new HandshakePipe((bytes) => {
      if (this.#over) return;
      this.#out.push(bytes);
      this.#encrypted ||= hasEncryptedRecord(bytes);
      this.#settleSoon();
    });
    if (options.role === "client") this.#connect(this.#pipe, options);
    else this.#accept(this.#pipe);
  }

  get failure(): string | null {
    return this.#failure;
  }

  get failureCode(): number | undefined {
    return this.#failureReason === null ? undefined : codeOfReason(this.#failureReason);
  }

  /** Who the peer is, once it is authenticated. */
  get peer(): PeerIdentity | null {
    return this.#peer;
  }

  /** Whether the peer proved itself by a session from before instead of showing its certificate. */
  get resumed(): boolean {
    return this.#resumed;
  }

  /** The AEAD of the data epoch, once it is agreed. */
  get aead(): AeadName | null {
    return this.#aead;
  }

  bind(transcript: Uint8Array): void {
    this.#transcriptHash ??= createHash("sha256").update(transcript).digest();
  }

  receive(bytes: Uint8Array): void {
    if (this.#over || this.#failure !== null) return;
    this.#receivedBytes += bytes.length;
    if (this.#receivedBytes > MAX_HANDSHAKE_BYTES) {
      this.#fail(`the ${this.#peerRole} sent more than ${MAX_HANDSHAKE_BYTES} bytes of handshake`);
      return;
    }
    if (bytes.length > 0) this.#pipe?.push(Buffer.from(bytes));
  }

  poll(): Uint8Array | null {
    // Tickets are for the data epoch: they wait until the link has the keys.
    if (this.#out.length === 0 || (this.role === "server" && this.#secure && this.#keys === null)) return null;
    const flight = Buffer.concat(this.#out);
    this.#out = [];
    return flight;
  }

  keys(): LinkKeys | null {
    const socket = this.#socket;
    if (this.#keys !== null || !this.#complete || this.#failure !== null) return this.#keys;
    if (this.#transcriptHash === null || socket === null) return null;
    if (this.role === "client" && this.#out.length > 0) return null;
    try {
      const secret = socket.exportKeyingMaterial(SECRET_BYTES, EXPORTER_LABEL, this.#transcriptHash);
      this.#keys = keysOf(this.#aead!, secret, this.role);
    } catch (error) {
      this.#fail(`no keys came of the handshake: ${(error as Error).message}`);
      return null;
    }
    // A server is done with TLS as soon as its tickets are written. A client waits for them, unless it has one that works.
    if (this.role === "server" || this.#resumed) this.#release();
    this.#transcriptHash = null;
    return this.#keys;
  }

  /** Ends TLS and frees what it holds. Keys that were fetched stay good. */
  destroy(): void {
    if (this.#settling !== null) clearImmediate(this.#settling);
    this.#settling = null;
    this.#over = true;
    this.#out = [];
    this.#release();
  }

  get #peerRole(): Role {
    return this.role === "client" ? "server" : "client";
  }

  #connect(pipe: HandshakePipe, options: ClientHandshakeOptions): void {
    const serverName = certificateName(options.serverName);
    const stored = options.resume === false ? null : this.#material.sessions.get(this.#sessionKey);
    let certificate: X509Certificate | null = null;
    const socket: TLSSocket = connect({
      socket: pipe,
      secureContext: this.#material.clientContext,
      // Without a name, node:tls would check for "localhost". An address is not sent, but checked.
      servername: isIP(serverName) === 0 ? serverName : "",
      checkServerIdentity: () => {
        certificate ??= certificateOf(socket);
        if (certificate === null) return new Error("the server showed no certificate");
        return isFor(serverName, certificate) ? undefined : new NameError(wrongNameWords(serverName, certificate));
      },
      rejectUnauthorized: true,
      ALPNProtocols: [this.#alpn],
      ...(stored === null ? {} : { session: stored.session }),
    });
    // An event that Node does not document; without it the words for a refused certificate would be fewer.
    socket.prependOnceListener("secure", () => {
      certificate = certificateOf(socket);
    });
    hideChain(socket);
    socket.on("secureConnect", () => {
      this.#resumed = socket.isSessionReused();
      if (this.#resumed) {
        // Only what was stored can have been resumed.
        this.#onSecure(socket, stored!.peer, stored!.chainEndMs);
      } else {
        // There, or its name would not have been right.
        const chain = this.#material.chains.above(certificate!, socket);
        this.#options.credentials.remember(chain.authorities);
        this.#onSecure(socket, identityOf(certificate!), chain.endMs);
      }
    });
    socket.on("session", (session) => {
      if (this.#peer === null || this.#failure !== null) return;
      this.#material.sessions.set(this.#sessionKey, { session, peer: this.#peer, chainEndMs: this.#chainEndMs });
      if (++this.#tickets === TICKETS) setImmediate(() => this.#release());
    });
    this.#watch(socket);
    socket.on("error", (error) => {
      this.#material.sessions.delete(this.#sessionKey);
      if (error instanceof NameError) this.#fail(error.message, "name");
      else this.#fail(failureWords(error, this.role, certificate), failureReason(error));
    });
    this.#socket = socket;
  }

  get #sessionKey(): string {
    return JSON.stringify([(this.#options as ClientHandshakeOptions).serverName, this.#alpn]);
  }

  #accept(pipe: HandshakePipe): void {
    const acceptor = TlsAcceptor.for(this.#material, this.#alpn);
    acceptor.accept(pipe, {
      onSecure: (socket) => {
        this.#socket = socket;
        this.#watch(socket);
        const certificate = certificateOf(socket);
        if (certificate === null || !socket.authorized) {
          this.#fail("the client showed no certificate", "certificate");
          return;
        }
        this.#resumed = socket.isSessionReused();
        const { fingerprint256 } = certificate;
        if (!this.#resumed) {
          const chain = this.#material.chains.above(certificate, socket);
          acceptor.rememberChainEnd(fingerprint256, chain.endMs);
          this.#options.credentials.remember(chain.authorities);
        }
        this.#onSecure(socket, identityOf(certificate), acceptor.chainEndMs(fingerprint256));
      },
      onRefused: (error) => this.#fail(failureWords(error, this.role, null), failureReason(error)),
    });
  }

  #watch(socket: TLSSocket): void {
    socket.on("data", () => this.#fail(`the ${this.#peerRole} sent data of its own inside the handshake`));
    socket.on("close", () => {
      if (!this.#secure) this.#fail("TLS ended without saying why");
    });
  }

  #onSecure(socket: TLSSocket, peer: PeerIdentity, chainEnd: number): void {
    const aead = AEAD_OF_SUITE[socket.getCipher().standardName];
    if (socket.alpnProtocol !== this.#alpn) {
      this.#fail(`the ${this.#peerRole} does not speak "${this.#alpn}"`, "protocol");
    } else if (aead === undefined || socket.getProtocol() !== "TLSv1.3") {
      this.#fail(`the ${this.#peerRole} chose ${socket.getProtocol()} with ${socket.getCipher().standardName}`);
    } else if (Date.now() > chainEnd) {
      this.#fail(
        `the ${this.#peerRole}'s certificate, or a CA of its chain, has expired since the session began`,
        "expired",
      );
    } else {
      this.#aead = aead;
      this.#peer = peer;
      this.#chainEndMs = chainEnd;
      this.#secure = true;
      this.#settleSoon();
    }
  }

  /** TLS reports success before it has written the rest of its flight, and alerts after failures: looks again in the next turn. */
  #settleSoon(): void {
    if (this.#over) return;
    this.#settling ??= setImmediate(() => {
      this.#settling = null;
      this.#complete = this.#secure && this.#encrypted;
      this.#options.onProgress?.();
    });
  }

  #fail(words: string, reason: FailureReason | null = null): void {
    if (this.#failure !== null || this.#over) return;
    this.#failure = words;
    this.#failureReason = reason;
    // What TLS has still to say, an alert, is written in this turn.
    setImmediate(() => this.#release());
    this.#settleSoon();
  }

  /** Lets TLS go. */
  #release(): void {
    const socket = this.#socket;
    const pipe = this.#pipe;
    this.#socket = null;
    this.#pipe = null;
    socket?.destroy();
    pipe?.destroy();
  }
}

/** Whether there is a record of TLS's outer type application_data, which all encrypted ones bear (RFC 8446, section 5.2). */
function hasEncryptedRecord(bytes: Buffer): boolean {
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3)) {
    if (bytes[at] === 23) return true;
  }
  return false;
}

/** The server's certificate is genuine and another's. */
class NameError extends Error {}
