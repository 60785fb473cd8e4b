/**
 * The built command with interfaces, on a real kernel. Needs root.
 *
 *     edge-1  bats0 10.20.0.2          cloud  bats0 10.20.0.1          edge-2  bats0 10.20.0.3
 *     tunnel-...-2  10.99.1.2 ---veth--- 10.99.1.1   10.99.2.1 ---veth--- 10.99.2.2
 */
import { get } from "node:http";
import { join as joinPath } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificates, type Command, createCertificates, issue } from "../cli/command.ts";
import { join, Namespace, whyNoNamespaces } from "../netns.ts";
import { start } from "./start.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
  await issue(certificates.folder, certificates.authority, "edge-2");
});
afterAll(() => certificates.remove());

interface Topology {
  cloud: Namespace;
  edge1: Namespace;
  edge2: Namespace;
}

function topology(): Topology {
  const [cloud, edge1, edge2] = [new Namespace(), new Namespace(), new Namespace()];
  join(edge1, cloud);
  join(cloud, edge2);
  edge1.ip("addr", "add", "10.99.1.2/24", "dev", "veth-a");
  cloud.ip("addr", "add", "10.99.1.1/24", "dev", "veth-b");
  cloud.ip("addr", "add", "10.99.2.1/24", "dev", "veth-a");
  edge2.ip("addr", "add", "10.99.2.2/24", "dev", "veth-b");
  return { cloud, edge1, edge2 };
}

async function startServer(cloud: Namespace, args: string[]): Promise<Command> {
  const own = ["--tun", "bats0=10.20.0.1/24,fd20::1/64", ...certificates.of("localhost")];
  const server = start(cloud, ["server", "--listen", "4433", ...own, ...args]);
  await server.line(/serving on UDP/);
  return server;
}

function startClient(edge: Namespace, number: number, args: string[] = [], address = number + 1): Command {
  const connection = ["--connect", `10.99.${number}.1:4433`, "--server-name", "localhost"];
  const own = ["--tun", `bats0=10.20.0.${address}/24,fd20::${address}/64`, ...certificates.of(`edge-${number}`)];
  return start(edge, ["client", ...connection, ...own, ...args]);
}

async function echo(namespace: Namespace, address: string): Promise<void> {
  expect(await namespace.program("tunnel/talk.ts", "echo", address).next()).toBe("ready");
}

function ask(namespace: Namespace, own: string, there: string): Promise<unknown> {
  return namespace.program("tunnel/talk.ts", "ask", own, there, String(1 << 20)).next();
}

function probe(namespace: Namespace, own: string, there: string): Promise<unknown> {
  return namespace.program("tunnel/talk.ts", "probe", own, there).next();
}

/** What a server of HTTP at a socket of the file system says of its metrics. */
function read(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: "/metrics" }, (response) => resolve(text(response))).on("error", reject);
  });
}

/** A datagram may be lost once, on a machine that stands still for longer than its deadline. */
const whole = {
  intact: true,
  datagrams: "1,500,1400,9000,40000",
  again: expect.toSatisfy((again: number) => again <= 1, "at most one datagram lost"),
};

describe.skipIf(whyNot !== null)("a tunnel", () => {
  test("carries TCP, and UDP in fragments, of both IP versions both ways, and is made again when its interface is deleted", async () => {
    const { cloud, edge1 } = topology();
    const metrics = joinPath(certificates.folder, "metrics.sock");
    const server = await startServer(cloud, [
      ...["--allow", "edge-1=tun", "--up", "echo up $BATS_TUN $BATS_ADDRESS"],
      ...["--metrics", `unix:${metrics}`],
    ]);
    await server.line(/up bats0 10\.20\.0\.1\/24,fd20::1\/64/);
    const client = startClient(edge1, 1, ["--up", "echo up $BATS_MTU", "--down", "echo down"]);
    await client.line(/the tunnel is up: 10\.20\.0\.2\/32, fd20::2\/128/);
    await client.line(/^up 1[234]\d\d/);
    await Promise.all([echo(cloud, "10.20.0.1"), echo(cloud, "fd20::1"), echo(edge1, "10.20.0.2")]);
    expect(await ask(edge1, "10.20.0.2", "10.20.0.1")).toEqual(whole);
    expect(await ask(edge1, "fd20::2", "fd20::1")).toEqual(whole);
    expect(await ask(cloud, "10.20.0.1", "10.20.0.2")).toEqual(whole);

    expect(await read(metrics)).toMatch(/^bats_proxy_tunnel_packets_total\{direction="sent"\} [1-9]/m);

    edge1.ip("link", "set", "bats0", "down");
    expect(await probe(cloud, "10.20.0.1", "10.20.0.2")).not.toEqual({ answered: true });
    await client.line(/bats0: the kernel takes no packets \(EIO: is the interface down\?\)/);
    edge1.ip("link", "del", "bats0");
    await client.line(/someone deleted the interface/);
    await client.line(/bats0: is there again/);
    expect(await ask(edge1, "10.20.0.2", "10.20.0.1")).toEqual(whole);

    expect(await client.kill("SIGTERM")).toBe(0);
    expect(client.lines).toContain("down");
    await server.line(/edge-1: left the tunnel/);
    expect(edge1.ip("-br", "link")).not.toContain("bats0");
  });

  test("gives each client its own addresses and no one else's, and keeps clients apart", async () => {
    const { cloud, edge1, edge2 } = topology();
    const allow = ["*=tun", "edge-1=tun:10.20.0.2", "edge-1=tun:192.168.7.0/24"].flatMap((rule) => ["--allow", rule]);
    const server = await startServer(cloud, allow);
    const thief = startClient(edge2, 2, [], 2);
    await thief.line(/bats0: refused: 10\.20\.0\.2 is kept for edge-1/);
    await server.line(/edge-2: tun:10\.20\.0\.2\/24.*refused: 10\.20\.0\.2 is kept for edge-1/);
    await thief.kill();
    const greedy = startClient(edge2, 2, ["--route", "192.168.7.0/24"]);
    await greedy.line(/192\.168\.7\.0\/24 is kept for edge-1/);
    await greedy.kill();

    edge1.ip("addr", "add", "192.168.7.1/24", "dev", "lo");
    const first = startClient(edge1, 1, ["--route", "192.168.7.0/24"]);
    const second = startClient(edge2, 2);
    await Promise.all([first, second].map((client) => client.line(/the tunnel is up/)));
    await Promise.all([
      echo(cloud, "10.20.0.1"),
      echo(edge1, "10.20.0.2"),
      echo(edge1, "192.168.7.1"),
      echo(edge2, "10.20.0.3"),
    ]);
    // Networks behind a client are routed to it, and back over its address.
    expect(await probe(cloud, "10.20.0.1", "192.168.7.1")).toEqual({ answered: true });
    expect(await probe(edge2, "10.20.0.3", "10.20.0.1")).toEqual({ answered: true });
    expect(await probe(edge2, "10.20.0.3", "10.20.0.2")).not.toEqual({ answered: true });
    await server.line(/edge-2: packets are dropped that are from one client to another/);
    edge2.ip("addr", "add", "10.20.0.99/32", "dev", "bats0");
    expect(await probe(edge2, "10.20.0.99", "10.20.0.1")).not.toEqual({ answered: true });
    await second.line(/packets are dropped that have a source that their sender was not given/);
  });
});
