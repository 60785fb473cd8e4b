// SIMD kernel of the vector operations over GF(2^8), written in AssemblyScript and compiled to WebAssembly by
// `scripts/build.mjs`. Pointers are byte offsets into the imported memory; lengths are bytes and need not be a
// multiple of 16: no byte past `n` is written, none past the end of a row is read. Arguments are not checked here;
// the contract is that of `Kernel` in ../kernel.ts. Not here: tables (the loader writes them), allocation, safety.
//
// Three ways to multiply, each the fastest of its place (the figures are in docs/design.md):
//  - one coefficient: two 16-entry table look-ups a vector, one a nibble (Plank, Greenan, Miller, "Screaming fast
//    Galois field arithmetic using Intel SIMD instructions", FAST 2013);
//  - a sum of many sources: the sum is split by the bits of the coefficients, y = sum_b a^b (sum of the x_i whose
//    c_i has bit b), so that it takes about four XORs a source and no look-up, with a Horner step between bits;
//  - four or more sums of the same sources: the method of the Four Russians on top of that: the 16 XOR combinations
//    of each four sources are made once, and each row takes one look-up a bit for four sources.

/** Low and high nibble products of every coefficient: 32 bytes each, 8 KiB. Written by the loader. */
export const NIBBLE_TABLES: usize = 0x0400;
/** 16 zero bytes, then 16 bytes of 0xff: `tail & 15` bytes into it is the mask of a row's last bytes. By the loader. */
export const TAIL_MASKS: usize = 0x2400;
/** 16 times 0x1d, the polynomial's low byte. Written by the loader. */
export const REDUCTION: usize = 0x2420;
/** Eight lists of source pointers, one a bit of the coefficients. */
const BIT_LISTS: usize = 0x3000;
/** Where each of those lists ends. */
const BIT_LIST_ENDS: usize = 0x4000;
/** The source pointers of one block, padded to a multiple of eight. */
const BLOCK_SOURCES: usize = 0x4100;
/** The coefficients of one block, transposed bit by bit: 64 bytes a row. */
const BLOCK_BITS: usize = 0x4200;
/** The XOR combinations of one block: 16 groups of 16 entries of 64 bytes. Entry 0 of a group stays zero. */
const COMBINATIONS: usize = 0x6200;
/** First byte that is not the kernel's. */
export const SCRATCH_END: usize = 0xa200;

/** Sources a block. A bit list or a table of combinations holds one block. */
const BLOCK: usize = 64;
/** Rows a pass of `multiply`: their transposed coefficients fill BLOCK_BITS. */
const ROWS: usize = 128;

@inline function product(low: v128, high: v128, x: v128, nibble: v128): v128 {
  return v128.xor(
    i8x16.swizzle(low, v128.and(x, nibble)),
    i8x16.swizzle(high, v128.and(i16x8.shr_u(x, 4), nibble)),
  );
}

/** Multiplies every lane by a (the polynomial x). */
@inline function double(v: v128, zero: v128, reduction: v128): v128 {
  return v128.xor(i8x16.add(v, v), v128.and(i8x16.lt_s(v, zero), reduction));
}

@inline function tailMask(n: usize): v128 {
  return v128.load(TAIL_MASKS + (n & 15));
}

@inline function productOfByte(table: usize, x: u32): u32 {
  return <u32>load<u8>(table + (x & 15)) ^ <u32>load<u8>(table + (x >> 4), 16);
}

/** y += x */
export function xor(y: usize, x: usize, n: usize): void {
  let i: usize = 0;
  for (; i + 32 <= n; i += 32) {
    v128.store(y + i, v128.xor(v128.load(y + i), v128.load(x + i)));
    v128.store(y + i, v128.xor(v128.load(y + i, 16), v128.load(x + i, 16)), 16);
  }
  if (i + 16 <= n) {
    v128.store(y + i, v128.xor(v128.load(y + i), v128.load(x + i)));
    i += 16;
  }
  for (; i < n; ++i) store<u8>(y + i, load<u8>(y + i) ^ load<u8>(x + i));
}

/** y = c y */
export function scale(y: usize, c: u32, n: usize): void {
  const table = NIBBLE_TABLES + (<usize>c << 5);
  const low = v128.load(table);
  const high = v128.load(table, 16);
  const nibble = i8x16.splat(15);
  let i: usize = 0;
  for (; i + 16 <= n; i += 16) v128.store(y + i, product(low, high, v128.load(y + i), nibble));
  for (; i < n; ++i) store<u8>(y + i, productOfByte(table, load<u8>(y + i)));
}

/** y += c x */
export function mulAdd(y: usize, x: usize, c: u32, n: usize): void {
  const table = NIBBLE_TABLES + (<usize>c << 5);
  if (n < 16) {
    for (let i: usize = 0; i < n; ++i) store<u8>(y + i, load<u8>(y + i) ^ productOfByte(table, load<u8>(x + i)));
    return;
  }
  const low = v128.load(table);
  const high = v128.load(table, 16);
  const nibble = i8x16.splat(15);
  // The last 16 bytes overlap what the loop covers: mask off what it has done already.
  const last = v128.and(product(low, high, v128.load(x + n - 16), nibble), tailMask(n));
  let i: usize = 0;
  for (; i + 32 <= n; i += 32) {
    const p = product(low, high, v128.load(x + i), nibble);
    const q = product(low, high, v128.load(x + i, 16), nibble);
    v128.store(y + i, v128.xor(v128.load(y + i), p));
    v128.store(y + i, v128.xor(v128.load(y + i, 16), q), 16);
  }
  if (i + 16 <= n) v128.store(y + i, v128.xor(v128.load(y + i), product(low, high, v128.load(x + i), nibble)));
  if (n & 15) v128.store(y + n - 16, v128.xor(v128.load(y + n - 16), last));
}

/** Bytes [from, n) of a sum by look-ups: what the wide loops below leave over. Needs n >= 16. */
function combineRest(y: usize, sources: usize, coefficients: usize, count: usize, from: usize, n: usize, add: bool): void {
  const nibble = i8x16.splat(15);
  for (let i = from; i < n; i += 16) {
    // The last vector ends at n: it may start before i, at bytes that are done, and those stay as they are.
    const whole = i + 16 <= n;
    const at = whole ? i : n - 16;
    let sum = i32x4.splat(0);
    for (let s: usize = 0; s < count; ++s) {
      const table = NIBBLE_TABLES + (<usize>load<u8>(coefficients + s) << 5);
      const x = v128.load(<usize>load<u32>(sources + (s << 2)) + at);
      sum = v128.xor(sum, product(v128.load(table), v128.load(table, 16), x, nibble));
    }
    if (add) sum = v128.xor(sum, v128.load(y + at));
    v128.store(y + at, whole ? sum : v128.bitselect(sum, v128.load(y + at), tailMask(n)));
  }
}

function combineShort(y: usize, sources: usize, coefficients: usize, count: usize, n: usize, add: bool): void {
  for (let i: usize = 0; i < n; ++i) {
    let sum: u32 = add ? load<u8>(y + i) : 0;
    for (let s: usize = 0; s < count; ++s) {
      const table = NIBBLE_TABLES + (<usize>load<u8>(coefficients + s) << 5);
      sum ^= productOfByte(table, load<u8>(<usize>load<u32>(sources + (s << 2)) + i));
    }
    store<u8>(y + i, sum);
  }
}

/** Sorts a block's sources into the bit lists. */
@inline function fillBitLists(sources: usize, coefficients: usize, count: usize): void {
  let l0 = BIT_LISTS, l1 = l0 + 0x200, l2 = l1 + 0x200, l3 = l2 + 0x200;
  let l4 = l3 + 0x200, l5 = l4 + 0x200, l6 = l5 + 0x200, l7 = l6 + 0x200;
  for (let s: usize = 0; s < count; ++s) {
    const x = load<u32>(sources + (s << 2));
    const c = <usize>load<u8>(coefficients + s);
    store<u32>(l0, x); l0 += (c << 2) & 4;
    store<u32>(l1, x); l1 += (c << 1) & 4;
    store<u32>(l2, x); l2 += c & 4;
    store<u32>(l3, x); l3 += (c >> 1) & 4;
    store<u32>(l4, x); l4 += (c >> 2) & 4;
    store<u32>(l5, x); l5 += (c >> 3) & 4;
    store<u32>(l6, x); l6 += (c >> 4) & 4;
    store<u32>(l7, x); l7 += (c >> 5) & 4;
  }
  store<u32>(BIT_LIST_ENDS, l0, 0); store<u32>(BIT_LIST_ENDS, l1, 4);
  store<u32>(BIT_LIST_ENDS, l2, 8); store<u32>(BIT_LIST_ENDS, l3, 12);
  store<u32>(BIT_LIST_ENDS, l4, 16); store<u32>(BIT_LIST_ENDS, l5, 20);
  store<u32>(BIT_LIST_ENDS, l6, 24); store<u32>(BIT_LIST_ENDS, l7, 28);
}

/**
 * One block's share of 112 bytes of a sum, or of 96 where `seven` is false, from the bit lists; `add` keeps what y holds
 * already. `seven` is a constant at every call, so that the compiler makes two functions of it.
 */
@inline function sum(y: usize, at: usize, add: bool, seven: bool, zero: v128, reduction: v128): void {
  // Seven accumulators and seven loads are what fits sixteen vector registers without spilling.
  let a0 = zero, a1 = zero, a2 = zero, a3 = zero, a4 = zero, a5 = zero, a6 = zero;
  let bit: usize = 7;
  while (true) {
    const end = <usize>load<u32>(BIT_LIST_ENDS + (bit << 2));
    for (let l = BIT_LISTS + (bit << 9); l < end; l += 4) {
      const x = <usize>load<u32>(l) + at;
      a0 = v128.xor(a0, v128.load(x));
      a1 = v128.xor(a1, v128.load(x, 16));
      a2 = v128.xor(a2, v128.load(x, 32));
      a3 = v128.xor(a3, v128.load(x, 48));
      a4 = v128.xor(a4, v128.load(x, 64));
      a5 = v128.xor(a5, v128.load(x, 80));
      if (seven) a6 = v128.xor(a6, v128.load(x, 96));
    }
    if (!bit) break;
    --bit;
    a0 = double(a0, zero, reduction);
    a1 = double(a1, zero, reduction);
    a2 = double(a2, zero, reduction);
    a3 = double(a3, zero, reduction);
    a4 = double(a4, zero, reduction);
    a5 = double(a5, zero, reduction);
    if (seven) a6 = double(a6, zero, reduction);
  }
  const p = y + at;
  if (add) {
    a0 = v128.xor(a0, v128.load(p));
    a1 = v128.xor(a1, v128.load(p, 16));
    a2 = v128.xor(a2, v128.load(p, 32));
    a3 = v128.xor(a3, v128.load(p, 48));
    a4 = v128.xor(a4, v128.load(p, 64));
    a5 = v128.xor(a5, v128.load(p, 80));
    if (seven) a6 = v128.xor(a6, v128.load(p, 96));
  }
  v128.store(p, a0);
  v128.store(p, a1, 16);
  v128.store(p, a2, 32);
  v128.store(p, a3, 48);
  v128.store(p, a4, 64);
  v128.store(p, a5, 80);
  if (seven) v128.store(p, a6, 96);
}

/** y = sum c_i x_i: `sources` points to `count` u32 pointers, `coefficients` to `count` bytes. y is no source. */
export function combine(y: usize, sources: usize, coefficients: usize, count: usize, n: usize): void {
  combineInto(y, sources, coefficients, count, n, false);
}

/** y += sum c_i x_i. */
export function combineAdd(y: usize, sources: usize, coefficients: usize, count: usize, n: usize): void {
  combineInto(y, sources, coefficients, count, n, true);
}

function combineInto(y: usize, sources: usize, coefficients: usize, count: usize, n: usize, add: bool): void {
  if (n < 16) return combineShort(y, sources, coefficients, count, n, add);
  // Whole vectors in steps of seven and six: 16 (7 a + 6 b) bytes, which 30 vectors and more always allow.
  const vectors = n >> 4;
  const sixes = (vectors * 6) % 7;
  const wide = vectors >= 6 * sixes && count ? vectors << 4 : 0;
  if (wide) {
    const zero = i32x4.splat(0);
    const reduction = v128.load(REDUCTION);
    const turn = wide - 96 * sixes;
    for (let done: usize = 0; done < count; done += BLOCK) {
      fillBitLists(sources + (done << 2), coefficients + done, min(BLOCK, count - done));
      let i: usize = 0;
      for (; i < turn; i += 112) sum(y, i, add || done != 0, true, zero, reduction);
      for (; i < wide; i += 96) sum(y, i, add || done != 0, false, zero, reduction);
    }
  }
  if (wide < n) combineRest(y, sources, coefficients, count, wide, n, add);
}

/** Transposes an 8x8 matrix of bits: byte b of the result holds bit b of every byte of x. */
@inline function transposeBits(x: u64): u64 {
  let t = (x ^ (x >> 7)) & 0x00aa00aa00aa00aa;
  x = x ^ t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000cccc0000cccc;
  x = x ^ t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000f0f0f0f0;
  return x ^ t ^ (t << 28);
}

/** Stores the 15 sums of 64 bytes of four sources to a group of COMBINATIONS; entry e holds the sources in e's bits. */
function fillCombinations(table: usize, x0: usize, x1: usize, x2: usize, x3: usize): void {
  for (let i: usize = 0; i < 64; i += 16) {
    const a = v128.load(x0 + i), b = v128.load(x1 + i), c = v128.load(x2 + i), d = v128.load(x3 + i);
    const ab = v128.xor(a, b), cd = v128.xor(c, d);
    const t = table + i;
    v128.store(t, a, 0x40);
    v128.store(t, b, 0x80);
    v128.store(t, ab, 0xc0);
    v128.store(t, c, 0x100);
    v128.store(t, v128.xor(a, c), 0x140);
    v128.store(t, v128.xor(b, c), 0x180);
    v128.store(t, v128.xor(ab, c), 0x1c0);
    v128.store(t, d, 0x200);
    v128.store(t, v128.xor(a, d), 0x240);
    v128.store(t, v128.xor(b, d), 0x280);
    v128.store(t, v128.xor(ab, d), 0x2c0);
    v128.store(t, cd, 0x300);
    v128.store(t, v128.xor(a, cd), 0x340);
    v128.store(t, v128.xor(b, cd), 0x380);
    v128.store(t, v128.xor(ab, cd), 0x3c0);
  }
}

/** Copies a block's source pointers, padded to whole groups of eight with the first, whose padding coefficients are 0. */
@inline function loadBlockSources(sources: usize, size: usize, octets: usize): void {
  for (let s: usize = 0; s < octets << 3; ++s) {
    store<u32>(BLOCK_SOURCES + (s << 2), load<u32>(sources + ((s < size ? s : 0) << 2)));
  }
}

/** Transposes one row's coefficients of a block to `bits`, eight bytes a bit. */
@inline function loadBlockBits(bits: usize, coefficients: usize, size: usize, octets: usize): void {
  for (let j: usize = 0; j < octets; ++j) {
    const left = size - (j << 3);
    let w: u64 = 0;
    if (left >= 8) w = load<u64>(coefficients + (j << 3));
    else for (let s: usize = 0; s < left; ++s) w |= load<u8>(coefficients + (j << 3) + s) << (<u64>s << 3);
    w = transposeBits(w);
    for (let b: usize = 0; b < 64; b += 8) store<u8>(bits + b + j, <u8>(w >> b));
  }
}

function multiplyPass(
  ys: usize, sources: usize, coefficients: usize, rows: usize, count: usize, wide: usize, add: bool,
): void {
  const zero = i32x4.splat(0);
  const reduction = v128.load(REDUCTION);
  for (let done: usize = 0; done < count; done += BLOCK) {
    const size = min(BLOCK, count - done);
    const octets = (size + 7) >> 3;
    loadBlockSources(sources + (done << 2), size, octets);
    for (let r: usize = 0; r < rows; ++r) {
      loadBlockBits(BLOCK_BITS + (r << 6), coefficients + r * count + done, size, octets);
    }
    for (let i: usize = 0; i < wide; i += 64) {
      let table = COMBINATIONS;
      for (let s = BLOCK_SOURCES; s < BLOCK_SOURCES + (octets << 5); s += 16) {
        fillCombinations(
          table,
          <usize>load<u32>(s) + i,
          <usize>load<u32>(s, 4) + i,
          <usize>load<u32>(s, 8) + i,
          <usize>load<u32>(s, 12) + i,
        );
        table += 0x400;
      }
      for (let r: usize = 0; r < rows; ++r) {
        let a0 = zero, a1 = zero, a2 = zero, a3 = zero;
        const first = BLOCK_BITS + (r << 6);
        let bits = first + 56;
        while (true) {
          let group = COMBINATIONS;
          for (let j: usize = 0; j < octets; ++j) {
            const w = <usize>load<u8>(bits + j);
            const u = group + ((w & 15) << 6);
            const v = group + ((w & 240) << 2);
            a0 = v128.xor(a0, v128.xor(v128.load(u), v128.load(v, 0x400)));
            a1 = v128.xor(a1, v128.xor(v128.load(u, 16), v128.load(v, 0x410)));
            a2 = v128.xor(a2, v128.xor(v128.load(u, 32), v128.load(v, 0x420)));
            a3 = v128.xor(a3, v128.xor(v128.load(u, 48), v128.load(v, 0x430)));
            group += 0x800;
          }
          if (bits == first) break;
          bits -= 8;
          a0 = double(a0, zero, reduction);
          a1 = double(a1, zero, reduction);
          a2 = double(a2, zero, reduction);
          a3 = double(a3, zero, reduction);
        }
        const y = <usize>load<u32>(ys + (r << 2)) + i;
        if (add || done) {
          a0 = v128.xor(a0, v128.load(y));
          a1 = v128.xor(a1, v128.load(y, 16));
          a2 = v128.xor(a2, v128.load(y, 32));
          a3 = v128.xor(a3, v128.load(y, 48));
        }
        v128.store(y, a0);
        v128.store(y, a1, 16);
        v128.store(y, a2, 32);
        v128.store(y, a3, 48);
      }
    }
  }
}

/**
 * y_r = sum_i c_ri x_i: `ys` points to `rows` u32 pointers, `coefficients` to rows x count bytes, row by row.
 * No y is a source or another y.
 */
export function multiply(ys: usize, sources: usize, coefficients: usize, rows: usize, count: usize, n: usize): void {
  multiplyInto(ys, sources, coefficients, rows, count, n, false);
}

/** y_r += sum_i c_ri x_i. */
export function multiplyAdd(ys: usize, sources: usize, coefficients: usize, rows: usize, count: usize, n: usize): void {
  multiplyInto(ys, sources, coefficients, rows, count, n, true);
}

function multiplyInto(
  ys: usize, sources: usize, coefficients: usize, rows: usize, count: usize, n: usize, add: bool,
): void {
  if (rows < 4 || n < 64 || !count) {
    for (let r: usize = 0; r < rows; ++r) {
      combineInto(<usize>load<u32>(ys + (r << 2)), sources, coefficients + r * count, count, n, add);
    }
    return;
  }
  const wide = n & ~63;
  for (let r: usize = 0; r < rows; r += ROWS) {
    multiplyPass(ys + (r << 2), sources, coefficients + r * count, min(ROWS, rows - r), count, wide, add);
  }
  if (wide == n) return;
  for (let r: usize = 0; r < rows; ++r) {
    combineRest(<usize>load<u32>(ys + (r << 2)), sources, coefficients + r * count, count, wide, n, add);
  }
}
