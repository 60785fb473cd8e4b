/** `bats-proxy perf` with the built command at both ends. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { parsePlan, parseTally } from "../../src/perf/plan.ts";
import { type Certificates, Command, createCertificates, killCommands, startCommand } from "../cli/command.ts";

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

  it("shows its progress, and a line at the end", async () => {
    const command = measure("--seconds", "1.5", "--mode", "datagram", "--rate", "1");
    expect(await command.exit).toBe(0);
    expect(command.output).toMatch(/^sent +\d+\.\d Mbit\/s, RTT [\d.]+ ms, loss [\d.]+ %, redundancy/);
    expect(command.output).toMatch(/to the server, datagram: [\d.]+ Mbit\/s, .*missing/);
  });

  it("takes no plan or tally that makes no sense", () => {
    const plan = { mode: "stream", reverse: false, seconds: 1, parallel: 1, sizeBytes: 1, rateMbps: 1 };
    expect(parsePlan(plan)).toEqual(plan);
    for (const bad of [null, 1, {}, { ...plan, mode: "x" }, { ...plan, seconds: 1e9 }, { ...plan, parallel: "1" }]) {
      expect(parsePlan(bad)).toBeNull();
    }
    expect(parseTally({ bytes: -1, count: 0, elapsedMs: 0 })).toBeNull();
  });
});
