/**
 * Two ends of a session in memory, for tests of forwarding: streams with back-pressure, ends and resets, datagrams that arrive in the
 * next turn. Nothing is lost unless a test says so.
 */
import { EventEmitter } from "node:events";
import { Duplex } from "node:stream";
import type { Carrier, CarrierStream } from "../../src/proxy/carrier.ts";
import type { CertificateNames } from "../../src/proxy/identity.ts";

class FakeStream extends Duplex implements CarrierStream {
  readonly id: number;
  other: FakeStream | null = null;
  #wanted: (() => void) | null = null;

  constructor(id: number) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.id = id;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const { other } = this;
    setImmediate(() => {
      if (other === null || other.destroyed) done();
      else if (other.push(Buffer.from(chunk))) done();
      else other.#wanted = done;
    });
  }

  override _final(done: () => void): void {
    setImmediate(() => {
      if (this.other?.destroyed === false) this.other.push(null);
      done();
    });
  }

  override _read(): void {
    const wanted = this.#wanted;
    this.#wanted = null;
    wanted?.();
  }

  startReleasing(): void {}

  /** Whoever looks at it still sees what he should not. */
  release(chunk: Uint8Array): void {
    chunk.fill(0xee);
  }

  reset(code: number): void {
    const { other } = this;
    this.destroy();
    setImmediate(() => other?.destroy(new Error(`reset by the peer with ${code}`)));
  }
}

class FakeCarrier extends EventEmitter implements Carrier {
  readonly peer: { identity: CertificateNames };
  readonly streams: FakeStream[] = [];
  other: FakeCarrier | null = null;
  /** Datagrams sent from here that do not arrive. */
  loses: (data: Uint8Array) => boolean = () => false;
  #nextId: number;

  constructor(identity: CertificateNames, firstId: number) {
    super();
    this.peer = { identity };
    this.#nextId = firstId;
  }

  openStream(): CarrierStream {
    const id = this.#nextId;
    this.#nextId += 2;
    const mine = new FakeStream(id);
    const theirs = new FakeStream(id);
    mine.other = theirs;
    theirs.other = mine;
    this.streams.push(mine);
    this.other!.streams.push(theirs);
    setImmediate(() => this.other!.emit("stream", theirs));
    return mine;
  }

  sendDatagram(data: Uint8Array): boolean {
    if (this.loses(data)) return true;
    const copy = Buffer.from(data);
    setImmediate(() => this.other!.emit("datagram", copy));
    return true;
  }

  /** The session is lost: at this end its streams are errors and it is closed. */
  lose(): void {
    for (const stream of this.streams) if (!stream.destroyed) stream.destroy(new Error("the session is lost"));
    this.emit("close", new Error("the session is lost"));
  }
}

export type FakePair = { client: FakeCarrier; server: FakeCarrier };

/** A client of that name and a server; each end's `peer` is the other. */
export function createFakePair(clientName = "edge-1"): FakePair {
  const client = new FakeCarrier({ commonName: "cloud", subjectAltNames: ["DNS:cloud"] }, 0);
  const server = new FakeCarrier({ commonName: clientName, subjectAltNames: [] }, 1);
  client.other = server;
  server.other = client;
  return { client, server };
}
