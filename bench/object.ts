/** Speed of the outer code: an object of 1600 symbols of 1350 bytes, M = 32, coded throughout and systematic; one thread. */
import { ObjectDecoder, ObjectEncoder, TinyMt32 } from "bats-transport/codec";
import { median, type Options, type Report, type Row } from "./harness.ts";

const SYMBOLS = 1600;
const SYMBOL_BYTES = 1350;
const BATCH = 32;
const LOSS = 0.1;

interface Sample {
  encode: number;
  decode: number;
}

/** MB/s of coded bytes made and of source bytes decoded, for one object of which a tenth of all symbols is lost. */
function transfer(systematic: boolean, seed: number): Sample {
  const generator = new TinyMt32(seed);
  const data = Uint8Array.from({ length: SYMBOLS * SYMBOL_BYTES }, () => generator.next());
  const encoder = new ObjectEncoder(data, { symbolSize: SYMBOL_BYTES, batchSize: BATCH, systematic, tag: seed });
  const decoder = new ObjectDecoder(encoder.parameterBlock);
  const batch = new Uint8Array(BATCH * SYMBOL_BYTES);
  let encodeSeconds = 0;
  let decodeSeconds = 0;
  let id = 0;
  while (!decoder.complete) {
    if (id > 4 * (SYMBOLS / BATCH)) throw new Error(`object with seed ${seed} does not decode`);
    const startEncode = performance.now();
    encoder.batch(id, batch);
    encodeSeconds += (performance.now() - startEncode) / 1000;
    for (let j = 0; j < BATCH; j++) {
      if (generator.below(1000) < 1000 * LOSS) continue;
      const symbol = batch.subarray(j * SYMBOL_BYTES, (j + 1) * SYMBOL_BYTES);
      const startDecode = performance.now();
      decoder.add(id, j, symbol);
      decodeSeconds += (performance.now() - startDecode) / 1000;
    }
    id++;
  }
  if (Buffer.compare(decoder.data(), data) !== 0) throw new Error(`object with seed ${seed} decoded to something else`);
  decoder.destroy();
  encoder.destroy();
  return {
    encode: (id * BATCH * SYMBOL_BYTES) / encodeSeconds / 1e6,
    decode: data.length / decodeSeconds / 1e6,
  };
}

function row(name: string, values: number[]): Row {
  return { name, value: median(values), unit: "MB/s", low: Math.min(...values), high: Math.max(...values) };
}

export function benchObject({ quick }: Options): Report {
  const rounds = quick ? 3 : 21;
  const samples = { coded: [] as Sample[], systematic: [] as Sample[] };
  for (let round = 0; round < rounds; round++) {
    samples.coded.push(transfer(false, 100 + round));
    samples.systematic.push(transfer(true, 100 + round));
  }
  const rows = [
    row(
      "coded: coded bytes made",
      samples.coded.map(({ encode }) => encode),
    ),
    row(
      "coded: source bytes decoded",
      samples.coded.map(({ decode }) => decode),
    ),
    row(
      "systematic: coded bytes made",
      samples.systematic.map(({ encode }) => encode),
    ),
    row(
      "systematic: source bytes decoded",
      samples.systematic.map(({ decode }) => decode),
    ),
  ];
  const wanted = [80, 40, 240, 120];
  return {
    title: `Outer code, ${SYMBOLS} symbols of ${SYMBOL_BYTES} bytes, M = ${BATCH}, ${100 * LOSS} % lost`,
    rows,
    goals: rows.map(({ name, value }, i) => ({
      what: `${name}, MB/s`,
      measured: value,
      wanted: wanted[i],
      speed: true,
    })),
  };
}
