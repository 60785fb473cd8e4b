/**
 * The precode of the outer code: S LDPC and H HDPC symbols that make L = K + S + H intermediate symbols of the K source symbols of
 * a block, so that a decoder gets the few symbols that no batch reached. The parts are those of RFC 6330, section 5.3.3.3,
 * with three differences: S and H follow from K by the formulas of RFC 5053, section 5.4.2.3, for every K, but S is at least 4 %
 * of K, for batches are made to reach all but 3 % of the symbols by themselves; LDPC symbols have no
 * terms among permanently inactive symbols, so that all parity follows from the source without solving; TinyMT32 takes the
 * place of Rand.
 *
 * Intermediate symbols, in order: the source symbols 0 to K - 1, the LDPC symbols, the HDPC symbols.
 */
import { EXP, type Kernel, type Pointer } from "../gf/index.ts";
import { TinyMt32 } from "./tinymt32.ts";

/** Up to this many source symbols there is no precode and every batch is a combination of them all. */
export const DENSE_LIMIT = 128;

export interface PrecodeSizes {
  /** K */
  readonly source: number;
  /** S */
  readonly ldpc: number;
  /** H */
  readonly hdpc: number;
  /** L = K + S + H */
  readonly intermediate: number;
}

/** S, H and L for K source symbols. */
export function precodeSizes(source: number): PrecodeSizes {
  if (source <= DENSE_LIMIT) return { source, ldpc: 0, hdpc: 0, intermediate: source };
  let x = 1;
  while (x * (x - 1) < 2 * source) x++;
  let ldpc = Math.max(Math.ceil(source / 100) + x, Math.ceil(source / 25));
  while (!isPrime(ldpc)) ldpc++;
  let hdpc = 1;
  while (binomial(hdpc, Math.ceil(hdpc / 2)) < source + ldpc) hdpc++;
  return { source, ldpc, hdpc, intermediate: source + ldpc + hdpc };
}

function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return n > 1;
}

function binomial(n: number, k: number): number {
  let result = 1;
  for (let i = 1; i <= k; i++) result = (result * (n - k + i)) / i;
  return Math.round(result);
}

/** Calls `visit` for each of the three LDPC symbols (0 to S - 1) that source symbol `index` is part of. */
export function forEachLdpc({ ldpc }: PrecodeSizes, index: number, visit: (row: number) => void): void {
  const step = 1 + Math.floor(index / ldpc);
  let row = index % ldpc;
  visit(row);
  row = (row + step) % ldpc;
  visit(row);
  row = (row + step) % ldpc;
  visit(row);
}

/**
 * The two HDPC symbols that the running sum g_i, for i from 0 to K + S - 2, is added to: first[i] and second[i]. The last g is
 * added to all, times a^h to symbol h.
 */
function hdpcTaps({ source, ldpc, hdpc }: PrecodeSizes): { first: Uint8Array; second: Uint8Array } {
  const length = source + ldpc - 1;
  const first = new Uint8Array(length);
  const second = new Uint8Array(length);
  const generator = new TinyMt32(source);
  for (let i = 0; i < length; i++) {
    first[i] = generator.below(hdpc);
    second[i] = (first[i] + 1 + generator.below(hdpc - 1)) % hdpc;
  }
  return { first, second };
}

/**
 * Computes the LDPC and HDPC symbols in place: symbol i of `length` bytes lies at base + i stride, source symbols are there,
 * the others are zero. `work` is room for one more symbol.
 */
export function computeParity(
  sizes: PrecodeSizes,
  kernel: Kernel,
  base: Pointer,
  stride: number,
  length: number,
  work: Pointer,
): void {
  const { source, ldpc, hdpc } = sizes;
  if (hdpc === 0) return;
  const ldpcBase = base + source * stride;
  for (let i = 0; i < source; i++) {
    forEachLdpc(sizes, i, (row) => kernel.xor(ldpcBase + row * stride, base + i * stride, length));
  }
  // g_i = a g_(i-1) + c_i is the i-th element of GAMMA times the symbols so far.
  const { first, second } = hdpcTaps(sizes);
  const hdpcBase = ldpcBase + ldpc * stride;
  const last = source + ldpc - 1;
  kernel.scale(work, 0, length);
  for (let i = 0; i <= last; i++) {
    kernel.scale(work, 2, length);
    kernel.xor(work, base + i * stride, length);
    if (i === last) break;
    kernel.xor(hdpcBase + first[i] * stride, work, length);
    kernel.xor(hdpcBase + second[i] * stride, work, length);
  }
  for (let h = 0; h < hdpc; h++) kernel.mulAdd(hdpcBase + h * stride, work, EXP[h % 255], length);
}

/**
 * The coefficients of the HDPC constraints: H rows of L bytes, row h saying sum of row[i] c_i = 0 over all intermediate
 * symbols.
 */
export function hdpcConstraints(sizes: PrecodeSizes): Uint8Array {
  const { source, ldpc, hdpc, intermediate } = sizes;
  const rows = new Uint8Array(hdpc * intermediate);
  if (hdpc === 0) return rows;
  const { first, second } = hdpcTaps(sizes);
  const last = source + ldpc - 1;
  // Column i is a times column i + 1 plus what g_i itself is added to.
  for (let h = 0; h < hdpc; h++) rows[h * intermediate + last] = EXP[h % 255];
  for (let i = last - 1; i >= 0; i--) {
    for (let h = 0; h < hdpc; h++) {
      const doubled = rows[h * intermediate + i + 1] << 1;
      rows[h * intermediate + i] = doubled > 255 ? doubled ^ 0x11d : doubled;
    }
    rows[first[i] * intermediate + i] ^= 1;
    rows[second[i] * intermediate + i] ^= 1;
  }
  for (let h = 0; h < hdpc; h++) rows[h * intermediate + source + ldpc + h] = 1;
  return rows;
}
