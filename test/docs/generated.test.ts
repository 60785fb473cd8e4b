/** Pages that are made from the code: that they are current, whole, and of the right form. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { describedCommands } from "../../scripts/docs/definitions.ts";
import { rootExports } from "../../scripts/docs/exports.ts";
import { generatedPages } from "../../scripts/docs/pages.ts";
import * as root from "../../src/index.ts";

const MANUAL = fileURLToPath(new URL("../../docs/man/bats-proxy.1", import.meta.url));
const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;

describe("pages made from the code", () => {
  it.each(generatedPages().map(([path, text]) => [path.pathname.split("/").at(-1), path, text] as const))(
    "%s is what `npm run docs` writes",
    (_name, path, text) => {
      expect(readFileSync(path, "utf8")).toBe(text);
    },
  );

  it("say of each command what it does, with an example", () => {
    for (const { name, description, help } of describedCommands()) {
      expect(description, name).toMatch(/^[A-Z].+\.$/);
      expect(help.examples.length, name).toBeGreaterThan(0);
      for (const { shell } of help.examples) expect(shell, name).toContain("bats-proxy ");
    }
  });

  it("name every export of the package's root, with a word about it", () => {
    const exported = rootExports();
    const values = exported.filter(({ kind }) => !["interface", "type"].includes(kind)).map(({ name }) => name);
    expect(values.toSorted()).toEqual(Object.keys(root).toSorted());
    const index = readFileSync(new URL("../../src/index.ts", import.meta.url), "utf8");
    const types = [...index.matchAll(/\btype (\w+)/g), ...index.matchAll(/^export type \{ ([\w, ]+) \}/gm)];
    const names = types.flatMap(([, words]) => words.split(", "));
    expect(exported.map(({ name }) => name)).toEqual(expect.arrayContaining(names));
    for (const { name, text } of exported) expect(text, name).not.toBe("");
  });
});

describe("the manual page", () => {
  it("is roff: known requests, nothing that begins a line by accident", () => {
    for (const line of readFileSync(MANUAL, "utf8").split("\n")) {
      expect(line).toMatch(/^$|^[^.'\\]|^\\[&-]|^\.(?:\\"|TH|SH|SS|PP|TP|B|in|nf|fi)(?: |$)/);
      // Each backslash begins an escape that is meant.
      expect(line.replaceAll(/\\(?:[-e&"]|\((?:aq|ga))/g, "")).not.toContain("\\");
    }
  });

  it.skipIf(!has("groff"))("is formatted without a warning (groff)", () => {
    const { stdout, stderr } = spawnSync("groff", ["-man", "-ww", "-Tascii", "-P-cbou", MANUAL], { encoding: "utf8" });
    expect(stderr).toBe("");
    expect(stdout).toContain("--max-sessions-per-identity");
  });
});
