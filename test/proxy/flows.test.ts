import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { ClientForwards } from "../../src/proxy/client-forwards.ts";
import { parseEndpoint, parseForward, type SocketEndpoint } from "../../src/proxy/forward-endpoint.ts";
import { encodeOpen } from "../../src/proxy/open-header.ts";
import { Permissions, parseRule } from "../../src/proxy/permissions.ts";
import { ServerForwards } from "../../src/proxy/server-forwards.ts";
import { listenUdp } from "../../src/proxy/udp-socket.ts";
import { createFakePair } from "./fake-carrier.ts";
import { createLog, until } from "./local.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

async function bind(): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  cleanups.push(() => socket.close());
  return { socket, port: socket.address().port };
}

async function createRig(options: { idleMs?: number; maxFlows?: number; remote?: boolean; allow?: string } = {}) {
  const { idleMs = 60_000, maxFlows = 100, remote = false, allow = "*=udp:127.0.0.1:*" } = options;
  const target = await bind();
  target.socket.on("message", (payload, { port }) =>
    target.socket.send(Buffer.concat([Buffer.from(`${port}:`), payload]), port, "127.0.0.1"),
  );
  const log = createLog();
  const common = { unixMode: 0o600, maxFlows, flowIdleMs: idleMs, datagramDeadlineMs: undefined };
  const forwards = [parseForward(`udp:127.0.0.1:0=udp:127.0.0.1:${target.port}`)];
  const client = new ClientForwards({ ...common, local: remote ? [] : forwards, remote: remote ? forwards : [], log });
  const rules = new Permissions([parseRule(allow)]);
  const server = new ServerForwards({
    ...common,
    allow: rules,
    allowListen: rules,
    maxPerIdentity: 100,
    log: createLog(),
  });
  await client.listen();
  const pair = createFakePair();
  server.add(pair.server);
  client.attach(pair.client);
  await until(() => log.lines.length > 0);
  cleanups.push(() => {
    client.stopListening();
    server.stopListening();
    pair.client.lose();
    pair.server.lose();
  });
  const port = Number(/:(\d+) for/.exec(log.lines[0])![1]);
  const serverSession = [...server.sessions][0];
  return { pair, client, serverSession, port, log, target };
}

async function ask(socket: Socket, port: number, payload: Buffer | string): Promise<string> {
  socket.send(payload, port, "127.0.0.1");
  return String((await once(socket, "message"))[0]);
}

describe("a forward of datagrams", () => {
  for (const remote of [false, true]) {
    it(`keeps boundaries, and sources apart, ${remote ? "from the server to the client" : "from the client to the server"}`, async () => {
      const { port, client } = await createRig({ remote });
      const [a, b] = [await bind(), await bind()];
      const [first, source] = /^(\d+):a$/.exec(await ask(a.socket, port, "a"))!;
      expect(first).toBe(`${source}:a`);
      const other = await ask(b.socket, port, "b");
      expect(other).toMatch(/:b$/);
      expect(other.startsWith(`${source}:`)).toBe(false);
      expect(await ask(a.socket, port, "c")).toBe(`${source}:c`);
      expect(await ask(a.socket, port, "")).toBe(`${source}:`);
      expect(client.session!.flows).toBe(2);
    });
  }

  it("carries the longest datagram there is, over the stream", async () => {
    const { port, pair, target } = await createRig();
    const { socket } = await bind();
    await ask(socket, port, "open");
    let datagrams = 0;
    pair.server.on("datagram", () => datagrams++);
    target.socket.removeAllListeners("message");
    const sent = Buffer.alloc(65_507, 7);
    const [received] = await Promise.all([
      once(target.socket, "message"),
      new Promise((resolve) => socket.send(sent, port, "127.0.0.1", resolve)),
    ]);
    expect(sent.equals(received[0])).toBe(true);
    expect(datagrams).toBe(0);
  });

  it("keeps datagrams that come before the stream that opens their flow", async () => {
    const { pair, target, serverSession } = await createRig();
    pair.server.emit("datagram", Buffer.from([0, 0x68, 0x69]));
    for (let i = 0; i < 1000; i++) pair.server.emit("datagram", Buffer.from([9, 0]));
    // The bytes are lent: whoever keeps them has to copy them.
    const lent = Buffer.from([0, 0x68, 0x6f]);
    pair.server.emit("datagram", lent);
    lent.fill(0);
    const heard: string[] = [];
    target.socket.on("message", (payload) => heard.push(String(payload)));
    const stream = pair.client.openStream();
    stream.on("error", () => {});
    expect(stream.id).toBe(0);
    stream.write(encodeOpen({ type: "flow", target: `udp:127.0.0.1:${target.port}` }));
    stream.resume();
    await until(() => heard.length === 1);
    // A flood of others pushed the first one out: what waits is bounded.
    expect(heard).toEqual(["ho"]);
    expect(serverSession.flows).toBe(1);
  });

  it("ends flows that are quiet, at both ends", async () => {
    const { port, client, serverSession, log } = await createRig({ idleMs: 100 });
    const { socket } = await bind();
    await ask(socket, port, "a");
    expect(serverSession.flows).toBe(1);
    await until(() => client.session!.flows === 0 && serverSession.flows === 0);
    await until(() => log.lines.some((line) => /done, 1 bytes sent, \d+ received/.test(line)));
    expect(await ask(socket, port, "b")).toMatch(/:b$/);
  });

  it("ends the flow that was quiet longest when there are too many", async () => {
    const { port, client } = await createRig({ maxFlows: 3 });
    for (let i = 0; i < 6; i++) await ask((await bind()).socket, port, "x");
    expect(client.session!.flows).toBeLessThanOrEqual(3);
  });

  it("has no answer for a source that cannot be answered, and goes on", async () => {
    const errors: unknown[] = [];
    const listener = await listenUdp(parseEndpoint("udp:0", { listen: true }) as SocketEndpoint, {
      idleMs: 60_000,
      maxFlows: 10,
      openFlow: (_source, reply) => ({
        lastActiveMs: 0,
        isOver: false,
        close: () => {},
        send: (payload) => {
          try {
            reply(payload);
          } catch (error) {
            errors.push(error);
          }
        },
      }),
    });
    cleanups.push(() => listener.close());
    // Anybody can write port 0 into a packet, and the kernel delivers it.
    listener.socket.emit("message", Buffer.from("x"), { address: "127.0.0.1", family: "IPv4", port: 0, size: 1 });
    const { socket } = await bind();
    expect(await ask(socket, listener.port, "hi")).toBe("hi");
    expect(errors).toEqual([]);
  });

  it("says why it is refused", async () => {
    const { port, log } = await createRig({ allow: "nobody=udp:127.0.0.1:*" });
    const { socket } = await bind();
    socket.send("x", port, "127.0.0.1");
    await until(() => log.lines.some((line) => line.includes("is not allowed to reach udp:127.0.0.1")));
  });

  it("is not asked for by more sources at a time than may be, where they are refused", async () => {
    const { port, log } = await createRig({ allow: "nobody=udp:127.0.0.1:*", maxFlows: 3 });
    const refusals = () => log.lines.filter((line) => /refused: .*is not allowed to reach/.test(line)).length;
    for (let sources = 1; sources <= 3; sources++) {
      (await bind()).socket.send("x", port, "127.0.0.1");
      await until(() => refusals() === sources);
    }
    for (let i = 0; i < 10; i++) (await bind()).socket.send("x", port, "127.0.0.1");
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(refusals()).toBe(3);
  });

  it("takes any datagram of the peer's", async () => {
    const { pair, port } = await createRig();
    for (const bytes of [[], [0xff], [0xff, 1, 2, 3, 4, 5, 6, 7], [0x40], [63]])
      pair.server.emit("datagram", Buffer.from(bytes));
    const { socket } = await bind();
    expect(await ask(socket, port, "a")).toMatch(/:a$/);
  });
});
