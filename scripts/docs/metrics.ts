/** docs/metrics.md: what a running proxy tells of itself at /metrics and /status. Reads the interfaces of the latter as text. */
import { readFileSync } from "node:fs";
import { METRICS, PREFIX } from "../../src/operate/metrics.ts";

export function metricsPage(): string {
  const metrics = METRICS.map(({ name, kind, help, labels = {} }) => {
    const values = Object.entries(labels).map(([label, text]) => `\`${label}\`: ${text}`);
    return `| \`${PREFIX}${name}\` | ${kind} | ${values.join("; ")} | ${help} |`;
  });
  const tables = STATUS.map(({ heading, file, name }) => {
    const rows = fieldsOf(file, name).map(({ field, type, text }) => `| \`${field}\` | ${wordsOf(type)} | ${text} |`);
    return `${heading}\n\n${["| field | | |", "|---|---|---|", ...rows].join("\n")}`;
  });
  return `# bats-proxy: metrics and status

Made by \`npm run docs\` from what answers; not edited. How to have them served: the [user's guide](bats-proxy.md#watch-it).

## /metrics

A name ends with its unit: \`_seconds\`, \`_bytes\`, \`_bits_per_second\`; a \`_ratio\` of 1 is all of it; the others are numbers. Counters begin at
0 with the process. Where a peer has two sessions for a while, loss, redundancy, round trip and pacing are those of the newer one. Beside these there
are those of the process, \`process_…\` and \`nodejs_…\`, of [prom-client](https://github.com/siimon/prom-client#default-metrics).

${["| metric | | labels | |", "|---|---|---|---|", ...metrics].join("\n")}

## /status

${tables.join("\n\n")}
`;
}

const STATUS_TYPES = "../../src/operate/status.ts";
const STATUS = [
  { heading: "One object of JSON:", file: STATUS_TYPES, name: "Status" },
  { heading: "Its `totals`:", file: STATUS_TYPES, name: "StatusTotals" },
  { heading: "Its `fallback`, where there is one:", file: "../../src/api/stats.ts", name: "FallbackStats" },
  { heading: "Its `tunnel`, where there is one:", file: "../../src/tunnel/tunnel-counter.ts", name: "TunnelCounts" },
  { heading: "Each of its `sessions`:", file: STATUS_TYPES, name: "SessionStatus" },
];

/** As JSON has it. */
function wordsOf(type: string): string {
  return type
    .replace("Record<string, number>", "object of numbers")
    .replace(/[A-Z]\w+/, "object")
    .replaceAll("|", "\\|");
}

/** Throws for a field without a comment. */
function fieldsOf(file: string, name: string): { field: string; type: string; text: string }[] {
  const source = readFileSync(new URL(file, import.meta.url), "utf8");
  const body = new RegExp(`^export interface ${name} \\{\\n(.*?)^\\}`, "ms").exec(source)?.[1];
  if (body === undefined) throw new Error(`${file} has no interface ${name}`);
  const fields = [...body.matchAll(/(?:^ {2}\/\*\* (.*) \*\/\n)?^ {2}(\w+): (.*);$/gm)];
  return fields.map(([, text, field, type]) => {
    if (text === undefined) throw new Error(`${file}: ${name}.${field} has no comment`);
    return { field, type, text };
  });
}
