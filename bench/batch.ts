/** Speed of the inner code: batches of 16 and 32 symbols of 1350 bytes, some lost, as many repairs; one thread. */
import { BatchDecoder, BatchEncoder, SymbolPool } from "bats-transport/codec";
import { type Options, type Report, throughput } from "./harness.ts";

const SYMBOL_BYTES = 1350;
const CASES = [
  { size: 16, lost: 2 },
  { size: 32, lost: 3 },
];

export function benchBatch(options: Options): Report {
  const pool = new SymbolPool({ symbolSize: SYMBOL_BYTES });
  const contenders = CASES.flatMap(({ size, lost }) => {
    const data = Array.from({ length: size }, (_, s) =>
      Uint8Array.from({ length: SYMBOL_BYTES }, (_, i) => ((s * 7919 + i) * 2654435761) >>> 24),
    );
    const encoder = new BatchEncoder({ pool, batchSize: size });
    const repairs = Array.from({ length: lost }, () => new Uint8Array(SYMBOL_BYTES + 2));
    const decoder = new BatchDecoder({ pool, batchSize: size });
    // The lost symbols, spread over the batch.
    const isLost = data.map((_, s) => s % Math.ceil(size / lost) === 1);
    const encode = () => {
      encoder.reset();
      for (let s = 0; s < size; s++) encoder.add(data[s]);
      for (let r = 0; r < lost; r++) encoder.repair(size, r, repairs[r]);
    };
    const decode = () => {
      decoder.reset();
      for (let s = 0; s < size; s++) if (!isLost[s]) decoder.addSource(s, data[s]);
      for (let r = 0; r < lost; r++) decoder.addRepair(size, r, repairs[r]);
    };
    encode();
    decode();
    const restored = data.every((bytes, s) => Buffer.compare(decoder.symbol(s), bytes) === 0);
    if (!restored || isLost.filter(Boolean).length !== lost)
      throw new Error("the batch did not decode to what was encoded");
    const bytes = size * SYMBOL_BYTES;
    return [
      { name: `encode ${size} symbols and ${lost} repairs`, bytes, run: encode },
      { name: `decode ${size} symbols, ${lost} lost`, bytes, run: decode },
    ];
  });
  const rows = throughput(contenders, options);
  return {
    title: `Inner code, symbols of ${SYMBOL_BYTES} bytes (bytes of source data a second)`,
    rows,
    goals: rows.map(({ name, value }) => ({ what: `${name}, MB/s`, measured: value, wanted: 2000, speed: true })),
  };
}
