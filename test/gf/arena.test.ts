import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Arena } from "../../src/gf/index.ts";

describe("the arena", () => {
  test("live allocations never overlap, keep their content and are all given back", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 0, max: 70_000 })), { maxLength: 60 }), (steps) => {
        const arena = new Arena({ initialBytes: 65536 });
        const live: { pointer: number; size: number; mark: number }[] = [];
        let mark = 0;
        for (const [choice, size] of steps) {
          if (choice === 0 && live.length > 0) {
            const [gone] = live.splice(size % live.length, 1);
            arena.free(gone.pointer, gone.size);
          } else {
            const pointer = arena.allocate(size);
            mark = (mark + 1) & 255;
            arena.view(pointer, size).fill(mark);
            live.push({ pointer, size, mark });
          }
          for (const { pointer, size: length, mark: expected } of live) {
            const view = arena.view(pointer, length);
            expect(pointer % 64).toBe(0);
            expect(view.length).toBe(length);
            expect(view.every((byte) => byte === expected)).toBe(true);
          }
        }
        for (const { pointer, size } of live) arena.free(pointer, size);
        expect(arena.allocatedBytes).toBe(0);
        const reserved = arena.reservedBytes;
        arena.allocate(reserved - 65536);
        expect(arena.reservedBytes).toBe(reserved);
      }),
      { numRuns: 50 },
    );
  });

  test("pointers survive growth and views are re-fetched", () => {
    const arena = new Arena({ initialBytes: 65536 });
    const pointer = arena.allocate(100);
    const stale = arena.view(pointer, 100);
    stale.fill(9);
    arena.allocate(10 << 20);
    expect(stale.length).toBe(0);
    expect(arena.view(pointer, 100).every((byte) => byte === 9)).toBe(true);
  });

  test("the scalar kernel follows growth", () => {
    const arena = new Arena({ initialBytes: 65536, kernel: "scalar" });
    const x = arena.allocate(16);
    arena.view(x, 16).fill(3);
    const y = arena.allocateZeroed(4 << 20);
    arena.kernel.mulAdd(y, x, 1, 16);
    expect([...arena.view(y, 17)]).toEqual([...Array(16).fill(3), 0]);
  });

  test("it works without WebAssembly", () => {
    const wasm = globalThis.WebAssembly;
    try {
      Object.assign(globalThis, { WebAssembly: undefined });
      const arena = new Arena({ initialBytes: 65536, kernel: "scalar" });
      const pointer = arena.allocate(100);
      arena.view(pointer, 100).fill(5);
      const more = arena.allocateZeroed(1 << 20);
      arena.kernel.xor(more, pointer, 100);
      expect(arena.view(more, 101)[99]).toBe(5);
      expect(arena.view(more, 101)[100]).toBe(0);
    } finally {
      globalThis.WebAssembly = wasm;
    }
  });

  test("a full arena, a bad size and a double free are RangeErrors, and nothing is lost", () => {
    const arena = new Arena({ initialBytes: 65536, maximumBytes: 131072 });
    expect(() => arena.allocate(200_000)).toThrow(/its maximum is 131072/);
    const pointer = arena.allocate(64);
    arena.free(pointer, 64);
    expect(() => arena.free(pointer, 64)).toThrow(/not allocated/);
    expect(() => arena.free(pointer + 1, 64)).toThrow(/not allocated/);
    expect(() => arena.free(0, 64)).toThrow(/not allocated/);
    expect(() => arena.allocate(-1)).toThrow("size is -1");
    expect(() => arena.allocate(1.5)).toThrow("size is 1.5");
    expect(arena.allocatedBytes).toBe(0);
    expect(() => new Arena({ initialBytes: 0 })).toThrow(RangeError);
    expect(() => new Arena({ maximumBytes: 2 ** 33 })).toThrow(RangeError);
  });
});
