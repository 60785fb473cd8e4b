// Builds the package: compiles the SIMD kernels to WebAssembly and the dashboard to one page, embeds them as modules, and compiles
// TypeScript to dist/.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";
import { buildSync, transformSync } from "esbuild";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const pageFolder = "src/operate/dashboard";

function writeGenerated(name, from, lines) {
  const text = [`// Made by scripts/build.mjs from ${from}; not edited, not committed.`, ...lines, ""].join("\n");
  const path = join(root, name);
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

/** Embeds what `source` compiles to as the module `name`. */
async function compileKernel(source, name, constant) {
  const { error, stderr, binary } = await compileAssembly(source);
  if (error) {
    process.stderr.write(stderr.toString());
    throw error;
  }
  writeGenerated(name, source, [
    `export const ${constant}: string =`,
    `  ${JSON.stringify(Buffer.from(binary).toString("base64"))};`,
  ]);
}

async function compileAssembly(source) {
  let binary;
  const arguments_ = [source, "--outFile", "kernel.wasm", "--runtime", "stub", "--noAssert", "-O3", "--importMemory"];
  const result = await asc.main([...arguments_, "--enable", "simd", "--memoryBase", "1024"], {
    readFile: (name, base) => {
      const path = join(root, base, name);
      return existsSync(path) ? readFileSync(path, "utf8") : null;
    },
    writeFile: (_name, contents) => {
      binary = contents;
    },
    listFiles: () => [],
  });
  return { ...result, binary };
}

/** One page without outside resources, and the hashes by which its policy knows its script and style. */
function compilePage() {
  const entry = join(root, pageFolder, "main.ts");
  const options = { bundle: true, minify: true, write: false, format: "iife", target: "es2023", logLevel: "error" };
  const script = buildSync({ ...options, entryPoints: [entry] }).outputFiles[0].text.trim();
  const css = readFileSync(join(root, pageFolder, "style.css"), "utf8");
  const style = transformSync(css, { loader: "css", minify: true, logLevel: "error" }).code.trim();
  const page = readFileSync(join(root, pageFolder, "page.html"), "utf8")
    .replace("/* style */", () => style)
    .replace("/* script */", () => script);
  const sha256 = (text) => createHash("sha256").update(text).digest("base64");
  writeGenerated("src/operate/dashboard-page.generated.ts", `${pageFolder}/`, [
    `export const DASHBOARD_PAGE: string = ${JSON.stringify(page)};`,
    `export const SCRIPT_SHA256 = ${JSON.stringify(sha256(script))};`,
    `export const STYLE_SHA256 = ${JSON.stringify(sha256(style))};`,
  ]);
}

await compileKernel("src/gf/assembly/kernel.ts", "src/gf/kernel-wasm.generated.ts", "KERNEL_WASM_BASE64");
await compileKernel("src/tun/assembly/checksum.ts", "src/tun/checksum-wasm.generated.ts", "CHECKSUM_WASM_BASE64");
compilePage();
rmSync(join(root, "dist"), { recursive: true, force: true });
mkdirSync(join(root, "dist"));
const tsc = join(root, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
