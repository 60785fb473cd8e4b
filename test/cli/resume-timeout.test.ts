/** What `--resume-timeout` is when nobody says, and what becomes of it. How it works is tested with short ones. */
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { configureClient, resumeTimeoutMs } from "../../src/cli/client-command.ts";
import { configureServer, patience } from "../../src/cli/server-command.ts";

const credentials = ["--ca", "ca.crt", "--cert", "node.crt", "--key", "node.key"];

function parsed<T>(configure: (command: Command) => Command, ...args: string[]): T {
  const command = configure(new Command()).action(() => {});
  return command.parse([...args, ...credentials], { from: "user" }).opts() as T;
}

type ClientOptions = Parameters<typeof resumeTimeoutMs>[0];
type ServerOptions = Parameters<typeof patience>[0];

describe("--resume-timeout", () => {
  const one = ["--connect", "a:1"];
  const two = [...one, "--connect", "b:1"];

  it.each([
    [one, 300_000],
    [two, 75_000],
    [[...one, "--resume-timeout", "7"], 7000],
    [[...two, "--resume-timeout", "7"], 7000],
    [[...one, "--resume-timeout", "0"], 0],
  ])("of a client with %j is %i ms", (args, ms) => {
    expect(resumeTimeoutMs(parsed<ClientOptions>(configureClient, "--tun", "bats0=10.0.0.1/24", ...args))).toBe(ms);
  });

  it.each([
    [[], 120_000, 180_000],
    [["--resume-timeout", "3600"], 120_000, 3_480_000],
    [["--resume-timeout", "20"], 8000, 12_000],
    [["--resume-timeout", "10"], 5000, 5000],
  ])("of a server with %j is %i ms with a link and %i ms without", (args, idleTimeoutMs, keepSessionMs) => {
    const options = parsed<ServerOptions>(configureServer, "--listen", "1", ...args);
    expect(patience(options)).toEqual({ idleTimeoutMs, keepSessionMs });
  });

  it("of a server is long enough for pauses", () => {
    const command = configureServer(new Command())
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    const args = ["--listen", "1", "--resume-timeout", "9", ...credentials];
    expect(() => command.parse(args, { from: "user" })).toThrow(/from 10 to 86400/);
  });
});
