import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, expect, test } from "vitest";
import { dial, listener } from "./support.ts";

const directory = mkdtempSync(join(tmpdir(), "bats-trace-"));

afterEach(() => {
  delete process.env.BATS_TRACE;
  delete process.env.BATS_TRACE_MS;
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("a FIFO that nobody reads, or not fast enough, gets no trace, which is said in a warning", async () => {
  const server = await listener();
  server.on("session", () => {});
  const file = join(mkdtempSync(join(directory, "pipe-")), "fifo");
  execFileSync("mkfifo", [file]);
  process.env.BATS_TRACE = file;
  process.env.BATS_TRACE_MS = "10";
  const unread = once(process, "warning");
  await dial(server);
  expect((await unread)[0].message).toMatch(/there is no trace: .*fifo is a FIFO that nobody reads/);
  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const full = once(process, "warning");
  await dial(server);
  expect((await full)[0].message).toBe("the trace ends: its reader does not keep up");
  closeSync(reader);
});

test("BATS_TRACE names a file that gets a line for each link, of what went over it since the line before", async () => {
  const server = await listener();
  const file = join(directory, "client.trace");
  process.env.BATS_TRACE = file;
  process.env.BATS_TRACE_MS = "10";
  const received = new Promise<void>((resolve) => {
    server.on("session", (peer) => peer.on("message", () => resolve()));
  });
  const session = await dial(server);
  delete process.env.BATS_TRACE;
  await session.sendMessage(new Uint8Array(100_000));
  await received;
  await delay(50);
  await session.close();

  const lines = readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  const sum = (field: string): number => lines.reduce((total, line) => total + line[field], 0);
  expect(lines.length).toBeGreaterThan(2);
  expect(sum("symbols") * 1500).toBeGreaterThan(100_000);
  expect(lines.reduce((bytes, line) => bytes + line.sentMbps * line.overMs * 125, 0)).toBeGreaterThan(100_000);
  const last = lines.at(-1);
  expect(last.smoothedRttMs).toBeGreaterThanOrEqual(0);
  expect(last.congestion.windowBytes).toBeGreaterThan(0);
  expect(last.session.waitingBytes).toBe(0);
  expect(sum("acked")).toBeGreaterThan(70);
  expect(last.load.turns).toBeGreaterThanOrEqual(0);
});
