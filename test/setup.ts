// What holds for every test: a property that fails says so in time, and a test that spins is ended and named. Vitest itself can
// stop neither: its time limits need the thread that such a test keeps.
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { beforeEach, expect } from "vitest";

/** Below the time that a test has in all: a counterexample that is not the smallest is worth more than none. */
const PROPERTY_MS = 50_000;

fc.configureGlobal({ interruptAfterTimeLimit: PROPERTY_MS, markInterruptAsFailure: true });

const watchdog = new Worker(new URL("./watchdog.mjs", import.meta.url));
watchdog.unref();
const { setInterval: every } = globalThis;
every(() => watchdog.postMessage({}), 1000).unref();
beforeEach(() => {
  const { testPath, currentTestName } = expect.getState();
  watchdog.postMessage({ test: `${testPath}: ${currentTestName}` });
});
