// Runs the tests on other versions of Node: `node scripts/test-on-node.mjs 22 24`. Their binaries come from npm, as packages
// named after the platform, into node_modules/.cache; the package must be built.
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const versions = process.argv.slice(2);
if (versions.length === 0 || versions.some((version) => !/^\d+(\.\d+){0,2}$/.test(version))) {
  console.error("wanted: versions of Node, such as 22 24");
  process.exit(2);
}
const binary = `node-${process.platform}-${process.arch}`;
for (const version of versions) {
  const prefix = join(root, "node_modules/.cache/node", version);
  execFileSync("npm", ["install", "--prefix", prefix, "--no-save", "--loglevel=error", `${binary}@${version}`], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const node = join(prefix, "node_modules", binary, "bin/node");
  console.log(execFileSync(node, ["--version"], { encoding: "utf8" }).trim());
  execFileSync(node, [join(root, "node_modules/vitest/vitest.mjs"), "run"], { cwd: root, stdio: "inherit" });
}
