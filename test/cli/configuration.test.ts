/** Configuration files with the built command: checked, used, and read again while connections go on. */
import { once } from "node:events";
import { copyFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { exchange, fateOf } from "../proxy/local.ts";
import { type Certificates, type Command, createCertificates, killCommands, startCommand } from "./command.ts";

let certificates: Certificates;
let echo: Server;
let target: string;

beforeAll(async () => {
  certificates = await createCertificates();
  echo = createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).pipe(socket));
  echo.listen(0, "127.0.0.1");
  await once(echo, "listening");
  target = `tcp:127.0.0.1:${(echo.address() as AddressInfo).port}`;
});
afterAll(() => {
  echo.close();
  certificates.remove();
});
afterEach(killCommands);

function start(...args: string[]): Command {
  return startCommand(args);
}

/** Writes a file whose certificates are beside it. */
function write(name: string, role: string, certificate: string, settings: object): string {
  const path = join(certificates.folder, name);
  const files = { ca: "ca.crt", cert: `${certificate}.crt`, key: `${certificate}.key` };
  // JSON is YAML.
  writeFileSync(path, JSON.stringify({ [role]: { ...files, ...settings } }));
  return path;
}

function portOf(line: string): number {
  return Number(/:(\d+)(?:,| for)/.exec(line)![1]);
}

describe("a configuration file", () => {
  it("is checked together with the certificates that it names", async () => {
    const good = start("check", write("good.yaml", "server", "localhost", { listen: 0 }));
    expect(await good.exit).toBe(0);
    expect(good.output).toMatch(/server: good, its certificate is valid until /);
    const forward = { local: `tcp:0=${target}` };
    const early = start("check", write("early.yaml", "client", "edge-7", { connect: "localhost:1", ...forward }));
    expect(await early.exit).toBe(1);
    const missing = (part: string, end: string) =>
      expect.stringMatching(`early\\.yaml:1:\\d+: ${part}: .*/edge-7\\.${end} does not exist$`);
    expect(early.lines.filter((line) => line !== "")).toEqual([missing("cert", "crt"), missing("key", "key")]);
    const wrongUse = start("check", write("use.yaml", "server", "edge-1", { listen: 0 }));
    expect(await wrongUse.exit).toBe(3);
    expect(wrongUse.lines[0]).toMatch(/use\.yaml:1:\d+: cert: .*edge-1\.crt \(CN=edge-1\) is for a client/);
    const bad = start("check", write("bad.yaml", "client", "edge-1", { conect: "localhost:1" }));
    expect(await bad.exit).toBe(2);
    expect(bad.lines[0]).toMatch(/bad\.yaml:1:\d+: conect: client has no such setting; did you mean connect\?/);
    const mixed = write("mixed.yaml", "server", "localhost", { listen: 0, key: "edge-1.key" });
    expect(await start("check", mixed).exit).toBe(3);
  });

  it("is checked for settings that do not go together, with the place of each", async () => {
    const faultsOf = async (role: string, certificate: string, settings: object) => {
      const path = join(certificates.folder, "together.yaml");
      const files = { ca: "ca.crt", cert: `${certificate}.crt`, key: `${certificate}.key` };
      writeFileSync(
        path,
        `${role}:\n${Object.entries({ ...files, ...settings })
          .map(lineOf)
          .join("\n")}\n`,
      );
      const checked = start("check", path);
      expect(await checked.exit).toBe(2);
      expect(checked.output).toBe("");
      return checked.lines.map((line) => line.replace(`bats-proxy: ${path}:`, ""));
    };
    const lineOf = ([key, value]: [string, unknown]) => `  ${key}: ${JSON.stringify(value)}`;
    // A server that is named twice is one.
    const client = {
      connect: ["localhost:1", "localhost:2", "localhost:1"],
      fallback: "tls:localhost:1",
      route: "10.0.0.0/8",
    };
    expect(await faultsOf("client", "edge-1", { ...client, dashboard: true })).toEqual([
      "1:1: nothing to forward: add -L LISTEN=TARGET, -R LISTEN=TARGET or --tun NAME=ADDRESS",
      "7:10: route: there is no tunnel without --tun",
      "6:13: fallback: give each server of --connect its own, in the same order: 2, not 1",
      "8:14: dashboard: say where with --metrics",
    ]);
    expect(await faultsOf("server", "localhost", { listen: 0, allow: ["*=tun"], dashboard: true })).toEqual([
      "6:10: allow: 'IDENTITY=tun': there is no tunnel without --tun",
      "7:14: dashboard: say where with --metrics",
    ]);
    const tunnel = { up: "true", down: "true", "tun-mtu": 1400, "tun-client-to-client": true };
    expect(await faultsOf("server", "localhost", { listen: 0, ...tunnel })).toEqual([
      "8:12: tun-mtu: there is no tunnel without --tun",
      "6:7: up: there is no tunnel without --tun",
      "7:9: down: there is no tunnel without --tun",
      "9:25: tun-client-to-client: there is no tunnel without --tun",
    ]);
    const own = { tun: "bats0=10.20.0.1/24", allow: ["edge-1=tun:10.20.0.1", "edge-2=tun:10.20.0.0/28"] };
    expect(await faultsOf("server", "localhost", { listen: 0, ...own })).toEqual([
      "7:10: allow: 'edge-1=tun:10.20.0.1/32' is the server's own address, which no client may have",
    ]);
  });

  it("may leave to the command line what must be said", async () => {
    const path = write("part.yaml", "client", "edge-1", { local: `tcp:127.0.0.1:0=${target}` });
    const server = start("server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"));
    const port = portOf(await server.line(/serving on UDP/));
    const client = start("client", "--config", path, "--connect", `localhost:${port}`);
    await client.line(/connected to/);
    client.child.kill("SIGHUP");
    await client.line(/configuration loaded again/);
    const whole = write("whole.yaml", "client", "edge-1", {
      connect: `localhost:${port}`,
      local: `tcp:127.0.0.1:0=${target}`,
    });
    await start("client", "--config", whole, "--connect", `localhost:${port}`).line(/connected to/);
    const alone = start("client", "--config", path);
    expect(await alone.exit).toBe(2);
    expect(alone.lines[0]).toMatch(/part\.yaml:1:\d+: client: connect is missing/);
  });

  it("is read again on SIGHUP, and no connection is cut", async () => {
    const rules = { allow: [`*=${target}`], "allow-listen": ["*=tcp:127.0.0.1:*"] };
    const serverFile = write("server.yaml", "server", "localhost", { listen: "127.0.0.1:0", ...rules });
    const server = start("server", "--config", serverFile);
    const serverPort = portOf(await server.line(/serving on UDP/));
    const settings = { connect: `localhost:${serverPort}` };
    const first = { ...settings, local: `tcp:127.0.0.1:0=${target}`, remote: [`tcp:127.0.0.1:0=${target}`] };
    const clientFile = write("client.yaml", "client", "edge-1", first);
    const client = start("client", "--config", clientFile);
    const local = portOf(await client.line(/listening at/));
    const remote = portOf(await client.line(/the server listens at/));
    const kept = connect(local, "127.0.0.1");
    const keptRemote = connect(remote, "127.0.0.1");
    const say = async (socket: typeof kept, text: string) => {
      socket.write(text);
      expect(String((await once(socket, "data"))[0])).toBe(text);
    };
    await say(kept, "before");
    await say(keptRemote, "before");
    const replaced = join(certificates.folder, "l.sock");

    write("client.yaml", "client", "edge-1", {
      ...settings,
      remote: `unix:${certificates.folder}/r.sock=${target}`,
      local: `unix:${replaced}=${target}`,
      drain: 3,
    });
    client.child.kill("SIGHUP");
    await client.line(/configuration loaded again/);
    await client.line(/restart only: drain/);
    expect(String(await exchange(replaced, "new"))).toBe("new");
    expect(await fateOf(connect(local, "127.0.0.1"))).toMatch(/ECONNREFUSED/);
    await server.line(/no longer listening/);
    expect(await fateOf(connect(remote, "127.0.0.1"))).toMatch(/ECONNREFUSED/);
    await client.line(/-R unix:.*is not allowed/);
    await say(kept, "after");
    await say(keptRemote, "after");

    write("server.yaml", "server", "localhost", { listen: "127.0.0.1:0", allow: [`edge-2=${target}`] });
    server.child.kill("SIGHUP");
    await server.line(/configuration loaded again/);
    await exchange(replaced, "refused").catch(() => {});
    await client.line(/edge-1 is not allowed to reach/);
    await say(kept, "still");

    writeFileSync(serverFile, "server:\n  lisen: 1\n");
    server.child.kill("SIGHUP");
    await server.line(/cannot be used, the old one stays: .*lisen/);
    await say(kept, "and still");

    write("server.yaml", "server", "localhost", { listen: "127.0.0.1:0", allow: ["*=tun"] });
    server.child.kill("SIGHUP");
    await server.line(/cannot be used, the old one stays: --allow: 'IDENTITY=tun': there is no tunnel/);
    kept.destroy();
    keptRemote.destroy();
  });

  it("is refused as a whole on SIGHUP when its certificates cannot be used", async () => {
    const names = ["localhost", "edge-1"];
    const file = (name: string, end: string) => join(certificates.folder, `${name}.${end}`);
    for (const name of names) copyFileSync(file(name, "key"), file(`${name}-copy`, "key"));
    for (const name of names) copyFileSync(file(name, "crt"), file(`${name}-copy`, "crt"));
    const serverSettings = { listen: "127.0.0.1:0", allow: `*=${target}` };
    const server = start("server", "--config", write("s.yaml", "server", "localhost-copy", serverSettings));
    const connectTo = { connect: `localhost:${portOf(await server.line(/serving on UDP/))}` };
    const forward = { local: `tcp:127.0.0.1:0=${target}` };
    const client = start("client", "--config", write("c.yaml", "client", "edge-1-copy", { ...connectTo, ...forward }));
    const local = portOf(await client.line(/listening at/));
    await client.line(/connected to/);

    for (const name of names) writeFileSync(file(`${name}-copy`, "crt"), "no certificate\n");
    write("s.yaml", "server", "localhost-copy", { ...serverSettings, allow: "nobody=tcp:127.0.0.1:1" });
    write("c.yaml", "client", "edge-1-copy", { ...connectTo, local: "tcp:127.0.0.1:0=tcp:127.0.0.1:1" });
    for (const command of [server, client]) {
      command.child.kill("SIGHUP");
      await command.line(/the configuration cannot be used, the old one stays/);
    }
    expect(String(await exchange(local, "as before"))).toBe("as before");

    for (const name of names) copyFileSync(file(name, "crt"), file(`${name}-copy`, "crt"));
    for (const command of [server, client]) {
      command.child.kill("SIGHUP");
      await command.line(/configuration loaded again/);
    }
    expect(await fateOf(connect(local, "127.0.0.1"))).toMatch(/ECONNREFUSED/);
  });

  it("comes into force on SIGHUP but for listeners that cannot be had, which are named and tried again", async () => {
    const connectTo = { connect: "localhost:1" };
    const socket = (name: string) => join(certificates.folder, name);
    const paths = (...names: string[]) => names.map((name) => `unix:${name}=${target}`);
    const settings = (...names: string[]) => ({ ...connectTo, local: paths(...names) });
    const client = start("client", "--config", write("l.yaml", "client", "edge-1", settings(socket("a.sock"))));
    await client.line(/listening at/);
    const missing = join(certificates.folder, "none", "b.sock");
    for (let round = 0; round < 2; round++) {
      write("l.yaml", "client", "edge-1", settings(missing, socket("c.sock")));
      const from = client.lines.length;
      client.child.kill("SIGHUP");
      const line = await client.line(/ error .*none\/b\.sock.*cannot listen/, from);
      expect(line).toContain("the rest is in force");
      await client.line(/configuration loaded again/, from);
    }
    await client.line(/listening at unix:.*c\.sock/);
    await client.line(/a\.sock.*takes no more connections/);
  });

  it("is read again on a SIGHUP that came while its certificates were waited for", async () => {
    const file = (name: string) => join(certificates.folder, name);
    const settings = (role: string) =>
      role === "server" ? { listen: "127.0.0.1:0" } : { connect: "localhost:1", local: `tcp:127.0.0.1:0=${target}` };
    for (const [role, name] of [
      ["server", "localhost"],
      ["client", "edge-1"],
    ]) {
      rmSync(file("late.crt"), { force: true });
      copyFileSync(file(`${name}.key`), file("late.key"));
      const command = start(role, "--config", write("late.yaml", role, "late", settings(role)));
      await command.line(/waiting for it/);
      command.child.kill("SIGHUP");
      copyFileSync(file(`${name}.crt`), file("late.crt.new"));
      renameSync(file("late.crt.new"), file("late.crt"));
      await command.line(/configuration loaded again/);
      await command.kill();
    }
  });
});
