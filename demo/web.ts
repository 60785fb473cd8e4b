/** The web server of the demo, and a download from it that is watched and checked. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Bytes that do not compress, the same each time. */
export function createContent(bytes: number): Buffer {
  const content = Buffer.allocUnsafe(bytes);
  let state = 0x9e3779b9;
  for (let i = 0; i + 4 <= bytes; i += 4) {
    // xorshift32 (Marsaglia, 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    content.writeInt32LE(state | 0, i);
  }
  return content;
}

/** Serves `content` for every request, with its hash in a header. */
export async function serve(content: Buffer, port: number, host: string): Promise<{ server: Server; port: number }> {
  const sha256 = createHash("sha256").update(content).digest("hex");
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-length": content.length, "x-sha256": sha256 });
    response.end(content);
  });
  server.listen(port, host);
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

export interface Progress {
  bytes: number;
  totalBytes: number;
  elapsedMs: number;
  state: "running" | "done" | "stopped" | "damaged" | "failed";
}

export interface Download {
  readonly progress: Progress;
  /** Resolves when it is over, however it ended. */
  readonly over: Promise<void>;
  stop(): void;
}

/** Starts at once. The clock runs from the request to the last byte. */
export function download(url: string, totalBytes: number): Download {
  const startMs = performance.now();
  const hash = createHash("sha256");
  const progress: Progress = { bytes: 0, totalBytes, elapsedMs: 0, state: "running" };
  const tick = () => {
    if (progress.state === "running") progress.elapsedMs = performance.now() - startMs;
  };
  const timer = setInterval(tick, 50);
  let finish: () => void;
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const end = (state: Progress["state"]) => {
    if (progress.state !== "running") return;
    tick();
    progress.state = state;
    clearInterval(timer);
    finish();
  };
  const request = get(url, { agent: false }, (response) => {
    response.on("data", (chunk: Buffer) => {
      progress.bytes += chunk.length;
      hash.update(chunk);
    });
    response.on("end", () => end(hash.digest("hex") === response.headers["x-sha256"] ? "done" : "damaged"));
    response.on("error", () => end("failed"));
  });
  request.on("error", () => end("failed"));
  return {
    progress,
    over,
    stop() {
      end("stopped");
      request.destroy();
    },
  };
}
