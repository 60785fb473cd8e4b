/**
 * The built command on an interface that an administrator made for it, on a real kernel. Needs root.
 *
 *     edge  admin0 10.20.0.2      cloud  bats0 10.20.0.1
 *     tunnel-...  10.99.1.2 ---veth--- 10.99.1.1
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificates, type Command, createCertificates, MAIN } from "../cli/command.ts";
import { join, Namespace, whyNoNamespaces } from "../netns.ts";
import { start } from "./start.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());

const UNPRIVILEGED = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", process.execPath, MAIN];

/** With `admin0`, which has an MTU of 1500. */
function createEdge(): Namespace {
  const edge = new Namespace();
  edge.ip("tuntap", "add", "dev", "admin0", "mode", "tun", "user", "0");
  return edge;
}

function clientArgs(server: string, own: string[]): string[] {
  return ["client", "--connect", server, "--server-name", "localhost", "--tun", "admin0=10.20.0.2/24", ...own];
}

/** What a program may change about `admin0`. */
function state(namespace: Namespace): unknown {
  const [{ flags, mtu, addr_info }] = JSON.parse(namespace.ip("-j", "addr", "show", "dev", "admin0"));
  return { isUp: flags.includes("UP"), mtu, addresses: addr_info.map(({ local }: { local: string }) => local) };
}

const UNTOUCHED = { isUp: false, mtu: 1500, addresses: [] };

/** Both ends in one namespace; the client's interface is there, and its hooks say so. */
async function startBoth(namespace: Namespace, clientOptions: string[]): Promise<{ server: Command; client: Command }> {
  const own = ["--tun", "bats0=10.20.0.1/24", "--allow", "*=tun", ...certificates.of("localhost")];
  const server = start(namespace, ["server", "--listen", "4433", ...own]);
  await server.line(/serving on UDP/);
  const client = start(namespace, clientArgs("127.0.0.1:4433", [...certificates.of("edge-1"), ...clientOptions]));
  await client.line(/the tunnel is up/);
  expect(state(namespace)).toMatchObject({ isUp: true });
  return { server, client };
}

describe.skipIf(whyNot !== null)("a tunnel over an interface that an administrator made", () => {
  test("needs no privilege and no options, and keeps the interface's MTU then", async () => {
    const [cloud, edge] = [new Namespace(), createEdge()];
    join(edge, cloud);
    edge.ip("addr", "add", "10.99.1.2/24", "dev", "veth-a");
    cloud.ip("addr", "add", "10.99.1.1/24", "dev", "veth-b");
    edge.ip("addr", "add", "10.20.0.2/24", "dev", "admin0");
    edge.ip("link", "set", "admin0", "up");
    const own = ["--tun", "bats0=10.20.0.1/24", "--allow", "*=tun", ...certificates.of("localhost")];
    const server = start(cloud, ["server", "--listen", "4433", ...own]);
    await server.line(/serving on UDP/);
    const client = start(
      edge,
      clientArgs("10.99.1.1:4433", [...certificates.of("edge-1"), "--up", "echo up $BATS_MTU"]),
      UNPRIVILEGED,
    );
    await client.line(/cannot set the MTU of admin0: .*"ip link set dev admin0 mtu 1380" \(EPERM\); it stays at 1500/);
    await client.line(/the tunnel is up/);
    await client.line(/^up 1500/);
    // What is longer than the path's packets is told so, and comes again in parts.
    const answering = ["10.20.0.1", "10.20.0.2"].map((address, i) =>
      [cloud, edge][i].program("tunnel/talk.ts", "echo", address).next(),
    );
    expect(await Promise.all(answering)).toEqual(["ready", "ready"]);
    for (const [namespace, from, to] of [
      [edge, "10.20.0.2", "10.20.0.1"],
      [cloud, "10.20.0.1", "10.20.0.2"],
    ] as const) {
      const answer = await namespace.program("tunnel/talk.ts", "ask", from, to, String(1 << 20)).next();
      expect(answer).toMatchObject({ intact: true, datagrams: "1,500,1400,9000,40000" });
    }
    expect(client.lines.filter((line) => line.includes("MTU"))).toHaveLength(1);
    expect(await client.kill("SIGTERM")).toBe(0);
    expect(edge.ip("addr", "show", "dev", "admin0")).toMatch(/mtu 1500[\s\S]*10\.20\.0\.2/);
  });

  test("leaves it as it was when there are no certificates, now or ever", async () => {
    const edge = createEdge();
    const missing = ["--ca", "/nonexistent/ca.crt", "--cert", "/nonexistent/a.crt", "--key", "/nonexistent/a.key"];
    const hasty = start(edge, clientArgs("127.0.0.1:4433", [...missing, "--fail-fast"]));
    expect(await hasty.exit).not.toBe(0);
    expect(hasty.lines.join()).toContain("an interface with 10.20.0.2/24");
    expect(state(edge)).toEqual(UNTOUCHED);
    const patient = start(edge, clientArgs("127.0.0.1:4433", missing));
    await patient.line(/waiting for it/);
    expect(state(edge)).toMatchObject({ isUp: true, addresses: expect.arrayContaining(["10.20.0.2"]) });
    expect(await patient.kill("SIGTERM")).toBe(0);
    expect(state(edge)).toEqual(UNTOUCHED);
  });

  test("leaves it as it was at a second signal, which waits for nothing", async () => {
    const edge = createEdge();
    const { client } = await startBoth(edge, ["--down", "echo going; exec sleep 20 >/dev/null 2>&1"]);
    client.child.kill("SIGTERM");
    await client.line(/^going/);
    client.child.kill("SIGTERM");
    expect(await client.exit).toBe(1);
    expect(state(edge)).toEqual(UNTOUCHED);
  });

  test("runs --down, and leaves it as it was, when the client gives up", async () => {
    const edge = createEdge();
    const { server, client } = await startBoth(edge, ["--down", "echo going", "--fail-fast", "--resume-timeout", "1"]);
    await server.kill();
    expect(await client.exit).not.toBe(0);
    expect(client.lines).toContain("going");
    expect(state(edge)).toEqual(UNTOUCHED);
  });
});
