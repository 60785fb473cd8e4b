/**
 * A TLS connection that carries datagrams in UDP's place. What the connection does not take at once waits in a small buffer, so that
 * congestion control above sees the wait as a queue on the path; beyond it datagrams are dropped, as by any queue.
 */
import type { TLSSocket } from "node:tls";
import type { Address } from "../transport/address.ts";
import { DatagramReader, LENGTH_BYTES } from "./datagram-reader.ts";

/** What may wait for the kernel. */
const BUFFER_BYTES = 128 * 1024;
/** A connection without a datagram for so long serves no link any more: more than the idle timeout of links. */
const IDLE_MS = 180_000;

export interface CarrierUser {
  onCarried(carrier: Carrier, bytes: Uint8Array): void;
  /** After the last datagram of each turn. */
  onBatchEnd(): void;
  /** There is room again after a `send` that was false. */
  onWritable(): void;
  /** Once. `error`: why, where TLS or TCP says so. */
  onClose(carrier: Carrier, error: Error | null): void;
}

export interface CarrierCounters {
  sentDatagrams: number;
  sentBytes: number;
  receivedDatagrams: number;
  receivedBytes: number;
  /** Datagrams that found the buffer full. */
  dropped: number;
}

export class Carrier {
  readonly remote: Address;
  readonly local: Address;
  readonly #socket: TLSSocket;
  readonly #counters: CarrierCounters;
  #error: Error | null = null;
  #corked = false;
  #full = false;

  constructor(socket: TLSSocket, id: number, counters: CarrierCounters, user: CarrierUser) {
    this.#socket = socket;
    this.#counters = counters;
    this.remote = { ip: socket.remoteAddress ?? "", port: socket.remotePort ?? 0, carrier: id };
    this.local = { ip: socket.localAddress ?? "", port: socket.localPort ?? 0, carrier: id };
    const reader = new DatagramReader((bytes) => {
      counters.receivedDatagrams++;
      counters.receivedBytes += bytes.length;
      user.onCarried(this, bytes);
    });
    socket.setNoDelay(true);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on("data", (chunk: Buffer) => {
      const proper = reader.push(chunk);
      user.onBatchEnd();
      if (!proper) socket.destroy(new Error("what came is no stream of datagrams"));
    });
    socket.on("drain", () => {
      if (!this.#full) return;
      this.#full = false;
      user.onWritable();
    });
    socket.on("error", (error) => {
      this.#error ??= error;
    });
    socket.on("end", () => socket.destroy());
    socket.on("close", () => user.onClose(this, this.#error));
  }

  /** Takes a datagram, or a train. False: the buffer is full; the next one is dropped unless `onWritable` came. */
  send(buffer: Uint8Array, length: number, segmentBytes: number): boolean {
    const socket = this.#socket;
    const step = segmentBytes === 0 ? length : segmentBytes;
    const datagrams = Math.ceil(length / step);
    if (socket.destroyed || socket.writableLength >= BUFFER_BYTES) {
      this.#counters.dropped += datagrams;
      return !this.#full;
    }
    const framed = Buffer.allocUnsafe(length + datagrams * LENGTH_BYTES);
    let at = 0;
    for (let start = 0; start < length; start += step) {
      const end = Math.min(start + step, length);
      at = framed.writeUInt16BE(end - start, at);
      framed.set(buffer.subarray(start, end), at);
      at += end - start;
    }
    this.#counters.sentDatagrams += datagrams;
    this.#counters.sentBytes += length;
    this.#cork();
    socket.write(framed);
    this.#full = socket.writableLength >= BUFFER_BYTES;
    return !this.#full;
  }

  close(): void {
    this.#socket.destroy();
  }

  ref(): void {
    this.#socket.ref();
  }

  unref(): void {
    this.#socket.unref();
  }

  /** What is sent in one turn leaves together. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }
}
