/** Web programs over a network that loses packets: a hub of WebSockets as KubeEdge's, HTTP/1.1 and HTTP/2. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, createServer as createHttpServer, request } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { createServer as createHttpsServer } from "node:https";
import { connect, type Server } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { Authority, CLIENT_AUTH, SERVER_AUTH } from "../tls/certificates.ts";
import { delay, hashOf, LONG, later, noNetwork, socketPath, startNetwork } from "./rig.ts";

/** In the long form as in a cluster; in the short one, a minute, everything ten times as fast. */
const FORM = LONG
  ? { lifeMs: 600_000, outageMs: 60_000, keepAliveMs: 15_000, messageMs: 100 }
  : { lifeMs: 60_000, outageMs: 6000, keepAliveMs: 1500, messageMs: 20 };

/** A forward from a Unix socket at the edge to one in the cloud. */
async function forwarded(server: Server, lossPercent: number) {
  const [local, target] = [socketPath(), socketPath()];
  server.listen(target);
  await once(server, "listening");
  later(() => server.close());
  const rig = await startNetwork(["-L", `unix:${local}=unix:${target}`], { lossPercent });
  return { local, ...rig };
}

describe.skipIf(noNetwork)("on a network that loses 5 %", () => {
  it("a WebSocket to a hub, mutual TLS inside, lives through another address and an outage", async () => {
    const authority = await Authority.root("hub CA");
    const hubCertificate = await authority.issue("CN=hub", { usage: [SERVER_AUTH], dns: ["hub.example"] });
    const nodeCertificate = await authority.issue("O=system:nodes, CN=system:node:edge-1", { usage: [CLIENT_AUTH] });
    const https = createHttpsServer({
      ca: authority.pem,
      cert: hubCertificate.chain,
      key: hubCertificate.key,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const hub = new WebSocketServer({ server: https });
    const atHub: number[] = [];
    const problems: string[] = [];
    hub.on("connection", (socket) => {
      // As the hub of a cluster does: a node that misses its keep-alives for long is gone.
      let heardMs = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - heardMs > 6 * FORM.keepAliveMs) socket.terminate();
        else socket.ping();
      }, FORM.keepAliveMs);
      socket.on("pong", () => {
        heardMs = performance.now();
      });
      socket.on("message", (data) => {
        atHub.push(Number(data));
        socket.send(String(data));
      });
      socket.on("close", (code) => {
        clearInterval(timer);
        if (code !== 1000) problems.push(`the hub lost the node: ${code}`);
      });
    });
    const { local, network, client } = await forwarded(https, 5);
    const node = new WebSocket("wss://hub.example/", {
      createConnection: () =>
        connectTls({
          path: local,
          servername: "hub.example",
          ca: authority.pem,
          cert: nodeCertificate.chain,
          key: nodeCertificate.key,
        }),
    });
    const atNode: number[] = [];
    node.on("message", (data) => atNode.push(Number(data)));
    node.on("error", (error) => problems.push(`the node: ${error.message}`));
    await once(node, "open");
    let sent = 0;
    const sending = setInterval(() => node.send(String(sent++)), FORM.messageMs);

    const quietMs = (FORM.lifeMs - FORM.outageMs) / 3;
    await delay(quietMs);
    expect(atNode.length).toBeGreaterThan(quietMs / FORM.messageMs / 4);
    network.moveEdge();
    await delay(quietMs);
    const beforeOutage = atNode.length;
    network.lose(100);
    await delay(FORM.outageMs);
    network.lose(5);
    await delay(quietMs);
    clearInterval(sending);
    while (atNode.length < sent && problems.length === 0) await delay(20);

    expect(problems).toEqual([]);
    expect(node.readyState).toBe(WebSocket.OPEN);
    expect(atNode.length).toBeGreaterThan(beforeOutage);
    const all = Array.from({ length: sent }, (_, i) => i);
    expect(atHub).toEqual(all);
    expect(atNode).toEqual(all);
    expect(client.lines.filter((line) => line.includes("session is over"))).toEqual([]);
    node.close();
    await once(node, "close");
  });

  it("HTTP/1.1 requests, one after the other on kept connections and many at once, get their answers", async () => {
    const body = randomBytes(100_000);
    const server = createHttpServer((incoming, outgoing) => {
      incoming.pipe(outgoing.writeHead(200, { "x-path": incoming.url ?? "" }));
    });
    const { local } = await forwarded(server, 5);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    later(() => agent.destroy());
    const post = (path: string) =>
      new Promise<string>((resolve, reject) => {
        const outgoing = request({ socketPath: local, path, method: "POST", agent }, (answer) => {
          const chunks: Buffer[] = [];
          answer.on("data", (chunk) => chunks.push(chunk));
          answer.on("end", () => resolve(`${answer.headers["x-path"]} ${hashOf(Buffer.concat(chunks))}`));
          answer.on("error", reject);
        });
        outgoing.on("error", reject);
        outgoing.end(body);
      });
    const names = Array.from({ length: 20 }, (_, i) => `/${i}`);
    const answers = await Promise.all(names.map(post));
    for (const name of ["/a", "/b", "/c"]) answers.push(await post(name));
    expect(answers).toEqual([...names, "/a", "/b", "/c"].map((name) => `${name} ${hashOf(body)}`));
  });

  it("HTTP/2 streams share one connection", async () => {
    const body = randomBytes(100_000);
    const server = createHttp2Server();
    server.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200, "x-path": headers[":path"] });
      stream.pipe(stream);
    });
    const { local } = await forwarded(server as unknown as Server, 5);
    const session = connectHttp2("http://edge", { createConnection: () => connect(local) });
    later(() => session.destroy());
    const post = async (path: string): Promise<string> => {
      const stream = session.request({ ":method": "POST", ":path": path });
      stream.end(body);
      const chunks: Buffer[] = [];
      let named = "";
      stream.on("response", (headers) => {
        named = String(headers["x-path"]);
      });
      for await (const chunk of stream) chunks.push(chunk);
      return `${named} ${hashOf(Buffer.concat(chunks))}`;
    };
    const names = Array.from({ length: 20 }, (_, i) => `/${i}`);
    expect(await Promise.all(names.map(post))).toEqual(names.map((name) => `${name} ${hashOf(body)}`));
  });
});
