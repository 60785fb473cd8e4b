// The Internet checksum's sum (RFC 1071) with SIMD, and copies, in AssemblyScript, compiled to WebAssembly by `scripts/build.mjs`.
// Addresses are byte offsets into the imported memory; nothing is checked. Not here: headers, lengths, complements.

/**
 * The sum of the big-endian 16-bit words from `start` to `end`, folded to 16 bits: 0 only if all bytes are. An odd last byte counts as
 * if a zero followed. At most 64 KiB, so that no lane overflows.
 */
export function sum(start: usize, end: usize): u32 {
  let at = start;
  let a = i32x4.splat(0);
  let b = i32x4.splat(0);
  // Words are summed up as they lie, little-endian: the order of bytes only turns the result (RFC 1071, section 2).
  for (; at + 32 <= end; at += 32) {
    a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
    b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
  }
  a = i32x4.add(a, b);
  let total: u64 = <u64>(<u32>i32x4.extract_lane(a, 0));
  total += <u64>(<u32>i32x4.extract_lane(a, 1));
  total += <u64>(<u32>i32x4.extract_lane(a, 2));
  total += <u64>(<u32>i32x4.extract_lane(a, 3));
  for (; at + 4 <= end; at += 4) total += <u64>load<u32>(at);
  if (at + 2 <= end) {
    total += <u64>load<u16>(at);
    at += 2;
  }
  if (at < end) total += <u64>load<u8>(at);
  total = (total >> 32) + (total & 0xffffffff);
  total = (total >> 16) + (total & 0xffff);
  total = (total >> 16) + (total & 0xffff);
  let folded: u32 = <u32>total;
  folded = (folded >> 16) + (folded & 0xffff);
  return ((folded & 0xff) << 8) | (folded >> 8);
}

/** Copies `length` bytes; both stretches may overlap. */
export function move(to: usize, from: usize, length: usize): void {
  memory.copy(to, from, length);
}
