/** `--metrics`, `--dashboard` and `bats-proxy status` with the built command. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { Script } from "node:vm";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { DASHBOARD_PAGE } from "../../src/operate/dashboard-page.generated.ts";
import { exchange, until } from "../proxy/local.ts";
import { type Certificates, type Command, createCertificates, killCommands, startCommand } from "./command.ts";

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());
afterEach(killCommands);

function start(...args: string[]): Command {
  return startCommand(args);
}

let fifos = 0;

function makeFifo(): string {
  const path = join(certificates.folder, `${++fifos}.fifo`);
  execFileSync("mkfifo", [path]);
  return path;
}

/** What there is to read from a descriptor that does not wait. */
function readNow(descriptor: number): string {
  const buffer = Buffer.alloc(65_536);
  try {
    return buffer.toString("utf8", 0, readSync(descriptor, buffer));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe("EAGAIN");
    return "";
  }
}

async function startBoth(): Promise<{ server: string; client: string; local: number; stop(): Promise<unknown> }> {
  const echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  echo.unref();
  const target = `tcp:127.0.0.1:${(echo.address() as AddressInfo).port}`;
  const operate = ["--metrics", "0", "--dashboard"];
  const server = start(
    "server",
    "--listen",
    "127.0.0.1:0",
    ...certificates.of("localhost"),
    "--allow",
    `*=${target}`,
    ...operate,
  );
  const port = /:(\d+),/.exec(await server.line(/serving on/))![1];
  const forwards = ["-L", `tcp:0=${target}`, "-L", "tcp:0=tcp:127.0.0.1:9"];
  const client = start(
    "client",
    "--connect",
    `localhost:${port}`,
    ...certificates.of("edge-1"),
    ...forwards,
    ...operate,
  );
  await client.line(/connected/);
  const urlOf = async (command: Command) => /http:\S+\d/.exec(await command.line(/metrics and status at/))![0];
  const [local, refused] = client.lines
    .flatMap((line) => /listening at tcp:[^ ]*:(\d+)/.exec(line)?.[1] ?? [])
    .map(Number);
  await exchange(local, "to and fro");
  await exchange(refused, "nothing").catch(() => {});
  return { server: await urlOf(server), client: await urlOf(client), local, stop: () => server.kill("SIGKILL") };
}

async function fetchText(url: string): Promise<string> {
  return (await fetch(url)).text();
}

describe("a running proxy", () => {
  it("tells how it is: health, readiness, metrics, sessions", async () => {
    const { server, client, stop } = await startBoth();
    expect((await fetch(`${server}/healthz`)).status).toBe(200);
    expect((await fetch(`${server}/readyz`)).status).toBe(200);
    expect((await fetch(`${client}/readyz`)).status).toBe(200);
    expect((await fetch(`${server}/nothing`)).status).toBe(404);
    expect((await fetch(`${server}/metrics`, { method: "POST" })).status).toBe(405);
    const metrics = await fetchText(`${server}/metrics`);
    expect(metrics).toContain('bats_proxy_peer_received_bytes_total{peer="edge-1"}');
    expect(metrics).toContain("bats_proxy_refused_total 1");
    expect(metrics).toMatch(/bats_proxy_peer_rtt_seconds\{peer="edge-1"\} 0\.\d+/);
    const shown = start("status", server.replace("http://", ""), "--json");
    await shown.exit;
    const status = JSON.parse(shown.output);
    expect(status).toMatchObject({ role: "server", ready: true, totals: { sessions: 1, forwards: 1, refused: 1 } });
    expect(status.sessions).toMatchObject([{ peer: "edge-1", state: "open", connections: 0 }]);
    expect(status.sessions[0].bytesSent).toBeGreaterThanOrEqual(10);
    const table = start("status", server.replace("http://", ""));
    expect(await table.exit).toBe(0);
    expect(table.output).toMatch(/edge-1 +127\.0\.0\.1:\d+/);
    await stop();
    while ((await fetch(`${client}/readyz`)).status !== 503) await new Promise((resolve) => setTimeout(resolve, 50));
  });

  it("counts what goes by UDP, also when the session is over", async () => {
    const echo = createSocket("udp4").bind(0, "127.0.0.1");
    await once(echo, "listening");
    echo.on("message", (payload, { port }) => echo.send(payload, port, "127.0.0.1"));
    const target = `udp:127.0.0.1:${echo.address().port}`;
    const listens = ["--listen", "127.0.0.1:0", "--metrics", "0"];
    const server = start("server", ...listens, ...certificates.of("localhost"), "--allow", `*=${target}`);
    const url = /http:\S+\d/.exec(await server.line(/metrics and status at/))![0];
    const port = /:(\d+),/.exec(await server.line(/serving on/))![1];
    const forward = ["-L", `udp:127.0.0.1:0=${target}`];
    const client = start("client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forward);
    const local = Number(/listening at udp:[^ ]*:(\d+)/.exec(await client.line(/listening at/))![1]);
    await client.line(/connected/);
    const asking = createSocket("udp4");
    let [asked, answered] = [0, 0];
    asking.on("message", (payload) => {
      answered += payload.length;
    });
    while (answered < 10_000) {
      asking.send(Buffer.alloc(1000), local, "127.0.0.1");
      asked += 1000;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    // Until all has come back, or is lost.
    for (let before = -1; before < answered; ) {
      before = answered;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    const bytesOf = async (way: string): Promise<number> =>
      Number(
        new RegExp(`peer_${way}_bytes_total\\{peer="edge-1"\\} (\\d+)`).exec(await fetchText(`${url}/metrics`))?.[1],
      );
    // With the few that say which flow a datagram belongs to, and far from twice as many.
    const expectBytes = async (way: string, least: number): Promise<number> => {
      const bytes = await bytesOf(way);
      expect(bytes, way).toBeGreaterThanOrEqual(least);
      expect(bytes, way).toBeLessThan(1.5 * asked);
      return bytes;
    };
    const [sent, received] = [await expectBytes("sent", answered), await expectBytes("received", answered)];
    await client.kill("SIGTERM");
    await server.line(/edge-1: gone/);
    await expectBytes("sent", sent);
    await expectBytes("received", received);
    asking.close();
    echo.close();
  });

  it("has a page without outside resources, which runs nothing but its own script", async () => {
    const { client } = await startBoth();
    const response = await fetch(client);
    const policy = response.headers.get("content-security-policy");
    const script = /<script>([\s\S]*)<\/script>/.exec(DASHBOARD_PAGE)![1];
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src 'sha256-${createHash("sha256").update(script).digest("base64")}'`);
    expect(await response.text()).toBe(DASHBOARD_PAGE);
    expect(DASHBOARD_PAGE.replaceAll("http://www.w3.org/2000/svg", "")).not.toMatch(
      /https?:|src=|<link(?! rel="icon" href="data:)/,
    );
    new Script(script);
  });

  it("writes a trace where it is told to", async () => {
    const file = join(certificates.folder, "server.trace");
    const listens = ["--listen", "127.0.0.1:0", "--trace", file];
    const server = start("server", ...listens, ...certificates.of("localhost"));
    const port = /:(\d+),/.exec(await server.line(/serving on/))![1];
    const forward = ["-L", "tcp:0=tcp:127.0.0.1:9"];
    start("client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forward);
    await server.line(/edge-1: connected/);
    await until(() => existsSync(file) && readFileSync(file, "utf8").includes("\n"));
    expect(JSON.parse(readFileSync(file, "utf8").split("\n")[0])).toMatchObject({ overMs: expect.any(Number) });
  });

  it("writes a trace into a FIFO that is read", async () => {
    const fifo = makeFifo();
    const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const listens = ["--listen", "127.0.0.1:0", "--trace", fifo];
    const server = start("server", ...listens, ...certificates.of("localhost"));
    const port = /:(\d+),/.exec(await server.line(/serving on/))![1];
    const forward = ["-L", "tcp:0=tcp:127.0.0.1:9"];
    start("client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forward);
    let text = "";
    await until(() => {
      text += readNow(reader);
      return text.includes("\n");
    });
    expect(JSON.parse(text.split("\n")[0])).toMatchObject({ overMs: expect.any(Number) });
    closeSync(reader);
  });

  it("does not wait for somebody to read its trace", async () => {
    const fifo = makeFifo();
    const server = start("server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"), "--trace", fifo);
    expect(await server.exit).toBe(1);
    expect(server.lines).toEqual([expect.stringMatching(/--trace: .*\.fifo is a FIFO that nobody reads/)]);
  });

  it("says what is wrong with its options", async () => {
    const alone = start("server", "--listen", "0", ...certificates.of("localhost"), "--dashboard");
    expect(await alone.exit).toBe(2);
    expect(alone.lines.join()).toContain("say where with --metrics");
    const nowhere = join(certificates.folder, "none", "server.trace");
    const blind = start("server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"), "--trace", nowhere);
    expect(await blind.exit).toBe(1);
    expect(blind.lines).toEqual([expect.stringMatching(/--trace: .*ENOENT.*none\/server\.trace/)]);
    const nobody = start("status", `unix:${join(certificates.folder, "none.sock")}`);
    expect(await nobody.exit).toBe(4);
    expect(nobody.lines.join()).toContain("does it run with --metrics?");
  });
});
