/**
 * An independent implementation of docs/wire-format.md, written from that page alone: it shares no code with the
 * library (only the numbers of the degree tables, which the page refers to). Slow and plain on purpose.
 */
import { DEGREE_TABLES } from "../../src/codec/degree-tables.ts";

// Arithmetic in GF(2^8), by definition.

function multiplyByDefinition(a: number, b: number): number {
  let product = 0;
  for (let bit = 7; bit >= 0; bit--) {
    product = (product << 1) ^ (product & 0x80 ? 0x11d : 0) ^ ((b >> bit) & 1 ? a : 0);
  }
  return product;
}

const PRODUCTS = Array.from({ length: 256 }, (_, a) =>
  Uint8Array.from({ length: 256 }, (_, b) => multiplyByDefinition(a, b)),
);
const multiply = (a: number, b: number): number => PRODUCTS[a]![b]!;
const divide = (a: number, b: number): number => PRODUCTS[b]!.indexOf(a);

/** target += factor * row */
function addMultiple(target: Uint8Array, factor: number, row: Uint8Array): void {
  const products = PRODUCTS[factor]!;
  if (factor) for (let i = 0; i < row.length; i++) target[i]! ^= products[row[i]!]!;
}

// Linear equations.

/** The sum of coefficients[i] times symbol i is the value. */
export interface Equation {
  coefficients: Uint8Array;
  value: Uint8Array;
}

/** All symbols, from those known and the equations; undefined if these do not determine them. */
function solve(known: readonly (Uint8Array | undefined)[], equations: Equation[]): Uint8Array[] | undefined {
  const unknowns = [...known.keys()].filter((i) => !known[i]);
  const width = unknowns.length;
  // Gaussian elimination. Each row: the coefficients of the unknown symbols, then the value less the known symbols.
  let rows = equations.map(({ coefficients, value }) => {
    const rest = value.slice();
    for (let i = 0; i < coefficients.length; i++) {
      const symbol = coefficients[i] ? known[i] : undefined;
      if (symbol) addMultiple(rest, coefficients[i]!, symbol);
    }
    return Uint8Array.from([...unknowns.map((i) => coefficients[i]!), ...rest]);
  });
  const pivots: Uint8Array[] = [];
  for (let column = 0; column < width; column++) {
    const found = rows.find((row) => row[column]);
    if (!found) return undefined;
    const pivot = new Uint8Array(found.length);
    addMultiple(pivot, divide(1, found[column]!), found);
    rows = rows.filter((row) => row !== found);
    for (const row of rows) addMultiple(row.subarray(column), row[column]!, pivot.subarray(column));
    pivots.push(pivot);
  }
  // No unknown is left in the other rows.
  if (rows.some((row) => row.some((byte) => byte))) throw new Error("The symbols contradict each other.");
  const symbols = [...known];
  for (const [column, pivot] of [...pivots.entries()].reverse()) {
    const symbol = pivot.slice(width);
    for (let later = column + 1; later < width; later++) addMultiple(symbol, pivot[later]!, symbols[unknowns[later]!]!);
    symbols[unknowns[column]!] = symbol;
  }
  return symbols as Uint8Array[];
}

// TinyMT32, RFC 8682.

class TinyMT32 {
  readonly state: Uint32Array;

  constructor(seed: number) {
    const s = Uint32Array.of(seed, 0x8f7011ee, 0xfc78ff1f, 0x3793fdff);
    this.state = s;
    for (let i = 1; i < 8; i++) {
      const last = s[(i - 1) & 3]!;
      s[i & 3]! ^= i + Math.imul(1812433253, last ^ (last >>> 30));
    }
    for (let i = 0; i < 8; i++) this.step();
  }

  step(): void {
    const s = this.state;
    let x = (s[0]! & 0x7fffffff) ^ s[1]! ^ s[2]!;
    x ^= x << 1;
    const y = s[3]! ^ (s[3]! >>> 1) ^ x;
    s.set([s[1]!, s[2]!, x ^ (y << 10), y]);
    if (y & 1) {
      s[1]! ^= 0x8f7011ee;
      s[2]! ^= 0xfc78ff1f;
    }
  }

  next(): number {
    this.step();
    const s = this.state;
    const t = s[0]! + (s[2]! >>> 8);
    return (s[3]! ^ t ^ (t & 1 ? 0x3793fdff : 0)) >>> 0;
  }

  below(n: number): number {
    return Math.floor((n * this.next()) / 2 ** 32);
  }
}

// Inner code.

export function repairCoefficients(covered: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: covered }, (_, i) => divide(64 ^ i, (64 + seed) ^ i));
}

/** The source symbols of a batch of as many as `received` has items: those received as they are, and coded symbols. */
export function decodeBatch(received: (Uint8Array | undefined)[], coded: Equation[]): Uint8Array[] | undefined {
  const length = Math.max(...received.map((s) => 2 + (s?.length ?? 0)), ...coded.map(({ value }) => value.length));
  const padded = (...parts: Iterable<number>[]): Uint8Array => {
    const symbol = new Uint8Array(length);
    symbol.set(parts.flatMap((part) => [...part]));
    return symbol;
  };
  const symbols = solve(
    received.map((symbol) => symbol && padded([symbol.length & 255, symbol.length >> 8], symbol)),
    coded.map(({ coefficients, value }) => {
      const all = new Uint8Array(received.length);
      all.set(coefficients);
      return { coefficients: all, value: padded(value) };
    }),
  );
  return symbols?.map((symbol) => symbol.slice(2, 2 + symbol[0]! + 256 * symbol[1]!));
}

// Outer code.

function isPrime(n: number): boolean {
  for (let i = 2; i * i <= n; i++) if (n % i === 0) return false;
  return n > 1;
}

function binomial(n: number, k: number): number {
  return k === 0 ? 1 : (binomial(n - 1, k - 1) * n) / k;
}

/** S and H for K. */
function precodeSize(k: number): [number, number] {
  if (k <= 128) return [0, 0];
  let x = 1;
  while (x * (x - 1) < 2 * k) x++;
  let s = Math.max(Math.ceil(k / 100) + x, Math.ceil(k / 25));
  while (!isPrime(s)) s++;
  let h = 1;
  while (binomial(h, Math.ceil(h / 2)) < k + s) h++;
  return [s, h];
}

/** That each LDPC and HDPC symbol is what it is: its combination and itself add up to zero. */
function precodeEquations(k: number, s: number, h: number, symbolSize: number): Equation[] {
  if (s === 0) return [];
  const rows = Array.from({ length: s + h }, () => new Uint8Array(k + s + h));
  rows.forEach((row, i) => {
    row[k + i] = 1;
  });
  for (let i = 0; i < k; i++) {
    const step = 1 + Math.floor(i / s);
    const b = i % s;
    for (const place of [b, b + step, b + 2 * step]) rows[place % s]![i]! ^= 1;
  }
  const hdpc = rows.slice(s);
  const generator = new TinyMT32(k);
  const chosen = Array.from({ length: k + s - 1 }, () => {
    const p = generator.below(h);
    return [p, (p + 1 + generator.below(h - 1)) % h];
  });
  // c_i is in g_i once, in g_(i+1) times a, in g_(i+2) times a^2, ...: from the last g to the first.
  hdpc.forEach((row, number) => {
    let coefficient = 1;
    for (let i = 0; i < number; i++) coefficient = multiply(coefficient, 2);
    row[k + s - 1] = coefficient;
    for (let i = k + s - 2; i >= 0; i--) {
      coefficient = multiply(coefficient, 2) ^ (chosen[i]!.includes(number) ? 1 : 0);
      row[i] = coefficient;
    }
  });
  return rows.map((coefficients) => ({ coefficients, value: new Uint8Array(symbolSize) }));
}

/** The object, or undefined if the symbols do not determine it. */
export function decodeObject(parameters: Uint8Array, symbols: Iterable<Uint8Array>): Uint8Array | undefined {
  const view = new DataView(parameters.buffer, parameters.byteOffset, 20);
  const batchSize = view.getUint8(2);
  const tableId = view.getUint8(3);
  const symbolSize = view.getUint16(4, true);
  const objectSize = Number(view.getBigUint64(8, true));
  const tag = view.getUint32(16, true);
  if (view.getUint16(0, true) !== 1 || view.getUint16(6, true) !== 0) throw new Error("Another version.");
  const table = DEGREE_TABLES.find(({ id }) => id === tableId);
  if (tableId !== 0 && table?.batchSize !== batchSize) throw new Error("No such degree table.");

  const symbolCount = Math.ceil(objectSize / symbolSize);
  const blockCount = Math.ceil(symbolCount / 65000);
  const blocks = Array.from({ length: blockCount }, (_, i) => {
    const k = i < symbolCount % blockCount ? Math.ceil(symbolCount / blockCount) : Math.floor(symbolCount / blockCount);
    const [s, h] = precodeSize(k);
    const l = k + s + h;
    const equations = precodeEquations(k, s, h, symbolSize);
    return { k, parity: s + h, l, known: new Array<Uint8Array | undefined>(l).fill(undefined), equations };
  });

  const degree = (j: number, { k, parity, l }: (typeof blocks)[number]): number => {
    if (k <= 128) return l;
    if (table) return Math.min(l, table.degrees[table.cumulative.findIndex((c) => c > (40503 * j) % 65536)]!);
    const part = (divisor: number, n: number) => Math.ceil((5 * l * batchSize) / (divisor * (batchSize * n + parity)));
    return Math.min(l, Math.max(batchSize, part(4, j), part(8, j % 4)));
  };

  /** The intermediate symbols of the block that a batch combines, and for each batch symbol their coefficients. */
  const describeBatch = (id: number): { combined: number[]; rows: Uint8Array[] } => {
    const block = blocks[id % blockCount]!;
    const { k, l } = block;
    const number = Math.floor(id / blockCount);
    const sourceBatches = tableId === 0 ? Math.ceil(k / batchSize) : 0;
    if (number < sourceBatches) {
      const first = batchSize * number;
      const combined = Array.from({ length: Math.min(batchSize, k - first) }, (_, j) => first + j);
      return { combined, rows: combined.map((_, j) => new Uint8Array(combined.length).fill(1, j, j + 1)) };
    }
    const d = degree(number - sourceBatches, block);
    const generator = new TinyMT32(tag + Math.imul(0x9e3779b1, id));
    const p = Array.from({ length: l }, (_, i) => i);
    for (let i = 0; d < l && i < d; i++) {
      const other = i + generator.below(l - i);
      [p[i], p[other]] = [p[other]!, p[i]!];
    }
    const rows = Array.from({ length: batchSize }, () => {
      const row = new Uint8Array(d);
      for (let i = 0, bits = 0; i < d; i++, bits >>>= 8) {
        if (i % 4 === 0) bits = generator.next();
        row[i] = bits;
      }
      return row;
    });
    return { combined: p.slice(0, d), rows };
  };

  const batches = new Map<number, ReturnType<typeof describeBatch>>();
  for (const symbol of symbols) {
    const index = symbol[8]!;
    const recoded = index === 255;
    const header = new DataView(symbol.buffer, symbol.byteOffset, symbol.length);
    if (symbol.length !== 9 + (recoded ? batchSize : 0) + symbolSize || header.getUint32(0, true) !== tag) continue;
    const id = header.getUint32(4, true);
    const { combined, rows } = batches.get(id) ?? describeBatch(id);
    batches.set(id, { combined, rows });
    const { known, equations, l } = blocks[id % blockCount]!;
    const value = symbol.slice(symbol.length - symbolSize);
    const sum = new Uint8Array(combined.length);
    for (let r = 0; r < rows.length; r++) {
      if (recoded || r === index) addMultiple(sum, recoded ? symbol[9 + r]! : 1, rows[r]!);
    }
    const nonzero = sum.filter((coefficient) => coefficient);
    if (nonzero.length === 1 && nonzero[0] === 1) {
      // A symbol as it is needs no equation.
      known[combined[sum.indexOf(1)]!] = value;
    } else if (nonzero.length > 0) {
      const coefficients = new Uint8Array(l);
      combined.forEach((i, position) => {
        coefficients[i] = sum[position]!;
      });
      equations.push({ coefficients, value });
    }
  }

  const object = new Uint8Array(symbolCount * symbolSize);
  let offset = 0;
  for (const { k, known, equations } of blocks) {
    const decoded = solve(known, equations);
    if (!decoded) return undefined;
    for (const symbol of decoded.slice(0, k)) {
      object.set(symbol, offset);
      offset += symbolSize;
    }
  }
  return object.slice(0, objectSize);
}
