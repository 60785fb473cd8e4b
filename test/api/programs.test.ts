// Streams in the place of sockets, under programs that know nothing of them.
import { once } from "node:events";
import { Agent, createServer, request } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import type { Duplex } from "node:stream";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Session } from "../../src/index.ts";
import { Authority, SERVER_AUTH } from "../tls/certificates.ts";
import { pair } from "./support.ts";

class SessionAgent extends Agent {
  readonly #session: Session;

  constructor(session: Session) {
    super({ keepAlive: true, maxSockets: 4 });
    this.#session = session;
  }

  override createConnection(): Duplex {
    return this.#session.openStream();
  }
}

async function get(agent: Agent, path: string, body = ""): Promise<{ status: number; text: string }> {
  const asked = request({ agent, path, method: "POST", host: "cloud" });
  asked.end(body);
  const [response] = await once(asked, "response");
  let text = "";
  for await (const chunk of response.setEncoding("utf8")) text += chunk;
  return { status: response.statusCode, text };
}

describe("a stream in the place of a socket", () => {
  it("carries HTTP/1.1, connections kept alive", async () => {
    const { client, server } = await pair();
    const web = createServer((asked, response) => {
      let bytes = 0;
      asked.on("data", (chunk) => {
        bytes += chunk.length;
      });
      asked.on("end", () => response.end(`${asked.url} ${bytes}`));
    });
    server.on("stream", (stream) => web.emit("connection", stream));
    const agent = new SessionAgent(client);
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => get(agent, `/${i}`, "x".repeat(i * 1000))));
    answers.forEach((answer, i) => {
      expect(answer).toEqual({ status: 200, text: `/${i} ${i * 1000}` });
    });
    expect(client.streamCount).toBeLessThanOrEqual(4);
    agent.destroy();
  });

  it("carries HTTP/2", async () => {
    const { client, server } = await pair();
    const web = createHttp2Server();
    web.on("stream", (stream, headers) => {
      stream.respond({ ":status": 200 });
      stream.end(`you asked for ${headers[":path"]}`);
    });
    server.on("stream", (stream) => web.emit("connection", stream));
    const http2 = connectHttp2("http://cloud", { createConnection: () => client.openStream() });
    const texts = await Promise.all(
      ["/a", "/b", "/c"].map(async (path) => {
        const asked = http2.request({ ":path": path });
        return (await asked.setEncoding("utf8").toArray()).join("");
      }),
    );
    expect(texts).toEqual(["you asked for /a", "you asked for /b", "you asked for /c"]);
    http2.close();
    await once(http2, "close");
  });

  it("carries WebSockets both ways, and their close", async () => {
    const { client, server } = await pair();
    const web = createServer();
    const hub = new WebSocketServer({ server: web });
    hub.on("connection", (socket) => {
      socket.on("message", (data, binary) => socket.send(data, { binary }));
    });
    server.on("stream", (stream) => web.emit("connection", stream));
    const socket = new WebSocket("ws://cloud/hub", { createConnection: () => client.openStream() as never });
    await once(socket, "open");
    const large = Buffer.alloc(1_000_000, 7);
    const answers: number[] = [];
    socket.on("message", (data: Buffer) => answers.push(data.length));
    for (let i = 0; i < 100; i++) socket.send(`message ${i}`);
    socket.send(large);
    await expect.poll(() => answers.length, { timeout: 5000 }).toBe(101);
    expect(answers[100]).toBe(large.length);
    socket.ping();
    await once(socket, "pong");
    socket.close(1000, "done");
    const [code] = await once(socket, "close");
    expect(code).toBe(1000);
    hub.close();
  });

  it("carries TLS of the application's own", async () => {
    const { client, server } = await pair();
    const authority = await Authority.root("another CA");
    const { chain, key } = await authority.issue("CN=inner", { usage: [SERVER_AUTH], dns: ["inner"] });
    const inner = createTlsServer({ cert: chain, key }, (socket) => socket.pipe(socket));
    server.on("stream", (stream) => inner.emit("connection", stream));
    const socket = connectTls({ socket: client.openStream(), ca: authority.pem, servername: "inner" });
    await once(socket, "secureConnect");
    socket.end("wrapped twice");
    expect((await socket.setEncoding("utf8").toArray()).join("")).toBe("wrapped twice");
  });

  it("lets an HTTP client hear when its session dies in mid-answer", async () => {
    const { client, server } = await pair();
    const web = createServer((_asked, response) => {
      response.writeHead(200, { "content-length": 1000 });
      response.write("half");
    });
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      web.emit("connection", stream);
    });
    const asked = request({ createConnection: () => client.openStream(), path: "/", host: "cloud" });
    asked.end();
    const [response] = await once(asked, "response");
    const failed = once(asked, "error");
    response.on("error", () => {});
    response.resume();
    server.destroy(new Error("gone"));
    const [error] = await failed;
    expect(error).toMatchObject({ code: "ERR_BATS_PEER_CLOSED", message: "the peer closed: gone" });
    expect(response.complete).toBe(false);
  });
});
