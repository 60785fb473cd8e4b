/** Programs of others that tests run where this machine has them. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Authority, SERVER_AUTH } from "../tls/certificates.ts";
import { folderLater, later } from "./rig.ts";

/** Where a program is; null, said once, where it is not. */
export function find(program: string, places: readonly string[] = []): string | null {
  const path = [process.env["PATH"], "/usr/sbin", ...places].join(":");
  try {
    return execFileSync("sh", ["-c", `command -v ${program}`], { env: { PATH: path }, encoding: "utf8" }).trim();
  } catch {
    console.warn(`skipped for want of it: ${program}`);
    return null;
  }
}

/** Runs a program to its end; resolves with what it said, rejects when it fails. */
export function runProgram(
  program: string,
  args: readonly string[],
  options: { uid?: number; gid?: number } = {},
): Promise<string> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  later(() => child.kill("SIGKILL"));
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      output += text;
    });
  }
  return once(child, "close").then(([code]) => {
    if (code !== 0) throw new Error(`${program} ended with ${code}: ${output.slice(-2000)}`);
    return output;
  });
}

/** What a QUIC server needs: a folder with `page`, and files of a certificate of quic.example and its key. */
export async function createQuicSite(content: Buffer): Promise<{ folder: string; key: string; chain: string }> {
  const authority = await Authority.root("QUIC CA");
  const certificate = await authority.issue("CN=quic", { usage: [SERVER_AUTH], dns: ["quic.example"] });
  const folder = folderLater();
  const [key, chain] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
  writeFileSync(key, certificate.key);
  writeFileSync(chain, certificate.chain);
  writeFileSync(join(folder, "page"), content);
  return { folder, key, chain };
}
