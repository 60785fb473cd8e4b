// Certificates for the examples beside this file, made with `bats-proxy pki` in a folder that goes when the program ends.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const dir = mkdtempSync(join(tmpdir(), "bats-example-"));
process.on("exit", () => rmSync(dir, { recursive: true, force: true }));

const command = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
/** @param {string[]} args */
const pki = (...args) => execFileSync(process.execPath, [command, "pki", ...args, "--dir", dir]);
pki("init");
pki("issue", "--name", "localhost", "--server");
pki("issue", "--name", "edge-1");

/** @param {string} name */
const of = (name) => ({ ca: join(dir, "ca.crt"), cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) });
export const server = of("localhost");
export const client = of("edge-1");
