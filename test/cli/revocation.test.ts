/** `--crl` with the built command. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect, it } from "vitest";
import { createFolder } from "../proxy/local.ts";
import { Authority, CLIENT_AUTH, type Issued, SERVER_AUTH } from "../tls/certificates.ts";
import { killCommands, startCommand } from "./command.ts";

const folder = createFolder();
afterEach(killCommands);
afterAll(folder.remove);

it("a CRL that is loaded again ends the session of a node that it names, with a line of the audit", async () => {
  const authority = await Authority.root("root");
  const file = (name: string, content: string) => {
    const path = join(folder.path, name);
    writeFileSync(path, content);
    return path;
  };
  const credentials = (name: string, { chain, key }: Issued) => [
    ...["--ca", file("ca.crt", authority.pem)],
    ...["--cert", file(`${name}.crt`, chain), "--key", file(`${name}.key`, key)],
  ];
  const cloud = await authority.issue("CN=cloud", { usage: [SERVER_AUTH], dns: ["localhost"] });
  const edge = await authority.issue("CN=edge-1", { usage: [CLIENT_AUTH] });
  const crl = file("ca.crl", await authority.crl([]));
  const options = ["--crl", crl, "--allow", "*=tcp:127.0.0.1:80", "--log-format", "json"];
  const server = startCommand(["server", "--listen", "127.0.0.1:0", ...credentials("cloud", cloud), ...options]);
  const port = /127\.0\.0\.1:(\d+),/.exec(await server.line(/serving on UDP/))![1];
  const client = startCommand([
    "client",
    "--connect",
    `localhost:${port}`,
    ...credentials("edge-1", edge),
    "-L",
    "tcp:0=tcp:127.0.0.1:80",
  ]);
  await client.line(/connected to/);
  file("ca.crl", await authority.crl([edge]));
  const line = JSON.parse(await server.line(/"audit":"revoked"/));
  expect(line).toMatchObject({ peer: "edge-1" });
  expect(BigInt(`0x${line.serialNumber}`)).toBe(BigInt(`0x${edge.serialNumber}`));
  await client.line(/session is over.*was revoked/);
  // It tries on, as it may get another certificate, and is told each time.
  await client.line(/refused.*revoked/);
});
