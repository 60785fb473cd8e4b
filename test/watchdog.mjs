// A thread beside the tests of one file: when their thread has not been heard of for minutes, it says which test that is, and where it
// spins, and ends the process, so that the run fails instead of standing still. Started by setup.ts.
import { writeSync } from "node:fs";
import { Session } from "node:inspector";
import { parentPort } from "node:worker_threads";

/** Longer than any test may keep the thread. */
const SILENT_MS = 240_000;

let test = "before the first test";
let timer = setTimeout(end, SILENT_MS);

parentPort?.on("message", (message) => {
  if (message.test !== undefined) ({ test } = message);
  clearTimeout(timer);
  timer = setTimeout(end, SILENT_MS);
});

function end() {
  writeSync(2, `\nNothing heard for ${SILENT_MS / 1000} s of ${test}\n`);
  const session = new Session();
  session.connectToMainThread();
  const urls = new Map();
  session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
  session.on("Debugger.paused", ({ params }) => {
    for (const { functionName, location } of params.callFrames) {
      const place = `${urls.get(location.scriptId)}:${location.lineNumber + 1}`;
      writeSync(2, `    at ${functionName} (${place})\n`);
    }
    process.kill(process.pid, "SIGKILL");
  });
  session.post("Debugger.enable");
  session.post("Debugger.pause");
  // When it does not even pause: deep in a call that is not JavaScript.
  setTimeout(() => process.kill(process.pid, "SIGKILL"), 10_000);
}
