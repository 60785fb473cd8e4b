/** A configuration file that changes, with the built command: nobody sends a signal in a container without a shell. */
import { copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WATCH_MS } from "../../src/cli/configuration.ts";
import { type Certificates, createCertificates, killCommands, startCommand } from "./command.ts";

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());
afterEach(killCommands);

const FORWARDS = ["tcp:127.0.0.1:0=tcp:127.0.0.1:1", "tcp:127.0.0.1:0=tcp:127.0.0.1:2"];

/** A client's settings for a server that nobody runs. JSON is YAML. */
function settings(local: string[], certificate = "edge-1"): string {
  const [ca, cert, key] = ["ca.crt", `${certificate}.crt`, `${certificate}.key`].map((name) => file(name));
  return JSON.stringify({ client: { ca, cert, key, connect: "localhost:1", local } });
}

function file(name: string): string {
  return join(certificates.folder, name);
}

/** Long enough for whatever repeats itself at each look at the files. */
function severalPolls(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 3 * WATCH_MS));
}

describe("a configuration file", () => {
  it("is read again when it changes, also behind the links of a ConfigMap's mount", async () => {
    const mount = file("mount");
    // As the kubelet does: client.yaml -> ..data/client.yaml, ..data -> a folder of each version, replaced at once.
    const update = (version: string, local: string[]) => {
      mkdirSync(join(mount, version), { recursive: true });
      writeFileSync(join(mount, version, "client.yaml"), settings(local));
      symlinkSync(version, join(mount, "..data_tmp"));
      renameSync(join(mount, "..data_tmp"), join(mount, "..data"));
    };
    update("..1", FORWARDS.slice(0, 1));
    symlinkSync("..data/client.yaml", join(mount, "client.yaml"));
    const client = startCommand(["client", "--config", join(mount, "client.yaml")]);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:1$/);
    update("..2", FORWARDS);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:2$/);
    await client.line(/configuration loaded again/);
    await severalPolls();
    expect(client.lines.filter((line) => line.includes("loaded again"))).toHaveLength(1);
  });

  it("may be one that cannot be looked at for a while, and so may its certificates", async () => {
    // A link to itself is what nobody can look at, root neither.
    const loop = (path: string) => {
      rmSync(path);
      symlinkSync(path, path);
    };
    const path = file("loop.yaml");
    const write = (local: string[]) => {
      rmSync(path, { force: true });
      writeFileSync(path, settings(local, "lent"));
    };
    const lend = () => {
      rmSync(file("lent.crt"), { force: true });
      copyFileSync(file("edge-1.crt"), file("lent.crt"));
    };
    copyFileSync(file("edge-1.key"), file("lent.key"));
    lend();
    write(FORWARDS.slice(0, 1));
    const client = startCommand(["client", "--config", path]);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:1$/);
    loop(path);
    await client.line(/the configuration cannot be used, the old one stays: .*ELOOP/);
    loop(file("lent.crt"));
    await client.line(/certificates changed but cannot be used, the old ones stay: .*ELOOP/);
    const unreadable = startCommand(["client", "--config", path]);
    expect(await unreadable.exit).toBe(2);
    expect(unreadable.lines).toEqual([expect.stringContaining("ELOOP")]);
    lend();
    write(FORWARDS);
    await client.line(/configuration loaded again/);
  });

  it("comes into force once its certificates, which were being replaced when it changed, are whole", async () => {
    const [path, certificate] = [file("half.yaml"), file("half.crt")];
    copyFileSync(file("edge-1.key"), file("half.key"));
    copyFileSync(file("edge-1.crt"), certificate);
    writeFileSync(path, settings(FORWARDS.slice(0, 1), "half"));
    const client = startCommand(["client", "--config", path]);
    // That it gets no answer says that the certificates are loaded.
    await client.line(/ warn .*localhost:1: /);
    writeFileSync(certificate, "half a certificate\n");
    writeFileSync(path, settings(FORWARDS, "half"));
    await client.line(/the configuration cannot be used/);
    await severalPolls();
    expect(client.lines.filter((line) => line.includes("the configuration cannot be used"))).toHaveLength(1);
    copyFileSync(file("edge-1.crt"), certificate);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:2$/);
    await severalPolls();
    expect(client.lines.filter((line) => line.includes("configuration loaded again"))).toHaveLength(1);
  });
});
