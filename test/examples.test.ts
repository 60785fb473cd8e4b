import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";

// The examples import the package by its name, so they run against dist/, as a user's program would.
const examples = readdirSync(new URL("../examples", import.meta.url)).filter((name) => name.endsWith(".mjs"));

describe("examples", () => {
  test("the package is built", () => {
    expect(existsSync(new URL("../dist/index.js", import.meta.url)), "run npm run build first").toBe(true);
  });

  test.each(examples)("%s runs to its end", (name) => {
    const output = execFileSync(process.execPath, [`examples/${name}`], {
      cwd: new URL("..", import.meta.url),
      encoding: "utf8",
    });
    expect(output).toMatch(/as sent/);
  });
});
