/** What benchmarks of `bats-proxy` share: certificates for its ends, waiting for what it says, and a forward between the lab's hosts. */
import { type ChildProcess, execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLOUD_IP, type Host, type Lab } from "./lab.ts";

/** The command, as built. */
export const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** An authority, a certificate of the server "cloud" and those of clients, in a folder; the arguments that name an end's. */
export function issueCertificates(folder: string, clients: readonly string[] = ["edge"]): (name: string) => string[] {
  const pki = (...args: string[]) =>
    execFileSync(process.execPath, [MAIN, "pki", ...args, "--dir", folder], { stdio: "ignore" });
  pki("init");
  pki("issue", "--name", "cloud", "--server");
  for (const name of clients) pki("issue", "--name", name);
  const file = (name: string) => join(folder, name);
  return (name) => ["--ca", file("ca.crt"), "--cert", file(`${name}.crt`), "--key", file(`${name}.key`)];
}

/** Waits until a command's log says so; rejects when it ends or says nothing for long. */
export function said(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = "";
    const timer = setTimeout(() => reject(new Error(`bats-proxy did not say ${pattern}:\n${text}`)), 60_000);
    child.stderr!.on("data", (data: Buffer) => {
      text += data;
      if (!pattern.test(text)) return;
      clearTimeout(timer);
      resolve();
    });
    child.once("exit", () => {
      clearTimeout(timer);
      reject(new Error(`bats-proxy ended:\n${text}`));
    });
  });
}

/** Default settings at both ends: what connects to `listen` at the edge reaches `target` at the cloud. */
export async function startForward(lab: Lab, listen: string, target: string): Promise<void> {
  const certificates = issueCertificates(lab.folder);
  const bats = (host: Host, ...words: string[]) =>
    lab.start(host, process.execPath, [MAIN, ...words, ...certificates(host)]);
  await said(bats("cloud", "server", "--listen", "4433", "--allow", `*=${target}`), /serving/);
  const connect = ["--connect", `${CLOUD_IP}:4433`, "--server-name", "cloud"];
  await said(bats("edge", "client", ...connect, "-L", `${listen}=${target}`), /connected/);
}
