/**
 * A host of the demo: a process in a network namespace of its own, told what to do by the one that started it, as messages.
 * The cloud has the web server and `bats-proxy server`, the edge `bats-proxy client` and both downloads.
 */
import { execFileSync } from "node:child_process";
import { type ProxyProcess, startClient, startServer } from "./proxies.ts";
import { createContent, download, type Progress, serve } from "./web.ts";

export interface Interface {
  device: string;
  /** In a network of 24 bits. */
  address: string;
  /** Of TCP connections over it. */
  congestionControl?: string;
}

export type HostRequest =
  | { type: "configure"; interfaces: Interface[] }
  | { type: "serve"; totalBytes: number; folder: string; listen: string }
  | { type: "connect"; folder: string; server: string; webPort: number }
  | { type: "download"; directUrls: string[]; totalBytes: number; limitMs: number };

export type HostReply =
  | { type: "ready" }
  | { type: "done"; port: number }
  | { type: "failed"; message: string }
  | { type: "progress"; direct: Progress[]; proxied: Progress }
  | { type: "over" };

const REPORT_MS = 100;

let client: ProxyProcess | null = null;

process.on("message", (request: HostRequest) => {
  handle(request).then(
    (port) => reply({ type: "done", port }),
    (error: Error) => reply({ type: "failed", message: error.message }),
  );
});
// Ctrl-C at the terminal reaches every process; the first one ends the others in order.
process.on("SIGINT", () => {});
process.on("disconnect", () => process.exit(0));
reply({ type: "ready" });

function reply(message: HostReply): void {
  process.send?.(message);
}

async function handle(request: HostRequest): Promise<number> {
  switch (request.type) {
    case "configure":
      ip("link", "set", "dev", "lo", "up");
      for (const { device, address, congestionControl } of request.interfaces) {
        ip("address", "add", address, "dev", device);
        ip("link", "set", "dev", device, "up");
        const network = address.replace(/\d+$/, "0/24");
        ip("route", "add", network, "dev", device, ...(congestionControl ? ["congctl", congestionControl] : []));
      }
      return 0;
    case "serve": {
      const { port } = await serve(createContent(request.totalBytes), 0, "0.0.0.0");
      await startServer(request.folder, request.listen, port);
      return port;
    }
    case "connect":
      client = await startClient(request.folder, request.server, request.webPort);
      return client.port;
    case "download": {
      const { totalBytes, limitMs } = request;
      const direct = request.directUrls.map((url) => download(url, totalBytes));
      const proxied = download(`http://127.0.0.1:${client?.port}/`, totalBytes);
      const report = () =>
        reply({ type: "progress", direct: direct.map(({ progress }) => progress), proxied: proxied.progress });
      const timer = setInterval(report, REPORT_MS);
      const limit = setTimeout(() => {
        for (const way of [...direct, proxied]) way.stop();
      }, limitMs);
      void Promise.all([...direct, proxied].map(({ over }) => over)).then(() => {
        clearInterval(timer);
        clearTimeout(limit);
        report();
        reply({ type: "over" });
      });
      return 0;
    }
  }
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: "pipe" });
}
