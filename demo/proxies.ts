/** Both ends of `bats-proxy` as the demo runs them: the built command, with certificates that last a day. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createAuthority, issueCertificate } from "../src/pki/certificates.ts";
import { pemPaths, writePem } from "../src/pki/files.ts";
import { statusSocket } from "./live-page.ts";

const COMMAND = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export const SERVER_NAME = "cloud.demo";
const CLIENT_NAME = "edge.demo";

/** Certificates of the server and of its clients in `folder`. */
export async function writeCertificates(folder: string, clients: readonly string[] = [CLIENT_NAME]): Promise<void> {
  const authority = await createAuthority("demo", 1);
  writePem(pemPaths(folder, "ca"), folder, authority);
  for (const name of [SERVER_NAME, ...clients]) {
    const server = name === SERVER_NAME;
    const subjectAltNames = server ? [`DNS:${name}`] : [];
    const options = { commonName: name, subjectAltNames, server, days: 1 };
    writePem(pemPaths(folder, name), folder, await issueCertificate(authority, options));
  }
}

/** Its dashboard is at a Unix socket in `folder`. */
export function startServer(folder: string, listen: string, allowedPort: number): Promise<ProxyProcess> {
  const page = ["--metrics", `unix:${statusSocket(folder)}`, "--dashboard"];
  const args = ["--listen", listen, "--allow", `*=tcp:127.0.0.1:${allowedPort}`, ...page];
  return start(["server", ...args, ...credentials(folder, SERVER_NAME)], /serving on UDP .*:(\d+),/);
}

/** Resolves when it is connected. */
export function startClient(
  folder: string,
  server: string,
  targetPort: number,
  name = CLIENT_NAME,
): Promise<ProxyProcess> {
  const forward = `tcp:127.0.0.1:0=tcp:127.0.0.1:${targetPort}`;
  const args = ["--connect", server, "--server-name", SERVER_NAME, "-L", forward];
  return start(
    ["client", ...args, ...credentials(folder, name)],
    /listening at tcp:127.0.0.1:(\d+)[\s\S]*connected to/,
  );
}

export interface ProxyProcess {
  readonly child: ChildProcess;
  /** Where it listens. */
  readonly port: number;
}

function credentials(folder: string, name: string): string[] {
  const { certificate, key } = pemPaths(folder, name);
  return ["--ca", join(folder, "ca.crt"), "--cert", certificate, "--key", key];
}

/** Resolves when its log matches `ready`, whose group is the port; rejects with the log when it ends before. */
function start(args: string[], ready: RegExp): Promise<ProxyProcess> {
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ["ignore", "ignore", "pipe"] });
  return new Promise((resolve, reject) => {
    let log = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      if (log.length < 65_536) log += text;
      const port = ready.exec(log)?.[1];
      if (port !== undefined) resolve({ child, port: Number(port) });
    });
    child.once("exit", () => reject(new Error(`bats-proxy ${args[0]} ended:\n${log}`)));
  });
}
