/** Speed of the vector operations over GF(2^8), SIMD and scalar, at a symbol of 1408 bytes. */
import { Arena, PRODUCT } from "bats-transport/gf";
import { type Options, type Report, type Row, throughput } from "./harness.ts";

const LENGTH = 1408;
const SOURCES = 16;
const ROWS = 16;

export function benchGf(options: Options): Report {
  const arena = new Arena({ kernel: "simd" });
  const { kernel } = arena;
  const sources = arena.allocate(SOURCES * LENGTH);
  const results = arena.allocate(ROWS * LENGTH);
  const sourceList = arena.allocate(4 * SOURCES);
  const resultList = arena.allocate(4 * ROWS);
  const coefficients = arena.allocate(ROWS * SOURCES);
  const { bytes, words } = arena;
  for (let i = 0; i < SOURCES * LENGTH; i++) bytes[sources + i] = (i * 2654435761) >>> 24;
  for (let i = 0; i < ROWS * SOURCES; i++) bytes[coefficients + i] = 2 + ((i * 97) % 253);
  for (let i = 0; i < SOURCES; i++) words[(sourceList >>> 2) + i] = sources + i * LENGTH;
  for (let i = 0; i < ROWS; i++) words[(resultList >>> 2) + i] = results + i * LENGTH;

  const x = bytes.slice(sources, sources + LENGTH);
  const y = new Uint8Array(LENGTH);
  let turn = 0;
  const nextCoefficient = () => {
    turn = (turn + 1) % 253;
    return turn + 2;
  };

  const rows = throughput(
    [
      {
        name: "y += c x, JavaScript loop over a 64 KiB table",
        bytes: LENGTH,
        run: () => {
          const row = nextCoefficient() << 8;
          for (let i = 0; i < LENGTH; i++) y[i] ^= PRODUCT[row | x[i]];
        },
      },
      {
        name: "y += c x, SIMD kernel",
        bytes: LENGTH,
        run: () => kernel.mulAdd(results, sources, nextCoefficient(), LENGTH),
      },
      {
        name: `${SOURCES} times y += c x, SIMD kernel`,
        bytes: SOURCES * LENGTH,
        run: () => {
          for (let i = 0; i < SOURCES; i++) {
            kernel.mulAdd(results, sources + i * LENGTH, bytes[coefficients + i], LENGTH);
          }
        },
      },
      {
        name: `y = sum of ${SOURCES} c_i x_i, fused`,
        bytes: SOURCES * LENGTH,
        run: () => kernel.combine(results, sourceList, coefficients, SOURCES, LENGTH),
      },
      {
        name: `${ROWS} such sums of the same sources at once`,
        bytes: ROWS * SOURCES * LENGTH,
        run: () => kernel.multiply(resultList, sourceList, coefficients, ROWS, SOURCES, LENGTH),
      },
      { name: "y += x", bytes: LENGTH, run: () => kernel.xor(results, sources, LENGTH) },
      { name: "copy into the arena", bytes: LENGTH, run: () => bytes.set(x, results) },
    ],
    options,
  );
  const value = (row: Row | undefined) => row?.value ?? Number.NaN;
  return {
    title: `GF(2^8), symbols of ${LENGTH} bytes (bytes of source read a second)`,
    rows,
    goals: [
      { what: "y += c x, SIMD over JavaScript", measured: value(rows[1]) / value(rows[0]), wanted: 10, speed: true },
      {
        what: "fused sum of 16 over sixteen single ones",
        measured: value(rows[3]) / value(rows[2]),
        wanted: 1.3,
        speed: true,
      },
    ],
  };
}
