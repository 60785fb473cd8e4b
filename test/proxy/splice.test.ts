/** What a local socket's user sees when the process between is killed: the kernel closes its sockets as SO_LINGER says. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { afterEach, expect, it, vi } from "vitest";
import type { CarrierStream } from "../../src/proxy/carrier.ts";
import { Splice } from "../../src/proxy/splice.ts";
import { serve, until } from "./local.ts";

const linger = vi.hoisted(() => ({ resets: [] as boolean[] }));
vi.mock("../../src/proxy/linger.ts", () => ({
  resetOnClose: (_socket: Socket, on: boolean) => void linger.resets.push(on),
}));

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

it("a socket would be reset until all that the peer sent, and its end, has left this process", async () => {
  let slow: Socket | null = null;
  const { server, port } = await serve((socket) => {
    slow = socket.pause();
  });
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  await until(() => slow !== null);
  cleanups.push(() => {
    slow!.destroy();
    server.close();
  });
  const sent = { pushed: 0, released: 0 };
  const stream: CarrierStream = Object.assign(new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }), {
    id: 0,
    reset: () => {},
    startReleasing: () => {},
    release(chunk: Uint8Array) {
      sent.released += chunk.length;
    },
  });
  const splice = new Splice(socket, stream, () => {});
  splice.openDown();
  // Until the kernel takes no more: what is written now waits in this process.
  while (socket.writableLength === 0) {
    stream.push(Buffer.alloc(8192));
    sent.pushed += 8192;
    await new Promise((resolve) => setImmediate(resolve));
  }
  stream.push(null);
  await once(stream, "end");
  expect(socket.writableLength).toBeGreaterThan(0);
  expect(linger.resets).toEqual([true]);
  expect(sent.released).toBeLessThanOrEqual(sent.pushed - socket.writableLength);
  slow!.resume();
  await once(socket, "finish");
  expect(linger.resets).toEqual([true, false]);
  expect(sent.released).toBe(sent.pushed);
});
