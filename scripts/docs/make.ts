/** `npm run docs`: writes the pages that are made from the code. The tests say when they are out of date. */
import { mkdirSync, writeFileSync } from "node:fs";
import { generatedPages } from "./pages.ts";

for (const [path, text] of generatedPages()) {
  mkdirSync(new URL(".", path), { recursive: true });
  writeFileSync(path, text);
}
