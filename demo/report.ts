/** The words of the demo, the same for real and simulated paths. */
import type { DemoOptions } from "./options.ts";
import { formatTable, goodputMbps, type Screen, type Way } from "./screen.ts";

export const PROXIED_LABEL = "through bats-proxy";

export function introduce(screen: Screen, { path, totalBytes }: DemoOptions): void {
  const { rateMbps, delayMs, loss } = path;
  const megabytes = (totalBytes / 2 ** 20).toFixed(1).replace(/\.0$/, "");
  screen.say(
    `\nThe edge downloads ${megabytes} MiB from a web server in the cloud, over ${rateMbps} Mbit/s, ` +
      `${delayMs} ms one way, ${(loss * 100).toFixed(1).replace(/\.0$/, "")} % lost each way:\n`,
  );
}

/** Prints the table, of which bats-proxy is the last line; the exit code: 0 when what came through bats-proxy is whole. */
export function conclude(screen: Screen, ways: readonly Way[]): number {
  const proxied = ways[ways.length - 1];
  screen.say(`
${formatTable(ways)}
`);
  for (const { label, progress } of ways.slice(0, -1)) {
    const ratio = goodputMbps(proxied.progress) / goodputMbps(progress);
    if (Number.isFinite(ratio))
      screen.say(`  ${PROXIED_LABEL}: ${ratio.toFixed(ratio < 10 ? 1 : 0)} times as fast as ${label}`);
  }
  screen.say("");
  return proxied.progress.state === "done" ? 0 : 1;
}
