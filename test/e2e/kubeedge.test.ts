/** Stand-ins of cloudcore and edgecore at both ends of examples/kubeedge: what KubeEdge does on its ports goes through unchanged. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { parse, stringify } from "yaml";
import { createAuthority, issueCertificate, type Pem } from "../../src/pki/certificates.ts";
import { type Certificates, Command, createCertificates, freeUdpPort } from "../cli/command.ts";

const FOLDER = new URL("../../examples/kubeedge/", import.meta.url);
const HUB = 10000;
const QUIC = 10001;
const HTTPS = 10002;
const STREAM = 10003;
const TUNNEL = 10004;

let certificates: Certificates;
/** KubeEdge's own, of which bats-proxy knows nothing. */
let authority: Pem;
let hub: Pem;
let node: Pem;
const running: Command[] = [];

beforeAll(async () => {
  certificates = await createCertificates();
  authority = await createAuthority("KubeEdge", 30);
  const { cloudHub } = read("cloudcore.yaml").modules;
  const subjectAltNames = cloudHub.advertiseAddress.map((ip: string) => `IP:${ip}`);
  hub = await issueCertificate(authority, { commonName: "kubeedge.io", subjectAltNames, server: true, days: 1 });
  const organization = "system:nodes";
  node = await issueCertificate(authority, {
    commonName: "system:node:edge-1",
    organization,
    subjectAltNames: [],
    server: false,
    days: 1,
  });
});
afterAll(() => certificates.remove());
afterEach(async () => {
  for (const command of running.splice(0)) await command.kill();
});

// biome-ignore lint/suspicious/noExplicitAny: a file of another project.
function read(name: string): any {
  return parse(readFileSync(new URL(name, FOLDER), "utf8"));
}

/** The example with other ports, since those of KubeEdge may be taken, and this test's files. */
function adapt(name: string, change: (text: string) => string, settings: object): string {
  const [[role, section]] = Object.entries(parse(change(readFileSync(new URL(name, FOLDER), "utf8"))));
  const path = join(certificates.folder, name);
  writeFileSync(path, stringify({ [role]: { ...(section as object), ...settings } }));
  return path;
}

function filesOf(name: string): object {
  return { ca: "ca.crt", cert: `${name}.crt`, key: `${name}.key`, metrics: 0 };
}

function start(...args: string[]): Command {
  const command = new Command(args);
  running.push(command);
  return command;
}

/**
 * cloudcore: the hub's and the tunnel's WebSockets behind mutual TLS, HTTPS for certificates, UDP for QUIC, and the stream server, which
 * passes what the API server asks to the node over the latest tunnel; its ports.
 */
async function startCloudcore(): Promise<Map<number, number>> {
  const ports = new Map<number, number>();
  let tunnel: WebSocket | null = null;
  const options = { key: hub.key, cert: hub.certificate, ca: authority.certificate, requestCert: true };
  for (const port of [HUB, TUNNEL, HTTPS]) {
    // Who joins has no certificate yet.
    const server = createServer({ ...options, rejectUnauthorized: port !== HTTPS }, (message, response) => {
      const { subject } = (message.socket as TLSSocket).getPeerCertificate();
      response.end(`${message.url} for ${subject?.CN ?? "nobody yet"}`);
    });
    if (port !== HTTPS) {
      new WebSocketServer({ server }).on("connection", (socket, message) => {
        const { CN } = (message.socket as TLSSocket).getPeerCertificate().subject;
        if (port === TUNNEL) tunnel = socket;
        socket.send(`${message.url} of ${CN}`);
        socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
      });
    }
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    server.unref();
    ports.set(port, (server.address() as AddressInfo).port);
  }
  const stream = createHttpServer(async ({ url }, response) => {
    tunnel!.send(String(url));
    response.end(String((await once(tunnel!, "message"))[0]));
  }).listen(0, "127.0.0.1");
  await once(stream, "listening");
  stream.unref();
  ports.set(STREAM, (stream.address() as AddressInfo).port);
  const udp = createSocket("udp4").bind(0, "127.0.0.1");
  await once(udp, "listening");
  udp.unref();
  udp.on("message", (datagram, { port, address }) => udp.send(datagram, port, address));
  ports.set(QUIC, udp.address().port);
  return ports;
}

describe("KubeEdge's connections", () => {
  it("go through both configuration files: hub, join, tunnel, what the stream server asks over it, QUIC", async () => {
    mkdirSync(certificates.folder, { recursive: true });
    const cloudcore = await startCloudcore();
    const toCloudcore = (text: string) =>
      text.replace(/(?<=127\.0\.0\.1:)1000\d(?="|\n|$)/gm, (port) => String(cloudcore.get(Number(port))));
    const serverPort = await freeUdpPort();
    const cloud = adapt("cloud.yaml", toCloudcore, { ...filesOf("localhost"), listen: `127.0.0.1:${serverPort}` });
    await start("server", "--config", cloud).line(/serving on UDP/);
    const anyPort = (text: string) => toCloudcore(text).replace(/127\.0\.0\.1:1000\d=/g, "127.0.0.1:0=");
    const edge = adapt("edge.yaml", anyPort, { ...filesOf("edge-1"), connect: `localhost:${serverPort}` });
    const client = start("client", "--config", edge);
    await client.line(/connected to/);
    const local = client.lines
      .flatMap((line) => /listening at \w+:127\.0\.0\.1:(\d+)/.exec(line)?.[1] ?? [])
      .map(Number);
    // What edgecore.yaml says, with the ports of this test.
    const at = new Map([HUB, QUIC, HTTPS, TUNNEL].map((port, i) => [`127.0.0.1:${port}`, local[i]]));
    const { edgeHub, edgeStream } = read("edgecore.yaml").modules;
    const identity = { key: node.key, cert: node.certificate, ca: authority.certificate };

    const joined = await new Promise<string>((resolve, reject) => {
      const url = new URL("/edge.crt", edgeHub.httpServer);
      url.port = String(at.get(url.host));
      request(url, { ca: authority.certificate }, async (response) => {
        let text = "";
        for await (const chunk of response) text += chunk;
        resolve(text);
      })
        .on("error", reject)
        .end();
    });
    expect(joined).toBe("/edge.crt for nobody yet");

    for (const server of [edgeHub.websocket.server, edgeStream.server]) {
      const path =
        server === edgeStream.server ? "/v1/kubeedge/connect" : "/e632aba927ea4ac2b575ec1603d56f10/edge-1/events";
      const socket = new WebSocket(`wss://127.0.0.1:${at.get(server)}${path}`, identity);
      const [hello] = await once(socket, "message");
      expect(String(hello)).toBe(`${path} of system:node:edge-1`);
      const message = Buffer.alloc(3_000_000, "x");
      socket.send(message);
      expect(((await once(socket, "message"))[0] as Buffer).equals(message)).toBe(true);
      if (server === edgeStream.server) {
        socket.once("message", (asked) => socket.send(`edge-1: ${asked}`));
        const { cloudStream } = read("cloudcore.yaml").modules;
        const logs = await fetch(
          `http://127.0.0.1:${cloudcore.get(cloudStream.streamPort)}/containerLogs/default/nginx`,
        );
        expect(await logs.text()).toBe("edge-1: /containerLogs/default/nginx");
      }
      socket.close();
      await once(socket, "close");
    }

    const udp = createSocket("udp4");
    udp.send("a QUIC packet", at.get(edgeHub.quic.server), "127.0.0.1");
    expect(String((await once(udp, "message"))[0])).toBe("a QUIC packet");
    udp.close();
  });

  it("are for a hub whose certificate names what edgecore dials", () => {
    const { advertiseAddress } = read("cloudcore.yaml").modules.cloudHub;
    const { edgeHub, edgeStream } = read("edgecore.yaml").modules;
    for (const server of [
      edgeHub.websocket.server,
      edgeHub.quic.server,
      edgeStream.server,
      new URL(edgeHub.httpServer).host,
    ]) {
      expect(advertiseAddress).toContain(server.split(":")[0]);
    }
  });
});
