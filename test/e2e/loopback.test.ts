/** The command at both ends on the loopback address: many connections, ends that are killed, hostile traffic on the path. */
import { randomBytes, randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { ALPN } from "../../src/cli/server-command.ts";
import { Credentials, listen } from "../../src/index.ts";
import { Relay } from "../api/relay.ts";
import type { Command } from "../cli/command.ts";
import { exchange, fateOf } from "../proxy/local.ts";
import { delay, hashOf, LONG, later, serve, startClient, startServer, theCertificates } from "./rig.ts";

/** 1000 in a row are also part of the tests of the command. */
const SHORT_CONNECTIONS = LONG ? 10_000 : 300;
const AT_ONCE = 500;
const KILLS = LONG ? 20 : 3;

function serveEcho(): Promise<number> {
  return serve((socket) => socket.pipe(socket));
}

/** File descriptors of a process. */
function descriptorsOf({ child }: Command): number {
  return readdirSync(`/proc/${child.pid}/fd`).length;
}

/** Credentials of an attacker, who does not ask what they are made for. */
class Stolen extends Credentials {
  override useAs(): void {}
}

describe("many connections", () => {
  it.skipIf(process.platform !== "linux")("in a row and at once leave no descriptor behind", async () => {
    const target = await serveEcho();
    const { server, port } = await startServer();
    const { client, ports } = await startClient(port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
    await exchange(ports[0], "warm");
    const before = [descriptorsOf(server), descriptorsOf(client)];
    for (let i = 0; i < SHORT_CONNECTIONS; i++) expect(String(await exchange(ports[0], `${i}`))).toBe(`${i}`);
    const data = randomBytes(20_000);
    const echoes = await Promise.all(Array.from({ length: AT_ONCE }, () => exchange(ports[0], data)));
    expect(new Set(echoes.map(hashOf))).toEqual(new Set([hashOf(data)]));
    // A few more or less are the runtime's own.
    const left = () => [descriptorsOf(server) - before[0], descriptorsOf(client) - before[1]];
    await expect.poll(() => Math.max(...left()), { timeout: 10_000 }).toBeLessThan(5);
  });
});

describe("a transfer whose process is killed", () => {
  for (const [victim, option] of [
    ["client", "-L"],
    ["client", "-R"],
    ["server", "-L"],
    ["server", "-R"],
  ] as const) {
    it(`ends in a reset at the ${victim}'s side of ${option}, and once the server is back at the other`, async () => {
      // A source that never ends: any end that its reader sees is a lie.
      const sources: Socket[] = [];
      const target = await serve((socket) => {
        sources.push(socket);
        const more = () => void (socket.destroyed || (socket.write(Buffer.alloc(65_536)) && setImmediate(more)));
        socket.on("drain", more);
        more();
      });
      const { server, port } = await startServer();
      const { client, ports } = await startClient(port, [option, `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
      const readers = Array.from({ length: 5 }, () => connect(ports[0], "127.0.0.1"));
      const fates = readers.map((reader) => fateOf(reader));
      for (const reader of readers) await once(reader, "data");
      const sourceFates = sources.map((source) => fateOf(source));
      await (victim === "client" ? client : server).kill();
      if (victim === "server") await startServer(port);
      // The other end of a killed client waits for it to come back: its sockets are not asked here.
      const readersAtClient = option === "-L";
      if (victim === "server" || readersAtClient) {
        expect(new Set(await Promise.all(fates))).toEqual(new Set(["ECONNRESET"]));
      }
      if (victim === "server" || !readersAtClient) {
        expect(new Set(await Promise.all(sourceFates))).toEqual(new Set(["ECONNRESET"]));
      }
    });
  }
});

describe.skipIf(process.platform !== "linux")("clients that are killed, one after the other", () => {
  it("leave no connection to a target and no descriptor behind once --resume-timeout is over", async () => {
    const fates: Promise<string>[] = [];
    const target = await serve((socket) => {
      socket.write("x");
      fates.push(fateOf(socket));
    });
    const { server, port } = await startServer(0, "localhost", ["--resume-timeout", "10"]);
    const run = async (): Promise<Command> => {
      const { client, ports } = await startClient(port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
      const readers = Array.from({ length: 10 }, () => connect(ports[0], "127.0.0.1").on("error", () => {}));
      for (const reader of readers) await once(reader, "data");
      return client;
    };
    const before = descriptorsOf(server);
    for (let i = 0; i < KILLS; i++) await (await run()).kill();
    const killedMs = performance.now();
    // Until then they wait for their clients: nobody can tell a killed one from one that is cut off.
    expect(new Set(await Promise.all(fates))).toEqual(new Set(["ECONNRESET"]));
    expect(fates.length).toBe(10 * KILLS);
    const gone = /edge-1: gone: .*nothing came from the client for \d+ s/;
    while (server.lines.filter((line) => gone.test(line)).length < KILLS) await server.line(gone, server.lines.length);
    expect(performance.now() - killedMs).toBeGreaterThan(5000);
    // A few more or less are the runtime's own.
    await expect.poll(() => descriptorsOf(server) - before, { timeout: 10_000 }).toBeLessThan(5);
  });
});

describe.skipIf(process.platform !== "linux")("servers that are killed, one after the other", () => {
  it("leave no descriptor of their client's behind", async () => {
    const target = await serveEcho();
    let { server, port } = await startServer();
    const { client, ports } = await startClient(port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
    const before = descriptorsOf(client);
    for (let i = 0; i < KILLS; i++) {
      const sockets = Array.from({ length: 10 }, () => connect(ports[0], "127.0.0.1"));
      const fates = sockets.map((socket) => fateOf(socket));
      for (const socket of sockets) socket.write("x");
      for (const socket of sockets) await once(socket, "data");
      await server.kill();
      const from = client.lines.length;
      ({ server } = await startServer(port));
      expect(new Set(await Promise.all(fates))).toEqual(new Set(["ECONNRESET"]));
      await client.line(/connected to localhost/, from);
    }
    expect(String(await exchange(ports[0], "after"))).toBe("after");
    await expect.poll(() => descriptorsOf(client) - before, { timeout: 10_000 }).toBeLessThan(5);
  });
});

describe("a node's certificate in the server's place", () => {
  it("gets no session and no byte of what is open; the client goes on when the server is back", async () => {
    const target = await serveEcho();
    const { server, port } = await startServer();
    const { client, ports } = await startClient(port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
    const socket = connect(ports[0], "127.0.0.1");
    socket.write("before");
    await once(socket, "data");
    await server.kill();
    const [, ca, , cert, , key] = theCertificates().of("edge-1");
    const thief = await listen({ listen: `127.0.0.1:${port}`, alpn: ALPN, credentials: new Stolen({ ca, cert, key }) });
    let robbed = 0;
    thief.on("session", () => robbed++);
    const fate = fateOf(socket);
    socket.write("secret");
    await client.line(/does not answer/);
    // Long enough for some attempts.
    await delay(3000);
    expect(robbed).toBe(0);
    await thief.close({ timeoutMs: 0 });
    await startServer(port);
    expect(await fate).toBe("ECONNRESET");
    await client.line(
      /connected to localhost/,
      client.lines.findIndex((line) => /session is over/.test(line)),
    );
    expect(String(await exchange(ports[0], "after"))).toBe("after");
  });
});

describe("garbage and replayed packets at line rate", () => {
  it("change nothing in a transfer, whether they come on the path or from elsewhere", async () => {
    const data = randomBytes(LONG ? 200_000_000 : 10_000_000);
    const target = await serveEcho();
    const { server, port } = await startServer();
    const path = await Relay.open(port);
    later(() => path.close());
    const { client, ports } = await startClient(path.port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`]);
    let running = true;
    let sent = 0;
    const stranger = createSocket("udp4").bind(0, "127.0.0.1");
    later(() => stranger.close());
    const old: Buffer[] = [];
    const storm = async () => {
      const noise = Buffer.alloc(1200);
      while (running) {
        const seen = path.lastFromClient;
        if (seen !== null) old[sent % 1000] = Buffer.from(seen);
        for (let i = 0; i < 20; i++, sent += 4) {
          const replay = old[Math.floor(Math.random() * old.length)] ?? noise;
          randomFillSync(noise);
          // A first packet's form on every other one: it costs the server a look.
          if (i % 2 === 0) noise[0] |= 0xc0;
          const damaged = Buffer.from(replay);
          damaged[Math.floor(Math.random() * damaged.length)] ^= 1;
          path.inject(replay);
          path.inject(damaged);
          stranger.send(Buffer.from(noise), port, "127.0.0.1");
          stranger.send(replay, port, "127.0.0.1");
        }
        await delay(1);
      }
    };
    const storming = storm();
    expect(hashOf(await exchange(ports[0], data))).toBe(hashOf(data));
    running = false;
    await storming;
    expect(sent).toBeGreaterThan(10_000);
    expect(server.lines.filter((line) => /connected from|gone/.test(line)).length).toBe(1);
    expect(client.lines.filter((line) => /session is over/.test(line))).toEqual([]);
  });
});
