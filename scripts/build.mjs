// Builds the package: compiles the SIMD kernel to WebAssembly, embeds it as a module, and compiles TypeScript to dist/.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const source = "src/gf/assembly/kernel.ts";
const generated = "src/gf/kernel-wasm.generated.ts";

async function compileKernel() {
  const { error, stderr, binary } = await compileAssembly();
  if (error) {
    process.stderr.write(stderr.toString());
    throw error;
  }
  const text = [
    `// Made by scripts/build.mjs from ${source}; not edited, not committed.`,
    `export const KERNEL_WASM_BASE64 =`,
    `  ${JSON.stringify(Buffer.from(binary).toString("base64"))};`,
    "",
  ].join("\n");
  const path = join(root, generated);
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

async function compileAssembly() {
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

await compileKernel();
rmSync(join(root, "dist"), { recursive: true, force: true });
mkdirSync(join(root, "dist"));
const tsc = join(root, "node_modules/typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
