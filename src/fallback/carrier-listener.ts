/**
 * The server's end: a TCP port whose connections carry datagrams. Mutual TLS 1.3 with the certificates of sessions comes before
 * any byte is looked at. Connections and unfinished handshakes are bounded in number; nothing is resumed, so that revocation
 * and renewal count for each connection.
 */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import type { CredentialMaterial, Credentials } from "../tls/credentials.ts";
import type { Address } from "../transport/address.ts";
import type { CarrierSocket } from "./carrier-socket.ts";
import { CARRIER_ALPN } from "./open-carrier.ts";

const MOST_CONNECTIONS = 4096;
const MOST_HANDSHAKES = 256;
const HANDSHAKE_MS = 10_000;

export class CarrierListener {
  readonly #server: Server;
  readonly #credentials: Credentials;
  readonly #to: CarrierSocket;
  /** Connections whose TLS is not done yet, by their remote end. */
  readonly #shaking = new Map<string, Socket>();
  #material: CredentialMaterial;
  /** Never listens: connections are handed to it. One for each generation of credentials. */
  #tls: TlsServer;
  /** Where it listens. */
  address: Address = { ip: "", port: 0 };
  /** Connections that TLS, or a bound, kept out. */
  refused = 0;

  private constructor(credentials: Credentials, to: CarrierSocket) {
    this.#credentials = credentials;
    this.#to = to;
    this.#material = credentials.current;
    this.#tls = this.#createTls();
    this.#server = createServer((socket) => this.#begin(socket));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  /** Rejects with the system's error when the port cannot be had. */
  static async open(
    { host, port }: { host: string; port: number },
    credentials: Credentials,
    to: CarrierSocket,
  ): Promise<CarrierListener> {
    const listener = new CarrierListener(credentials, to);
    const server = listener.#server;
    server.listen(host === "" ? { port } : { port, host });
    await once(server, "listening");
    server.on("error", () => {});
    const { address, port: bound } = server.address() as AddressInfo;
    listener.address = { ip: address, port: bound };
    return listener;
  }

  /** Takes no more connections; those that are there are the socket's. */
  close(): void {
    this.#server.close();
    for (const socket of this.#shaking.values()) socket.destroy();
  }

  #begin(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#shaking.size >= MOST_HANDSHAKES) {
      this.refused++;
      socket.destroy();
      return;
    }
    const key = remoteEnd(socket);
    this.#shaking.set(key, socket);
    socket.once("close", () => {
      if (this.#shaking.get(key) === socket) this.#shaking.delete(key);
    });
    if (this.#credentials.current !== this.#material) {
      this.#material = this.#credentials.current;
      this.#tls = this.#createTls();
    }
    this.#tls.emit("connection", socket);
  }

  #createTls(): TlsServer {
    const server = createTlsServer({
      ...this.#material.options,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [CARRIER_ALPN],
      handshakeTimeout: HANDSHAKE_MS,
    });
    server.on("tlsClientError", (_error, socket) => {
      this.refused++;
      socket.destroy();
    });
    server.on("secureConnection", (socket: TLSSocket) => {
      this.#shaking.delete(remoteEnd(socket));
      socket.on("error", () => {});
      if (socket.authorized && !socket.isSessionReused() && socket.alpnProtocol === CARRIER_ALPN) {
        this.#to.add(socket, () => {});
        return;
      }
      this.refused++;
      socket.destroy();
    });
    return server;
  }
}

function remoteEnd(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}
