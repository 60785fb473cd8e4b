/** A configuration file that changes, with the built command: nobody sends a signal in a container without a shell. */
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Certificates, createCertificates, killCommands, startCommand } from "./command.ts";

let certificates: Certificates;

beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());
afterEach(killCommands);

describe("a configuration file", () => {
  it("is read again when it changes, also behind the links of a ConfigMap's mount", async () => {
    const { folder } = certificates;
    const mount = join(folder, "mount");
    // As the kubelet does: client.yaml -> ..data/client.yaml, ..data -> a folder of each version, replaced at once.
    const update = (version: string, local: string[]) => {
      mkdirSync(join(mount, version), { recursive: true });
      const files = { ca: join(folder, "ca.crt"), cert: join(folder, "edge-1.crt"), key: join(folder, "edge-1.key") };
      // JSON is YAML.
      const settings = JSON.stringify({ client: { ...files, connect: "localhost:1", local } });
      writeFileSync(join(mount, version, "client.yaml"), settings);
      symlinkSync(version, join(mount, "..data_tmp"));
      renameSync(join(mount, "..data_tmp"), join(mount, "..data"));
    };
    const first = "tcp:127.0.0.1:0=tcp:127.0.0.1:1";
    update("..1", [first]);
    symlinkSync("..data/client.yaml", join(mount, "client.yaml"));
    const client = startCommand(["client", "--config", join(mount, "client.yaml")]);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:1$/);
    update("..2", [first, "tcp:127.0.0.1:0=tcp:127.0.0.1:2"]);
    await client.line(/listening at .* for the server's tcp:127\.0\.0\.1:2$/);
    await client.line(/configuration loaded again/);
    expect(client.lines.filter((line) => line.includes("loaded again"))).toHaveLength(1);
  });
});
