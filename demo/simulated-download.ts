/**
 * The direct download where there can be no namespaces: TCP of the simulator (CUBIC with SACK and RACK) over the same path, computed
 * ahead in virtual time and shown on the clock.
 */
import { createTwoHosts, startTcpFlow } from "../src/simulator/index.ts";
import type { PathOptions } from "./path-emulator.ts";
import type { Download, Progress } from "./web.ts";

const STEP_MS = 100;

export function simulateDownload(path: PathOptions, totalBytes: number, limitMs: number): Download {
  const { rateMbps, delayMs, loss, queueMs } = path;
  const direction = { rateMbps, delayMs, loss, queueMs };
  const { network, a, b } = createTwoHosts({ seed: 1, forward: direction, backward: direction });
  const flow = startTcpFlow(network, { from: a, to: b, bytes: totalBytes });
  const delivered: number[] = [0];
  while (delivered.length * STEP_MS <= limitMs && flow.deliveredBytes < totalBytes) {
    network.run(delivered.length * STEP_MS);
    delivered.push(flow.deliveredBytes);
  }
  const startMs = performance.now();
  const progress: Progress = { bytes: 0, totalBytes, elapsedMs: 0, state: "running" };
  let finish: () => void;
  const over = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const end = (state: Progress["state"]) => {
    if (progress.state !== "running") return;
    progress.state = state;
    clearInterval(timer);
    finish();
  };
  const timer = setInterval(() => {
    progress.elapsedMs = performance.now() - startMs;
    progress.bytes = delivered[Math.min(delivered.length - 1, Math.floor(progress.elapsedMs / STEP_MS))];
    if (progress.bytes === totalBytes) end("done");
  }, 50);
  return { progress, over, stop: () => end("stopped") };
}
