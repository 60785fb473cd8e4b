/** Decoding time of the outer code against the size of the object: microseconds a source symbol, K = 200 to 16000. */
import { writeFileSync } from "node:fs";
import { ObjectDecoder, ObjectEncoder, TinyMt32 } from "bats-transport/codec";
import { lineChart } from "./chart.ts";
import { median, type Options, type Report } from "./harness.ts";

const SYMBOL_BYTES = 1350;
const BATCH = 32;
const LOSS = 0.1;
const SIZES = [200, 400, 800, 1600, 3200, 6400, 8000, 12000, 16000];

function decodingMilliseconds(symbols: number, systematic: boolean, seed: number): number {
  const generator = new TinyMt32(seed);
  const data = new Uint8Array(symbols * SYMBOL_BYTES);
  for (let i = 0; i < data.length; i++) data[i] = Math.imul(i + seed, 2654435761) >>> 24;
  const encoder = new ObjectEncoder(data, { symbolSize: SYMBOL_BYTES, batchSize: BATCH, systematic, tag: seed });
  const decoder = new ObjectDecoder(encoder.parameterBlock);
  const batch = new Uint8Array(BATCH * SYMBOL_BYTES);
  let milliseconds = 0;
  for (let id = 0; !decoder.complete; id++) {
    const count = encoder.batch(id, batch).length / SYMBOL_BYTES;
    const kept = Array.from({ length: count }, (_, j) => j).filter(() => generator.below(1000) >= 1000 * LOSS);
    const start = performance.now();
    for (const j of kept) decoder.add(id, j, batch.subarray(j * SYMBOL_BYTES, (j + 1) * SYMBOL_BYTES));
    milliseconds += performance.now() - start;
  }
  if (Buffer.compare(decoder.data(), data) !== 0) throw new Error(`K = ${symbols}, seed ${seed}: wrong data`);
  decoder.destroy();
  encoder.destroy();
  return milliseconds;
}

/** With `chart`, also draws docs/decoding-time.svg. */
export function benchScaling({ quick, chart }: Options): Report {
  const sizes = quick ? [200, 1600] : SIZES;
  const rounds = quick ? 1 : 5;
  const kinds = [
    { name: "coded", systematic: false },
    { name: "systematic", systematic: true },
  ];
  const series = kinds.map(({ name, systematic }) => {
    decodingMilliseconds(1600, systematic, 1);
    const points = sizes.map((symbols) => {
      const times = Array.from({ length: rounds }, (_, round) => decodingMilliseconds(symbols, systematic, 10 + round));
      return { x: symbols, y: median(times) };
    });
    return { name, points };
  });
  if (chart) {
    const svg = lineChart({
      title: `Decoding time, symbols of ${SYMBOL_BYTES} bytes, M = ${BATCH}, ${100 * LOSS} % lost`,
      x: "source symbols K",
      y: "milliseconds",
      series,
    });
    writeFileSync(new URL("../docs/decoding-time.svg", import.meta.url), svg);
  }
  const rows = series.flatMap(({ name, points }) =>
    points.map(({ x, y }) => ({ name: `${name}, K = ${x}`, value: (1000 * y) / x, unit: "us a source symbol" })),
  );
  const perSymbol = (of: (typeof series)[number], index: number) => of.points[index].y / of.points[index].x;
  const last = sizes.length - 1;
  const at1600 = sizes.indexOf(1600);
  return {
    title: `Outer code, decoding time against K (${rounds} object(s) a size, medians)`,
    rows,
    goals: series.map((of) => ({
      what: `${of.name}: time a symbol at K = ${sizes[last]} over that at 1600`,
      measured: perSymbol(of, last) / perSymbol(of, at1600),
      wanted: 2.5,
      atMost: true,
      speed: true,
    })),
  };
}
