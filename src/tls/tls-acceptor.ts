/**
 * The server's half of TLS: one `tls.Server` for each generation of credentials, so that its session tickets are good for
 * all its connections and for none of another generation. It never listens: in-memory streams are handed to it.
 *
 * Only `tls.Server` refuses clients without a certificate, or with a foreign one; a bare `TLSSocket` lets them through.
 */
import { constants, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { createServer, type Server, type TLSSocket } from "node:tls";
import type { CredentialMaterial } from "./credentials.ts";

/** How long a client may resume instead of showing its certificate again, s. */
export const SESSION_SECONDS = 2 * 3600;

/** Ticket keys are replaced so often; all tickets are void then. */
const TICKET_KEY_MS = 24 * 3_600_000;
/** What node:tls takes. */
const TICKET_KEY_BYTES = 48;

/** What becomes of one accepted stream: one of the two, once. */
export interface AcceptedListener {
  onSecure(socket: TLSSocket): void;
  onRefused(error: Error): void;
}

/** The server as one stream sees it: inherits all from the acceptor's, and knows who waits for that stream. */
interface StreamServer extends Server {
  listener?: AcceptedListener;
}

export class TlsAcceptor {
  readonly #server: Server;
  #ticketsFromMs = Date.now();
  readonly #chainEnds = new Map<string, number>();

  constructor(material: CredentialMaterial, alpn: string) {
    this.#server = createServer({
      ...material.options,
      requestCert: true,
      rejectUnauthorized: true,
      honorCipherOrder: true,
      // A client that puts ChaCha20-Poly1305 first has no fast AES.
      secureOptions: constants.SSL_OP_PRIORITIZE_CHACHA,
      ALPNProtocols: [alpn],
      sessionTimeout: SESSION_SECONDS,
    });
    this.#server.on("secureConnection", function (this: StreamServer, socket) {
      socket.on("error", () => socket.destroy());
      if (this.listener === undefined) socket.destroy();
      else this.listener.onSecure(socket);
    });
    this.#server.on("tlsClientError", function (this: StreamServer, error, socket) {
      // A certificate that does not verify ends in a plain reset; the reason stands at the socket.
      const code = socket.authorizationError as unknown;
      const reason = typeof code === "string" ? Object.assign(new Error(code), { code }) : error;
      this.listener?.onRefused(reason);
    });
  }

  /** Keeps when a client's chain ends, which its ticket does not say, as long as there may be tickets. */
  rememberChainEnd(fingerprint256: string, endMs: number): void {
    this.#chainEnds.set(fingerprint256, endMs);
  }

  /** 0, long past, for a client that never showed its chain to this acceptor. */
  chainEndMs(fingerprint256: string): number {
    return this.#chainEnds.get(fingerprint256) ?? 0;
  }

  accept(stream: Duplex, listener: AcceptedListener): void {
    if (Date.now() - this.#ticketsFromMs > TICKET_KEY_MS) this.#renewTicketKeys();
    // Events bring a socket that nobody has seen before; whose it is, their `this` tells, which is the server that got the stream. (An
    // AsyncLocalStorage would tell it, too, but has Node track every callback and promise of the process from then on.)
    const server: StreamServer = Object.create(this.#server);
    server.listener = listener;
    server.emit("connection", stream);
  }

  #renewTicketKeys(): void {
    this.#server.setTicketKeys(randomBytes(TICKET_KEY_BYTES));
    this.#ticketsFromMs = Date.now();
    this.#chainEnds.clear();
  }

  static readonly #acceptors = new WeakMap<CredentialMaterial, Map<string, TlsAcceptor>>();

  /** The one for this generation of credentials and application protocol. */
  static for(material: CredentialMaterial, alpn: string): TlsAcceptor {
    const byProtocol = TlsAcceptor.#acceptors.get(material) ?? new Map<string, TlsAcceptor>();
    const acceptor = byProtocol.get(alpn) ?? new TlsAcceptor(material, alpn);
    TlsAcceptor.#acceptors.set(material, byProtocol.set(alpn, acceptor));
    return acceptor;
  }
}
