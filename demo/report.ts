/** The words of the demo, the same for real and simulated paths. */
import type { DemoOptions } from "./options.ts";
import { type Report, writeReport } from "./report-page.ts";
import { formatTable, goodputMbps, type Screen } from "./screen.ts";

export const PROXIED_LABEL = "through bats-proxy";

/** What is downloaded over which path. */
export function subjectOf({ path, totalBytes }: DemoOptions): string {
  const { rateMbps, delayMs, loss } = path;
  const megabytes = (totalBytes / 2 ** 20).toFixed(1).replace(/\.0$/, "");
  return (
    `The edge downloads ${megabytes} MiB from a web server in the cloud, over ${rateMbps} Mbit/s, ` +
    `${delayMs} ms one way, ${(loss * 100).toFixed(1).replace(/\.0$/, "")} % lost each way`
  );
}

/** Prints the table, of which bats-proxy is the last line, and writes the page; the exit code: 0 when what came through bats-proxy is whole. */
export function conclude(screen: Screen, file: string, report: Report): number {
  const { ways } = report;
  const proxied = ways[ways.length - 1];
  screen.say(`
${formatTable(ways)}
`);
  for (const { label, progress } of ways.slice(0, -1)) {
    const ratio = goodputMbps(proxied.progress) / goodputMbps(progress);
    if (Number.isFinite(ratio))
      screen.say(`  ${PROXIED_LABEL}: ${ratio.toFixed(ratio < 10 ? 1 : 0)} times as fast as ${label}`);
  }
  writeReport(file, report);
  screen.say(`\nHow it went over time, as a web page: ${file}\n`);
  return proxied.progress.state === "done" ? 0 : 1;
}
