/** `bats-proxy status` of a proxy that is not one: it ends, is started anew, and has a thousand sessions. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { sessionStatus, statusOf } from "../operate/fake-proxy.ts";
import { Command, MAIN } from "./command.ts";

const noTerminal = spawnSync("script", ["--version"]).error !== undefined;
if (noTerminal) console.warn("status on a terminal is not tested: there is no program script, of util-linux");

let shown: Command | null = null;
let proxy: Server | null = null;
afterEach(async () => {
  await shown?.kill();
  proxy?.close();
});

async function startProxy(port = 0): Promise<number> {
  const status = statusOf(Array.from({ length: 1000 }, (_, i) => sessionStatus(i + 1)));
  proxy = createServer((_, response) => response.end(JSON.stringify(status)));
  proxy.listen(port, "127.0.0.1");
  await once(proxy, "listening");
  return (proxy.address() as AddressInfo).port;
}

/** What the terminal shows, as soon as it matches and is not what it was at `from`; and where that began. */
async function screen(pattern: RegExp, from = 0): Promise<{ lines: string[]; end: number }> {
  for (;;) {
    const screens = shown!.output.slice(from).split("\x1b[H\x1b[J").slice(1, -1);
    const found = screens.find((text) => pattern.test(text));
    if (found !== undefined) return { lines: found.trimEnd().split(/\r?\n/), end: shown!.output.length };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe.skipIf(noTerminal)("bats-proxy status on a terminal", () => {
  it("keeps to its size, and goes on when the proxy was away", async () => {
    const port = await startProxy();
    const command = `stty rows 8 cols 50; exec ${process.execPath} ${MAIN} status 127.0.0.1:${port}`;
    shown = new Command(["--quiet", "--flush", "--command", command, "/dev/null"], undefined, undefined, ["script"]);
    const first = await screen(/^bats-proxy server/);
    expect(first.lines).toHaveLength(7);
    expect(Math.max(...first.lines.map((line) => line.length))).toBe(50);
    expect(first.lines.at(-1)).toBe("... and 996 more");
    proxy!.close();
    const silent = await screen(/^no answer from 127\.0\.0\.1:\d+: /, first.end);
    expect(silent.lines.slice(1)).toEqual(first.lines.slice(1));
    await startProxy(port);
    await screen(/^bats-proxy server/, silent.end);
  });
});

describe("bats-proxy status without a terminal", () => {
  it("says in a line that the proxy went away", async () => {
    const port = await startProxy();
    proxy!.once("request", () => proxy!.close());
    shown = new Command(["status", `127.0.0.1:${port}`]);
    expect(await shown.exit).toBe(4);
    expect(shown.lines).toEqual([expect.stringMatching(/nothing to see at 127\.0\.0\.1:\d+: .*ECONNREFUSED/)]);
  });
});
