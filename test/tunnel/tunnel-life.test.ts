/**
 * How the built command keeps a tunnel's interfaces, routes and hooks, on a real kernel. Needs root.
 *
 *     one namespace: server  bats0 10.20.0.1 ---loopback--- client  bats1 10.20.0.2
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Certificates, type Command, createCertificates } from "../cli/command.ts";
import { Namespace, whyNoNamespaces } from "../netns.ts";
import { until } from "../proxy/local.ts";
import { start } from "./start.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());

function startServer(namespace: Namespace, args: string[]): Command {
  const own = ["--tun", "bats0=10.20.0.1/24", ...certificates.of("localhost")];
  return start(namespace, ["server", "--listen", "4433", ...own, ...args]);
}

function startClient(namespace: Namespace, args: string[]): Command {
  const own = ["--server-name", "localhost", "--tun", "bats1=10.20.0.2/24", ...certificates.of("edge-1")];
  return start(namespace, ["client", "--connect", "127.0.0.1:4433", ...own, ...args]);
}

function allow(...rules: string[]): string[] {
  return rules.flatMap((rule) => ["--allow", `edge-1=${rule}`]);
}

describe.skipIf(whyNot !== null)("the interfaces of a tunnel", () => {
  test("come back where others have a client's routes, which stay when it leaves", async () => {
    const namespace = new Namespace();
    namespace.ip("route", "add", "192.168.7.0/24", "dev", "lo");
    const hook = "ip route add 192.168.8.0/24 dev $BATS_TUN; echo hooked";
    const networks = ["192.168.7.0/24", "192.168.8.0/24", "192.168.9.0/24"];
    const server = startServer(namespace, [
      ...allow("tun", ...networks.map((network) => `tun:${network}`)),
      ...["--up", hook],
    ]);
    await server.line(/serving on UDP/);
    const client = startClient(
      namespace,
      networks.flatMap((network) => ["--route", network]),
    );
    await client.line(/is up: 10\.20\.0\.2\/32, 192\.168\.9\.0\/24$/);
    await client.line(/the server has no route to 192\.168\.7\.0\/24, 192\.168\.8\.0\/24: its log says why/);
    await server.line(/edge-1: has 10\.20\.0\.2\/32, 192\.168\.9\.0\/24 in the tunnel/);
    await server.line(/cannot route 192\.168\.7\.0\/24 over bats0: there is such a route already/);
    expect(namespace.ip("route")).toMatch(/192\.168\.9\.0\/24 dev bats0/);

    const before = server.lines.length;
    namespace.ip("link", "del", "bats0");
    await server.line(/bats0: is there again/, before);
    await server.line(/^hooked/, before);
    for (const route of [/7\.0\/24 dev lo/, /8\.0\/24 dev bats0/, /9\.0\/24 dev bats0/]) {
      expect(namespace.ip("route")).toMatch(route);
    }

    expect(await client.kill("SIGTERM")).toBe(0);
    await server.line(/edge-1: left the tunnel/);
    await until(() => !namespace.ip("route").includes("192.168.9.0/24"));
    for (const route of [/7\.0\/24 dev lo/, /8\.0\/24 dev bats0/]) expect(namespace.ip("route")).toMatch(route);
  });

  test("have --up run again when they are made again", async () => {
    const namespace = new Namespace();
    const server = startServer(namespace, allow("tun"));
    await server.line(/serving on UDP/);
    const client = startClient(namespace, ["--up", "ip route add 192.168.8.0/24 dev $BATS_TUN; echo hooked"]);
    await client.line(/^hooked/);
    const before = client.lines.length;
    namespace.ip("link", "del", "bats1");
    await client.line(/^hooked/, before);
    expect(namespace.ip("route")).toMatch(/192\.168\.8\.0\/24 dev bats1/);
  });

  test("are ready before the server takes clients, and go when it cannot", async () => {
    const namespace = new Namespace();
    const server = startServer(namespace, [...allow("tun"), "--up", "echo hooking; sleep 2; echo hooked"]);
    await server.line(/^hooking/);
    const client = startClient(namespace, []);
    await client.line(/the tunnel is up/);
    expect(server.lines).toContain("hooked");
    expect(client.lines.filter((line) => /the session is over|refused/.test(line))).toEqual([]);

    const own = ["--listen", "4433", "--tun", "bats2=10.21.0.1/24", ...certificates.of("localhost")];
    const second = start(namespace, ["server", ...own, "--up", "echo up", "--down", "echo down"]);
    expect(await second.exit).not.toBe(0);
    expect(second.lines).toEqual(expect.arrayContaining(["up", "down"]));
  });

  test("go when the server is told to end while --up runs, which ends, and the server takes no client", async () => {
    const namespace = new Namespace();
    const hooks = ["--up", "echo hooking; exec sleep 25", "--down", "echo down"];
    const server = startServer(namespace, [...allow("tun"), ...hooks]);
    await server.line(/^hooking/);
    expect(await server.kill("SIGTERM")).toBe(0);
    expect(server.lines).toContain("down");
    expect(server.lines.join("\n")).not.toMatch(/serving on UDP/);
  });

  test("are a client's for as long as the rules say, which SIGHUP has read again", async () => {
    const namespace = new Namespace();
    const file = join(certificates.folder, "server.yaml");
    const write = (allow: string[]) => {
      const settings = { listen: 4433, tun: "bats0=10.20.0.1/24", allow };
      const files = { ca: "ca.crt", cert: "localhost.crt", key: "localhost.key" };
      // JSON is YAML.
      writeFileSync(file, JSON.stringify({ server: { ...files, ...settings } }));
    };
    write(["edge-1=tun"]);
    const server = start(namespace, ["server", "--config", file]);
    await server.line(/serving on UDP/);
    const client = startClient(namespace, []);
    await client.line(/the tunnel is up/);
    write(["edge-2=tun"]);
    server.child.kill("SIGHUP");
    await server.line(/edge-1: no longer allowed in the tunnel: edge-1 is not allowed to have 10\.20\.0\.2/);
    await client.line(/the server ended the tunnel/);
    await client.line(/refused: edge-1 is not allowed to have 10\.20\.0\.2/);
    const before = client.lines.length;
    write(["edge-1=tun"]);
    server.child.kill("SIGHUP");
    await client.line(/the tunnel is up/, before);
  });

  test("stay off when they are switched off, and are whole when they are switched on again", async () => {
    const namespace = new Namespace();
    const both = ["--tun", "bats0=10.20.0.1/24,fd20::1/64", ...allow("tun", "tun:192.168.9.0/24")];
    const server = startServer(namespace, [...both, "--up", "echo hooked"]);
    await server.line(/serving on UDP/);
    const client = startClient(namespace, ["--route", "192.168.9.0/24"]);
    await client.line(/the tunnel is up/);
    const before = server.lines.length;
    namespace.ip("link", "set", "bats0", "down");
    await server.line(/someone switched bats0 off.*"ip link set dev bats0 up"/, before);
    expect(namespace.ip("addr", "show", "dev", "bats0")).not.toContain("fd20::1");
    namespace.ip("link", "set", "bats0", "up");
    await server.line(/^hooked/, before);
    expect(namespace.ip("addr", "show", "dev", "bats0")).toMatch(/10\.20\.0\.1\/24[\s\S]*fd20::1\/64/);
    expect(namespace.ip("route")).toMatch(/192\.168\.9\.0\/24 dev bats0/);
  });
});
