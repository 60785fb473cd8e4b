import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ClientForwards } from "../../src/proxy/client-forwards.ts";
import { parseForward } from "../../src/proxy/forward-endpoint.ts";
import { ForwardSession } from "../../src/proxy/forward-session.ts";
import { listenAt } from "../../src/proxy/local-socket.ts";
import { encodeOpen } from "../../src/proxy/open-header.ts";
import { Permissions, parseRule } from "../../src/proxy/permissions.ts";
import { ServerForwards } from "../../src/proxy/server-forwards.ts";
import { createFakePair, type FakePair } from "./fake-carrier.ts";
import { createFolder, createLog, exchange, fateOf, serve, type TestLog, until } from "./local.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

interface Rig {
  client: ClientForwards;
  server: ServerForwards;
  pair: FakePair;
  clientLog: TestLog;
  serverLog: TestLog;
  /** Where the first listener of the client, or for the client at the server, listens. */
  port(): number;
}

interface RigOptions {
  local?: string[];
  remote?: string[];
  allow?: string[];
  allowListen?: string[];
  name?: string;
  maxPerIdentity?: number;
}

async function createRig({
  local = [],
  remote = [],
  allow = [],
  allowListen = [],
  name,
  maxPerIdentity = 100_000,
}: RigOptions): Promise<Rig> {
  const clientLog = createLog();
  const serverLog = createLog();
  const common = { unixMode: 0o600, maxFlows: 100, flowIdleMs: 60_000, datagramDeadlineMs: undefined };
  const client = new ClientForwards({
    ...common,
    local: local.map((text) => parseForward(text)),
    remote: remote.map((text) => parseForward(text)),
    log: clientLog,
  });
  const server = new ServerForwards({
    ...common,
    allow: new Permissions(allow.map((text) => parseRule(text))),
    allowListen: new Permissions(allowListen.map((text) => parseRule(text))),
    maxPerIdentity,
    log: serverLog,
  });
  await client.listen();
  const pair = createFakePair(name);
  server.add(pair.server);
  client.attach(pair.client);
  cleanups.push(() => {
    client.stopListening();
    server.stopListening();
    client.session?.stop();
    for (const session of server.sessions) session.stop();
  });
  const port = () => {
    const line = [...clientLog.lines].reverse().find((text) => /listen(?:ing|s) at (?:tcp|udp):.*:\d+ for/.test(text));
    return Number(/:(\d+) for/.exec(line!)![1]);
  };
  if (remote.length > 0) await until(() => clientLog.lines.length > local.length);
  return { client, server, pair, clientLog, serverLog, port };
}

async function serveEcho(): Promise<number> {
  const { server, port } = await serve((socket) => socket.pipe(socket));
  cleanups.push(() => server.close());
  return port;
}

const BIG = Buffer.alloc(3_000_000);
for (let i = 0; i < BIG.length; i++) BIG[i] = (i * 31 + (i >> 8)) & 255;

describe("a forward of connections", () => {
  it("carries bytes and both ends, from the client to a target of the server's", async () => {
    const echo = await serveEcho();
    const target = `tcp:127.0.0.1:${echo}`;
    const { port, serverLog } = await createRig({ local: [`tcp:127.0.0.1:0=${target}`], allow: [`edge-*=${target}`] });
    expect(await exchange(port(), "hello")).toEqual(Buffer.from("hello"));
    expect((await exchange(port(), BIG)).equals(BIG)).toBe(true);
    expect(await exchange(port(), "")).toEqual(Buffer.alloc(0));
    await until(() => serverLog.lines.filter((line) => line.includes("done")).length === 3);
    expect(serverLog.lines.join("\n")).toMatch(
      /edge-1: tcp:127.0.0.1:\d+ from 127.0.0.1:\d+: done, 3000000 bytes sent, 3000000 received/,
    );
  });

  it("carries them from a listener at the server to a target of the client's", async () => {
    const echo = await serveEcho();
    const { port } = await createRig({
      remote: [`tcp:127.0.0.1:0=tcp:127.0.0.1:${echo}`],
      allowListen: ["edge-1=tcp:127.0.0.1:*"],
    });
    expect((await exchange(port(), BIG)).equals(BIG)).toBe(true);
  });

  it("carries them over Unix sockets, one for each peer's name", async () => {
    const folder = createFolder();
    cleanups.push(folder.remove);
    const echo = await serveEcho();
    const path = join(folder.path, "{identity}.sock");
    await createRig({ remote: [`unix:${path}=tcp:127.0.0.1:${echo}`], allowListen: [`*=unix:${path}`] });
    const mine = join(folder.path, "edge-1.sock");
    expect(statSync(mine).mode & 0o777).toBe(0o600);
    expect((await exchange(mine, BIG)).equals(BIG)).toBe(true);
  });

  it("lets the target speak first, and end first", async () => {
    const { server, port: target } = await serve((socket) => socket.end("banner"));
    cleanups.push(() => server.close());
    const { port } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${target}`],
      allow: [`*=tcp:127.0.0.1:${target}`],
    });
    expect(await exchange(port(), "")).toEqual(Buffer.from("banner"));
  });

  it("passes a half-closed connection on: the answer comes after the end of the question", async () => {
    const { server, port: target } = await serve((socket) => {
      let length = 0;
      socket.on("data", (chunk) => {
        length += chunk.length;
      });
      socket.on("end", () => setTimeout(() => socket.end(`${length}`), 20));
    });
    cleanups.push(() => server.close());
    const { port } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${target}`],
      allow: [`*=tcp:127.0.0.1:${target}`],
    });
    expect(String(await exchange(port(), BIG))).toBe(String(BIG.length));
  });

  it("passes a reset on, in both directions", async () => {
    const fates: Promise<string>[] = [];
    const { server, port: target } = await serve((socket) => {
      socket.once("data", (chunk) => {
        if (String(chunk) === "reset me") socket.resetAndDestroy();
        else {
          socket.write("x");
          fates.push(fateOf(socket));
        }
      });
    });
    cleanups.push(() => server.close());
    const { port } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${target}`],
      allow: [`*=tcp:127.0.0.1:${target}`],
    });
    const first = connect(port(), "127.0.0.1");
    first.write("reset me");
    expect(await fateOf(first)).toBe("ECONNRESET");
    const second = connect(port(), "127.0.0.1");
    second.write("stay");
    await once(second, "data");
    second.resetAndDestroy();
    expect(await fates[0]).toBe("ECONNRESET");
  });

  it("holds a fast sender back while the reader is slow, and loses nothing", async () => {
    const { server, port: target } = await serve((socket) => socket.pause());
    const sockets: Socket[] = [];
    server.on("connection", (socket) => sockets.push(socket));
    cleanups.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    const { port, client } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${target}`],
      allow: [`*=tcp:127.0.0.1:${target}`],
    });
    const socket = connect(port(), "127.0.0.1");
    let taken = 0;
    const chunk = Buffer.alloc(1 << 20, 1);
    while (taken < 200 && socket.write(chunk)) taken++;
    for (; taken < 200; taken++) {
      const drained = await Promise.race([
        once(socket, "drain").then(() => true),
        new Promise((resolve) => setTimeout(resolve, 300)),
      ]);
      if (drained !== true) break;
      socket.write(chunk);
    }
    expect(taken).toBeLessThan(100);
    expect(client.session!.connections).toBe(1);
    let received = 0;
    sockets[0].on("data", (data) => {
      received += data.length;
    });
    sockets[0].resume();
    const written = (taken + 1) * chunk.length;
    await until(() => received === written);
    socket.destroy();
  });

  it("resets what is open when the session is lost, and never ends it cleanly", async () => {
    const fates: Promise<string>[] = [];
    const { server, port: target } = await serve((socket) => {
      socket.write("x");
      fates.push(fateOf(socket));
    });
    cleanups.push(() => server.close());
    const { port, pair, serverLog } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${target}`],
      allow: [`*=tcp:127.0.0.1:${target}`],
    });
    const socket = connect(port(), "127.0.0.1");
    await once(socket, "data");
    pair.server.lose();
    pair.client.lose();
    expect(await fateOf(socket)).toBe("ECONNRESET");
    expect(await fates[0]).toBe("ECONNRESET");
    await until(() => serverLog.lines.some((line) => /peer reset|session lost/.test(line)));
  });

  it("waits for the next session when there is none", async () => {
    const echo = await serveEcho();
    const target = `tcp:127.0.0.1:${echo}`;
    const { port, pair, client, server } = await createRig({ local: [`tcp:0=${target}`], allow: [`*=${target}`] });
    pair.client.lose();
    pair.server.lose();
    const answer = exchange(port(), "later");
    await new Promise((resolve) => setTimeout(resolve, 50));
    const next = createFakePair();
    server.add(next.server);
    client.attach(next.client);
    expect(await answer).toEqual(Buffer.from("later"));
  });
});

describe("a refused forward", () => {
  const refused = async (options: RigOptions): Promise<Rig & { fate: string }> => {
    const rig = await createRig(options);
    const socket = connect(rig.port(), "127.0.0.1");
    socket.write("data that comes with the open");
    return { ...rig, fate: await fateOf(socket) };
  };

  it("says once for some seconds that a UDP source is refused, whatever it sends, and then how much came in vain", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    cleanups.push(() => vi.useRealTimers());
    const { port, clientLog, serverLog, client, server } = await createRig({
      local: ["udp:127.0.0.1:0=udp:127.0.0.1:9"],
    });
    const socket = createSocket("udp4");
    cleanups.push(() => socket.close());
    const refusals = (log: TestLog) => log.lines.filter((line) => line.includes("is not allowed to reach"));
    const sendMany = async () => {
      for (let i = 0; i < 50; i++) {
        socket.send("x", port(), "127.0.0.1");
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const untilRefused = async (times: number) => {
      for (let turn = 0; turn < 100_000 && refusals(clientLog).length < 2 * times; turn++) {
        socket.send("x", port(), "127.0.0.1");
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await untilRefused(1);
    await sendMany();
    // The refusal itself and the line of the audit at the client, the audit's at the server.
    expect([refusals(clientLog).length, refusals(serverLog).length]).toEqual([2, 1]);
    vi.advanceTimersByTime(10_000);
    expect(clientLog.lines.join("\n")).toMatch(/ from 127\.0\.0\.1:\d+: \d\d+ more datagrams were dropped/);
    await untilRefused(2);
    await sendMany();
    expect([refusals(clientLog).length, refusals(serverLog).length]).toEqual([4, 2]);
    expect([client.session?.flows, [...server.sessions][0].flows]).toEqual([0, 0]);
  });

  it("says that the target is not allowed, what would allow it, and resets the local socket", async () => {
    const { fate, clientLog, serverLog, port } = await refused({
      local: ["tcp:0=tcp:127.0.0.1:1"],
      allow: ["edge-2=tcp:127.0.0.1:1"],
    });
    expect(fate).toBe("ECONNRESET");
    const words = "edge-1 is not allowed to reach tcp:127.0.0.1:1: the server needs --allow 'edge-1=tcp:127.0.0.1:1'";
    expect(clientLog.lines.join("\n")).toContain(words);
    expect(serverLog.lines.join("\n")).toContain(words);
    expect(await fateOf(connect(port(), "127.0.0.1"))).toBe("ECONNRESET");
  });

  it("says that nothing listens at the target, or that its name does not resolve", async () => {
    const closed = await refused({ local: ["tcp:0=tcp:127.0.0.1:1"], allow: ["*=tcp:127.0.0.1:1"] });
    expect(closed.fate).toBe("ECONNRESET");
    expect(closed.clientLog.lines.join("\n")).toContain("tcp:127.0.0.1:1 refuses connections: nothing listens there");
    const nameless = await refused({ local: ["tcp:0=tcp:nowhere.invalid:1"], allow: ["*=tcp:*"] });
    expect(nameless.clientLog.lines.join("\n")).toContain("tcp:nowhere.invalid:1: the name does not resolve");
  });

  it("leaves the session and its other connections alone", async () => {
    const echo = await serveEcho();
    const rules = { allow: [`*=tcp:127.0.0.1:${echo}`] };
    const { port, pair, clientLog } = await createRig({
      local: [`tcp:0=tcp:127.0.0.1:${echo}`, "tcp:0=tcp:127.0.0.1:1"],
      ...rules,
    });
    const ports = clientLog.lines.map((line) => Number(/:(\d+) for/.exec(line)![1]));
    const socket = connect(ports[0], "127.0.0.1");
    expect(await fateOf(connect(port(), "127.0.0.1"))).toBe("ECONNRESET");
    socket.write("still");
    expect(String((await once(socket, "data"))[0])).toBe("still");
    socket.destroy();
    expect(pair.client.listenerCount("close")).toBeGreaterThan(0);
  });

  it("says why the server does not listen", async () => {
    const { clientLog } = await createRig({ remote: ["tcp:127.0.0.1:0=tcp:127.0.0.1:1"] });
    expect(clientLog.lines[0]).toContain(
      "edge-1 is not allowed to listen at tcp:127.0.0.1:0: the server needs --allow-listen",
    );
    const taken = await serveEcho();
    const used = await createRig({ remote: [`tcp:127.0.0.1:${taken}=tcp:127.0.0.1:1`], allowListen: ["*=tcp:*"] });
    expect(used.clientLog.lines[0]).toContain("it is in use");
  });

  it("is one that the client did not offer: a server opens nothing at the client by itself", async () => {
    const echo = await serveEcho();
    const { pair, clientLog } = await createRig({});
    const stream = pair.server.openStream();
    stream.on("error", () => {});
    stream.write(encodeOpen({ type: "connect", target: `tcp:127.0.0.1:${echo}` }));
    await until(() => clientLog.lines.length > 0);
    expect(clientLog.lines[0]).toContain("a client opens nothing that it did not offer with -R");
  });

  it("is one whose header is no header", async () => {
    const { pair, serverLog } = await createRig({ allow: ["*=tcp:*"] });
    const stream = pair.client.openStream();
    stream.on("error", () => {});
    stream.write("GET / HTTP/1.1\r\n\r\n");
    await until(() => serverLog.lines.length > 0);
    expect(serverLog.lines[0]).toContain("does not speak this version of forwarding");
  });
});

describe("an end that is about to stop", () => {
  const opened = async (port: number): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    socket.write("before");
    expect(String((await once(socket, "data"))[0])).toBe("before");
    return socket;
  };
  const goesOn = async (socket: Socket): Promise<void> => {
    socket.write("after");
    expect(String((await once(socket, "data"))[0])).toBe("after");
    socket.destroy();
  };

  it("at the server serves what is open, and neither connects nor listens any more", async () => {
    const target = `tcp:127.0.0.1:${await serveEcho()}`;
    const rules = { allow: [`*=${target}`], allowListen: ["*=tcp:*"] };
    const rig = await createRig({ local: [`tcp:0=${target}`], remote: [`tcp:127.0.0.1:0=${target}`], ...rules });
    const remote = rig.port();
    const local = Number(/:(\d+) for/.exec(rig.clientLog.lines[0])![1]);
    const [near, far] = [await opened(local), await opened(remote)];
    rig.server.stopListening();
    expect(await fateOf(connect(local, "127.0.0.1"))).toBe("ECONNRESET");
    expect(await fateOf(connect(remote, "127.0.0.1"))).toBe("ECONNREFUSED");
    // The client asks for its listener again, and hears why it does not get it.
    await until(() => rig.clientLog.lines.some((line) => /^-R .*the server is stopping/.test(line)));
    expect(rig.clientLog.lines.join("\n")).toContain(`tcp:127.0.0.1:0=${target}: the server is stopping`);
    await goesOn(near);
    await goesOn(far);
  });

  it("at the client gives its listeners at the server back, and serves what is open", async () => {
    const target = `tcp:127.0.0.1:${await serveEcho()}`;
    const rig = await createRig({ remote: [`tcp:127.0.0.1:0=${target}`], allowListen: ["*=tcp:*"] });
    const socket = await opened(rig.port());
    rig.client.stopListening();
    await until(() => rig.serverLog.lines.some((line) => line.includes("no longer listening")));
    expect(await fateOf(connect(rig.port(), "127.0.0.1"))).toBe("ECONNREFUSED");
    // One that came in at the same moment.
    const late = rig.pair.server.openStream();
    late.on("error", () => {});
    late.write(encodeOpen({ type: "accepted-connect", listener: 0 }));
    expect(String((await once(late, "data"))[0])).toContain("the client is stopping");
    await goesOn(socket);
  });
});

describe("a listener at the server", () => {
  it("goes to the later of two sessions of one name once, and the other hears why", async () => {
    const echo = await serveEcho();
    const { server: probe, port } = await serve(() => {});
    await new Promise((resolve) => probe.close(resolve));
    const forward = `tcp:127.0.0.1:${port}=tcp:127.0.0.1:${echo}`;
    const { server, client, pair, clientLog } = await createRig({ remote: [forward], allowListen: ["*=tcp:*"] });
    const log = createLog();
    const options = { local: [], unixMode: 0o600, maxFlows: 10, flowIdleMs: 1000, datagramDeadlineMs: undefined };
    const second = new ClientForwards({ ...options, remote: [parseForward(forward)], log });
    cleanups.push(() => second.stopListening());
    const later = createFakePair("edge-1");
    server.add(later.server);
    second.attach(later.client);
    await until(() => log.lines.length === 1 && clientLog.lines.length === 2);
    expect(log.lines[0]).toContain("the server listens at");
    expect(clientLog.lines[1]).toMatch(/another session of edge-1 took tcp:.* over; are there two nodes/);
    expect(await exchange(port, "still")).toEqual(Buffer.from("still"));
    // The earlier one asks again, in vain.
    const asked = pair.client.openStream();
    asked.on("error", () => {});
    asked.write(encodeOpen({ type: "listen", endpoint: `tcp:127.0.0.1:${port}`, listener: 0 }));
    const [answer] = (await once(asked, "data")) as [Buffer];
    expect(String(answer)).toContain("a newer session of that name does");
    expect(log.lines.join()).not.toContain("took");
    expect(client.session).not.toBe(null);
  });

  it("is taken over by the same name and kept from another", async () => {
    const echo = await serveEcho();
    const { server: probe, port } = await serve(() => {});
    await new Promise((resolve) => probe.close(resolve));
    const forward = `tcp:127.0.0.1:${port}=tcp:127.0.0.1:${echo}`;
    const first = await createRig({ remote: [forward], allowListen: ["*=tcp:*"] });
    const log = createLog();
    const attach = (name: string) => {
      const pair = createFakePair(name);
      first.server.add(pair.server);
      const client = new ClientForwards({
        local: [],
        remote: [parseForward(forward)],
        unixMode: 0o600,
        maxFlows: 10,
        flowIdleMs: 1000,
        datagramDeadlineMs: undefined,
        log,
      });
      cleanups.push(() => client.stopListening());
      client.attach(pair.client);
      return pair;
    };
    attach("edge-2");
    await until(() => log.lines.length === 1);
    expect(log.lines[0]).toContain("edge-1 does");
    first.pair.client.lose();
    const again = attach("edge-1");
    await until(() => log.lines.length === 2);
    expect(log.lines[1]).toContain("the server listens at");
    expect(await exchange(port, "again")).toEqual(Buffer.from("again"));
    again.server.lose();
    await until(() => first.serverLog.lines.filter((line) => line.includes("no longer listening")).length === 2);
  });
});

describe("an identity that has as many connections as it may", () => {
  it("gets no more, either way and in any session, and others do", async () => {
    const held: Socket[] = [];
    const { port } = await serve((socket) => held.push(socket));
    const target = `tcp:127.0.0.1:${port}`;
    const allow = [`*=${target}`];
    const rig = await createRig({
      local: [`tcp:127.0.0.1:0=${target}`],
      allow,
      allowListen: ["*=tcp:127.0.0.1:0"],
      maxPerIdentity: 2,
    });
    const [first, second, third] = [0, 1, 2].map(() => connect(rig.port(), "127.0.0.1"));
    for (const socket of [first, second]) cleanups.push(() => socket.destroy());
    expect(await fateOf(third)).toBe("ECONNRESET");
    await until(() =>
      rig.clientLog.lines.some((line) => /edge-1 has 2 connections, the most that the server lets/.test(line)),
    );

    const attach = (name: string, forward: { local?: string; remote?: string }) => {
      const log = createLog();
      const pair = createFakePair(name);
      rig.server.add(pair.server);
      const client = new ClientForwards({
        local: forward.local === undefined ? [] : [parseForward(forward.local)],
        remote: forward.remote === undefined ? [] : [parseForward(forward.remote)],
        unixMode: 0o600,
        maxFlows: 10,
        flowIdleMs: 1000,
        datagramDeadlineMs: undefined,
        log,
      });
      cleanups.push(() => client.stopListening());
      return { client, log, attach: () => client.attach(pair.client) };
    };
    const again = attach("edge-1", { remote: `tcp:127.0.0.1:0=${target}` });
    again.attach();
    await until(() => again.log.lines.length > 0);
    const remotePort = Number(/:(\d+) for/.exec(again.log.lines[0])![1]);
    expect(await fateOf(connect(remotePort, "127.0.0.1"))).toBe("ECONNRESET");
    expect(rig.serverLog.lines.some((line) => /refused: edge-1 has 2 connections/.test(line))).toBe(true);

    const other = attach("edge-2", { local: `tcp:127.0.0.1:0=${target}` });
    await other.client.listen();
    other.attach();
    const socket = connect(Number(/:(\d+) for/.exec(other.log.lines[0])![1]), "127.0.0.1");
    cleanups.push(() => socket.destroy());
    await until(() => held.length === 3);
    first.resetAndDestroy();
    await until(() => [...rig.server.sessions].every(({ connections }) => connections < 2));
    const free = connect(rig.port(), "127.0.0.1");
    cleanups.push(() => free.destroy());
    await until(() => held.length === 4);
  });
});

describe("a stream that cannot be served for an unforeseen reason", () => {
  it("is reset, and the log says why", async () => {
    const pair = createFakePair();
    const log = createLog();
    const target = (): never => {
      throw new Error("out of luck");
    };
    const options = { log, flowIdleMs: 1000, datagramDeadlineMs: undefined };
    new ForwardSession(pair.server, { ...options, policy: { target, listen: null, tunnel: null } });
    const stream = pair.client.openStream();
    stream.write(encodeOpen({ type: "connect", target: "tcp:127.0.0.1:1" }));
    await expect(once(stream, "close")).rejects.toThrow("reset by the peer");
    expect(log.lines).toEqual(["edge-1: a stream could not be served: out of luck"]);
  });
});

describe("a Unix socket's file", () => {
  it("is replaced when its owner is gone, and not when it is alive or no socket", async () => {
    const folder = createFolder();
    cleanups.push(folder.remove);
    const path = join(folder.path, "s");
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ["-e", script]);
    expect(existsSync(path)).toBe(true);
    const options = { unixMode: 0o660, onConnection: () => {} };
    const server = await listenAt({ kind: "unix", path }, options);
    cleanups.push(() => server.close());
    expect(statSync(path).mode & 0o777).toBe(0o660);
    await expect(listenAt({ kind: "unix", path }, options)).rejects.toThrow("it is in use");
    const file = join(folder.path, "file");
    writeFileSync(file, "precious");
    await expect(listenAt({ kind: "unix", path: file }, options)).rejects.toThrow("it is in use");
    expect(readFileSync(file, "utf8")).toBe("precious");
  });
});
