/**
 * The dashboard of the demo's server, which may be in a network namespace that no browser reaches: its Unix socket is in the demo's
 * folder, and here is a port of the loopback address that leads to it.
 */
import { once } from "node:events";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Fleet } from "../src/operate/dashboard/fleet.ts";
import type { Status } from "../src/operate/status.ts";

const ASK_MS = 500;

export function statusSocket(folder: string): string {
  return join(folder, "status.sock");
}

/** Until the server is there, the page's own words for a proxy that does not answer do. */
export async function openLivePage(folder: string): Promise<{ url: string; server: Server }> {
  const socketPath = statusSocket(folder);
  const server = createServer(({ url, headers }, response) => {
    const question = get({ socketPath, path: url, headers: { "accept-encoding": headers["accept-encoding"] ?? "" } });
    question.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on("error", () => response.destroy()).pipe(response);
    });
    question.on("error", () =>
      response.writeHead(503, { "content-type": "text/plain", refresh: "1" }).end("not yet\n"),
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  server.unref();
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, server };
}

/** Remembers what the server says of its session, as the dashboard does, until it is stopped. */
export function watchStatus(folder: string): { fleet: Fleet; stop(): void } {
  const fleet = new Fleet();
  const ask = () => {
    get({ socketPath: statusSocket(folder), path: "/status" }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("end", () => fleet.take(JSON.parse(Buffer.concat(chunks).toString()) as Status));
    }).on("error", () => {});
  };
  const timer = setInterval(ask, ASK_MS);
  return { fleet, stop: () => clearInterval(timer) };
}
