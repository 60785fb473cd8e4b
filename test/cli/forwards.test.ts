/** The built command at both ends on the loopback address, with real programs' traffic through it. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { renameSync } from "node:fs";
import { createServer as createHttpServer, get } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { pemPaths } from "../../src/pki/files.ts";
import { Relay } from "../api/relay.ts";
import { exchange, fateOf, until } from "../proxy/local.ts";
import {
  type Certificates,
  type Command,
  createCertificates,
  freeUdpPort,
  issue,
  killCommands,
  startCommand,
} from "./command.ts";

/** 10,000 in the long form of the suite. */
const SHORT_CONNECTIONS = process.env["BATS_LONG"] === undefined ? 1000 : 10_000;
const OUTAGE_MS = process.env["BATS_LONG"] === undefined ? 1000 : 60_000;
const AT_ONCE = process.env["BATS_LONG"] === undefined ? 200 : 500;

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === "::1"));

let certificates: Certificates;
let echo: Server;
let echoPort: number;

beforeAll(async () => {
  certificates = await createCertificates();
  echo = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  echoPort = await listenAny(echo);
});
afterAll(() => {
  echo.close();
  certificates.remove();
});
afterEach(killCommands);

async function listenAny(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

async function startServer(args: string[], port = 0): Promise<{ server: Command; port: number }> {
  const server = startCommand(["server", "--listen", `127.0.0.1:${port}`, ...certificates.of("localhost"), ...args]);
  const line = await server.line(/serving on UDP/);
  return { server, port: Number(/:(\d+),/.exec(line)![1]) };
}

/** A client that is connected, and the ports where its forwards listen. */
async function startClient(port: number, args: string[]): Promise<{ client: Command; ports: number[] }> {
  const client = startCommand(["client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...args]);
  await client.line(/connected to localhost, sockets by (native|dgram)/);
  const remotes = args.filter((word) => word === "-R").length;
  while (client.lines.filter((line) => line.includes("the server listens at")).length < remotes) {
    await client.line(/the server listens at/, client.lines.length);
  }
  const ports = client.lines.flatMap((line) => /listen(?:ing|s) at (?:tcp|udp):[^ ]*:(\d+) for/.exec(line)?.[1] ?? []);
  return { client, ports: ports.map(Number) };
}

/** Both ends, with one forward of TCP to `target`. */
async function startBoth(
  target: number,
  both: readonly string[] = [],
): Promise<{ server: Command; client: Command; port: number; serverPort: number }> {
  const allow = ["--allow", `edge-1=tcp:127.0.0.1:${target}`];
  const { server, port: serverPort } = await startServer([...allow, ...both]);
  const local = ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${target}`];
  const { client, ports } = await startClient(serverPort, [...local, ...both]);
  return { server, client, port: ports[0], serverPort };
}

const BIG = Buffer.alloc(8_000_000);
for (let i = 0; i < BIG.length; i++) BIG[i] = (i * 31 + (i >> 8)) & 255;

describe("bats-proxy", () => {
  it("forwards TCP both ways round, Unix sockets and UDP", async () => {
    const target = `tcp:127.0.0.1:${echoPort}`;
    const { socket: udp, port: udpPort } = await bindUdp();
    udp.on("message", (payload, { port }) => udp.send(payload, port, "127.0.0.1"));
    const path = join(certificates.folder, "{identity}.sock");
    const { port } = await startServer([
      ...["--allow", `*=${target}`, "--allow", `*=udp:127.0.0.1:${udpPort}`],
      ...["--allow-listen", "*=tcp:127.0.0.1:*", "--allow-listen", `*=unix:${path}`],
    ]);
    const { ports } = await startClient(port, [
      ...["-L", `tcp:127.0.0.1:0=${target}`, "-L", `udp:127.0.0.1:0=udp:127.0.0.1:${udpPort}`],
      ...["-R", `tcp:127.0.0.1:0=${target}`, "-R", `unix:${path}=${target}`],
    ]);
    const [local, udpLocal, remote] = ports;
    expect((await exchange(local, BIG)).equals(BIG)).toBe(true);
    expect((await exchange(join(certificates.folder, "edge-1.sock"), BIG)).equals(BIG)).toBe(true);
    expect((await exchange(remote, BIG)).equals(BIG)).toBe(true);
    const { socket } = await bindUdp();
    for (const length of [0, 1, 1200, 9000, 65_507]) {
      const payload = BIG.subarray(0, length);
      socket.send(payload, udpLocal, "127.0.0.1");
      expect(((await once(socket, "message"))[0] as Buffer).equals(payload), `${length} bytes`).toBe(true);
    }
    udp.close();
    socket.close();
  });

  it("goes over TLS where UDP is blocked, says so, and returns", async () => {
    const { server, port } = await startServer([
      ...["--allow", `edge-1=tcp:127.0.0.1:${echoPort}`, "--listen-tls", "127.0.0.1:0"],
    ]);
    const tls = /:(\d+) those/.exec(await server.line(/serving on TCP/))![1];
    const relay = await Relay.open(port);
    relay.blocked = true;
    const { client, ports } = await startClient(relay.port, [
      ...["--fallback", `tls:localhost:${tls}`, "-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${echoPort}`],
    ]);
    await client.line(new RegExp(`no answer over UDP: goes by .*:${tls} over TLS, tries UDP on`));
    expect((await exchange(ports[0], BIG)).equals(BIG)).toBe(true);
    relay.blocked = false;
    await client.line(new RegExp(`is reached at .*:${relay.port}`));
    expect(String(await exchange(ports[0], "over UDP"))).toBe("over UDP");
    await relay.close();
  });

  it("goes over the TLS of each of several servers, its own", async () => {
    const servers = await Promise.all(
      [1, 2].map(async () => {
        const allow = ["--allow", `edge-1=tcp:127.0.0.1:${echoPort}`];
        const { server, port } = await startServer([...allow, "--listen-tls", "127.0.0.1:0"]);
        const tls = Number(/:(\d+) those/.exec(await server.line(/serving on TCP/))![1]);
        const relay = await Relay.open(port);
        relay.blocked = true;
        return { server, relay, tls };
      }),
    );
    const [first, second] = servers;
    const { client, ports } = await startClient(first.relay.port, [
      ...["--connect", `localhost:${second.relay.port}`, "--resume-timeout", "1"],
      ...servers.flatMap(({ tls }) => ["--fallback", `tls:localhost:${tls}`]),
      ...["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${echoPort}`],
    ]);
    await client.line(new RegExp(`localhost:${first.relay.port}: .* goes by .*:${first.tls} over TLS`));
    await first.server.kill();
    await client.line(new RegExp(`localhost:${second.relay.port}: .* goes by .*:${second.tls} over TLS`));
    expect(String(await exchange(ports[0], "by the second"))).toBe("by the second");
    for (const { relay } of servers) await relay.close();
  });

  it("carries many connections at once, and many one after the other", {
    timeout: 60_000 + 10 * SHORT_CONNECTIONS,
  }, async () => {
    const { port, client, server } = await startBoth(echoPort);
    const answers = Array.from({ length: AT_ONCE }, (_, i) => exchange(port, `hello ${i}`));
    for (const [i, answer] of (await Promise.all(answers)).entries()) expect(String(answer)).toBe(`hello ${i}`);
    for (let i = 0; i < SHORT_CONNECTIONS; i++) expect(String(await exchange(port, `${i}`))).toBe(`${i}`);
    const done = (command: Command) => command.lines.filter((line) => line.includes(": done, ")).length;
    await until(() => done(client) === AT_ONCE + SHORT_CONNECTIONS && done(server) === AT_ONCE + SHORT_CONNECTIONS);
  });

  it("serves HTTP and WebSockets", async () => {
    const http = createHttpServer((_request, response) => response.end(BIG));
    new WebSocketServer({ server: http }).on("connection", (socket) =>
      socket.on("message", (data) => socket.send(data)),
    );
    const { port } = await startBoth(await listenAny(http));
    const body = await new Promise<Buffer>((resolve, reject) => {
      get({ port, host: "127.0.0.1" }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk) => chunks.push(chunk));
        response.on("end", () => resolve(Buffer.concat(chunks)));
      }).on("error", reject);
    });
    expect(body.equals(BIG)).toBe(true);
    const socket = new WebSocket(`ws://127.0.0.1:${port}`);
    await once(socket, "open");
    socket.send(BIG);
    expect(((await once(socket, "message"))[0] as Buffer).equals(BIG)).toBe(true);
    socket.close();
    await once(socket, "close");
    http.closeAllConnections();
    http.close();
  });

  it("resets local sockets when the other end is killed, and works again within 5 s of its restart", async () => {
    const fates: Promise<string>[] = [];
    const talker = createServer((socket) => {
      socket.write("x");
      fates.push(fateOf(socket));
    });
    const { server, client, port, serverPort } = await startBoth(await listenAny(talker));
    const socket = connect(port, "127.0.0.1");
    await once(socket, "data");
    await server.kill("SIGKILL");
    const from = client.lines.length;
    const allow = ["--allow", `*=tcp:127.0.0.1:${(talker.address() as AddressInfo).port}`];
    await startServer(allow, serverPort);
    const startMs = performance.now();
    const fate = fateOf(socket);
    await client.line(/connected to localhost/, from);
    expect(performance.now() - startMs).toBeLessThan(5000);
    expect(await fate).toBe("ECONNRESET");
    const again = connect(port, "127.0.0.1");
    expect(String((await once(again, "data"))[0])).toBe("x");
    // Each end's own sockets, when it is the one that is killed.
    const reset = process.platform === "linux" ? "ECONNRESET" : expect.any(String);
    const own = fateOf(again);
    await client.kill("SIGKILL");
    expect(await own).toEqual(reset);
    expect(await fates[0]).toEqual(reset);
    talker.close();
  });

  it.skipIf(!hasIpv6)("forwards TCP and UDP over IPv6, on portable sockets, which both ends say", async () => {
    const target = createServer((socket) => socket.pipe(socket)).listen(0, "::1");
    await once(target, "listening");
    const udp = createSocket("udp6").bind(0, "::1");
    await once(udp, "listening");
    udp.on("message", (payload, { port }) => udp.send(payload, port, "::1"));
    const tcpTarget = `tcp:[::1]:${(target.address() as AddressInfo).port}`;
    const udpTarget = `udp:[::1]:${udp.address().port}`;
    const server = startCommand([
      ...["server", "--listen", "[::1]:0", "--io", "dgram", ...certificates.of("localhost")],
      ...["--allow", `*=${tcpTarget}`, "--allow", `*=${udpTarget}`],
    ]);
    const port = /UDP \[::1\]:(\d+), sockets by dgram/.exec(await server.line(/serving on UDP/))![1];
    const client = startCommand([
      ...["client", "--connect", `[::1]:${port}`, "--server-name", "localhost", "--io", "dgram"],
      ...[...certificates.of("edge-1"), "-L", `tcp:[::1]:0=${tcpTarget}`, "-L", `udp:[::1]:0=${udpTarget}`],
    ]);
    await client.line(/connected to localhost, sockets by dgram/);
    const [tcpPort, udpPort] = ["tcp", "udp"].map((kind) =>
      Number(
        client.lines.flatMap((line) => new RegExp(`listening at ${kind}:\\[::1\\]:(\\d+)`).exec(line)?.[1] ?? [])[0],
      ),
    );
    const socket = connect({ port: tcpPort, host: "::1" });
    socket.end("over IPv6");
    expect(String(Buffer.concat(await socket.toArray()))).toBe("over IPv6");
    const asking = createSocket("udp6");
    asking.send("a datagram", udpPort, "::1");
    expect(String((await once(asking, "message"))[0])).toBe("a datagram");
    for (const one of [asking, udp, target]) one.close();
  });

  it("goes to another server when its own stays silent for too long", async () => {
    const allow = ["--allow", `edge-1=tcp:127.0.0.1:${echoPort}`];
    const [first, second] = [await startServer(allow), await startServer(allow)];
    const { client, ports } = await startClient(first.port, [
      ...["--connect", `localhost:${second.port}`, "--keep-alive", "0.5", "--resume-timeout", "2"],
      ...["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${echoPort}`],
    ]);
    expect(String(await exchange(ports[0], "by the first"))).toBe("by the first");
    first.server.child.kill("SIGSTOP");
    await client.line(new RegExp(`localhost:${first.port}: does not answer; connections wait`));
    await client.line(new RegExp(`localhost:${first.port}: the session is over: .*no link to the server for 2 s`));
    await client.line(new RegExp(`localhost:${second.port}: connected to`));
    expect(String(await exchange(ports[0], "by the second"))).toBe("by the second");
    first.server.child.kill("SIGCONT");
  });

  it("holds connections through an outage, and goes on where they were", { timeout: OUTAGE_MS + 60_000 }, async () => {
    const { port } = await startServer(["--allow", `*=tcp:127.0.0.1:${echoPort}`]);
    const path = await startPath(port);
    const { client, ports } = await startClient(path.port, ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${echoPort}`]);
    const socket = connect(ports[0], "127.0.0.1");
    socket.write("before");
    expect(String((await once(socket, "data"))[0])).toBe("before");
    path.up = false;
    socket.write("during");
    await client.line(/does not answer; connections wait/);
    await new Promise((resolve) => setTimeout(resolve, OUTAGE_MS));
    path.up = true;
    expect(String((await once(socket, "data"))[0])).toBe("during");
    expect(client.lines.some((line) => line.includes("session is over"))).toBe(false);
    socket.destroy();
    path.close();
  });

  it("takes new certificates without dropping what is open", async () => {
    const { client, port } = await startBoth(echoPort);
    const socket = connect(port, "127.0.0.1");
    socket.write("before");
    await once(socket, "data");
    await issue(certificates.folder, certificates.authority, "edge-1", { file: "renewed" });
    const renewed = pemPaths(certificates.folder, "renewed");
    const current = pemPaths(certificates.folder, "edge-1");
    renameSync(renewed.key, current.key);
    await client.line(/cannot be used, the old ones stay: .* is not the key of/);
    renameSync(renewed.certificate, current.certificate);
    await client.line(/certificates loaded again/);
    socket.write("after");
    expect(String((await once(socket, "data"))[0])).toBe("after");
    socket.destroy();
  });

  it("finishes what is open when it is asked to stop, takes no more, and ends with 0", async () => {
    const { server, client, port } = await startBoth(echoPort);
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.write("before");
    await once(socket, "data");
    client.child.kill("SIGTERM");
    await client.line(/stopping/);
    expect(await fateOf(connect(port, "127.0.0.1"))).toBe("ECONNREFUSED");
    socket.end("after");
    expect(String((await once(socket, "data"))[0])).toBe("after");
    expect(await client.exit).toBe(0);
    expect(await server.kill("SIGTERM")).toBe(0);
  });

  it("as a server finishes what is open, takes nothing new, and ends with 0", async () => {
    const { server, port: serverPort } = await startServer(["--allow", "*=tcp:127.0.0.1:*", "--drain", "600"]);
    const target = `tcp:127.0.0.1:${echoPort}`;
    const { client, ports } = await startClient(serverPort, ["-L", `tcp:127.0.0.1:0=${target}`]);
    const open = [0, 1].map(() => connect({ port: ports[0], host: "127.0.0.1", allowHalfOpen: true }));
    for (const socket of open) {
      // Of a run that fails before its end.
      socket.on("error", () => {});
      socket.write("before");
      await once(socket, "data");
    }
    server.child.kill("SIGTERM");
    await server.line(/stopping: no new connections/);
    const refused = connect(ports[0], "127.0.0.1");
    expect(await fateOf(refused)).toBe("ECONNRESET");
    await client.line(new RegExp(`${target}: the server is stopping`));
    const connectTo = ["client", "--connect", `localhost:${serverPort}`, ...certificates.of("edge-1")];
    const second = startCommand([...connectTo, "-L", `tcp:127.0.0.1:0=${target}`]);
    await second.line(/the server is stopping/);
    await server.line(/edge-1: refused from .*: the server is stopping/);
    expect(second.lines.some((line) => line.includes("connected to"))).toBe(false);
    for (const socket of open) {
      expect(server.child.exitCode).toBe(null);
      socket.end("after");
      expect(String((await once(socket, "data"))[0])).toBe("after");
      await once(socket, "end");
    }
    expect(await server.exit).toBe(0);
    await client.line(/the session is over: the server closed it/);
  });

  it("as a server cuts what does not end in time, and ends with 0", async () => {
    const { server, port } = await startBoth(echoPort, ["--drain", "1"]);
    const socket = connect(port, "127.0.0.1");
    socket.write("before");
    await once(socket, "data");
    const fate = fateOf(socket);
    server.child.kill("SIGTERM");
    expect(await fate).toBe("ECONNRESET");
    expect(await server.exit).toBe(0);
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "ends at once, with 1, when it is asked a second time, by %s",
    async (signal) => {
      const { server, client, port } = await startBoth(echoPort, ["--drain", "600"]);
      const socket = connect(port, "127.0.0.1");
      socket.write("before");
      await once(socket, "data");
      const fate = fateOf(socket);
      for (const command of [client, server]) {
        command.child.kill(signal);
        await command.line(/stopping: no new connections/);
        expect(command.child.exitCode).toBe(null);
        expect(await command.kill(signal)).toBe(1);
      }
      expect(await fate).toEqual(process.platform === "linux" ? "ECONNRESET" : expect.any(String));
    },
  );

  it("ends in silence when it is stopped while it waits for its certificate", async () => {
    const common = certificates.of("never-node");
    const client = startCommand(["client", "--connect", "localhost:1", ...common, "-L", "tcp:0=tcp:127.0.0.1:1"]);
    await client.line(/waiting for it/);
    expect(await client.kill("SIGTERM")).toBe(0);
    expect(client.lines.filter((line) => !/ (?:info|warn) /.test(line))).toEqual([]);
  });

  it("starts before the server and before its certificate do", async () => {
    const port = await freeUdpPort();
    const args = [
      "client",
      "--connect",
      `localhost:${port}`,
      ...certificates.of("late-node"),
      "-L",
      `tcp:127.0.0.1:0=tcp:127.0.0.1:${echoPort}`,
    ];
    const client = startCommand(args);
    await client.line(/late-node\.(crt|key) does not exist: waiting for it/);
    await issue(certificates.folder, certificates.authority, "late-node");
    await startServer(["--allow", `late-node=tcp:127.0.0.1:${echoPort}`], port);
    await client.line(/connected to localhost/);
    const local = Number(/:(\d+) for/.exec(await client.line(/listening at/))![1]);
    expect(String(await exchange(local, "hello"))).toBe("hello");
  });
});

/** A path of UDP to a server's port that can be taken down. */
async function startPath(serverPort: number): Promise<{ port: number; up: boolean; close(): void }> {
  const near = await bindUdp();
  const far = await bindUdp();
  let client = 0;
  const path = {
    port: near.port,
    up: true,
    close: () => {
      near.socket.close();
      far.socket.close();
    },
  };
  near.socket.on("message", (datagram, { port }) => {
    client = port;
    if (path.up) far.socket.send(datagram, serverPort, "127.0.0.1");
  });
  far.socket.on("message", (datagram) => {
    if (path.up) near.socket.send(datagram, client, "127.0.0.1");
  });
  return path;
}

async function bindUdp(): Promise<{ socket: UdpSocket; port: number }> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { socket, port: socket.address().port };
}
