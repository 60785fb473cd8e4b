/** Configuration files with the built command: checked, used, and read again while connections go on. */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
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
    const early = start("check", write("early.yaml", "client", "edge-7", { connect: "localhost:1" }));
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
    kept.destroy();
    keptRemote.destroy();
  });
});
