/**
 * The UDP sockets of a forward: one that listens, with a flow for each source it hears; and one for each flow, connected to the target,
 * so that only the target's answers come back.
 */
import { createSocket, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import type { SocketEndpoint } from "./forward-endpoint.ts";
import { dialError, listenError } from "./local-socket.ts";

/** Payloads that wait while a flow's target is looked up. */
const WAITING_MAX = 64;
const BUFFER_BYTES = 4 * 1024 * 1024;

export interface UdpListener {
  readonly socket: Socket;
  readonly port: number;
  close(): void;
}

/** What a source's flow looks like to the listener. */
export interface SourceFlow {
  send(payload: Uint8Array): void;
  close(): void;
  readonly lastActiveMs: number;
  /** Nothing goes by it any more; its source is kept from another one until it is forgotten. */
  readonly isOver: boolean;
}

export interface UdpListenOptions {
  idleMs: number;
  /** Sources at once; when there is one more, the one that was quiet longest ends, or if its flow is over already the new one has to wait. */
  maxFlows: number;
  /** Opens the flow of a new source; null when there is no way to. `reply` sends back to the source; after `closed` it is forgotten. */
  openFlow(source: string, reply: (payload: Uint8Array) => void, closed: () => void): SourceFlow | null;
}

export async function listenUdp(endpoint: SocketEndpoint, options: UdpListenOptions): Promise<UdpListener> {
  const address = await resolve(endpoint).catch((error) => {
    throw listenError(endpoint, error);
  });
  const socket = createSocket({
    type: address.family === 6 ? "udp6" : "udp4",
    recvBufferSize: BUFFER_BYTES,
    sendBufferSize: BUFFER_BYTES,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", (error) => reject(listenError(endpoint, error)));
    socket.bind({ address: address.address, port: endpoint.port, exclusive: true }, () => {
      socket.removeAllListeners("error");
      resolve();
    });
  });
  const flows = new Map<string, SourceFlow>();
  // An unreachable source (ICMP) is no reason to stop listening.
  socket.on("error", () => {});
  socket.on("message", (payload, { address: ip, port, family }) => {
    // Nobody can be answered at port 0, and dgram throws when it is tried.
    if (port === 0) return;
    const source = family === "IPv6" ? `[${ip}]:${port}` : `${ip}:${port}`;
    let flow = flows.get(source);
    if (flow === undefined) {
      if (flows.size >= options.maxFlows && !endQuietest(flows)) return;
      const opened = options.openFlow(
        source,
        // dgram keeps the bytes until they are sent, the session lends them only for this call.
        (answer) => socket.send(Buffer.from(answer), port, ip),
        () => {
          if (flows.get(source) === opened) flows.delete(source);
        },
      );
      if (opened === null) return;
      flow = opened;
      flows.set(source, flow);
    }
    flow.send(payload);
  });
  const timer = setInterval(
    () => {
      const before = performance.now() - options.idleMs;
      for (const flow of flows.values()) if (flow.lastActiveMs < before) flow.close();
    },
    Math.max(50, options.idleMs / 4),
  );
  timer.unref();
  return {
    socket,
    port: socket.address().port,
    close() {
      clearInterval(timer);
      for (const flow of flows.values()) flow.close();
      socket.close();
    },
  };
}

/** A socket to a flow's target. Payloads sent before the name is resolved wait, a bounded number. */
export class UdpTarget {
  readonly #onPayload: (payload: Uint8Array) => void;
  #socket: Socket | null = null;
  #waiting: Uint8Array[] | null = [];
  #closed = false;

  constructor(onPayload: (payload: Uint8Array) => void) {
    this.#onPayload = onPayload;
  }

  /** Rejects with a `LocalSocketError` when there is no such target. */
  async open(endpoint: SocketEndpoint): Promise<void> {
    try {
      const { address, family } = await resolve(endpoint);
      if (this.#closed) return;
      const socket = createSocket({
        type: family === 6 ? "udp6" : "udp4",
        recvBufferSize: BUFFER_BYTES,
        sendBufferSize: BUFFER_BYTES,
      });
      this.#socket = socket;
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.connect(endpoint.port, address, () => {
          socket.removeAllListeners("error");
          resolve();
        });
      });
      // "Connection refused" for one datagram says nothing of the next.
      socket.on("error", () => {});
      socket.on("message", (payload) => this.#onPayload(payload));
    } catch (error) {
      this.close();
      throw dialError(endpoint, error);
    }
    const waiting = this.#waiting ?? [];
    this.#waiting = null;
    for (const payload of waiting) this.send(payload);
  }

  send(payload: Uint8Array): void {
    if (this.#closed) return;
    if (this.#waiting !== null) {
      if (this.#waiting.length < WAITING_MAX) this.#waiting.push(new Uint8Array(payload));
      return;
    }
    this.#socket?.send(Buffer.from(payload));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      this.#socket?.close();
    } catch {
      // Not bound yet.
    }
    this.#socket = null;
  }
}

async function resolve({ host }: SocketEndpoint): Promise<{ address: string; family: number }> {
  const family = isIP(host.split("%", 1)[0]);
  return family !== 0 ? { address: host, family } : await lookup(host);
}

/** Makes room by the end of the flow that was quiet longest. False when that is over already: it was refused, and the next would be too. */
function endQuietest(flows: Map<string, SourceFlow>): boolean {
  let oldest: SourceFlow | null = null;
  for (const flow of flows.values()) if (oldest === null || flow.lastActiveMs < oldest.lastActiveMs) oldest = flow;
  if (oldest === null || oldest.isOver) return false;
  // It takes itself out of the map.
  oldest.close();
  return true;
}
