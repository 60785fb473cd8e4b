/** Links between the pages that npm installs: that each leads to a file of the package, and to a heading that is there. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const { files } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { files: string[] };
const PAGES = ["docs", "deploy", "examples"].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name)),
);

function read(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** As GitHub names them. */
function anchorsOf(page: string): string[] {
  const headings = read(page).matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, text]) =>
    text
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

function isInPackage(path: string): boolean {
  return files.some((entry) => path === entry || path.startsWith(`${entry}/`));
}

describe("links of pages in the package", () => {
  it.each(PAGES)("%s", (page) => {
    expect(isInPackage(page)).toBe(true);
    for (const [, link] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^\w+:/.test(link)) continue;
      const [file, anchor] = link.split("#");
      const path = file === "" ? page : join(dirname(page), file);
      expect(statSync(join(ROOT, path), { throwIfNoEntry: false }), link).toBeDefined();
      expect(isInPackage(path), `${link} is not in the package`).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(path), link).toContain(anchor);
    }
  });

  it("lead from the guide to what a deployment needs", () => {
    const guide = read("docs/bats-proxy.md");
    for (const link of ["../examples/kubeedge/README.md", "../deploy/README.md", "troubleshooting.md"]) {
      expect(guide).toContain(`](${link}`);
    }
  });
});
