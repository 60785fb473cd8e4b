/** Transfers while an interface of one of the hosts goes down, with its route, and comes back. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { delay, hashOf, LONG, later, noNetwork, socketPath, startNetwork } from "./rig.ts";

const BYTES = LONG ? 200_000_000 : 40_000_000;
const DOWN_MS = LONG ? 60_000 : 2500;

describe.skipIf(noNetwork)("a transfer both ways", () => {
  it.each([
    ["edge", "native"],
    ["edge", "dgram"],
    ["cloud", "native"],
    ["cloud", "dgram"],
  ] as const)("outlives the interface of the %s going down, with %s sockets", async (where, io) => {
    const [local, target] = [socketPath(), socketPath()];
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).pipe(socket));
    await once(echo.listen(target), "listening");
    later(() => echo.close());
    const { network, client, server } = await startNetwork(["-L", `unix:${local}=unix:${target}`], { io });
    const host = network[where];
    const data = randomBytes(BYTES);
    const socket = connect({ path: local, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    let received = 0;
    let problem = "";
    socket.on("error", ({ message }) => {
      problem = message;
    });
    socket.on("data", (chunk) => {
      chunks.push(chunk);
      received += chunk.length;
    });
    const ended = once(socket, "end");
    socket.end(data);
    while (received < BYTES / 10) await once(socket, "data");
    for (let times = 0; times < 2; times++) {
      network.setInterface(host, false);
      await delay(DOWN_MS);
      expect(received).toBeLessThan(BYTES);
      const before = received;
      network.setInterface(host, true);
      while (received < Math.min(before + BYTES / 10, BYTES)) await once(socket, "data");
    }
    await ended;
    expect(hashOf(Buffer.concat(chunks))).toBe(hashOf(data));
    expect(problem).toBe("");
    expect(client.lines.some((line) => /does not answer; connections wait/.test(line))).toBe(true);
    expect([...client.lines, ...server.lines].filter((line) => /session is over|gone:/.test(line))).toEqual([]);
  });
});
