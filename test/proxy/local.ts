/** Local servers and clients that tests put at both ends of a forward, and a log that keeps its lines. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Log } from "../../src/proxy/log.ts";

export interface TestLog extends Log {
  lines: string[];
}

export function createLog(): TestLog {
  const lines: string[] = [];
  const push = (_fields: object, message: string) => void lines.push(message);
  return { lines, debug: push, info: push, warn: push, error: push };
}

/** A log that keeps nothing. */
export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A TCP server on a free port of the loopback address. */
export async function serve(onConnection: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

/** Sends `data` and the end, and gives what came back until the end; rejects on a reset. */
export async function exchange(target: number | string, data: Buffer | string): Promise<Buffer> {
  const options = typeof target === "string" ? { path: target } : { port: target, host: "127.0.0.1" };
  const socket = connect({ ...options, allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  socket.end(data);
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** "end" when a socket ended cleanly, else the code of its error. */
export function fateOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once("end", () => resolve("end"));
    socket.resume();
  });
}

export function createFolder(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "bats-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Waits until `condition` holds; vitest's own timeout ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
