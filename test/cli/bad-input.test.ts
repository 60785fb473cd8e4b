import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAuthority } from "../../src/pki/certificates.ts";
import { pemPaths, writePem } from "../../src/pki/files.ts";
import { createFolder, fateOf } from "../proxy/local.ts";
import {
  type Certificates,
  type Command,
  createCertificates,
  freeUdpPort,
  issue,
  killCommands,
  startCommand,
} from "./command.ts";

let certificates: Certificates;
beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());
afterEach(killCommands);

function start(...args: string[]): Command {
  return startCommand(args);
}

/** Runs to the end: the exit code and what it said, which is one line and no stack trace. */
async function fails(...args: string[]): Promise<{ code: number | string; line: string }> {
  const command = start(...args);
  const code = await command.exit;
  // What it did before may be logged; the reason is what comes last.
  const said = command.lines.filter((line) => !/^\d{4}-.* (info|warn) /.test(line));
  expect(said.join("\n")).not.toMatch(/^ {4}at /m);
  expect(said.length, said.join("\n")).toBe(1);
  return { code, line: said[0] };
}

const L = ["-L", "tcp:127.0.0.1:0=tcp:127.0.0.1:1"];

async function startServer(...args: string[]): Promise<{ server: Command; target: string }> {
  const server = start("server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"), ...args);
  const line = await server.line(/serving on UDP/);
  return { server, target: `localhost:${/:(\d+),/.exec(line)![1]}` };
}

describe("a command line that is wrong", () => {
  it("ends with 2 and says what would be right", async () => {
    const common = certificates.of("edge-1");
    const cases: [string[], RegExp][] = [
      [["client", "--connect", "localhost:1", ...common, "-L", "tcp:127.0.0.1:80"], /LISTEN=TARGET/],
      [
        ["client", "--connect", "localhost:1", ...common, "-L", "tcp:1=tcp:host:99999"],
        /"99999" is no port: it is a number from 1 to 65535/,
      ],
      [["client", "--connect", "localhost:1", ...common, "-L", "tcp:1=http:host:80"], /"http" is no kind of endpoint/],
      [["client", "--connect", "::1:4433", ...common, ...L], /an IPv6 address stands in brackets: write \[::1\]:4433/],
      [
        ["client", "--connect", "localhost:1", ...common, ...L, "--fallback", "localhost:2"],
        /a fallback is tls:HOST:PORT/,
      ],
      [
        ["client", "--connect", "a:1", "--connect", "b:1", ...common, ...L, "--fallback", "tls:a:2"],
        /--fallback: give each server of --connect its own, in the same order: 2, not 1/,
      ],
      [["client", "--connect", "localhost:1", ...common], /nothing to forward: add -L LISTEN=TARGET/],
      [["client", ...common, ...L], /required option '--connect <host:port>' not specified/],
      [["server", "--listen", "70000", ...common], /"70000" is no port/],
      [["server", "--listen", "1", ...common, "--allow", "tcp:127.0.0.1:80"], /a rule is IDENTITY=ENDPOINT/],
      [["server", "--listen", "1", ...common, "--log-level", "loud"], /Allowed choices are debug/],
      [["server", "--listen", "1", ...common, "--unix-mode", "9"], /octal mode/],
      [
        ["client", "--conect", "localhost:1", ...common, ...L],
        /unknown option '--conect' \(Did you mean --connect\?\)/,
      ],
      [["client", "--connect=localhost:1", ...common, "--fail-fats"], /'--fail-fats' \(Did you mean --fail-fast\?\)/],
      [["frobnicate"], /unknown command 'frobnicate'/],
      [["pki", "issue", "--name", "x", "--days", "0"], /whole number of days/],
    ];
    const ends = cases.map(async ([args, words]) => {
      const { code, line } = await fails(...args);
      expect(line).toMatch(words);
      expect(code, line).toBe(2);
    });
    await Promise.all(ends);
  });

  it("shows examples when it is asked for help, and its version", async () => {
    for (const [args, words] of [
      [["--help"], /Both ends on one host:\n {4}bats-proxy pki init/],
      [["server", "--help"], /--allow '\*=tcp:127\.0\.0\.1:80'/],
      [["client", "--help"], /-L udp:127\.0\.0\.1:5353=udp:10\.0\.0\.2:53/],
      [["status", "--help"], /the address of its --metrics \(default: 9464\)/],
      [["completion", "bash"], /complete -F _bats_proxy bats-proxy/],
      [["--version"], /^\d+\.\d+\.\d+\n$/],
    ] as const) {
      const command = start(...args);
      expect(await command.exit).toBe(0);
      expect(command.output).toMatch(words);
    }
  });
});

describe("files that are wrong", () => {
  const client = (...args: string[]) => fails("client", "--connect", "localhost:1", ...L, ...args);
  const ca = () => join(certificates.folder, "ca.crt");

  it("end with 1 when they cannot be read or are no PEM", async () => {
    const folder = join(certificates.folder, "folder");
    mkdirSync(folder);
    const [, , , cert, , key] = certificates.of("edge-1");
    const directory = await client("--ca", ca(), "--cert", folder, "--key", key);
    expect(directory).toMatchObject({ code: 1, line: expect.stringContaining(`${folder} is a directory`) });
    const garbage = join(certificates.folder, "garbage.pem");
    writeFileSync(garbage, "hello");
    const noPem = await client("--ca", ca(), "--cert", cert, "--key", garbage);
    expect(noPem).toMatchObject({ code: 1, line: expect.stringContaining(garbage) });
  });

  it("end with 1 under --fail-fast when they are missing", async () => {
    const [, , , cert, , key] = certificates.of("edge-1");
    const missing = await client("--ca", "/nowhere/ca.crt", "--cert", cert, "--key", key, "--fail-fast");
    expect(missing).toMatchObject({ code: 1, line: "bats-proxy: the CA certificate /nowhere/ca.crt does not exist" });
  });

  it("end with 3 when the certificate has expired, or the key is another's", async () => {
    await issue(certificates.folder, certificates.authority, "late", { days: -0.01 });
    const late = await client(...certificates.of("late"));
    expect(late).toMatchObject({ code: 3, line: expect.stringMatching(/CN=late expired on .*clock says/) });
    const [, , , cert] = certificates.of("edge-1");
    const [, , , , , key] = certificates.of("localhost");
    const mixed = await client("--ca", ca(), "--cert", cert, "--key", key);
    expect(mixed).toMatchObject({ code: 3, line: expect.stringContaining("is not the key of") });
  });
});

describe("a port that is in use", () => {
  it("ends the server, and the client, with 1", async () => {
    const udp = createSocket("udp4");
    udp.bind(0, "127.0.0.1");
    await once(udp, "listening");
    const server = await fails(
      "server",
      "--listen",
      `127.0.0.1:${udp.address().port}`,
      ...certificates.of("localhost"),
    );
    expect(server).toMatchObject({ code: 1, line: expect.stringContaining("another program uses that port") });
    udp.close();
    const tcp = createServer().listen(0, "127.0.0.1");
    await once(tcp, "listening");
    const { port } = tcp.address() as { port: number };
    const args = [
      "client",
      "--connect",
      "localhost:1",
      ...certificates.of("edge-1"),
      "-L",
      `tcp:127.0.0.1:${port}=tcp:127.0.0.1:1`,
    ];
    expect(await fails(...args)).toMatchObject({
      code: 1,
      line: expect.stringContaining("it is in use; stop what uses it"),
    });
    const metrics = ["client", "--connect", "localhost:1", ...certificates.of("edge-1"), ...L, "--metrics", `${port}`];
    expect(await fails(...metrics)).toMatchObject({
      code: 1,
      line: `bats-proxy: --metrics: cannot listen at tcp:127.0.0.1:${port}: it is in use; stop what uses it, or choose another`,
    });
    const tls = ["server", "--listen", "127.0.0.1:0", "--listen-tls", `127.0.0.1:${port}`];
    expect(await fails(...tls, ...certificates.of("localhost"))).toMatchObject({
      code: 1,
      line: expect.stringContaining(
        `--listen-tls 127.0.0.1:${port}: cannot open TCP on 127.0.0.1:${port}: another program uses that port`,
      ),
    });
    for (const [command, folder] of [["server"], ["receive", "."]]) {
      const where = [
        "--listen",
        "127.0.0.1:0",
        "--listen-tls",
        "no.such.invalid:1",
        ...(folder === undefined ? [] : [folder]),
      ];
      expect(await fails(command, ...where, ...certificates.of("localhost"))).toMatchObject({
        code: 1,
        line: expect.stringContaining("--listen-tls no.such.invalid:1: "),
      });
    }
    tcp.close();
  });
});

describe("a server that cannot be reached", () => {
  it("ends with 4 under --fail-fast when its name does not resolve", async () => {
    const args = ["client", "--connect", "nowhere.invalid:4433", ...certificates.of("edge-1"), ...L, "--fail-fast"];
    const { code, line } = await fails(...args);
    expect(line).toContain("nowhere.invalid");
    expect(code).toBe(4);
  });

  it("is said to be silent within 10 s, and to want its UDP port open", async () => {
    const command = start(
      "client",
      "--connect",
      `127.0.0.1:${await freeUdpPort()}`,
      ...certificates.of("edge-1"),
      ...L,
    );
    const startMs = performance.now();
    await command.line(/no answer over UDP: is a server running there, and is UDP port \d+ open on the way/);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(await command.kill("SIGTERM")).toBe(0);
  });
});

describe("certificates that do not fit", () => {
  it("end the client with 3 when its own comes from an authority that the server does not know", async () => {
    const { server, target } = await startServer("--allow", "*=tcp:127.0.0.1:1");
    const folder = createFolder();
    const foreign = await createAuthority("foreign root", 10);
    writePem(pemPaths(folder.path, "ca"), folder.path, foreign);
    await issue(folder.path, foreign, "edge-1");
    const paths = pemPaths(folder.path, "edge-1");
    const own = ["--cert", paths.certificate, "--key", paths.key];
    const trusting = await fails(
      "client",
      "--connect",
      target,
      ...L,
      "--ca",
      join(certificates.folder, "ca.crt"),
      ...own,
    );
    expect(trusting).toMatchObject({
      code: 3,
      line: expect.stringMatching(/does not trust the CA|was not issued by|does not accept/),
    });
    const distrusting = await fails("client", "--connect", target, ...L, "--ca", join(folder.path, "ca.crt"), ...own);
    expect(distrusting).toMatchObject({
      code: 3,
      line: expect.stringContaining("was not issued by a CA that"),
    });
    expect(server.child.exitCode).toBe(null);
    folder.remove();
  });

  it("end it with 3 when the server's is for another name", async () => {
    const { target } = await startServer();
    const args = ["client", "--connect", target, ...L, ...certificates.of("edge-1")];
    const other = await fails(...args, "--server-name", "cloud.example");
    expect(other).toMatchObject({
      code: 3,
      line: expect.stringMatching(/is not for "cloud.example": it has DNS:localhost/),
    });
  });

  it("end a server that has a client's, and a client that has a server's, with 3", async () => {
    const server = await fails("server", "--listen", "127.0.0.1:0", ...certificates.of("edge-1"));
    const fault = /edge-1\.crt \(CN=edge-1\) is for a client, .*serverAuth in it; `bats-proxy pki issue` makes one/;
    expect(server).toMatchObject({ code: 3, line: expect.stringMatching(fault) });
    const client = await fails("client", "--connect", "localhost:1", ...L, ...certificates.of("localhost"));
    expect(client).toMatchObject({ code: 3, line: expect.stringMatching(/is for a server, .*clientAuth in it/) });
    const perf = await fails("perf", "client", "--connect", "localhost:1", ...certificates.of("localhost"));
    expect(perf).toMatchObject({ code: 3, line: expect.stringMatching(/is for a server/) });
  });
});

describe("a forward that fails", () => {
  it("says why, resets the local socket, and leaves the session alone", async () => {
    const echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    const { port } = echo.address() as { port: number };
    const { target } = await startServer(
      "--allow",
      "edge-*=tcp:127.0.0.1:1",
      "--allow",
      `edge-1=tcp:127.0.0.1:${port}`,
    );
    const forwards = [1, 2, port].flatMap((to) => ["-L", `tcp:127.0.0.1:0=tcp:127.0.0.1:${to}`]);
    const client = start(
      "client",
      "--connect",
      target,
      ...certificates.of("edge-1"),
      ...forwards,
      "--log-format",
      "json",
    );
    await client.line(/connected to localhost/);
    const ports = client.lines.flatMap((line) => /listening at tcp:127.0.0.1:(\d+)/.exec(line)?.[1] ?? []).map(Number);
    expect(await fateOf(connect(ports[0], "127.0.0.1"))).toBe("ECONNRESET");
    await client.line(/tcp:127.0.0.1:1 refuses connections: nothing listens there/);
    expect(await fateOf(connect(ports[1], "127.0.0.1"))).toBe("ECONNRESET");
    await client.line(
      /edge-1 is not allowed to reach tcp:127.0.0.1:2: the server needs --allow 'edge-1=tcp:127.0.0.1:2'/,
    );
    const socket = connect(ports[2], "127.0.0.1");
    socket.write("still here");
    expect(String((await once(socket, "data"))[0])).toBe("still here");
    socket.destroy();
    echo.close();
    for (const line of client.lines)
      expect(JSON.parse(line)).toMatchObject({ time: expect.any(String), msg: expect.any(String) });
  });
});
