/** `bats-proxy perf` with the built command at both ends. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parsePlan, parseTally } from "../../src/perf/plan.ts";
import { type Certificates, Command, createCertificates, killCommands, startCommand } from "../cli/command.ts";
import { until } from "../proxy/local.ts";

let certificates: Certificates;
let server: Command;
let port: string;

beforeAll(async () => {
  certificates = await createCertificates();
  server = new Command(["perf", "server", "--listen", "127.0.0.1:0", ...certificates.of("localhost")]);
  port = /:(\d+)$/.exec(await server.line(/measuring on UDP/))![1];
});
afterAll(async () => {
  await server.kill();
  certificates.remove();
});
afterEach(killCommands);

function measure(...args: string[]): Command {
  return startCommand(["perf", "client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...args]);
}

/** Resolves when it has shown its first second. */
function shown(command: Command): Promise<void> {
  return until(() => command.output.includes("Mbit/s"));
}

describe("bats-proxy perf", () => {
  it.each([
    ["stream"],
    ["stream", "--reverse", "--parallel", "3"],
    ["message"],
    ["message", "--reverse"],
    ["datagram", "--rate", "2"],
    ["datagram", "--rate", "2", "--reverse"],
  ])("measures %s %s", async (...args) => {
    const command = measure("--json", "--seconds", "0.5", "--mode", ...args);
    expect(await command.exit, command.lines.join("\n")).toBe(0);
    const { plan, sent, received, goodputMbps, path } = JSON.parse(command.output);
    expect(plan).toMatchObject({ mode: args[0], reverse: args.includes("--reverse") });
    expect(received.bytes).toBeGreaterThan(0);
    if (args[0] === "datagram") expect(received.bytes).toBeLessThanOrEqual(sent.bytes);
    else expect(received.bytes).toBe(sent.bytes);
    expect(goodputMbps).toBeGreaterThan(0);
    expect(path.aead).not.toBe("");
  });

  it.each([[], ["--reverse"]])("has intervals in its JSON, which are all of it: %s", async (...args) => {
    const command = measure("--json", "--seconds", "2.2", "--mode", "message", ...args);
    expect(await command.exit, command.lines.join("\n")).toBe(0);
    const { intervals, interrupted, sent, received } = JSON.parse(command.output);
    expect(interrupted).toBe(false);
    expect(intervals.length).toBeGreaterThan(1);
    const bytes = intervals.reduce((sum: number, interval: { bytes: number }) => sum + interval.bytes, 0);
    expect(bytes).toBe((args.length === 0 ? sent : received).bytes);
    expect(intervals[0]).toMatchObject({
      mbps: expect.any(Number),
      rttMs: expect.any(Number),
      lossRate: expect.any(Number),
    });
    const ends = intervals.map(({ endMs }: { endMs: number }) => endMs);
    expect(ends).toEqual(ends.toSorted((a: number, b: number) => a - b));
  });

  it.each([
    [["--mode", "stream"], "to the server, stream"],
    [["--mode", "message", "--reverse"], "from the server, message"],
    [["--mode", "datagram", "--rate", "1"], "to the server, datagram"],
  ])("prints what there is when it is interrupted: %s", async (args, words) => {
    const command = measure("--seconds", "3000", ...args);
    await shown(command);
    expect(await command.kill("SIGINT")).toBe(0);
    expect(command.output).toMatch(new RegExp(`^${words}, interrupted: [\\d.]+ Mbit/s`, "m"));
  });

  describe("whose server goes away", () => {
    let own: Command;
    let command: Command;

    beforeEach(async () => {
      own = startCommand(["perf", "server", "--listen", "127.0.0.1:0", ...certificates.of("localhost")]);
      const at = `localhost:${/:(\d+)$/.exec(await own.line(/measuring on UDP/))![1]}`;
      const args = ["--connect", at, ...certificates.of("edge-1"), "--seconds", "3000", "--mode", "datagram"];
      command = startCommand(["perf", "client", ...args]);
      await shown(command);
    });

    it("says what it does not know when it is interrupted then", async () => {
      await own.kill();
      expect(await command.kill("SIGINT")).toBe(0);
      expect(command.output).toMatch(
        /^to the server, datagram, interrupted: [\d.]+ MB sent; the server did not say what arrived/m,
      );
    });

    it("ends in a line when the server is stopped", async () => {
      await own.kill("SIGTERM");
      expect(await command.exit).toBe(4);
      expect(command.lines.filter((line) => line !== "")).toHaveLength(1);
    });
  });

  it.each([
    [["--mode", "datagram", "--size", "65508"], "--size: a datagram has at most 65507 bytes"],
    [["--mode", "message", "--rate", "3"], "--rate is for --mode datagram"],
    [["--size", "3"], "--size is for --mode message or datagram"],
    [["--mode", "datagram", "--parallel", "2"], "--parallel is for --mode stream"],
    [["--parallel", "1.7"], "Write a whole number from 1 to 64"],
    [["--mode", "message", "--size", "1.5"], "Write a whole number from 1 to 1000000"],
  ])("refuses %s in a line", async (args, words) => {
    const command = measure("--seconds", "0.2", ...args);
    expect(await command.exit).toBe(2);
    expect(command.lines.filter((line) => line.includes(words))).toHaveLength(1);
    expect(command.lines.join("\n")).not.toMatch(/^ +at /m);
  });

  it("sends the largest datagrams there are", async () => {
    const command = measure("--json", "--seconds", "0.5", "--mode", "datagram", "--size", "65507", "--rate", "20");
    expect(await command.exit, command.lines.join("\n")).toBe(0);
    expect(JSON.parse(command.output).received.bytes).toBeGreaterThan(0);
  });

  it("shows its progress, and a line at the end", async () => {
    const command = measure("--seconds", "1.5", "--mode", "datagram", "--rate", "1");
    expect(await command.exit).toBe(0);
    expect(command.output).toMatch(/^sent +\d+\.\d Mbit\/s, RTT [\d.]+ ms, loss [\d.]+ %, redundancy/);
    expect(command.output).toMatch(/to the server, datagram: [\d.]+ Mbit\/s, .*missing/);
  });

  it("takes no plan or tally that makes no sense", () => {
    const plan = { mode: "stream", reverse: false, seconds: 1, parallel: 1, sizeBytes: 1, rateMbps: 1 };
    expect(parsePlan(plan)).toEqual(plan);
    // More than a session takes.
    const datagram = { ...plan, mode: "datagram", sizeBytes: 100_000 };
    for (const bad of [
      null,
      1,
      {},
      { ...plan, mode: "x" },
      { ...plan, seconds: 1e9 },
      { ...plan, parallel: "1" },
      datagram,
    ]) {
      expect(parsePlan(bad)).toBeNull();
    }
    expect(parseTally({ bytes: -1, count: 0, elapsedMs: 0 })).toBeNull();
  });
});
