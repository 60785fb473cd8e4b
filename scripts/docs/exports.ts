/** What the package's root exports, with the first sentence of each comment. Reads the sources as text: they keep to one form. */
import { readFileSync } from "node:fs";

export interface Exported {
  readonly name: string;
  /** "class", "function", "const", "interface", "type", or "module" for a whole one. */
  readonly kind: string;
  readonly text: string;
}

export function rootExports(): Exported[] {
  const exported = exportsOf(new URL("../../src/index.ts", import.meta.url));
  return exported.toSorted((a, b) => a.name.toLowerCase().localeCompare(b.name.toLowerCase()));
}

/** A table between these lines is made by `npm run docs`. */
const BEGIN = "<!-- made by `npm run docs` -->";
const END = "<!-- end -->";

export function withExports(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error(`the page has no "${BEGIN}" with "${END}" after it`);
  const rows = rootExports().map(
    ({ name, kind, text }) => `| \`${name}\` | ${kind} | ${text.replaceAll("|", "\\|")} |`,
  );
  const table = ["| name | | |", "|---|---|---|", ...rows].join("\n");
  return `${page.slice(0, begin)}${BEGIN}\n${table}\n${page.slice(end)}`;
}

function exportsOf(file: URL, wanted?: ReadonlySet<string>): Exported[] {
  const source = readFileSync(file, "utf8");
  const found: Exported[] = [];
  for (const [, names, from] of source.matchAll(/^export (?:type )?\{([^}]*)\} from "([^"]+)";/gm)) {
    const words = names.split(",").map((name) => name.trim().replace(/^type /, ""));
    const passed = new Set(words.filter((name) => name !== "" && (wanted === undefined || wanted.has(name))));
    if (passed.size > 0) found.push(...exportsOf(new URL(from, file), passed));
  }
  for (const [, name, from] of source.matchAll(/^export \* as (\w+) from "([^"]+)";/gm)) {
    const head = /^\/\*\*(.*?)\*\//s.exec(readFileSync(new URL(from, file), "utf8"));
    found.push({ name, kind: "module", text: wordsOf(head?.[1] ?? "") });
  }
  const declared =
    /(?:^\/\*\*((?:(?!\*\/).)*)\*\/\n)?^export (?:async |abstract )?(class|function|const|interface|type) (\w+)/gms;
  for (const [, comment = "", kind, name] of source.matchAll(declared)) {
    if (wanted === undefined || wanted.has(name)) found.push({ name, kind, text: firstSentence(comment) });
  }
  return found;
}

function wordsOf(comment: string): string {
  return comment.replaceAll(/\n \* ?/g, " ").trim();
}

function firstSentence(comment: string): string {
  const words = wordsOf(comment);
  return /^.*?[.:](?= |$)/.exec(words)?.[0].replace(/:$/, ".") ?? words;
}
