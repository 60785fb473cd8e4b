import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

// The examples import the package by its name, so they run against dist/, as a user's program would.
const examples = readdirSync(new URL("../examples", import.meta.url)).filter((name) => name.endsWith(".mjs"));
const root = new URL("..", import.meta.url);
const SIMULATED = "simulated-transfer.mjs";

function run(name: string, ...more: string[]): string {
  return execFileSync(process.execPath, [`examples/${name}`, ...more], { cwd: root, encoding: "utf8" });
}

describe("examples", () => {
  test("the package is built", () => {
    expect(existsSync(new URL("../dist/index.js", import.meta.url)), "run npm run build first").toBe(true);
  });

  test("programs that simulate need neither Node's types nor those of certificates", () => {
    const flags = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "false", "--types", ""];
    const target = ["--target", "ES2023", "--module", "NodeNext", "dist/simulator/index.d.ts"];
    const command = ["node_modules/typescript/bin/tsc", ...flags, ...target];
    const { stdout, status } = spawnSync(process.execPath, command, { cwd: root, encoding: "utf8" });
    expect(stdout).toBe("");
    expect(status).toBe(0);
  });

  test.each(examples.filter((name) => name !== SIMULATED))("%s runs to its end", (name) => {
    expect(run(name)).toMatch(/as sent/);
  });

  test(`${SIMULATED} compares, and draws what it simulated`, () => {
    const folder = mkdtempSync(join(tmpdir(), "bats-example-"));
    try {
      const picture = join(folder, "run.svg");
      const output = run(SIMULATED, picture);
      for (const row of ["bbr", "cubic", "throughput", "balanced", "latency"]) {
        expect(output).toMatch(new RegExp(`^${row}( +[\\d.]+){3}$`, "m"));
      }
      const svg = readFileSync(picture, "utf8");
      for (const curve of ["goodput", "RTT", "in flight", "loss estimate", "repair share"]) {
        // Its name in the legend, then its paths: one for each stretch without a gap.
        const drawn = svg.match(new RegExp(`>${curve}</text>\n((?:<path d="M[^"]*" fill="none"[^>]*>\n)+)`))?.[1] ?? "";
        expect(drawn.match(/[ML][\d.]+ [\d.]+/g)?.length ?? 0, curve).toBeGreaterThan(70);
      }
      expect(svg).not.toContain("NaN");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
