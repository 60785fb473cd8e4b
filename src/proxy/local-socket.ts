/**
 * Sockets of this machine that a forward listens on and dials: TCP and Unix. What their errors mean to a user is said here, in
 * words that name what would mend it.
 */
import { lstat, unlink } from "node:fs/promises";
import { createConnection, createServer, type Server, Socket } from "node:net";
import { formatAddress } from "../transport/address.ts";
import { type ForwardEndpoint, formatEndpoint, type SocketEndpoint, type UnixEndpoint } from "./forward-endpoint.ts";
import type { RefusalReason } from "./open-header.ts";

export type StreamEndpoint = UnixEndpoint | (SocketEndpoint & { kind: "tcp" });

/** How long a dialled target may take to answer. */
const DIAL_TIMEOUT_MS = 20_000;
const KEEP_ALIVE_MS = 30_000;

/** Bytes that wait for a slow local socket before the stream is told to stop: one or two reads. */
const HIGH_WATER_BYTES = 256 * 1024;

/** A local socket that could not be had. The message is whole. */
export class LocalSocketError extends Error {
  override readonly name = "LocalSocketError";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface ListenOptions {
  /** The mode of a Unix socket's file. */
  unixMode: number;
  onConnection(socket: Socket): void;
}

/** Listens, and resolves when connections are taken. */
export async function listenAt(endpoint: StreamEndpoint, { unixMode, onConnection }: ListenOptions): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES }, onConnection);
  await listenWith(server, endpoint, unixMode);
  return server;
}

/** The same with a server that was made already. A Unix socket whose owner is gone is replaced, one that answers is not. */
export async function listenWith(server: Server, endpoint: StreamEndpoint, unixMode: number): Promise<void> {
  try {
    await listen(server, endpoint, unixMode);
  } catch (error) {
    if (endpoint.kind !== "unix" || !isCode(error, "EADDRINUSE") || !(await removeStale(endpoint.path))) {
      throw listenError(endpoint, error);
    }
    await listen(server, endpoint, unixMode).catch((again) => {
      throw listenError(endpoint, again);
    });
  }
}

/** Where a listener listens: its port, when any was asked for. */
export function boundEndpoint(endpoint: ForwardEndpoint, address: { port: number } | string | null): ForwardEndpoint {
  if (endpoint.kind === "unix" || address === null || typeof address === "string") return endpoint;
  return { ...endpoint, port: address.port };
}

/** Who connected, as a header and a log have it; nothing for a Unix socket. */
export function sourceOf({ remoteAddress, remotePort }: Socket): { source?: string } {
  if (remoteAddress === undefined || remotePort === undefined) return {};
  return { source: formatAddress({ ip: remoteAddress, port: remotePort }) };
}

export function dial(endpoint: StreamEndpoint): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const common = { allowHalfOpen: true, noDelay: true, highWaterMark: HIGH_WATER_BYTES };
    const socket =
      endpoint.kind === "unix"
        ? createConnection({ path: endpoint.path, ...common })
        : createConnection({ host: endpoint.host, port: endpoint.port, ...common });
    const timer = setTimeout(() => socket.destroy(errorOf("ETIMEDOUT")), DIAL_TIMEOUT_MS);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.setKeepAlive(true, KEEP_ALIVE_MS);
      resolve(socket);
    });
    // Stays: whoever takes the socket over listens a moment later.
    socket.on("error", (error) => {
      clearTimeout(timer);
      reject(dialError(endpoint, error));
    });
  });
}

/**
 * Ends a socket so that its user sees an error. A Unix socket has no reset: its user gets one only if it wrote what was not read,
 * else an end of file.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  socket.on("error", () => {});
  // `resetAndDestroy` throws for anything but TCP.
  if (socket.remoteFamily !== undefined) socket.resetAndDestroy();
  else socket.destroy();
}

function listen(server: Server, endpoint: StreamEndpoint, unixMode: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.removeListener("error", reject);
      // A connection that could not be taken, as for want of descriptors, is no reason to end.
      server.on("error", () => {});
      resolve();
    });
    if (endpoint.kind === "tcp") {
      server.listen({ host: endpoint.host, port: endpoint.port, backlog: 1024 });
      return;
    }
    // The file is made inside `listen`: with the mask it never has a wider mode, not even for a moment.
    const mask = process.umask(0o777 & ~unixMode);
    try {
      server.listen({ path: endpoint.path, backlog: 1024 });
    } finally {
      process.umask(mask);
    }
  });
}

/** Removes a socket's file when nobody listens behind it; whether it did. */
async function removeStale(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return true;
  if (!found.isSocket()) return false;
  const answers = await new Promise<boolean>((resolve) => {
    const probe = new Socket().connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(!isCode(error, "ECONNREFUSED")));
  });
  if (answers) return false;
  await unlink(path).catch(() => {});
  return true;
}

export function listenError(endpoint: ForwardEndpoint, error: unknown): LocalSocketError {
  const where = formatEndpoint(endpoint);
  switch ((error as NodeJS.ErrnoException).code) {
    case "EADDRINUSE":
      return new LocalSocketError(
        "in-use",
        `cannot listen at ${where}: it is in use; stop what uses it, or choose another`,
      );
    case "EADDRNOTAVAIL":
      return new LocalSocketError("unavailable", `cannot listen at ${where}: this machine has no such address`);
    case "EACCES":
    case "EPERM":
      return new LocalSocketError(
        "unavailable",
        endpoint.kind === "unix"
          ? `cannot listen at ${where}: no permission to write to its directory`
          : `cannot listen at ${where}: no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE`,
      );
    case "ENOENT":
      return new LocalSocketError(
        "unavailable",
        `cannot listen at ${where}: its directory does not exist; make it first`,
      );
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new LocalSocketError("not-found", `cannot listen at ${where}: the name does not resolve`);
    default:
      return new LocalSocketError("unavailable", `cannot listen at ${where}: ${(error as Error).message}`);
  }
}

export function dialError(endpoint: ForwardEndpoint, error: unknown): LocalSocketError {
  const where = formatEndpoint(endpoint);
  switch ((error as NodeJS.ErrnoException).code) {
    case "ECONNREFUSED":
      return new LocalSocketError("refused", `${where} refuses connections: nothing listens there`);
    case "ENOENT":
      return new LocalSocketError("refused", `${where} does not exist: nothing listens there`);
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new LocalSocketError("not-found", `${where}: the name does not resolve`);
    case "ETIMEDOUT":
      return new LocalSocketError("unreachable", `${where} does not answer`);
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return new LocalSocketError("unreachable", `${where} cannot be reached: no route to it`);
    case "EACCES":
    case "EPERM":
      return new LocalSocketError("unavailable", `${where}: no permission to connect`);
    default:
      return new LocalSocketError("unavailable", `${where}: ${(error as Error).message}`);
  }
}

function errorOf(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

function isCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException).code === code;
}
