import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  LAST_BIT,
  SYMBOL_REPAIR,
  SYMBOL_SOURCE,
  SymbolFrame,
  UNRELIABLE_BIT,
  writeRepairHeader,
  writeSourceHeader,
} from "../../../src/transport/session/frames.ts";
import {
  readSessionFrames,
  type SessionFrameHandler,
  writeStreamHeader,
} from "../../../src/transport/session/session-frames.ts";

/** The frames of a stream that a symbol holds; null when it is malformed. */
function streamFrames(symbol: Uint8Array): [number, number, number[], boolean, boolean][] | null {
  const frames: [number, number, number[], boolean, boolean][] = [];
  const ignore = () => null;
  const handler: SessionFrameHandler = {
    onStreamData: (stream, offset, data, fin, compressed) => {
      frames.push([stream, offset, [...data], fin, compressed]);
      return null;
    },
    onResetStream: ignore,
    onStopSending: ignore,
    onMaxData: ignore,
    onMaxStreamData: ignore,
    onMaxStreams: ignore,
    onDataBlocked: ignore,
    onMessage: ignore,
  };
  return readSessionFrames(symbol, handler) === null ? frames : null;
}

describe("a symbol frame", () => {
  test("has the layout of the wire format, with a length and without", () => {
    const bytes = new Uint8Array(16);
    const source = (type: number) => [...bytes.subarray(0, writeSourceHeader(bytes, 0, type, 300, 290, 5, true, 1400))];
    expect(source(SYMBOL_SOURCE)).toEqual([0x01, 0x41, 0x2c, 10, 0x85, 0x45, 0x78]);
    expect(source(SYMBOL_SOURCE | LAST_BIT)).toEqual([0x09, 0x41, 0x2c, 10, 0x85]);
    const type = SYMBOL_REPAIR | LAST_BIT | UNRELIABLE_BIT;
    const end = writeRepairHeader(bytes, 0, type, 300, 290, 64, 7, false, 1402);
    expect([...bytes.subarray(0, end)]).toEqual([0x2a, 0x41, 0x2c, 10, 64, 7]);
  });

  test("without a length runs to the end of the packet, whatever that is", () => {
    const frame = new SymbolFrame();
    fc.assert(
      fc.property(fc.nat(20_000), fc.nat(300), fc.nat(63), fc.nat(1400), (batch, lag, index, length) => {
        fc.pre(lag <= batch);
        const bytes = new Uint8Array(1500);
        const at = writeSourceHeader(bytes, 3, SYMBOL_SOURCE | LAST_BIT, batch, batch - lag, index, false, length);
        expect(frame.read(bytes, 3, at + length)).toBe(at + length);
        expect(frame).toMatchObject({ type: SYMBOL_SOURCE, batch, lowestLive: batch - lag, index });
        expect(frame).toMatchObject({ unreliable: false, start: at, end: at + length });
        // Not even its name is there.
        expect(frame.read(bytes, 3, at - 1)).toBe(-1);
      }),
    );
  });

  test("of a type that takes no symbol is malformed, also where it claims to have no length", () => {
    const frame = new SymbolFrame();
    const known = new Set([1, 2, 3, 4].flatMap((type) => [type, type | 0x08, type | 0x20, type | 0x28]));
    for (let type = 0; type < 256; type++) {
      expect(frame.read(Uint8Array.of(type, 0, 0, 1, 0, 0), 0, 6) >= 0).toBe(known.has(type));
    }
  });
});

describe("a stream frame", () => {
  test("without a length runs to the end of its symbol", () => {
    const symbol = new Uint8Array(12);
    const at = writeStreamHeader(symbol, 0, 4, 70_000, -1, true, false);
    symbol.fill(9, at);
    expect([...symbol]).toEqual([0x1d, 4, 0x80, 0x01, 0x11, 0x70, 9, 9, 9, 9, 9, 9]);
    expect(streamFrames(symbol)).toEqual([[4, 70_000, [9, 9, 9, 9, 9, 9], true, false]]);
    expect(streamFrames(symbol.subarray(0, at))).toEqual([[4, 70_000, [], true, false]]);
    expect(streamFrames(symbol.subarray(0, at - 1))).toBeNull();
  });

  test("may follow one that has a length", () => {
    const symbol = new Uint8Array(16);
    let at = writeStreamHeader(symbol, 0, 0, 1, 2, false, true);
    symbol.fill(8, at, at + 2);
    at = writeStreamHeader(symbol, at + 2, 2, 3, -1, false, false);
    expect(streamFrames(symbol.subarray(0, at + 1))).toEqual([
      [0, 1, [8, 8], false, true],
      [2, 3, [0], false, false],
    ]);
  });

  test("types between those that exist are malformed", () => {
    for (const type of [0x0f, 0x1a, 0x1b, 0x28, 0x3f]) {
      expect(streamFrames(Uint8Array.of(type, 0, 0, 0, 0))).toBeNull();
    }
  });
});
