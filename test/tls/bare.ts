// Peers that are plain node:tls, which show whatever they are given, against a handshake of ours.
import { Duplex } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { type ConnectionOptions, connect, createServer, type TlsOptions } from "node:tls";
import type { TlsHandshake } from "../../src/tls/index.ts";

const TURNS = 12;

class Wire extends Duplex {
  readonly out: Buffer[] = [];

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.out.push(Buffer.from(chunk));
    done();
  }
}

/** Carries bytes until nothing can move any more. */
async function carry(handshake: TlsHandshake, wire: Wire): Promise<void> {
  handshake.bind(Uint8Array.of(1));
  for (let turn = 0; turn < TURNS; turn++) {
    // Node finishes a write one turn later, and drops an alert that comes before that.
    await nextTurn();
    await nextTurn();
    for (const bytes of wire.out.splice(0)) handshake.receive(bytes);
    for (let bytes = handshake.poll(); bytes !== null; bytes = handshake.poll()) {
      if (!wire.destroyed) wire.push(Buffer.from(bytes));
    }
    handshake.keys();
  }
  handshake.destroy();
}

/** Returns the error that the client met, if any. */
export async function bareClientAgainst(server: TlsHandshake, options: ConnectionOptions): Promise<Error | null> {
  const wire = new Wire();
  let error: Error | null = null;
  const socket = connect({ socket: wire, servername: "cloud.example", ALPNProtocols: ["bats/1"], ...options });
  socket.on("error", (met) => {
    error = met;
  });
  await carry(server, wire);
  socket.destroy();
  return error;
}

export async function bareServerAgainst(client: TlsHandshake, options: TlsOptions): Promise<void> {
  const wire = new Wire();
  wire.on("error", () => {});
  const server = createServer({ ALPNProtocols: ["bats/1"], ...options });
  server.on("secureConnection", (socket) => socket.on("error", () => {}));
  server.on("tlsClientError", () => {});
  server.emit("connection", wire);
  await carry(client, wire);
  wire.destroy();
}
