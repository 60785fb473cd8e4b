import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  BatchEncoder,
  DEGREE_TABLES,
  ObjectEncoder,
  readParameters,
  repairCoefficients,
  SymbolPool,
  writeObjectSymbol,
} from "../../src/codec/index.ts";
import { OuterBatchGenerator } from "../../src/codec/outer-batch.ts";
import { precodeSizes } from "../../src/codec/precode.ts";
import { Arena } from "../../src/gf/index.ts";

// Golden vectors of docs/wire-format.md, version 1. They are what other implementations and older versions rely on: a change
// here is a new version of the format, never a new expectation.

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 32);
const pattern = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 131 + (i >> 8) * 7) & 255);
const arena = new Arena();

describe("the wire format stays what it is", () => {
  test("repair coefficients", () => {
    expect(hex(repairCoefficients(0).subarray(0, 8))).toBe("0101010101010101");
    expect(hex(repairCoefficients(1).subarray(0, 8))).toBe("5e37d4f94f9305a7");
    expect(hex(repairCoefficients(191).subarray(0, 8))).toBe("b188d237c5f7e19e");
    const all = Buffer.concat(Array.from({ length: 192 }, (_, seed) => repairCoefficients(seed)));
    expect(digest(all)).toBe("d3b6e0ca538e7273cb4164842fb21297");
  });

  test("a repair of unequal symbols", () => {
    const encoder = new BatchEncoder({ pool: new SymbolPool({ symbolSize: 8, arena }), batchSize: 4 });
    for (const text of ["batch", "ed", "", "sparse"]) encoder.add(Buffer.from(text));
    const payload = new Uint8Array(8);
    encoder.repair(4, 3, payload);
    expect(hex(payload)).toBe("1d0090cc413ffec6");
  });

  test("a parameter block", () => {
    const encoder = new ObjectEncoder(pattern(100_000), { symbolSize: 100, batchSize: 16, tag: 0x01020304, arena });
    expect(hex(encoder.parameterBlock)).toBe("0100100064000000a08601000000000004030201");
    expect(readParameters(encoder.parameterBlock)).toEqual(encoder.parameters);
  });

  test("sizes of the precode", () => {
    const sizes = [1, 128, 129, 512, 1600, 8000, 16000, 65000].map((k) => {
      const { ldpc, hdpc } = precodeSizes(k);
      return [k, ldpc, hdpc];
    });
    expect(sizes).toEqual([
      [1, 0, 0],
      [128, 0, 0],
      [129, 19, 10],
      [512, 41, 12],
      [1600, 79, 13],
      [8000, 331, 16],
      [16000, 641, 17],
      [65000, 2609, 19],
    ]);
  });

  test("degree, symbols and coefficients of batches", () => {
    const sizes = precodeSizes(1600);
    const parameters = { objectSize: 160_000, symbolSize: 100, batchSize: 32, tag: 7 };
    const read = (degreeTable: number, id: number) => {
      const generator = new OuterBatchGenerator({ ...parameters, degreeTable }, sizes, 1);
      const matrix = arena.allocate(32 * generator.maximumDegree);
      generator.generate(id);
      generator.writeMatrix(arena, matrix);
      const coefficients = arena.view(matrix, 8);
      return [generator.degree, ...generator.columns.subarray(0, 4), hex(coefficients)];
    };
    const table = DEGREE_TABLES.find(({ batchSize }) => batchSize === 32)!.id;
    expect([read(table, 0), read(table, 1), read(table, 0xffffffff), read(0, 49), read(0, 50), read(0, 77)]).toEqual([
      [33, 902, 1317, 302, 3, "df81b6ac6524a87a"],
      [82, 1264, 719, 807, 981, "76e5d9df65c0ccc9"],
      [50, 313, 298, 1388, 518, "1e802c3900f0f836"],
      [32, 1568, 1569, 1570, 1571, "0100000000000000"],
      [736, 252, 499, 235, 993, "f0118d10cb47a3f7"],
      [180, 634, 1437, 351, 888, "4e8610cc168729c5"],
    ]);
  });

  test.each([
    {
      name: "coded",
      systematic: false,
      length: 50_000,
      symbolSize: 10,
      batchSize: 16,
      golden: "b5f387d9dc51ecdac82f049125a7ccb3",
    },
    {
      name: "systematic",
      systematic: true,
      length: 50_000,
      symbolSize: 10,
      batchSize: 32,
      golden: "55e1a3c324442197a495bdb79f70f741",
    },
    {
      name: "dense",
      systematic: false,
      length: 1000,
      symbolSize: 13,
      batchSize: 8,
      golden: "c4f9ceb6012669db5cd4c9be8144939c",
    },
    {
      name: "of two blocks",
      systematic: false,
      length: 131_000,
      symbolSize: 2,
      batchSize: 64,
      golden: "ef164201b8ac11b5d3e056c6a4e162c1",
    },
  ])("batches of an object that is $name", ({ systematic, length, symbolSize, batchSize, golden }) => {
    const encoder = new ObjectEncoder(pattern(length), { systematic, symbolSize, batchSize, tag: 99, arena });
    const ids = [0, 1, 2, 5, 160, 161, 1000, 0xffffffff];
    expect(digest(Buffer.concat(ids.map((id) => encoder.batch(id))))).toBe(golden);
    encoder.destroy();
  });

  test("object symbols", () => {
    const parameters = { objectSize: 9, symbolSize: 3, batchSize: 8, degreeTable: 0, tag: 0xa1b2c3d4 };
    expect(hex(writeObjectSymbol(parameters, 258, 7, Uint8Array.of(1, 2, 3)))).toBe("d4c3b2a10201000007010203");
    const vector = Uint8Array.of(1, 0, 0, 2, 0, 0, 0, 3);
    expect(hex(writeObjectSymbol(parameters, 258, vector, Uint8Array.of(1, 2, 3)))).toBe(
      "d4c3b2a102010000ff0100000200000003010203",
    );
  });
});
