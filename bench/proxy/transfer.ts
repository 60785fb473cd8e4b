/**
 * `bats-proxy send` and `receive`, default settings, over an emulated link (lab.ts) of 100 Mbit/s, 50 ms one way, 10 % lost: one large file,
 * then many small ones. Beside them the kernel's TCP with the large file's bytes, no encryption, cut off after a time.
 *
 *     npm run bench:transfer -- [--megabytes 100] [--files 2000] [--tcp-seconds 60] [--realtime] [--json FILE]
 *
 * Seconds are the command's own, from before it connects to after the last file's confirmation. realtime: ends and link get the processor
 * first, where others use the machine. Needs root and a C compiler.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { issueCertificates, MAIN, said } from "./commands.ts";
import { CLOUD_IP, Lab } from "./lab.ts";

const RATE_MBPS = 100;
const DELAY_MS = 50;
const LOSS_PERCENT = 10;
const SMALL_BYTES = 5000;
const LIMIT_MS = 300_000;

const { values } = parseArgs({
  options: {
    megabytes: { type: "string", default: "100" },
    files: { type: "string", default: "2000" },
    "tcp-seconds": { type: "string", default: "60" },
    realtime: { type: "boolean", default: false },
    json: { type: "string" },
  },
});
const largeBytes = Number(values.megabytes) * 1e6;

/** Counts what comes, and says every second how much. */
const SINK = `require("node:net").createServer((socket) => {
  let bytes = 0;
  const startMs = performance.now();
  const say = () => console.log(JSON.stringify({ bytes, seconds: (performance.now() - startMs) / 1000 }));
  setInterval(say, 1000);
  socket.on("data", (data) => { bytes += data.length; });
  socket.on("end", () => { say(); process.exit(); });
}).listen(7200, () => console.error("listening"));`;

const SOURCE = `require("node:fs").createReadStream(process.argv[1], { highWaterMark: 1 << 18 })
  .pipe(require("node:net").connect(7200, "${CLOUD_IP}"));`;

interface Result {
  what: string;
  bytes: number;
  seconds: number;
  whole: boolean;
  redundancy?: number;
}

const lab = new Lab({ realtime: values.realtime });

async function send(what: string, path: string): Promise<Result> {
  const certificates = issueCertificates(join(lab.folder, what.replaceAll(/\W/g, "")));
  const to = join(lab.folder, "received");
  const listen = ["receive", "--listen", "4434", "--allow", "edge", ...certificates("cloud"), to];
  const receiver = lab.start("cloud", process.execPath, [MAIN, ...listen]);
  await said(receiver, /receiving/);
  const connect = ["send", "--json", "--connect", `${CLOUD_IP}:4434`, "--server-name", "cloud"];
  const output = await lab.run("edge", process.execPath, [MAIN, ...connect, ...certificates("edge"), path], LIMIT_MS);
  const { bytes, seconds, complete, path: link } = JSON.parse(output);
  receiver.kill("SIGKILL");
  await once(receiver, "exit");
  return { what, bytes: bytes.moved, seconds, whole: complete, redundancy: link.redundancy };
}

async function tcp(congestion: string, path: string): Promise<Result> {
  const choose = `echo ${congestion} > /proc/sys/net/ipv4/tcp_congestion_control`;
  await lab.run("edge", "sh", ["-c", choose], LIMIT_MS);
  const sink = lab.start("cloud", process.execPath, ["-e", SINK]);
  let output = "";
  sink.stdout!.on("data", (text) => {
    output += text;
  });
  await said(sink, /listening/);
  const source = lab.start("edge", process.execPath, ["-e", SOURCE, path]);
  const timer = setTimeout(() => sink.kill("SIGKILL"), Number(values["tcp-seconds"]) * 1000);
  await once(sink, "close");
  clearTimeout(timer);
  if (source.exitCode === null && source.signalCode === null) {
    source.kill("SIGKILL");
    await once(source, "exit");
  }
  const last = output.trim().split("\n").at(-1) || '{"bytes":0,"seconds":0}';
  const { bytes, seconds } = JSON.parse(last);
  return { what: `TCP, ${congestion}`, bytes, seconds, whole: bytes === largeBytes };
}

const results: Result[] = [];
try {
  await lab.up({ rateMbps: RATE_MBPS, delayMs: DELAY_MS, lossPercent: LOSS_PERCENT });
  const large = join(lab.folder, "large");
  writeFileSync(large, randomBytes(largeBytes));
  const small = join(lab.folder, "small");
  mkdirSync(small);
  for (let i = 0; i < Number(values.files); i++) writeFileSync(join(small, String(i)), randomBytes(SMALL_BYTES));
  for (const measure of [
    () => send("one file", large),
    () => send(`${values.files} files of ${SMALL_BYTES} bytes`, small),
    () => tcp("cubic", large),
    () => tcp("bbr", large),
  ]) {
    const result = await measure();
    results.push(result);
    const { what, bytes, seconds, whole, redundancy } = result;
    const rate = seconds > 0 ? (bytes * 8) / 1e6 / seconds : 0;
    console.log(
      `${what.padEnd(26)} ${(bytes / 1e6).toFixed(1).padStart(6)} MB in ${seconds.toFixed(1).padStart(5)} s, ` +
        `${rate.toFixed(1).padStart(5)} Mbit/s${redundancy === undefined ? "" : `, redundancy ${(redundancy * 100).toFixed(1)} %`}` +
        `${whole ? "" : ", not whole"}`,
    );
  }
} finally {
  await lab.down();
}
if (values.json !== undefined) writeFileSync(values.json, JSON.stringify({ node: process.version, results }));
