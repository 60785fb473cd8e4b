/** `bats-proxy completion`: that shells take the scripts, and what bash completes with its own. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { completedCommands } from "../../src/cli/completed-commands.ts";
import { bashCompletion } from "../../src/cli/completion-bash.ts";
import { fishCompletion } from "../../src/cli/completion-fish.ts";
import { zshCompletion } from "../../src/cli/completion-zsh.ts";
import { createProgram } from "../../src/cli/create-program.ts";

const commands = completedCommands(createProgram().program);
const has = (shell: string) => spawnSync(shell, ["--version"]).error === undefined;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bats-completion-"));
  writeFileSync(join(folder, "bats.bash"), bashCompletion(commands));
  writeFileSync(join(folder, "_bats-proxy"), zshCompletion(commands));
  writeFileSync(join(folder, "bats.fish"), fishCompletion(commands));
  writeFileSync(join(folder, "edge.yaml"), "");
  mkdirSync(join(folder, "pki"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash offers at the end of `words`, of which the last may be begun. */
function completed(...words: string[]): string[] {
  const script = `source ./bats.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bats_proxy; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", script, "bash", "bats-proxy", ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(stderr).toBe("");
  return stdout.split("\n").filter((word) => word !== "");
}

describe.skipIf(!has("bash"))("completion in bash", () => {
  it("knows commands, and commands of commands", () => {
    expect(completed("s")).toEqual(["server", "status", "send"]);
    expect(completed("pki", "")).toEqual(["init", "issue"]);
    expect(completed("perf", "cl")).toEqual(["client"]);
    expect(completed("completion", "")).toEqual(["bash", "zsh", "fish"]);
  });

  it("knows the options of each command", () => {
    expect(completed("server", "--listen-")).toEqual(["--listen-tls"]);
    expect(completed("client", "--listen")).toEqual([]);
    expect(completed("client", "--connect", "a:1", "--fa")).toEqual(["--fallback", "--fail-fast"]);
    expect(completed("pki", "issue", "--s")).toEqual(["--server", "--san"]);
    for (const { path, options } of commands) {
      const offered = completed(...path, "-");
      for (const { flags } of options) expect(offered, path.join(" ")).toEqual(expect.arrayContaining([...flags]));
    }
  });

  it("knows values: choices, files and folders; as words of their own, and behind an equals sign", () => {
    expect(completed("server", "--log-level", "")).toEqual(["debug", "info", "warn", "error", "silent"]);
    expect(completed("server", "--log-format", "=", "j")).toEqual(["json"]);
    expect(completed("server", "--io", "=")).toEqual(["auto", "native", "dgram"]);
    expect(completed("client", "--config", "e")).toEqual(["edge.yaml"]);
    expect(completed("check", "e")).toEqual(["edge.yaml"]);
    expect(completed("send", "a", "e")).toEqual(["edge.yaml"]);
    expect(completed("receive", "")).toEqual(["pki"]);
    expect(completed("pki", "init", "--dir", "")).toEqual(["pki"]);
    expect(completed("client", "--connect", "")).toEqual([]);
  });
});

it.skipIf(!has("bash"))("bash takes its script without a complaint", () => {
  expect(spawnSync("bash", ["-n", join(folder, "bats.bash")], { encoding: "utf8" }).stderr).toBe("");
});

it.skipIf(!has("zsh"))("zsh takes its script without a complaint", () => {
  expect(spawnSync("zsh", ["-n", join(folder, "_bats-proxy")], { encoding: "utf8" }).stderr).toBe("");
});

it.skipIf(!has("fish"))("fish offers what bash does", () => {
  const offered = (line: string) =>
    spawnSync("fish", ["--no-config", "-c", `source bats.fish; complete -C '${line}'`], {
      cwd: folder,
      encoding: "utf8",
    })
      .stdout.split("\n")
      .map((entry) => entry.split("\t", 1)[0])
      .filter((word) => word !== "");
  expect(offered("bats-proxy s")).toEqual(["send", "server", "status"]);
  expect(offered("bats-proxy pki ")).toEqual(["init", "issue"]);
  expect(offered("bats-proxy client --fa")).toEqual(["--fail-fast", "--fallback"]);
  expect(offered("bats-proxy server --log-format j")).toEqual(["json"]);
});

it.skipIf(!has("fish"))("fish takes its script without a complaint", () => {
  expect(spawnSync("fish", ["--no-execute", join(folder, "bats.fish")], { encoding: "utf8" }).stderr).toBe("");
});
