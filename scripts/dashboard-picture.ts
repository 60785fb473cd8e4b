/**
 * Draws docs/dashboard.png: a server and some nodes of `bats-proxy` on the loopback address, each behind an emulated path of its own, and the
 * server's dashboard in Chromium. Takes a minute: `npm run build && npx tsx scripts/dashboard-picture.ts`.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openLivePage } from "../demo/live-page.ts";
import { startClient, startServer, writeCertificates } from "../demo/proxies.ts";
import { openUdpPath } from "../demo/udp-path.ts";
import { createContent, download, serve } from "../demo/web.ts";
import { launchBrowser, openPage } from "../test/e2e/browser.ts";

const PICTURE = new URL("../docs/dashboard.png", import.meta.url);
const NODES = [
  { rateMbps: 20, delayMs: 10, loss: 0 },
  { rateMbps: 10, delayMs: 25, loss: 0.01 },
  { rateMbps: 10, delayMs: 40, loss: 0.02 },
  { rateMbps: 5, delayMs: 60, loss: 0.05 },
  { rateMbps: 5, delayMs: 90, loss: 0.1 },
  { rateMbps: 2, delayMs: 150, loss: 0.2 },
];
const SECONDS = 45;

const folder = mkdtempSync(join(tmpdir(), "bats-picture-"));
const children: ChildProcess[] = [];
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const names = NODES.map((_, i) => `system:node:edge-${i + 1}`);
await writeCertificates(folder, names);
const bytes = 20_000_000;
const web = await serve(createContent(bytes), 0, "127.0.0.1");
const server = await startServer(folder, "127.0.0.1:0", web.port);
children.push(server.child);
const { url } = await openLivePage(folder);
const browser = await launchBrowser();
const { page } = await openPage(browser, url, { viewport: { width: 1200, height: 820 } });
for (const [i, path] of NODES.entries()) {
  const udp = await openUdpPath(server.port, { ...path, queueMs: 50 });
  const client = await startClient(folder, `127.0.0.1:${udp.port}`, web.port, names[i]);
  children.push(client.child);
  const fetchAgain = async (): Promise<never> => {
    for (;;) {
      await download(`http://127.0.0.1:${client.port}/`, bytes).over;
      await sleep(500);
    }
  };
  void fetchAgain();
}
await sleep(SECONDS * 1000);
await page.screenshot({ path: PICTURE.pathname });
await browser.close();
process.exit(0);
