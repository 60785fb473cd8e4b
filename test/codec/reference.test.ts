/** What the library encodes, a decoder written from docs/wire-format.md alone decodes. */
import { describe, expect, it } from "vitest";
import { BatchEncoder, ObjectDecoder, ObjectEncoder, SymbolPool } from "../../src/codec/index.ts";
import { decodeBatch, decodeObject, repairCoefficients } from "./reference-decoder.ts";

/** Numbers from 0 to 1, the same in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function randomBytes(length: number, random: () => number): Uint8Array {
  return Uint8Array.from({ length }, () => 256 * random());
}

/** By the polynomial, bit by bit. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let bit = 128; bit; bit >>= 1) {
    product = (product << 1) ^ (product & 0x80 ? 0x11d : 0) ^ (b & bit ? a : 0);
  }
  return product;
}

function combine(symbols: readonly Uint8Array[], coefficients: ArrayLike<number>, length: number): Uint8Array {
  const sum = new Uint8Array(length);
  symbols.forEach((symbol, r) => {
    symbol.forEach((byte, i) => {
      sum[i]! ^= multiply(coefficients[r]!, byte);
    });
  });
  return sum;
}

function payloadsOf(encoder: ObjectEncoder, id: number, symbolSize: number) {
  const bytes = encoder.batch(id);
  return Array.from({ length: bytes.length / symbolSize }, (_, index) => ({
    index,
    payload: bytes.slice(symbolSize * index, symbolSize * (index + 1)),
  }));
}

function objectSymbol(tag: number, id: number, index: ArrayLike<number>, payload: Uint8Array): Uint8Array {
  const symbol = new Uint8Array(8 + index.length + payload.length);
  const view = new DataView(symbol.buffer);
  view.setUint32(0, tag, true);
  view.setUint32(4, id, true);
  symbol.set(index, 8);
  symbol.set(payload, 8 + index.length);
  return symbol;
}

interface Case {
  size: number;
  symbolSize: number;
  batchSize: 8 | 16 | 32 | 64;
  systematic?: boolean;
  /** Symbols sent for each source symbol, before losses. */
  sent?: number;
  loss?: number;
  /** Instead of random losses. */
  lost?: (id: number, index: number) => boolean;
  firstBatch?: number;
  /** The receiver gets random combinations of what is left of each batch. */
  recode?: boolean;
}

function check(c: Case): void {
  const random = randomNumbers(c.size + c.batchSize);
  const data = randomBytes(c.size, random);
  const tag = Math.floor(2 ** 32 * random());
  const { symbolSize, batchSize, systematic = false } = c;
  const encoder = new ObjectEncoder(data, { symbolSize, batchSize, systematic, tag });
  const wanted = Math.ceil(c.size / symbolSize) * (c.sent ?? 1.4) + 8;
  const symbols: Uint8Array[] = [];
  for (let id = c.firstBatch ?? 0, sent = 0; sent < wanted; id++) {
    const batch = payloadsOf(encoder, id, symbolSize);
    sent += batch.length;
    const left = batch.filter(({ index }) => !(c.lost?.(id, index) ?? random() < (c.loss ?? 0.1)));
    for (const { index, payload } of left) {
      if (!c.recode) symbols.push(objectSymbol(tag, id, [index], payload));
      else {
        const vector = new Uint8Array(batchSize);
        for (const { index } of left) vector[index] = 256 * random();
        const sum = combine(
          left.map(({ payload }) => payload),
          left.map(({ index }) => vector[index]!),
          symbolSize,
        );
        symbols.push(objectSymbol(tag, id, [255, ...vector], sum));
      }
    }
  }
  const decoded = decodeObject(encoder.parameterBlock, symbols);
  expect(decoded && Buffer.compare(decoded, data)).toBe(0);
}

describe("the reference decoder", () => {
  for (const systematic of [false, true]) {
    describe(systematic ? "of systematic objects" : "of coded objects", () => {
      for (const batchSize of [8, 16, 32, 64] as const) {
        const common = { batchSize, systematic };
        it(`decodes batches of ${batchSize}`, () => {
          check({ ...common, size: 1, symbolSize: 10 });
          check({ ...common, size: 2, symbolSize: 2 });
          check({ ...common, size: 128 * 5 - 4, symbolSize: 5 });
          check({ ...common, size: 128 * 5 + 1, symbolSize: 5 });
          check({ ...common, size: 1500, symbolSize: 5, loss: 0.2, sent: 1.6 });
        });

        it(`decodes recoded symbols of batches of ${batchSize}`, () => {
          check({ ...common, size: 10, symbolSize: 10, recode: true });
          check({ ...common, size: 800, symbolSize: 4, recode: true });
        });
      }

      it("decodes the batches before 2^32", () => {
        check({ size: 800, symbolSize: 4, batchSize: 16, systematic, firstBatch: 2 ** 32 - 40 });
      });
    });
  }

  it("decodes two blocks", () => {
    // 32501 and 32500 symbols, in 508 source batches each; lost are one symbol of each and much of the coded batches.
    const lost = (id: number, index: number) =>
      id < 1016 ? (id === 0 && index === 7) || (id === 1015 && index === 51) : index % 4 > 0;
    check({ size: 65001 * 2 - 1, symbolSize: 2, batchSize: 64, systematic: true, lost, sent: 1.003 });
  });

  it("passes over what does not belong to the object", () => {
    const data = Uint8Array.from({ length: 90 }, (_, i) => i);
    const encoder = new ObjectEncoder(data, { symbolSize: 10, batchSize: 8, systematic: true, tag: 3 });
    const symbols = [0, 1].flatMap((id) =>
      payloadsOf(encoder, id, 10).map(({ index, payload }) => objectSymbol(3, id, [index], payload)),
    );
    const other = new Uint8Array(10).fill(1);
    // Of another object, too long, and of a symbol that the last source batch, with one, does not have.
    symbols.unshift(objectSymbol(4, 0, [0], other), objectSymbol(3, 0, [0, 0], other), objectSymbol(3, 1, [7], other));
    // Nor does its coefficient count.
    symbols.push(objectSymbol(3, 1, [255, 1, 0, 0, 0, 0, 0, 0, 9], data.subarray(80)));
    expect(decodeObject(encoder.parameterBlock, symbols)).toEqual(data);
    const decoder = new ObjectDecoder(encoder.parameterBlock);
    for (const symbol of symbols) decoder.addBytes(symbol);
    expect(decoder.data()).toEqual(data);
  });

  it("does not decode from too little", () => {
    const encoder = new ObjectEncoder(new Uint8Array(90), { symbolSize: 10, batchSize: 8, systematic: false, tag: 0 });
    const symbols = payloadsOf(encoder, 0, 10).map(({ index, payload }) => objectSymbol(0, 0, [index], payload));
    expect(symbols.length).toBe(8);
    expect(decodeObject(encoder.parameterBlock, symbols)).toBeUndefined();
  });
});

describe("the reference decoder of batches", () => {
  const lengths = [7, 0, 300, 1, 65, 2, 299, 40];

  function makeBatch(random: () => number) {
    const encoder = new BatchEncoder({ pool: new SymbolPool({ symbolSize: 310 }), batchSize: 64 });
    const source = lengths.map((length) => randomBytes(length, random));
    for (const symbol of source) encoder.add(symbol);
    const repair = (covered: number, seed: number) => {
      const value = new Uint8Array(encoder.repairLength(covered));
      encoder.repair(covered, seed, value);
      return { coefficients: repairCoefficients(covered, seed), value };
    };
    return { source, repair };
  }

  it("decodes source symbols and repairs", () => {
    const { source, repair } = makeBatch(randomNumbers(1));
    const received = source.map((symbol, i) => (i % 2 ? symbol : undefined));
    const repairs = [repair(2, 0), repair(5, 1), repair(8, 77), repair(8, 191), repair(7, 190)];
    expect(decodeBatch(received, repairs)).toEqual(source);
    expect(decodeBatch(received, repairs.slice(2))).toBeUndefined();
  });

  it("decodes repairs alone", () => {
    const { source, repair } = makeBatch(randomNumbers(2));
    const repairs = [0, 1, 2, 3, 100, 150, 190, 191].map((seed) => repair(8, seed));
    expect(decodeBatch(new Array(8).fill(undefined), repairs)).toEqual(source);
  });

  it("decodes recoded symbols", () => {
    const random = randomNumbers(3);
    const { source, repair } = makeBatch(random);
    const repairs = [0, 3, 6, 9, 12, 15, 18, 21].map((seed) => repair(8, seed));
    const recoded = repairs.map(() => {
      const factors = randomBytes(8, random);
      return {
        coefficients: combine(
          repairs.map((symbol) => symbol.coefficients),
          factors,
          8,
        ),
        value: combine(
          repairs.map((symbol) => symbol.value),
          factors,
          302,
        ),
      };
    });
    expect(decodeBatch(new Array(8).fill(undefined), recoded)).toEqual(source);
  });

  it("decodes batches of 64", () => {
    const random = randomNumbers(4);
    const encoder = new BatchEncoder({ pool: new SymbolPool({ symbolSize: 64 }), batchSize: 64 });
    const source = Array.from({ length: 64 }, () => randomBytes(40 * random(), random));
    for (const symbol of source) encoder.add(symbol);
    const repairs = Array.from({ length: 10 }, (_, i) => {
      const value = new Uint8Array(encoder.repairLength(64));
      encoder.repair(64, 20 * i, value);
      return { coefficients: repairCoefficients(64, 20 * i), value };
    });
    const received = source.map((symbol, i) => (i % 7 ? symbol : undefined));
    expect(decodeBatch(received, repairs)).toEqual(source);
  });
});
