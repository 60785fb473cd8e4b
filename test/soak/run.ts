/**
 * `npm run test:soak`: random lives of sessions over bad networks, one a seed, without end or as long as told. Prints what became of
 * the seeds; a seed that fails is printed with its error, and replays exactly.
 *
 *     --seed N       only this seed, with its topology
 *     --from N       the first seed; default 1
 *     --count N      so many seeds; default 3000
 *     --seconds S    stops after this time, whatever the count
 */
import { parseArgs } from "node:util";
import { runScenario } from "./scenario.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    count: { type: "string", default: "3000" },
    seconds: { type: "string", default: "Infinity" },
  },
});

for (const [option, text] of Object.entries(values)) {
  if (!(Number(text) >= 0)) {
    console.error(`--${option} is "${text}", wanted a number from 0`);
    process.exit(2);
  }
}

if (values.seed !== undefined) {
  const { how, atMs, bytes, described } = runScenario(Number(values.seed));
  console.log(described);
  console.log(`seed ${values.seed}: ${how} at ${atMs} ms, ${bytes} bytes`);
} else {
  const first = Number(values.from);
  const deadline = Date.now() + 1000 * Number(values.seconds);
  const endings = new Map<string, number>();
  const failed: number[] = [];
  let seed = first;
  for (; seed < first + Number(values.count) && Date.now() < deadline; seed++) {
    try {
      const { how } = runScenario(seed);
      endings.set(how, (endings.get(how) ?? 0) + 1);
    } catch (error) {
      failed.push(seed);
      console.error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
    }
    if ((seed - first + 1) % 100 === 0) console.log(`seeds ${first} to ${seed}, ${failed.length} failed`);
  }
  const told = [...endings].map(([how, count]) => `${how} ${count}`).join(", ");
  console.log(`seeds ${first} to ${seed - 1}: ${told}; failed: ${failed.length === 0 ? "none" : failed.join(", ")}`);
  if (failed.length > 0) process.exitCode = 1;
}
