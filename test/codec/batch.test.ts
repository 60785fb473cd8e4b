import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import {
  BatchDecoder,
  BatchEncoder,
  BatchRecoder,
  CodecError,
  LENGTH_BYTES,
  MAX_BATCH_SIZE,
  REPAIR_SEEDS,
  repairCoefficients,
  SymbolPool,
  TinyMt32,
} from "../../src/codec/index.ts";
import { Arena, ArenaFullError, rank } from "../../src/gf/index.ts";

const arena = new Arena();
const SYMBOL_SIZE = 200;
const pool = new SymbolPool({ symbolSize: SYMBOL_SIZE, arena });

afterEach(() => {
  expect(pool.slotsInUse).toBe(0);
});

/** What travels: one symbol of a batch, named as a packet would name it. */
type Travelling =
  | { kind: "source"; index: number; data: Uint8Array }
  | { kind: "repair"; covered: number; seed: number; payload: Uint8Array }
  | { kind: "recoded"; vector: Uint8Array; payload: Uint8Array };

function give(node: BatchDecoder | BatchRecoder, symbol: Travelling) {
  if (symbol.kind === "source") return node.addSource(symbol.index, symbol.data);
  if (symbol.kind === "repair") return node.addRepair(symbol.covered, symbol.seed, symbol.payload);
  return node.addRecoded(symbol.vector, symbol.payload);
}

function vectorOf(symbol: Travelling, width: number): Uint8Array {
  const vector = new Uint8Array(width);
  if (symbol.kind === "source") vector[symbol.index] = 1;
  else if (symbol.kind === "repair") vector.set(repairCoefficients(symbol.seed).subarray(0, symbol.covered));
  else vector.set(symbol.vector);
  return vector;
}

function recode(recoder: BatchRecoder): Travelling {
  const vector = new Uint8Array(recoder.covered);
  const payload = new Uint8Array(recoder.payloadLength);
  recoder.recode(vector, payload);
  return { kind: "recoded", vector, payload };
}

function rankOf(symbols: readonly Travelling[], width: number): number {
  const matrix = new Uint8Array(symbols.length * width);
  symbols.forEach((symbol, i) => {
    matrix.set(vectorOf(symbol, width), i * width);
  });
  return rank(matrix, symbols.length, width);
}

/** The source symbols that lie in the row space of what arrived: what plain Gaussian elimination finds computable. */
function computable(symbols: readonly Travelling[], width: number): number[] {
  const base = rankOf(symbols, width);
  const found: number[] = [];
  for (let i = 0; i < width; i++) {
    const unit: Travelling = { kind: "source", index: i, data: new Uint8Array() };
    if (rankOf([...symbols, unit], width) === base) found.push(i);
  }
  return found;
}

const symbolData = fc.uint8Array({ minLength: 0, maxLength: SYMBOL_SIZE });

/** A batch built step by step: source symbols with repairs in between, as an open batch makes them. */
const openBatch = fc
  .record({
    batchSize: fc.integer({ min: 1, max: MAX_BATCH_SIZE }),
    data: fc.array(symbolData, { minLength: 1, maxLength: MAX_BATCH_SIZE }),
    repairs: fc.array(fc.tuple(fc.nat(), fc.nat(REPAIR_SEEDS - 1)), { maxLength: 40 }),
    order: fc.infiniteStream(fc.nat()),
  })
  .map(({ batchSize, data, repairs, order }) => ({ data: data.slice(0, batchSize), batchSize, repairs, order }));

function produce({ data, batchSize, repairs }: { data: Uint8Array[]; batchSize: number; repairs: [number, number][] }) {
  const encoder = new BatchEncoder({ pool, batchSize });
  const symbols: Travelling[] = [];
  data.forEach((bytes, index) => {
    expect(encoder.add(bytes)).toBe(index);
    symbols.push({ kind: "source", index, data: bytes });
    for (const [when, seed] of repairs) {
      if (when % data.length !== index) continue;
      const payload = new Uint8Array(encoder.repairLength(index + 1));
      encoder.repair(index + 1, seed, payload);
      symbols.push({ kind: "repair", covered: index + 1, seed, payload });
    }
  });
  encoder.destroy();
  return symbols;
}

function shuffle<T>(items: readonly T[], order: Iterator<number>): T[] {
  const copy = [...items];
  for (let i = copy.length - 1; i > 0; i--) {
    const j = order.next().value % (i + 1);
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

describe("batch encoder and decoder", () => {
  test("after every symbol, in any order with any losses and duplicates, exactly what plain elimination finds is handed out", () => {
    fc.assert(
      fc.property(openBatch, fc.double({ min: 0, max: 0.9, noNaN: true }), (batch, loss) => {
        const sent = produce(batch);
        const arriving = shuffle([...sent, ...sent.slice(0, 5)], batch.order).filter(
          () => (batch.order.next().value % 1000) / 1000 >= loss,
        );
        const decoder = new BatchDecoder({ pool, batchSize: batch.batchSize });
        const arrived: Travelling[] = [];
        const handedOut = new Set<number>();
        let before = 0;
        for (const symbol of arriving) {
          arrived.push(symbol);
          const now = rankOf(arrived, batch.batchSize);
          expect(give(decoder, symbol)).toBe(now > before ? "innovative" : "redundant");
          before = now;
          expect(decoder.rank).toBe(now);
          for (let index = decoder.next(); index !== -1; index = decoder.next()) {
            expect(handedOut.has(index)).toBe(false);
            handedOut.add(index);
            expect(Buffer.compare(decoder.symbol(index), batch.data[index])).toBe(0);
          }
        }
        expect([...handedOut].sort((a, b) => a - b)).toEqual(computable(arrived, batch.batchSize));
        expect(decoder.known).toBe(handedOut.size);
        decoder.destroy();
      }),
      { numRuns: 300 },
    );
  });

  test("any e repairs that cover a batch restore any e symbols of it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: MAX_BATCH_SIZE }),
        fc.uniqueArray(fc.nat(REPAIR_SEEDS - 1), { minLength: 1, maxLength: MAX_BATCH_SIZE }),
        fc.infiniteStream(fc.nat()),
        (size, seeds, order) => {
          const data = Array.from({ length: size }, (_, i) => new Uint8Array(i).fill(i + 1));
          const encoder = new BatchEncoder({ pool, batchSize: size });
          for (const bytes of data) encoder.add(bytes);
          const lost = shuffle(
            data.map((_, i) => i),
            order,
          ).slice(0, Math.min(seeds.length, size));
          const decoder = new BatchDecoder({ pool, batchSize: size });
          data.forEach((bytes, i) => {
            if (!lost.includes(i)) decoder.addSource(i, bytes);
          });
          for (const seed of seeds.slice(0, lost.length)) {
            const payload = new Uint8Array(encoder.repairLength(size));
            encoder.repair(size, seed, payload);
            expect(decoder.addRepair(size, seed, payload)).toBe("innovative");
          }
          expect(decoder.complete).toBe(true);
          data.forEach((bytes, i) => {
            expect(Buffer.compare(decoder.symbol(i), bytes)).toBe(0);
          });
          encoder.destroy();
          decoder.destroy();
        },
      ),
      { numRuns: 300 },
    );
  });

  test("repair 0 is the XOR of what it covers, lengths included", () => {
    const encoder = new BatchEncoder({ pool, batchSize: 4 });
    encoder.add(Uint8Array.of(1, 2, 3));
    encoder.add(Uint8Array.of(16));
    const payload = new Uint8Array(5);
    expect(encoder.repair(2, 0, payload)).toBe(5);
    expect([...payload]).toEqual([3 ^ 1, 0, 1 ^ 16, 2, 3]);
    encoder.destroy();
  });

  test("a repair covers what it covered, also when symbols came after it", () => {
    const encoder = new BatchEncoder({ pool, batchSize: 4 });
    encoder.add(Uint8Array.of(1, 2, 3));
    const early = new Uint8Array(encoder.repairLength(1));
    encoder.repair(1, 5, early);
    encoder.add(new Uint8Array(150).fill(7));
    const late = new Uint8Array(encoder.repairLength(1));
    encoder.repair(1, 5, late);
    expect(late).toEqual(early);
    encoder.destroy();
  });

  test("wrong arguments are CodecErrors that name field, value and limit, and the batch goes on", () => {
    expect(() => new BatchEncoder({ pool, batchSize: 65 })).toThrow(
      "batchSize is 65, wanted a whole number from 1 to 64",
    );
    expect(() => new BatchDecoder({ pool, batchSize: 0 })).toThrow(CodecError);
    const encoder = new BatchEncoder({ pool, batchSize: 1 });
    expect(() => encoder.add(new Uint8Array(SYMBOL_SIZE + 1))).toThrow("data.length is 201, wanted at most 200 bytes");
    encoder.add(Uint8Array.of(1));
    expect(() => encoder.add(Uint8Array.of(2))).toThrow("size is 1, wanted fewer than 1 symbols");
    expect(() => encoder.repair(2, 0, new Uint8Array(99))).toThrow(
      "covered is 2, wanted 1 to 1, the symbols added so far",
    );
    expect(() => encoder.repair(1, 192, new Uint8Array(99))).toThrow(
      "seed is 192, wanted a whole number from 0 to 191",
    );
    expect(() => encoder.repair(1, 0, new Uint8Array(2))).toThrow("out.length is 2, wanted at least 3 bytes");
    expect(() => encoder.symbol(1)).toThrow(CodecError);
    expect([...encoder.symbol(0)]).toEqual([1]);
    encoder.destroy();
  });
});

describe("symbols from the network that cannot be right", () => {
  const payload = new Uint8Array(10);
  const vector = Uint8Array.of(0, 1, 0);

  function rejectAll(node: BatchDecoder | BatchRecoder): void {
    expect(node.addSource(-1, payload)).toBe("invalid");
    expect(node.addSource(8, payload)).toBe("invalid");
    expect(node.addSource(0.5, payload)).toBe("invalid");
    expect(node.addSource(0, new Uint8Array(SYMBOL_SIZE + 1))).toBe("invalid");
    expect(node.addRepair(0, 0, payload)).toBe("invalid");
    expect(node.addRepair(9, 0, payload)).toBe("invalid");
    expect(node.addRepair(Number.NaN, 0, payload)).toBe("invalid");
    expect(node.addRepair(1, REPAIR_SEEDS, payload)).toBe("invalid");
    expect(node.addRepair(1, -1, payload)).toBe("invalid");
    expect(node.addRepair(1, 0, new Uint8Array(LENGTH_BYTES - 1))).toBe("invalid");
    expect(node.addRepair(1, 0, new Uint8Array(SYMBOL_SIZE + LENGTH_BYTES + 1))).toBe("invalid");
    expect(node.addRecoded(new Uint8Array(0), payload)).toBe("invalid");
    expect(node.addRecoded(new Uint8Array(9).fill(1), payload)).toBe("invalid");
    expect(node.addRecoded(new Uint8Array(8), payload)).toBe("invalid");
    expect(node.addRecoded(vector, new Uint8Array(1))).toBe("invalid");
    expect(node.addRecoded(vector, new Uint8Array(SYMBOL_SIZE + LENGTH_BYTES + 1))).toBe("invalid");
    expect(node.counts).toEqual({ innovative: 0, redundant: 0, invalid: 16, "no-memory": 0, inconsistent: 0 });
    expect(node.rank).toBe(0);
    node.destroy();
  }

  test("are dropped and counted by the decoder", () => {
    rejectAll(new BatchDecoder({ pool, batchSize: 8 }));
  });

  test("are dropped and counted by the recoder", () => {
    rejectAll(new BatchRecoder({ pool, batchSize: 8, random: new TinyMt32(1).random }));
  });

  test("an impossible length after decoding drops the coded symbols and keeps the source symbols", () => {
    const decoder = new BatchDecoder({ pool, batchSize: 2 });
    decoder.addSource(0, Uint8Array.of(1));
    expect(decoder.addRepair(2, 0, Uint8Array.of(255, 255, 1, 2))).toBe("inconsistent");
    expect(decoder.rank).toBe(1);
    expect(decoder.has(1)).toBe(false);
    expect([...decoder.symbol(0)]).toEqual([1]);
    expect(decoder.addSource(1, Uint8Array.of(9, 9))).toBe("innovative");
    expect(decoder.complete).toBe(true);
    decoder.destroy();
  });

  test("random bytes in any order never throw, never hold more than the batch", () => {
    const step = fc.record({
      kind: fc.nat(2),
      number: fc.integer({ min: -1, max: 9 }),
      seed: fc.integer({ min: -1, max: 200 }),
      bytes: fc.uint8Array({ maxLength: 40 }),
      vector: fc.uint8Array({ maxLength: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const decoder = new BatchDecoder({ pool, batchSize: 8 });
        const recoder = new BatchRecoder({ pool, batchSize: 8, random: new TinyMt32(1).random });
        for (const { kind, number, seed, bytes, vector: coefficients } of steps) {
          for (const node of [decoder, recoder]) {
            if (kind === 0) node.addSource(number, bytes);
            else if (kind === 1) node.addRepair(number, seed, bytes);
            else node.addRecoded(coefficients, bytes);
            expect(node.rank).toBeLessThanOrEqual(8);
          }
          expect(pool.slotsInUse).toBeLessThanOrEqual(16 + 8);
          if (recoder.rank > 0) recode(recoder);
        }
        decoder.destroy();
        recoder.destroy();
      }),
      { numRuns: 500 },
    );
  });
});

describe("batch recoder", () => {
  test("through any line of recoders with any losses the receiver gets what rank allows, to the byte", () => {
    fc.assert(
      fc.property(
        openBatch,
        fc.array(fc.record({ loss: fc.double({ min: 0, max: 0.5, noNaN: true }), fresh: fc.nat(20) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.integer(),
        (batch, hops, seed) => {
          const generator = new TinyMt32(seed);
          let travelling = produce(batch);
          for (const { loss, fresh } of hops) {
            const recoder = new BatchRecoder({ pool, batchSize: batch.batchSize, random: generator.random });
            const arrived = shuffle(travelling, batch.order).filter(() => generator.below(1000) >= 1000 * loss);
            for (const symbol of arrived) give(recoder, symbol);
            expect(recoder.rank).toBe(rankOf(arrived, batch.batchSize));
            // Source symbols go on untouched, fresh combinations beside them.
            travelling = arrived.filter((symbol) => symbol.kind === "source");
            for (let i = 0; i < fresh && recoder.rank > 0; i++) travelling.push(recode(recoder));
            recoder.destroy();
          }
          const decoder = new BatchDecoder({ pool, batchSize: batch.batchSize });
          for (const symbol of travelling) give(decoder, symbol);
          expect(decoder.rank).toBe(rankOf(travelling, batch.batchSize));
          const known = computable(travelling, batch.batchSize);
          for (let i = 0; i < batch.data.length; i++) {
            expect(decoder.has(i)).toBe(known.includes(i));
            if (decoder.has(i)) expect(Buffer.compare(decoder.symbol(i), batch.data[i])).toBe(0);
          }
          decoder.destroy();
        },
      ),
      { numRuns: 200 },
    );
  });

  test("as many fresh combinations as its rank nearly always carry all of it", () => {
    const generator = new TinyMt32(3);
    const size = 16;
    let full = 0;
    for (let run = 0; run < 400; run++) {
      const recoder = new BatchRecoder({ pool, batchSize: size, random: generator.random });
      for (let i = 0; i < size; i++) recoder.addSource(i, Uint8Array.of(i));
      const symbols = Array.from({ length: size }, () => recode(recoder));
      if (rankOf(symbols, size) === size) full++;
      recoder.destroy();
    }
    // A random 16 x 16 matrix over GF(2^8) is regular with probability 0.9961.
    expect(full).toBeGreaterThan(385);
  });

  test("a generator that only gives zeros still yields no zero vector", () => {
    const recoder = new BatchRecoder({ pool, batchSize: 4, random: () => 0 });
    recoder.addSource(2, Uint8Array.of(1));
    recoder.addSource(1, Uint8Array.of(1));
    expect(vectorOf(recode(recoder), 4).some((c) => c !== 0)).toBe(true);
    recoder.destroy();
  });

  test("recoding nothing, or into too small a buffer, is a CodecError", () => {
    const recoder = new BatchRecoder({ pool, batchSize: 4, random: new TinyMt32(1).random });
    expect(() => recoder.recode(new Uint8Array(4), new Uint8Array(9))).toThrow("rank is 0");
    recoder.addSource(2, Uint8Array.of(1));
    expect(() => recoder.recode(new Uint8Array(2), new Uint8Array(9))).toThrow("vector.length is 2, wanted at least 3");
    expect(() => recoder.recode(new Uint8Array(3), new Uint8Array(2))).toThrow(
      "payload.length is 2, wanted at least 3",
    );
    recoder.destroy();
  });
});

describe("memory", () => {
  test("a full pool is reported, changes nothing and can be tried again", () => {
    const small = new SymbolPool({ symbolSize: 10, arena, maximumSlots: 3 });
    const encoder = new BatchEncoder({ pool: small, batchSize: 8 });
    const decoder = new BatchDecoder({ pool: small, batchSize: 8 });
    encoder.add(Uint8Array.of(1));
    encoder.add(Uint8Array.of(2));
    expect(decoder.addSource(0, Uint8Array.of(1))).toBe("innovative");
    expect(decoder.addSource(1, Uint8Array.of(2))).toBe("no-memory");
    expect(() => encoder.add(Uint8Array.of(3))).toThrow("slotsInUse is 3, wanted a free slot");
    encoder.reset();
    expect(decoder.addSource(1, Uint8Array.of(2))).toBe("innovative");
    expect(decoder.complete).toBe(true);
    encoder.destroy();
    decoder.destroy();
    small.destroy();
  });

  test("a pool with few slots refuses symbols, but decodes whatever it took", () => {
    const slots = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(openBatch, slots, fc.infiniteStream(fc.nat(99)), (batch, maximumSlots, random) => {
        const symbols = shuffle(produce(batch), batch.order);
        const small = new SymbolPool({ symbolSize: SYMBOL_SIZE, arena, maximumSlots });
        const hogged: number[] = [];
        const decoder = new BatchDecoder({ pool: small, batchSize: batch.batchSize });
        const taken: Travelling[] = [];
        for (const symbol of [...symbols, ...symbols]) {
          // Somebody else takes and returns slots meanwhile.
          if (random.next().value < 40) {
            const slot = small.acquire();
            if (slot !== 0) hogged.push(slot);
          } else if (hogged.length > 0) {
            small.release(hogged.pop()!);
          }
          const before = rankOf(taken, batch.batchSize);
          const innovative = rankOf([...taken, symbol], batch.batchSize) > before;
          const verdict = give(decoder, symbol);
          expect(verdict).toBeOneOf(innovative ? ["innovative", "no-memory"] : ["redundant"]);
          if (verdict === "innovative") taken.push(symbol);
          expect(decoder.rank).toBe(rankOf(taken, batch.batchSize));
        }
        const known = computable(taken, batch.batchSize);
        expect(decoder.known).toBe(known.length);
        for (const index of known) expect(Buffer.compare(decoder.symbol(index), batch.data[index])).toBe(0);
        decoder.destroy();
        for (const slot of hogged) small.release(slot);
        expect(small.slotsInUse).toBe(0);
        small.destroy();
      }),
      { numRuns: 300 },
    );
  });

  test("pools with a parent share its slots, each with an account and a limit of its own", () => {
    const arena = new Arena();
    const before = arena.allocatedBytes;
    const parent = new SymbolPool({ symbolSize: 100, arena });
    const one = new SymbolPool({ symbolSize: 100, arena, parent, maximumSlots: 3 });
    const other = new SymbolPool({ symbolSize: 100, arena, parent });
    const slots = [one.acquire(), one.acquireCopy(Uint8Array.of(1, 2), 2), one.acquire()];
    expect([one.acquire(), one.acquireCopy(Uint8Array.of(1), 0)]).toEqual([0, 0]);
    expect([...arena.view(slots[1] + 2, 2)]).toEqual([1, 2]);
    expect([one.slotsInUse, other.slotsInUse, parent.slotsInUse]).toEqual([3, 0, 3]);
    one.release(slots[2]);
    expect(other.acquire()).toBe(slots[2]);
    expect(other.scratch).toBe(one.scratch);
    expect(() => other.destroy()).toThrow(/slotsInUse is 1/);
    other.release(slots[2]);
    for (const slot of slots.slice(0, 2)) one.release(slot);
    for (const pool of [one, other, parent]) pool.destroy();
    expect(arena.allocatedBytes).toBe(before);
    expect(() => new SymbolPool({ symbolSize: 99, arena, parent })).toThrow(/parent/);
  });

  test("symbols above 2 GiB of an arena are as good as those below", () => {
    const large = new Arena({ initialBytes: 2 ** 31 + 2 ** 20 });
    large.allocate(2 ** 31);
    const high = new SymbolPool({ symbolSize: 10, arena: large });
    const encoder = new BatchEncoder({ pool: high, batchSize: 4 });
    const decoder = new BatchDecoder({ pool: high, batchSize: 4 });
    const recoder = new BatchRecoder({ pool: high, batchSize: 4, random: new TinyMt32(1).random });
    const data = [Uint8Array.of(1, 2), Uint8Array.of(3), Uint8Array.of(4, 5, 6)];
    data.forEach((bytes) => {
      encoder.add(bytes);
    });
    expect(encoder.symbol(2)).toEqual(data[2]);
    for (const seed of [0, 1, 2]) {
      const payload = new Uint8Array(5);
      encoder.repair(3, seed, payload);
      recoder.addRepair(3, seed, payload);
    }
    for (let i = 0; i < 4; i++) give(decoder, recode(recoder));
    expect(decoder.complete).toBe(true);
    data.forEach((bytes, i) => {
      expect(decoder.symbol(i)).toEqual(bytes);
    });
  });

  test("a view of the arena may be given, though taking a slot for it makes the view stale", () => {
    const own = new Arena({ initialBytes: 65536 });
    const ownPool = new SymbolPool({ symbolSize: 1000, arena: own });
    const at = own.allocate(1000);
    own.view(at, 1000).fill(7);
    const decoder = new BatchDecoder({ pool: ownPool, batchSize: 4 });
    // The first slot makes the arena grow.
    decoder.addSource(0, own.view(at, 1000));
    expect([...new Set(decoder.symbol(0))]).toEqual([7]);
    expect(decoder.symbolLength(0)).toBe(1000);
    decoder.destroy();
    ownPool.destroy();
  });

  test("encoder, decoder and recoder leave nothing in an arena that is too full for them", () => {
    const own = new Arena({ initialBytes: 65536, maximumBytes: 2 ** 18 });
    const ownPool = new SymbolPool({ symbolSize: 100, arena: own });
    new BatchEncoder({ pool: ownPool, batchSize: 8 }).destroy();
    ownPool.release(ownPool.acquire());
    const fillers: number[] = [];
    expect(() => {
      for (;;) fillers.push(own.allocate(1024));
    }).toThrow(ArenaFullError);
    let failed = 0;
    for (let i = 0; i < 40; i++) {
      own.free(fillers.pop()!, 1024);
      const before = own.allocatedBytes;
      for (const make of [BatchEncoder, BatchDecoder, BatchRecoder]) {
        try {
          const made = new make({ pool: ownPool, batchSize: 64 });
          // A decoder takes most of its memory with the first coded symbol that may tell something.
          if (made instanceof BatchDecoder && made.addRepair(2, 0, new Uint8Array(50)) === "no-memory") failed++;
          made.destroy();
        } catch (error) {
          expect(error).toBeInstanceOf(ArenaFullError);
          failed++;
        }
        expect(own.allocatedBytes).toBe(before);
      }
    }
    expect(failed).toBeGreaterThan(10);
  });

  test("a decoder takes no memory for elimination before a coded symbol can tell something", () => {
    const own = new Arena();
    const ownPool = new SymbolPool({ symbolSize: 100, arena: own });
    const encoder = new BatchEncoder({ pool: ownPool, batchSize: 64 });
    const decoder = new BatchDecoder({ pool: ownPool, batchSize: 64 });
    for (const text of ["one", "two", "three"]) encoder.add(Buffer.from(text));
    const payloads = [2, 3].map((covered) => {
      const payload = new Uint8Array(102);
      return payload.subarray(0, encoder.repair(covered, 0, payload));
    });
    const before = own.allocatedBytes;
    decoder.addSource(0, encoder.symbol(0));
    decoder.addSource(1, encoder.symbol(1));
    expect(decoder.addRepair(2, 0, payloads[0])).toBe("redundant");
    expect(own.allocatedBytes).toBe(before);
    expect(decoder.addRepair(3, 0, payloads[1])).toBe("innovative");
    expect(Buffer.from(decoder.symbol(2)).toString()).toBe("three");
    expect(own.allocatedBytes).toBeGreaterThan(before);
    decoder.destroy();
    encoder.destroy();
    ownPool.destroy();
  });

  test("100,000 batches leave arena and heap as they were after the first thousand", () => {
    const own = new Arena();
    const ownPool = new SymbolPool({ symbolSize: 64, arena: own });
    const encoder = new BatchEncoder({ pool: ownPool, batchSize: 8 });
    const decoder = new BatchDecoder({ pool: ownPool, batchSize: 8 });
    const data = new Uint8Array(64).fill(3);
    const payload = new Uint8Array(66);
    const run = (batches: number) => {
      for (let i = 0; i < batches; i++) {
        for (let s = 0; s < 8; s++) encoder.add(data);
        for (let s = 0; s < 8; s++) if (s !== i % 8) decoder.addSource(s, data);
        encoder.repair(8, i % REPAIR_SEEDS, payload);
        decoder.addRepair(8, i % REPAIR_SEEDS, payload);
        if (!decoder.complete) throw new Error(`batch ${i} is incomplete`);
        encoder.reset();
        decoder.reset();
      }
    };
    run(1000);
    const reserved = own.reservedBytes;
    const allocated = own.allocatedBytes;
    run(99_000);
    expect(own.reservedBytes).toBe(reserved);
    expect(own.allocatedBytes).toBe(allocated);
    expect(ownPool.slotsInUse).toBe(0);
  });
});
