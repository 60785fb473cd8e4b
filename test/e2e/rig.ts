/** Both ends of `bats-proxy` for a test, on the loopback address or at both ends of a network, and all of it gone after the test. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll } from "vitest";
import { type Certificates, Command, createCertificates, issue } from "../cli/command.ts";
import { createFolder } from "../proxy/local.ts";
import { CLOUD_IP, Network, whyNoNetwork } from "./network.ts";

/** Whether this is the long form of the suite. */
export const LONG = process.env["BATS_LONG"] !== undefined;

const skipped = whyNoNetwork();
if (skipped !== null) console.warn(`end-to-end tests on a network are skipped: ${skipped}`);
/** For `describe.skipIf`. */
export const noNetwork = skipped !== null;

let certificates: Certificates;
const cleanups: (() => unknown)[] = [];
const folder = createFolder();

beforeAll(async () => {
  certificates = await createCertificates();
  await issue(certificates.folder, certificates.authority, CLOUD_IP, { server: true });
});
afterAll(() => {
  certificates.remove();
  folder.remove();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

export function later(cleanup: () => unknown): void {
  cleanups.push(cleanup);
}

/** The certificates of the tests of a file. */
export function theCertificates(): Certificates {
  return certificates;
}

let paths = 0;

/** Where a Unix socket may be. */
export function socketPath(): string {
  return join(folder.path, `${++paths}.sock`);
}

/** A folder that is gone after the test. */
export function folderLater(): string {
  const made = createFolder();
  later(made.remove);
  return made.path;
}

/** A server on the loopback address that talks to each connection so. */
export async function serve(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  return listenLater(server);
}

/** Lets a server listen on a free port until the test is done. */
export async function listenLater(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  later(() => server.close());
  return (server.address() as AddressInfo).port;
}

export function start(args: readonly string[], namespace?: string): Command {
  const command = new Command(args, undefined, namespace);
  later(() => command.kill());
  return command;
}

/** A server on the loopback address that allows everything. */
export async function startServer(
  port = 0,
  name = "localhost",
  more: readonly string[] = [],
): Promise<{ server: Command; port: number }> {
  const allow = ["tcp:*", "udp:*", "unix:/*/*/*", "unix:/*/*/*/*"].flatMap((target) => ["--allow", `edge-1=${target}`]);
  const listen = ["--allow-listen", "edge-1=tcp:127.0.0.1:*"];
  const own = ["--listen", `127.0.0.1:${port}`, ...certificates.of(name)];
  const server = start(["server", ...own, ...allow, ...listen, ...more]);
  const line = await server.line(/serving on UDP/);
  return { server, port: Number(/:(\d+),/.exec(line)![1]) };
}

/** A client that is connected, and the ports where its forwards listen, `-L` first. */
export async function startClient(port: number, forwards: string[]): Promise<{ client: Command; ports: number[] }> {
  const client = start(["client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forwards]);
  await client.line(/connected to localhost/);
  while (client.lines.filter((line) => / listen(?:ing|s) at /.test(line)).length < forwards.length / 2) {
    await client.line(/ listen(?:ing|s) at /, client.lines.length);
  }
  const ports = client.lines.flatMap((line) => /listen(?:ing|s) at (?:tcp|udp):[^ ]*:(\d+) for/.exec(line)?.[1] ?? []);
  return { client, ports: ports.map(Number) };
}

/** A network with a server in the cloud and a client at the edge. */
export async function startNetwork(
  forwards: string[],
  { lossPercent = 0, io = "auto" } = {},
): Promise<{ network: Network; client: Command; server: Command }> {
  const network = new Network();
  later(() => network.remove());
  network.lose(lossPercent);
  const allow = ["--allow", "*=unix:/*/*/*", "--allow", "*=tcp:*", "--allow", "*=udp:*"];
  const listen = ["--listen", "4433", "--io", io];
  const server = start(["server", ...listen, ...certificates.of(CLOUD_IP), ...allow], network.cloud);
  await server.line(/serving on UDP/);
  const connect = ["--connect", `${CLOUD_IP}:4433`, "--io", io, ...certificates.of("edge-1")];
  const client = start(["client", ...connect, ...forwards], network.edge);
  await client.line(/connected to/);
  return { network, client, server };
}

export function hashOf(data: Buffer): string {
  return createHash("sha256").update(data).digest("hex");
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
