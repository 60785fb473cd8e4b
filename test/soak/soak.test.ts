// A bounded share of `npm run test:soak`: the seeds from 1 on that fit the time.
import { expect, test } from "vitest";
import { runScenario } from "./scenario.ts";

const SEEDS = 300;
const MOST_MS = 10_000;

test("whatever path, faults and applications do, all arrives once and as sent, or the error reaches the application", () => {
  const started = Date.now();
  const endings = new Map<string, number>();
  let seed = 1;
  let sent = 0;
  let arrived = 0;
  for (; seed <= SEEDS && Date.now() - started < MOST_MS; seed++) {
    try {
      const { how, datagrams } = runScenario(seed);
      sent += datagrams.sent;
      arrived += datagrams.arrived;
      endings.set(how, (endings.get(how) ?? 0) + 1);
    } catch (error) {
      throw new Error(`seed ${seed} (npm run test:soak -- --seed ${seed})`, { cause: error });
    }
  }
  // Each may be lost, but not most of them.
  expect(arrived).toBeGreaterThan(sent / 2);
  expect(endings.get("done") ?? 0).toBeGreaterThan((seed - 1) / 2);
});
