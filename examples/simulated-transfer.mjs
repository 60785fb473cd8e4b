// Simulates this transport over a link like yours, before it sees one: in virtual time, and the same again for the same seed.
//
// First a bulk transfer over 100 Mbit/s, 50 ms one way and 10 % loss, whose rate drops for a while and which then fails for a
// second, by two ways to control congestion; an SVG shows it over time. Then what repair ahead of losses gains, and costs, an
// application that sends little: a message every 10 ms.
//
//   node examples/simulated-transfer.mjs [picture.svg]       (npm ci && npm run build first)
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectTransport, createTwoHosts, plotTimeSeries, sample, transportSeries } from "bats-transport/simulator";

const [picture = join(tmpdir(), "simulated-transfer.svg")] = process.argv.slice(2);
const PATH = { rateMbps: 100, delayMs: 50, loss: 0.1 };
const END_MS = 20_000;
const began = performance.now();

/** @param {"bbr" | "cubic"} congestion */
function bulk(congestion) {
  const rateSteps = [
    { atMs: 6000, rateMbps: 40 },
    { atMs: 10_000, rateMbps: 100 },
  ];
  const outages = [{ fromMs: 14_000, toMs: 15_000 }];
  const { network, a, b } = createTwoHosts({ seed: 1, forward: { ...PATH, rateSteps, outages } });
  const { client } = connectTransport(network, { from: a, to: b, congestion });
  client.sendBulk();
  const { series } = sample(network, 250, transportSeries(client));
  network.run(END_MS);
  return { series, stats: client.stats() };
}

/** @param {"throughput" | "balanced" | "latency"} redundancy */
function messages(redundancy) {
  const { network, a, b } = createTwoHosts({ seed: 1, forward: PATH });
  const { client, server } = connectTransport(network, { from: a, to: b, redundancy });
  /** @type {number[]} */
  const sentMs = [];
  /** @type {number[]} */
  const delaysMs = [];
  network.every(10, (nowMs) => {
    const message = new Uint8Array(1000);
    new DataView(message.buffer).setUint32(0, sentMs.length);
    if (client.sendMessage(message, { ordered: false })) sentMs.push(nowMs);
  });
  server.onMessage = (message, nowMs) => {
    delaysMs.push(nowMs - sentMs[new DataView(message.buffer, message.byteOffset).getUint32(0)]);
  };
  network.run(END_MS);
  delaysMs.sort((x, y) => x - y);
  return { delaysMs, stats: client.stats() };
}

console.log("bulk      goodput, Mbit/s   loss estimate, %   repair to data");
for (const congestion of /** @type {const} */ (["bbr", "cubic"])) {
  const { series, stats } = bulk(congestion);
  const { goodputMbps, lossEstimate, redundancy } = stats;
  const columns = [goodputMbps.toFixed(1).padStart(18), (100 * lossEstimate).toFixed(1).padStart(19)];
  console.log(`${congestion.padEnd(7)}${columns.join("")}${redundancy.toFixed(2).padStart(17)}`);
  if (congestion !== "bbr") continue;
  const marks = [
    { atMs: 6000, label: "40 Mbit/s" },
    { atMs: 10_000, label: "100 Mbit/s" },
    { atMs: 14_000, label: "outage of 1 s" },
  ];
  const title = "One stream by BBR, 100 Mbit/s, 50 ms one way, 10 % loss";
  writeFileSync(picture, plotTimeSeries(series, { title, marks, panelHeight: 120 }));
}

console.log("\nmessages       median, ms     99 %, ms   repair to data");
for (const redundancy of /** @type {const} */ (["throughput", "balanced", "latency"])) {
  const { delaysMs, stats } = messages(redundancy);
  const columns = [0.5, 0.99].map((share) => delaysMs[Math.floor(share * delaysMs.length)].toFixed(1).padStart(13));
  console.log(`${redundancy.padEnd(12)}${columns.join("")}${stats.redundancy.toFixed(2).padStart(17)}`);
}

const seconds = (performance.now() - began) / 1000;
console.log(
  `\n${(5 * END_MS) / 1000} s of network took ${seconds.toFixed(1)} s; the first transfer over time is in ${picture}`,
);
