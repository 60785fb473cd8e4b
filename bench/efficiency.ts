/**
 * Efficiency of the outer code: two hops, 20 % loss each, M packets sent a hop, recoded in the middle. Surplus is the number of
 * innovative symbols received when decoding first succeeds, less K; the ideal code needs the first batches whose ranks sum up
 * to K. Counts, not speeds: the same on every machine.
 */
import { BatchRecoder, ObjectDecoder, ObjectEncoder, SymbolPool, TinyMt32 } from "bats-transport/codec";
import { type Goal, type Options, quantile, type Report, type Row } from "./harness.ts";

const LOSS = 0.2;
/** Efficiency does not depend on the length of symbols. */
const SYMBOL_BYTES = 2;

interface Outcome {
  surplus: number;
  inactive: number;
  batches: number;
  idealBatches: number;
}

function transfer(symbols: number, batchSize: number, seed: number): Outcome {
  const generator = new TinyMt32(seed);
  const data = Uint8Array.from({ length: symbols * SYMBOL_BYTES }, () => generator.next());
  const encoder = new ObjectEncoder(data, {
    symbolSize: SYMBOL_BYTES,
    batchSize,
    systematic: false,
    tag: generator.next(),
  });
  const decoder = new ObjectDecoder(encoder.parameterBlock);
  const pool = new SymbolPool({ symbolSize: SYMBOL_BYTES });
  const relay = new BatchRecoder({ pool, batchSize, random: generator.random });
  const batch = new Uint8Array(batchSize * SYMBOL_BYTES);
  const vector = new Uint8Array(batchSize);
  const payload = new Uint8Array(SYMBOL_BYTES);
  const lost = () => generator.below(1000) < 1000 * LOSS;
  let id = 0;
  let idealBatches = 0;
  for (; !decoder.complete; id++) {
    if (id > 10 + (4 * symbols) / batchSize)
      throw new Error(`K = ${symbols}, M = ${batchSize}, seed ${seed}: undecoded`);
    encoder.batch(id, batch);
    relay.reset();
    for (let j = 0; j < batchSize; j++) {
      if (lost()) continue;
      vector.fill(0);
      vector[j] = 1;
      relay.addRecoded(vector, batch.subarray(j * SYMBOL_BYTES, (j + 1) * SYMBOL_BYTES));
    }
    for (let j = 0; j < batchSize && relay.rank > 0; j++) {
      relay.recode(vector, payload);
      if (!lost()) decoder.add(id, vector, payload);
    }
    if (idealBatches === 0 && decoder.progress.received >= symbols) idealBatches = id + 1;
  }
  if (Buffer.compare(decoder.data(), data) !== 0)
    throw new Error(`K = ${symbols}, M = ${batchSize}, seed ${seed}: wrong data`);
  const [statistics] = decoder.statistics;
  relay.destroy();
  pool.destroy();
  decoder.destroy();
  encoder.destroy();
  return { surplus: statistics!.received - symbols, inactive: statistics!.inactive, batches: id, idealBatches };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function outcomes(symbols: number, batchSize: number, objects: number): Outcome[] {
  return Array.from({ length: objects }, (_, i) => transfer(symbols, batchSize, 1 + i));
}

function rowOf(symbols: number, batchSize: number, all: readonly Outcome[]): Row {
  const surplus = all.map((outcome) => outcome.surplus);
  const batches = mean(all.map((outcome) => outcome.batches));
  const ideal = mean(all.map((outcome) => outcome.idealBatches));
  return {
    name: `M = ${batchSize}, K = ${symbols}: mean surplus of ${all.length} objects`,
    value: mean(surplus),
    unit: "symbols",
    low: Math.min(...surplus),
    high: Math.max(...surplus),
    note:
      `99th percentile ${quantile(surplus, 0.99)}, ${batches.toFixed(2)} batches, ideal ${ideal.toFixed(2)}, ` +
      `${mean(all.map((outcome) => outcome.inactive)).toFixed(0)} inactive`,
  };
}

export function benchEfficiency({ quick }: Options): Report {
  const main = outcomes(1600, 32, quick ? 20 : 1000);
  const surplus = main.map((outcome) => outcome.surplus);
  const goals: Goal[] = [
    { what: "mean surplus, M = 32, K = 1600", measured: mean(surplus), wanted: 2, atMost: true },
    { what: "99th percentile of the surplus", measured: quantile(surplus, 0.99), wanted: 8, atMost: true },
    {
      what: "objects undecoded with 5 % more batches than the ideal",
      measured: main.filter(({ batches, idealBatches }) => batches > Math.ceil(1.05 * idealBatches)).length,
      wanted: 0,
      atMost: true,
    },
  ];
  const rows = [rowOf(1600, 32, main)];
  for (const batchSize of [16, 32]) {
    for (const symbols of [128, 512, 1600, 8000, 16000]) {
      if (batchSize === 32 && symbols === 1600) continue;
      const objects = quick ? 3 : Math.min(1000, Math.ceil(160_000 / symbols));
      rows.push(rowOf(symbols, batchSize, outcomes(symbols, batchSize, objects)));
    }
  }
  return { title: `Outer code, efficiency over two hops with ${100 * LOSS} % loss each`, rows, goals };
}
