/**
 * The HTTP server of `--metrics`: /metrics, /status, /healthz, /readyz, and the dashboard at / where it is wanted. Read-only; whoever
 * reaches the address may read, so it belongs on the loopback address or a management network.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Server } from "node:net";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { listenWith } from "../proxy/local-socket.ts";
import { DASHBOARD_PAGE, SCRIPT_SHA256, STYLE_SHA256 } from "./dashboard-page.generated.ts";
import { Metrics } from "./metrics.ts";
import type { Monitor } from "./monitor.ts";

/** A host and port, or a Unix socket's path. */
export type StatusAddress = { host: string; port: number } | { path: string };

export interface StatusServerOptions {
  monitor: Monitor;
  /** Whether the page is served. */
  dashboard: boolean;
  /** The mode of a Unix socket's file. */
  unixMode: number;
}

export interface StatusServer {
  /** For people: http://HOST:PORT, or the path. */
  readonly url: string;
  close(): void;
}

/** The page loads nothing, talks to nobody but its server, and runs nothing but what it was built with. */
const PAGE_POLICY = [
  "default-src 'none'",
  `script-src 'sha256-${SCRIPT_SHA256}'`,
  `style-src 'sha256-${STYLE_SHA256}'`,
  "img-src data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Shorter answers are not worth the work. */
const LEAST_COMPRESSED = 4096;
const compress = promisify(gzip);

/** Rejects with a `LocalSocketError` when the address cannot be had. */
export async function startStatusServer(
  address: StatusAddress,
  { monitor, dashboard, unixMode }: StatusServerOptions,
): Promise<StatusServer> {
  const metrics = new Metrics(monitor);
  const server = createServer({ requestTimeout: 10_000 }, (request, response) => {
    answer(request, response, monitor, metrics, dashboard).catch(() => response.destroy());
  });
  const endpoint = "path" in address ? ({ kind: "unix", ...address } as const) : ({ kind: "tcp", ...address } as const);
  await listenWith(server, endpoint, unixMode);
  server.maxConnections = 64;
  server.unref();
  return {
    url: urlOf(server),
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function answer(
  { method, url = "/", headers: asked }: IncomingMessage,
  response: ServerResponse,
  monitor: Monitor,
  metrics: Metrics,
  dashboard: boolean,
): Promise<void> {
  const reply = async (code: number, type: string, body: string, headers: Record<string, string> = {}) => {
    const compressed = body.length >= LEAST_COMPRESSED && /\bgzip\b/.test(asked["accept-encoding"] ?? "");
    const sent = compressed ? await compress(body, { level: 1 }) : body;
    response.writeHead(code, {
      "content-type": type,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...(compressed ? { "content-encoding": "gzip" } : {}),
      ...headers,
    });
    response.end(method === "HEAD" ? undefined : sent);
  };
  if (method !== "GET" && method !== "HEAD") {
    await reply(405, "text/plain", "only GET\n", { allow: "GET, HEAD" });
    return;
  }
  switch (url.split("?", 1)[0]) {
    case "/metrics":
      await reply(200, metrics.contentType, await metrics.text());
      return;
    case "/status":
      await reply(200, "application/json", JSON.stringify(monitor.status()));
      return;
    case "/healthz":
      await reply(200, "text/plain", "ok\n");
      return;
    case "/readyz":
      await reply(monitor.ready ? 200 : 503, "text/plain", monitor.ready ? "ready\n" : "no session that answers\n");
      return;
    case "/":
      if (dashboard) {
        await reply(200, "text/html; charset=utf-8", DASHBOARD_PAGE, { "content-security-policy": PAGE_POLICY });
        return;
      }
      await reply(404, "text/plain", "/metrics, /status, /healthz, /readyz; a page with --dashboard\n");
      return;
    default:
      await reply(404, "text/plain", "there is /metrics, /status, /healthz and /readyz\n");
  }
}

function urlOf(server: Server): string {
  const at = server.address() as AddressInfo | string;
  if (typeof at === "string") return at;
  return `http://${at.family === "IPv6" ? `[${at.address}]` : at.address}:${at.port}`;
}
