/** `bats-proxy send` and `receive` with the built command at both ends. */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { amount, duration, progressText } from "../../src/cli/transfer-display.ts";
import { Progress, RateMeter } from "../../src/transfer/progress.ts";
import { createFolder, until } from "../proxy/local.ts";
import {
  type Certificates,
  type Command,
  createCertificates,
  freeUdpPort,
  killCommands,
  startCommand,
} from "./command.ts";

let certificates: Certificates;
let folder: { path: string; remove(): void };
beforeAll(async () => {
  certificates = await createCertificates();
});
afterAll(() => certificates.remove());
afterEach(async () => {
  await killCommands();
  folder?.remove();
});

/** Where a test has its files: `from` and `to` in it. */
function prepare(): { from: string; to: string } {
  folder = createFolder();
  const [from, to] = [join(folder.path, "from"), join(folder.path, "to")];
  mkdirSync(from);
  mkdirSync(to);
  return { from, to };
}

async function startReceiver(port: number, to: string, ...args: string[]): Promise<Command> {
  const own = certificates.of("localhost");
  const receiver = startCommand(["receive", "--listen", `127.0.0.1:${port}`, ...own, ...args, to]);
  await receiver.line(/receiving on UDP/);
  return receiver;
}

function send(port: number, ...args: string[]): Command {
  return startCommand(["send", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...args]);
}

/** Large, and no work to make: a hole. */
function makeLarge(path: string, bytes: number): void {
  const file = openSync(path, "w");
  ftruncateSync(file, bytes);
  closeSync(file);
}

function resultOf(command: Command): Record<string, unknown> & { bytes: Record<string, number> } {
  return JSON.parse(command.output.trim().split("\n").at(-1)!);
}

describe("send and receive", () => {
  it("bring a folder over, say what they did, and find it there the next time", async () => {
    const { from, to } = prepare();
    mkdirSync(join(from, "logs"));
    writeFileSync(join(from, "logs/a"), "aaa");
    writeFileSync(join(from, "logs/b"), "bbb");
    const port = await freeUdpPort();
    const receiver = await startReceiver(port, join(to, "{identity}"), "--allow", "edge-*", "--json");
    const first = send(port, join(from, "logs"));
    expect(await first.exit, first.lines.join("\n")).toBe(0);
    expect(first.output).toMatch(
      /^2 files sent to localhost: 6 B in [\d.]+ s, .*RTT [\d.]+ ms, loss [\d.]+ %, redundancy/,
    );
    expect(readFileSync(join(to, "edge-1/logs/b"), "utf8")).toBe("bbb");
    const second = send(port, "--json", join(from, "logs"));
    expect(await second.exit).toBe(0);
    expect(resultOf(second)).toMatchObject({
      role: "sender",
      peer: "localhost",
      complete: true,
      files: { total: 2, done: 2, unchanged: 2 },
      bytes: { total: 6, moved: 0, reused: 6 },
      failed: 0,
      problems: [],
    });
    await until(() => receiver.output.split("\n").length === 3);
    expect(resultOf(receiver)).toMatchObject({ role: "receiver", peer: "edge-1", complete: true });
    expect(await receiver.kill("SIGTERM")).toBe(0);
  });

  it("work the other way round, where the receiver is the one that can connect", async () => {
    const { from, to } = prepare();
    writeFileSync(join(from, "image"), "firmware");
    const own = certificates.of("localhost");
    const sender = startCommand(["send", "--listen", "127.0.0.1:0", "--allow", "edge-1", ...own, join(from, "image")]);
    const port = /:(\d+)$/.exec(await sender.line(/sending on UDP/))![1];
    const common = ["--connect", `localhost:${port}`, ...certificates.of("edge-1")];
    const receiver = startCommand(["receive", ...common, to]);
    expect(await receiver.exit, receiver.lines.join("\n")).toBe(0);
    expect(receiver.output).toMatch(/^1 file received from localhost: 8 B/);
    expect(readFileSync(join(to, "image"), "utf8")).toBe("firmware");
    // Both ends send.
    const wrong = startCommand(["send", ...common, join(from, "image")]);
    expect(await wrong.exit).toBe(5);
    expect(wrong.lines.at(-1)).toMatch(/one end has to be `bats-proxy (?:send|receive)`/);
  });

  it("go on where they were when either is killed in the middle", async () => {
    const { from, to } = prepare();
    const bytes = 60_000_000;
    makeLarge(join(from, "large"), bytes);
    const port = await freeUdpPort();
    const partial = join(to, ".large.bats-part");
    const here = () => statSync(partial, { throwIfNoEntry: false })?.size ?? 0;
    const receiver = await startReceiver(port, to, "--allow", "*");
    const killed = send(port, join(from, "large"));
    await until(() => here() > 2_000_000);
    await killed.kill("SIGKILL");
    const sentBefore = here();
    expect(sentBefore).toBeLessThan(bytes);
    expect(readdirSync(to)).toEqual([".large.bats-part"]);

    const sender = send(port, "--json", join(from, "large"));
    await until(() => here() > sentBefore + 2_000_000);
    await receiver.kill("SIGKILL");
    expect(here()).toBeLessThan(bytes);
    await startReceiver(port, to, "--allow", "*");
    expect(await sender.exit, sender.lines.join("\n")).toBe(0);
    const result = resultOf(sender);
    expect(result).toMatchObject({ complete: true, failed: 0, bytes: { total: bytes } });
    // What was there from the first attempt did not go over the line again.
    expect(result.bytes.moved).toBeLessThanOrEqual(bytes - sentBefore);
    expect(readdirSync(to)).toEqual(["large"]);
    expect(statSync(join(to, "large")).size).toBe(bytes);
  });

  it("exit with 5 when not all went through, after all that could", async () => {
    const { from, to } = prepare();
    mkdirSync(join(from, "t"));
    writeFileSync(join(from, "t/bad"), "x");
    writeFileSync(join(from, "t/good"), "y");
    mkdirSync(join(to, "t/bad"), { recursive: true });
    const port = await freeUdpPort();
    const receiver = await startReceiver(port, to, "--allow", "edge-1", "--once");
    const sender = send(port, join(from, "t"));
    expect(await sender.exit).toBe(5);
    expect(sender.lines).toEqual([
      "t/bad: cannot be: there is a directory of that name",
      "bats-proxy: 1 not transferred, as said above",
    ]);
    expect(readFileSync(join(to, "t/good"), "utf8")).toBe("y");
    expect(await receiver.exit).toBe(5);
  });

  it("refuse whom nothing allows, and say which option is missing", async () => {
    const { from, to } = prepare();
    writeFileSync(join(from, "f"), "x");
    const port = await freeUdpPort();
    const receiver = await startReceiver(port, to, "--allow", "edge-2");
    const sender = send(port, join(from, "f"));
    expect(await sender.exit).toBe(5);
    expect(sender.lines.at(-1)).toMatch(/the other end stops: edge-1 is not allowed here: it needs --allow 'edge-1'/);
    await receiver.line(/edge-1 is not allowed here/);
    expect(readdirSync(to)).toEqual([]);
  });

  it("end with a code that says why they could not begin", async () => {
    const { from, to } = prepare();
    writeFileSync(join(from, "f"), "x");
    const file = join(from, "f");
    const edge = certificates.of("edge-1");
    const cases: [string[], number, RegExp][] = [
      [["send", ...edge, file], 2, /say --connect HOST:PORT, or --listen/],
      [["send", "--connect", "a:1", "--allow", "x", ...edge, file], 2, /--allow: goes with --listen only/],
      [["receive", "--connect", "a:1", "--once", ...edge, to], 2, /--once: goes with --listen only/],
      [["receive", "--listen", "1", "--allow", "a=tcp:b:1", ...edge, to], 2, /an IDENTITY alone/],
      [["send", "--connect", "a:1", ...edge, join(from, "none")], 1, /none: there is no such file or folder/],
      [["receive", "--connect", "a:1", ...edge, file], 1, /f is no directory/],
      [["send", "--connect", "nowhere.invalid:1", "--retry", "0", ...edge, file], 4, /nowhere\.invalid/],
      [["send", "--connect", "a:1", "--ca", file, "--cert", file, "--key", file, file], 1, /f\b/],
    ];
    await Promise.all(
      cases.map(async ([args, code, words]) => {
        const command = startCommand(args);
        expect(await command.exit, args.join(" ")).toBe(code);
        expect(command.lines.join("\n")).toMatch(words);
        expect(command.lines.join("\n")).not.toMatch(/^ {4}at /m);
      }),
    );
  });
});

describe("progress", () => {
  it("is a bar as wide as the terminal, or a line", () => {
    const progress = new Progress();
    progress.files = 3;
    progress.bytes = 200e6;
    progress.current = "a/very/long/name/\x1b[2J";
    progress.done(20e6, true);
    progress.found(20e6);
    progress.moved(30e6);
    expect(progressText(progress, 10e6, 0)).toBe("25 %, 50.0 MB of 200 MB+, 10.0 MB/s, -:-- left, 1 of 3 files");
    progress.counted = true;
    expect(progressText(progress, 10e6, 200)).toBe(
      " 25 % [=====               ] 50.0 MB of 200 MB, 10.0 MB/s, 0:15 left, 1 of 3 files  a/very/long/name/\\x1b[2J",
    );
    expect(progressText(progress, 10e6, 40)).toHaveLength(40);
    expect(progressText(new Progress(), 0, 0)).toBe("0 %, 0 B of 0 B+, 0 B/s, -:-- left, 0 of 0 files");
  });

  it("names amounts with three digits and times as clocks do", () => {
    expect([0, 999, 1000, 99_949, 999_499, 999_500, 1_048_576, 2e10].map(amount)).toEqual([
      "0 B",
      "999 B",
      "1.00 kB",
      "99.9 kB",
      "999 kB",
      "1.00 MB",
      "1.05 MB",
      "20.0 GB",
    ]);
    expect([0, 8.2, 754, 3723].map(duration)).toEqual(["0:00", "0:09", "12:34", "1:02:03"]);
  });

  it("counts what was there before apart from what went over the line, in several sessions", () => {
    const progress = new Progress();
    progress.bytes = 100;
    progress.found(30);
    progress.moved(20);
    progress.done(10, false);
    progress.resume();
    expect(progress.position).toBe(10);
    progress.found(40);
    progress.moved(50);
    progress.done(90, false);
    expect(progress).toMatchObject({ position: 100, movedBytes: 70, reusedBytes: 30 });
  });

  it("has the rate of the last seconds", () => {
    const meter = new RateMeter(1000);
    expect(meter.sample(0, 0)).toBe(0);
    expect(meter.sample(500, 500)).toBe(1000);
    expect(meter.sample(500, 1000)).toBe(500);
    expect(meter.sample(500, 1500)).toBe(0);
    expect(meter.sample(2500, 2500)).toBe(2000);
  });
});
