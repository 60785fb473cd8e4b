/**
 * `npm run demo`: the same download over the same bad path, direct and through bats-proxy. In network namespaces of its own, as
 * root or with unprivileged user namespaces (lab.ts); else bats-proxy runs on the loopback address through an emulated path, and the
 * direct download is the simulator's TCP.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NO_LAB } from "./exit-codes.ts";
import { openLivePage, watchStatus } from "./live-page.ts";
import { type DemoOptions, readOptions } from "./options.ts";
import { startClient, startServer, writeCertificates } from "./proxies.ts";
import { Recording } from "./recording.ts";
import { conclude, PROXIED_LABEL, subjectOf } from "./report.ts";
import { Screen } from "./screen.ts";
import { simulateDownload } from "./simulated-download.ts";
import { openUdpPath } from "./udp-path.ts";
import { createContent, download, serve } from "./web.ts";

const args = process.argv.slice(2);
const options = readOptions(args);
const screen = new Screen(process.stdout);
const folder = mkdtempSync(join(tmpdir(), "bats-demo-"));
const children: ChildProcess[] = [];

process.on("exit", () => {
  // The lab's first process ends all the others of its namespace.
  for (const child of children) child.kill("SIGKILL");
  screen.close();
  rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130));

screen.say(`\n${subjectOf(options)}.`);
const { url } = await openLivePage(folder);
screen.say(`Live while it lasts, in a browser: ${url}\n`);
const code = options.simulate ? NO_LAB : await runLab();
process.exit(code === NO_LAB ? await runSimulated(options) : code);

/** The exit code of the lab. */
async function runLab(): Promise<number> {
  const namespaces = ["--net", "--pid", "--fork", "--kill-child"];
  if (process.getuid?.() !== 0) namespaces.push("--user", "--map-root-user");
  const probe = spawnSync("unshare", [...namespaces, "true"], { encoding: "utf8" });
  if (probe.error !== undefined || probe.status !== 0) {
    process.stderr.write(`no network namespaces here: ${(probe.error?.message ?? probe.stderr).trim()}\n`);
    return NO_LAB;
  }
  const lab = fileURLToPath(new URL("lab.ts", import.meta.url));
  const child = spawn("unshare", [...namespaces, process.execPath, "--import", "tsx", lab, folder, ...args], {
    stdio: "inherit",
  });
  children.push(child);
  const [status] = await once(child, "exit");
  return status ?? 1;
}

async function runSimulated({ path, totalBytes, limitMs, report }: DemoOptions): Promise<number> {
  screen.say("Without namespaces the direct download is simulated; bats-proxy runs for real, over an emulated path.\n");
  await writeCertificates(folder);
  const web = await serve(createContent(totalBytes), 0, "127.0.0.1");
  const server = await startServer(folder, "127.0.0.1:0", web.port);
  children.push(server.child);
  const udp = await openUdpPath(server.port, path);
  const client = await startClient(folder, `127.0.0.1:${udp.port}`, web.port);
  children.push(client.child);
  const direct = simulateDownload(path, totalBytes, limitMs);
  const proxied = download(`http://127.0.0.1:${client.port}/`, totalBytes);
  const ways = [
    { label: "direct, simulated TCP (cubic)", progress: direct.progress },
    { label: PROXIED_LABEL, progress: proxied.progress },
  ];
  const recording = new Recording();
  const status = watchStatus(folder);
  const timer = setInterval(() => {
    recording.add(ways);
    screen.draw(ways);
  }, 100);
  const limit = setTimeout(() => {
    direct.stop();
    proxied.stop();
  }, limitMs);
  await Promise.all([direct.over, proxied.over]);
  clearInterval(timer);
  clearTimeout(limit);
  screen.draw(ways);
  status.stop();
  udp.close();
  return conclude(screen, report, { subject: subjectOf(options), ways, recording, fleet: status.fleet });
}
