import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { deflateRaw } from "../../../src/compression/deflate.ts";
import { Arena } from "../../../src/gf/index.ts";
import { writeVarint } from "../../../src/transport/link/varint.ts";
import { SYMBOL_SOURCE, writeSourceHeader } from "../../../src/transport/session/frames.ts";
import { MemoryBudget } from "../../../src/transport/session/memory-budget.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { MessageFrame, writeStreamHeader } from "../../../src/transport/session/session-frames.ts";
import type { SessionOptions } from "../../../src/transport/session/session-options.ts";
import { decodeSessionParameters, encodeSessionParameters } from "../../../src/transport/session/session-parameters.ts";

const arena = new Arena();
const sessions: Session[] = [];

afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy();
});

const PARAMETERS = {
  sessionId: new Uint8Array(16),
  resumed: false,
  sessionWindow: 2 ** 20,
  streamWindow: 2 ** 20,
  maxStreams: 10,
  largestMessage: 2 ** 20,
  compression: [1],
};

/** A server whose peer is this test. */
class Victim {
  readonly memory = new MemoryBudget();
  readonly session: Session;
  #batch = 0;
  #index = 0;

  constructor(options: Partial<SessionOptions> = {}, established = true) {
    this.session = new Session({ isClient: false, arena, memory: this.memory, compressors: [deflateRaw], ...options });
    sessions.push(this.session);
    if (established) this.meet(encodeSessionParameters(PARAMETERS));
  }

  meet(session: Uint8Array): void {
    this.session.established({ idleTimeoutMs: 0, maxDatagramBytes: 1472, ackDelayMs: 25, resetToken: null, session });
  }

  /** Hands a source symbol over. */
  symbol(...bytes: number[] | [Uint8Array]): void {
    const symbol = bytes[0] instanceof Uint8Array ? bytes[0] : Uint8Array.from(bytes as number[]);
    const packet = new Uint8Array(symbol.length + 32);
    const at = writeSourceHeader(packet, 0, SYMBOL_SOURCE, this.#batch, this.#batch, this.#index, false, symbol.length);
    packet.set(symbol, at);
    this.session.receive(packet, 0, at + symbol.length, 0);
    if (++this.#index === 64) {
      this.#index = 0;
      this.#batch++;
    }
  }

  /** The error that the session ended with. */
  get error(): string | null {
    for (let event = this.session.poll(); event !== null; event = this.session.poll()) {
      if (event.type === "error") return event.code;
    }
    return null;
  }
}

function streamFrame(stream: number, offset: number, data: Uint8Array, fin = false, compressed = false): Uint8Array {
  const out = new Uint8Array(data.length + 32);
  const at = writeStreamHeader(out, 0, stream, offset, data.length, fin, compressed);
  out.set(data, at);
  return out.subarray(0, at + data.length);
}

function messageFrame(fields: Partial<MessageFrame>, data: Uint8Array): Uint8Array {
  const frame = Object.assign(new MessageFrame(), { length: data.length, ...fields });
  const out = new Uint8Array(data.length + 40);
  const at = frame.write(out, 0);
  out.set(data, at);
  return out.subarray(0, at + data.length);
}

function control(type: number, ...fields: number[]): Uint8Array {
  const out = new Uint8Array(40);
  out[0] = type;
  let at = 1;
  for (const field of fields) at = writeVarint(out, at, field);
  return out.subarray(0, at);
}

const three = Uint8Array.of(1, 2, 3);

describe("a hostile peer", () => {
  test.each<[string, Uint8Array[], string]>([
    ["a frame of no type", [Uint8Array.of(0x1a)], "ERR_MALFORMED"],
    ["a frame that is cut off", [control(0x16, 100_000).subarray(0, 3)], "ERR_MALFORMED"],
    ["bytes of a stream twice", [streamFrame(0, 0, three), streamFrame(0, 2, three)], "ERR_STREAM"],
    ["bytes beyond a stream's credit", [streamFrame(0, 2 ** 18, three)], "ERR_CREDIT"],
    ["bytes beyond the session's credit", [0, 2, 4].map((id) => streamFrame(id, 200_000, three)), "ERR_CREDIT"],
    ["bytes behind a stream's end", [streamFrame(0, 0, three, true), streamFrame(0, 3, three)], "ERR_STREAM"],
    ["another end", [streamFrame(0, 9, three, true), streamFrame(0, 0, three, true)], "ERR_STREAM"],
    ["a reset before what came", [streamFrame(0, 100, three), control(0x14, 0, 5, 50)], "ERR_STREAM"],
    ["a stream of the wrong end", [streamFrame(1, 0, three)], "ERR_STREAM"],
    ["one stream too many", [streamFrame(2 * 8, 0, three)], "ERR_STREAM"],
    ["credit for a stream that is none", [control(0x17, 3, 1000)], "ERR_STREAM"],
    ["a stop of a stream that is none", [control(0x15, 3, 1000)], "ERR_STREAM"],
    [
      "a stream that is compressed at times",
      [streamFrame(0, 0, three), streamFrame(0, 3, three, false, true)],
      "ERR_COMPRESSION",
    ],
    ["an ordered message twice", [messageFrame({}, three), messageFrame({}, three)], "ERR_MESSAGE"],
    [
      "an early message twice",
      [messageFrame({ number: 16 }, three), messageFrame({ number: 16 }, three)],
      "ERR_MESSAGE",
    ],
    ["a piece behind its message", [messageFrame({ type: 0x23, total: 4, offset: 2 }, three)], "ERR_MESSAGE"],
    [
      "a piece twice",
      [messageFrame({ type: 0x23, total: 9 }, three), messageFrame({ type: 0x23, total: 9, offset: 1 }, three)],
      "ERR_MESSAGE",
    ],
    [
      "pieces of two lengths",
      [messageFrame({ type: 0x23, total: 9 }, three), messageFrame({ type: 0x23, total: 8, offset: 3 }, three)],
      "ERR_MESSAGE",
    ],
    ["a message that is too large", [messageFrame({ type: 0x23, total: 2 ** 24 }, three)], "ERR_CREDIT"],
    ["more messages than credit", Array(500).fill(messageFrame({ type: 0x21 }, new Uint8Array(1200))), "ERR_CREDIT"],
    [
      "a message that unpacks to less",
      [messageFrame({ type: 0x25, plain: 90 }, deflateRaw.compress(new Uint8Array(80))!)],
      "ERR_COMPRESSION",
    ],
    [
      "a bomb",
      [messageFrame({ type: 0x25, plain: 5000 }, deflateRaw.compress(new Uint8Array(200_000))!)],
      "ERR_COMPRESSION",
    ],
  ])("that sends %s ends the session with a typed error", (_, symbols, code) => {
    const victim = new Victim({ maxStreams: 8 });
    for (const symbol of symbols) victim.symbol(symbol);
    expect(victim.error).toBe(code);
    expect(victim.session.write(0, three)).toBe(0);
    expect(victim.session.ready(1)).toBe(false);
  });

  test("that sends blocks which unpack to more than they say is found out by reading", () => {
    const bomb = deflateRaw.compress(new Uint8Array(60_000))!;
    const block = new Uint8Array(bomb.length + 10);
    const at = writeVarint(block, writeVarint(block, 0, 2 * bomb.length + 1), 59_000);
    block.set(bomb, at);
    const whole = block.subarray(0, at + bomb.length);
    const [damaged, cutOff] = [new Victim(), new Victim()];
    damaged.symbol(streamFrame(0, 0, whole, true, true));
    cutOff.symbol(streamFrame(0, 0, whole.subarray(0, 20), true, true));
    for (const victim of [damaged, cutOff]) {
      expect(victim.session.read(0)).toBeNull();
      expect(victim.error).toBe("ERR_COMPRESSION");
    }
  });

  test("that says nothing, nonsense or something old as parameters ends the session with a typed error", () => {
    const good = encodeSessionParameters(PARAMETERS);
    const cases: [Uint8Array, string][] = [
      [new Uint8Array(0), "ERR_PARAMETERS"],
      [good.subarray(0, 10), "ERR_PARAMETERS"],
      [encodeSessionParameters({ ...PARAMETERS, resumed: true }), "ERR_UNKNOWN_SESSION"],
    ];
    for (const [bytes, code] of cases) {
      const victim = new Victim({}, false);
      victim.meet(bytes);
      expect(victim.error).toBe(code);
    }
  });

  test("that leaves gaps everywhere makes no more memory held than its credit, and is stopped", () => {
    const victim = new Victim();
    for (let id = 0; id < 4000; id += 2) victim.symbol(streamFrame(id, 200, three));
    // Every second byte of what is left of the credit.
    for (let offset = 0; offset < 100_000; offset += 2) {
      if (offset !== 200 && offset !== 202) victim.symbol(streamFrame(4000, offset, Uint8Array.of(1)));
    }
    expect(victim.memory.usedBytes).toBeLessThan(2 ** 20);
    expect(victim.error).toBeNull();
  });

  test("that never says more than where it begins keeps no one from being heard", () => {
    const victim = new Victim();
    for (let i = 0; i < 300; i++) {
      const number = 8 * (i + 1) + 3;
      victim.symbol(messageFrame({ type: 0x22, number, total: 1000, offset: 0 }, three));
    }
    expect(victim.error).toBeNull();
    victim.symbol(messageFrame({ type: 0x21 }, three));
    expect([...(victim.session.readMessage() ?? [])]).toEqual([1, 2, 3]);
    expect(victim.memory.usedBytes).toBeLessThan(2 ** 20);
  });

  test("that sends any frames at all causes a typed error at most", () => {
    const number = fc.oneof(fc.nat(20), fc.nat(300_000), fc.maxSafeNat());
    const frame = fc.oneof(
      fc.tuple(fc.integer({ min: 0x14, max: 0x19 }), number, number, number).map(([type, a, b, c]) => {
        const counts = [3, 2, 1, 2, 1, 1];
        return control(type, ...[a, b, c].slice(0, counts[type - 0x14]));
      }),
      fc
        .tuple(fc.nat(20), number, fc.uint8Array({ maxLength: 60 }), fc.boolean(), fc.boolean())
        .map(([stream, offset, data, fin, compressed]) => streamFrame(stream, offset, data, fin, compressed)),
      fc
        .tuple(fc.nat(7), number, number, number, number, fc.uint8Array({ maxLength: 60 }))
        .map(([flags, n, total, plain, offset, data]) =>
          messageFrame({ type: 0x20 + flags, number: n, total, plain, offset }, data),
        ),
      fc.uint8Array({ maxLength: 20 }),
    );
    const codes = new Set(["ERR_MALFORMED", "ERR_STREAM", "ERR_CREDIT", "ERR_MESSAGE", "ERR_COMPRESSION", null]);
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), (frames) => {
        const victim = new Victim();
        for (const bytes of frames) victim.symbol(bytes);
        for (let id = 0; id < 20; id++) while (victim.session.read(id) !== null);
        while (victim.session.readMessage() !== null);
        expect(codes).toContain(victim.error);
        expect(victim.memory.usedBytes).toBeLessThan(2 ** 20);
        victim.session.destroy();
        sessions.pop();
        expect(victim.memory.usedBytes).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  test("parameters: any bytes are read or refused, and what is written is read back", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        decodeSessionParameters(bytes);
        const text = encodeSessionParameters(PARAMETERS);
        expect(decodeSessionParameters(text)).toEqual(PARAMETERS);
        // Records of unknown ids are skipped.
        expect(decodeSessionParameters(Uint8Array.of(...text, 62, bytes.length, ...bytes))).toEqual(PARAMETERS);
      }),
    );
  });
});
