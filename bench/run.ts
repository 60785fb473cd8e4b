/**
 * `npm run bench`: every figure that the README states. `--quick` is a smoke test of a few seconds that does not enforce
 * speeds; `--json FILE` also writes the results as JSON; `--chart` draws the charts in docs/ anew; names of benchmarks choose
 * some. Exits with 1 when a goal is missed.
 */
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { benchAead } from "./aead.ts";
import { benchBatch } from "./batch.ts";
import { benchEfficiency } from "./efficiency.ts";
import { benchEndpoint } from "./endpoint.ts";
import { benchGf } from "./gf.ts";
import { type Options, passes, print, type Report } from "./harness.ts";
import { benchLink } from "./link.ts";
import { benchObject } from "./object.ts";
import { benchScaling } from "./scaling.ts";
import { benchTun } from "./tun.ts";
import { benchUdp } from "./udp.ts";

const benchmarks: Record<string, (options: Options) => Report | Promise<Report>> = {
  gf: benchGf,
  batch: benchBatch,
  object: benchObject,
  scaling: benchScaling,
  efficiency: benchEfficiency,
  tun: benchTun,
  udp: benchUdp,
  aead: benchAead,
  link: benchLink,
  endpoint: benchEndpoint,
};

const { values, positionals } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    json: { type: "string" },
    chart: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
const names = positionals.length > 0 ? positionals : Object.keys(benchmarks);
const unknown = names.find((name) => !(name in benchmarks));
if (unknown !== undefined) {
  console.error(`no benchmark is called "${unknown}"; there are: ${Object.keys(benchmarks).join(", ")}`);
  process.exit(2);
}

const machine = `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.version}`;
console.log(`${machine}${values.quick ? ", quick: speeds are not enforced" : ""}`);
const reports: Report[] = [];
for (const name of names) {
  const report = await benchmarks[name]({ quick: values.quick, chart: values.chart });
  print(report);
  reports.push(report);
}
if (values.json !== undefined) {
  writeFileSync(values.json, `${JSON.stringify({ machine, quick: values.quick, reports }, null, 2)}\n`);
}
const missed = reports.flatMap(({ goals }) => goals.filter((goal) => !passes(goal) && !(values.quick && goal.speed)));
if (missed.length > 0) {
  console.error(`\n${missed.length} goal(s) missed`);
  process.exit(1);
}
