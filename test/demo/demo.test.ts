/** The emulated path in virtual time, and the whole demo with a short download. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify, stripVTControlCharacters } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { PathDirection, type PathOptions } from "../../demo/path-emulator.ts";
import { formatBar, formatTable, Screen } from "../../demo/screen.ts";
import { whyNoNamespaces } from "../netns.ts";
import { createFolder } from "../proxy/local.ts";

const run = promisify(execFile);
const ROOT = new URL("../..", import.meta.url);
const DEMO = ["--import", "tsx", "demo/main.ts"];
const SHORT = ["--size", "0.5", "--seconds", "5"];

const CLEAN: PathOptions = { rateMbps: 12, delayMs: 50, loss: 0, queueMs: 10 };

/** 1500 bytes take 1 ms at 12 Mbit/s. */
function packet(mark: number): Uint8Array {
  return new Uint8Array(1500).fill(mark);
}

describe("the emulated path", () => {
  it("delivers packets in order, after their time at the bottleneck and the delay", () => {
    const arrived: number[] = [];
    const path = new PathDirection(CLEAN, ([mark]) => arrived.push(mark));
    path.push(packet(1), 0);
    path.push(packet(2), 0);
    expect(path.nextMs).toBe(51);
    path.advance(50.9);
    expect(arrived).toEqual([]);
    path.advance(51);
    expect(arrived).toEqual([1]);
    path.advance(1000);
    expect(arrived).toEqual([1, 2]);
    expect(path.nextMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("drops what would wait longer than its queue is", () => {
    let arrived = 0;
    const path = new PathDirection(CLEAN, () => arrived++);
    for (let i = 0; i < 100; i++) path.push(packet(i), 0);
    path.advance(1000);
    expect(arrived).toBe(11);
    expect(path.counters).toEqual({ packets: 100, lost: 0, overflowed: 89 });
  });

  it("loses the share that it was told to, behind the bottleneck", () => {
    let i = 0;
    let arrived = 0;
    const path = new PathDirection(
      { ...CLEAN, loss: 0.25 },
      () => arrived++,
      () => (i++ % 4) / 4,
    );
    for (let n = 0; n < 4; n++) path.push(packet(n), 0);
    path.advance(53);
    expect(arrived).toBe(2);
    path.advance(54);
    expect(arrived).toBe(3);
    expect(path.counters.lost).toBe(1);
  });
});

describe("the demo", () => {
  const folder = createFolder();
  const report = ["--report", join(folder.path, "report.html")];
  afterAll(folder.remove);

  it("shows how far a download is, and what became of it", () => {
    const progress = { bytes: 2 ** 19, totalBytes: 2 ** 20, elapsedMs: 1000, state: "stopped" as const };
    expect(formatBar({ label: "direct", progress })).toMatch(
      /^ {2}direct +█{15}░{15} +50 % +4\.19 Mbit\/s +1\.0 s stopped$/,
    );
    expect(formatTable([{ label: "direct", progress }])).toContain("0.5 of 1.0 MiB");
  });

  it("fits the lines that it draws over into a narrow terminal", () => {
    const written: string[] = [];
    const out = { isTTY: true, columns: 60, write: (text: string) => written.push(text) };
    const progress = { bytes: 2 ** 19, totalBytes: 2 ** 20, elapsedMs: 1000, state: "running" as const };
    new Screen(out as unknown as NodeJS.WriteStream).draw([{ label: "direct, simulated TCP (cubic)", progress }]);
    const [line] = stripVTControlCharacters(written.join("")).split("\n");
    expect(line.length).toBeLessThan(60);
    expect(line).toMatch(/█{4}░{4} +50 %/);
  });

  it("runs without namespaces, says which side is simulated, and leaves a page", async () => {
    const { stdout } = await run(process.execPath, [...DEMO, "--simulate", ...SHORT, ...report], { cwd: ROOT });
    expect(stdout).toContain("the direct download is simulated");
    expect(stdout).toMatch(/through bats-proxy +0\.5 of 0\.5 MiB.*whole, as sent/);
    expect(stdout).toContain(`as a web page: ${report[1]}`);
    const page = readFileSync(report[1], "utf8");
    expect(page).toMatch(/<td>through bats-proxy<\/td><td>0\.5 of 0\.5 MiB<\/td>/);
    for (const title of ["Received", "Goodput"]) expect(page).toContain(`aria-label="${title} over time"`);
    expect(page).toMatch(/class="line series-1" d="M[\d. ]+L/);
    expect(page).not.toMatch(/<script|https?:|src=/);
  });

  it.skipIf(whyNoNamespaces() !== null)("runs in namespaces of its own, over a path of packets", async () => {
    const { stdout } = await run(process.execPath, [...DEMO, ...SHORT, ...report], { cwd: ROOT });
    expect(stdout).toMatch(/direct, TCP \(\w+\) +\d\.\d of 0\.5 MiB/);
    expect(stdout).toMatch(/through bats-proxy +0\.5 of 0\.5 MiB.*whole, as sent/);
  });

  it.each(["--simulate", "--seconds=20"])("leaves nothing behind when it is stopped (%s)", async (argument) => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("bats-demo-"));
    const before = folders();
    const child = spawn(process.execPath, [...DEMO, argument, "--size", "50"], { cwd: ROOT });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    while (!/through bats-proxy/.test(output)) await once(child.stdout, "data");
    // The dashboard of the server, wherever that is.
    const url = /http:\S+/.exec(output)![0];
    expect(await (await fetch(url)).text()).toContain("<title>bats-proxy</title>");
    expect(await (await fetch(`${url}status`)).json()).toMatchObject({
      role: "server",
      sessions: [{ peer: "edge.demo" }],
    });
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([130, null]);
    expect(folders().filter((name) => !before.includes(name))).toEqual([]);
  });

  it("says what an option should be", async () => {
    const failure = await run(process.execPath, [...DEMO, "--loss", "200"], { cwd: ROOT }).catch((error) => error);
    expect(failure.code).toBe(2);
    expect(failure.stderr).toContain('--loss is "200", wanted a number from 0 to 90');
  });
});
