import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { TinyMt32 } from "../../../src/codec/index.ts";
import { deflateRaw } from "../../../src/compression/deflate.ts";
import { Arena } from "../../../src/gf/index.ts";
import { Session } from "../../../src/transport/session/session.ts";
import type { SessionOptions } from "../../../src/transport/session/session-options.ts";
import { mostSteps, Pipe, type PipeOptions } from "./pipe.ts";

const arena = new Arena();
const sessions: Session[] = [];

afterEach(destroySessions);

function destroySessions(): void {
  for (const session of sessions.splice(0)) session.destroy();
}

function pair(options: Partial<SessionOptions> = {}, pipe: Partial<PipeOptions> = {}) {
  const client = new Session({ isClient: true, arena, ...options });
  const server = new Session({ isClient: false, arena, ...options });
  sessions.push(client, server);
  const perfect = { seed: 1, loss: 0, delay: 3, jitter: 0, window: 40, packetBytes: 1400 };
  return { client, server, pipe: new Pipe(client, server, { ...perfect, ...pipe }) };
}

/** Bytes that say which message they are of. */
function content(length: number, seed: number): Uint8Array {
  const generator = new TinyMt32(seed);
  return Uint8Array.from({ length }, (_, i) => (i < 4 ? (seed >>> (8 * i)) & 255 : generator.next() & 63));
}

function drain(session: Session): string[] {
  const types: string[] = [];
  for (let event = session.poll(); event !== null; event = session.poll()) types.push(event.type);
  return types;
}

function readAll(session: Session): Uint8Array[] {
  const messages: Uint8Array[] = [];
  for (let message = session.readMessage(); message !== null; message = session.readMessage()) messages.push(message);
  return messages;
}

/** A window of one small packet: 70,000 steps. */
const ONE_BY_ONE: PipeOptions = { seed: 0, loss: 0, delay: 10, jitter: 15, window: 1, packetBytes: 150 };
const MANY_BYTES = [41_100, 2495, 47_031, 52_513, 39, 862, 21, 20_340, 33_767].map((length, i) => {
  return { length, ordered: i % 2 === 0, priority: i % 8, compress: false };
});

describe("messages", () => {
  test("arrive whole and once, ordered ones of a priority in order, over any link", () => {
    const message = fc.record({
      length: fc.oneof(fc.nat(40), fc.nat(3000), fc.nat(60_000)),
      ordered: fc.boolean(),
      priority: fc.nat(7),
      compress: fc.boolean(),
    });
    const link = fc.record({
      seed: fc.integer(),
      loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
      delay: fc.integer({ min: 1, max: 20 }),
      jitter: fc.nat(20),
      window: fc.integer({ min: 1, max: 100 }),
      packetBytes: fc.integer({ min: 150, max: 1440 }),
    });
    fc.assert(
      fc.property(link, fc.array(message, { minLength: 1, maxLength: 40 }), (options, list) => {
        const windows = { sessionWindow: 2 ** 17, compressors: [deflateRaw] };
        const { client, server, pipe } = pair(windows, options);
        const sent = list.map((job, i) => ({ ...job, data: content(4 + job.length, i) }));
        const waiting = [...sent];
        const arrived: Uint8Array[] = [];
        const events = new Set<string>();
        const limit = mostSteps(
          sent.reduce((sum, { data }) => sum + data.length + 64, 0),
          options,
        );
        for (let step = 0; step < limit && arrived.length < sent.length; step++) {
          while (waiting.length > 0 && client.sendMessage(waiting[0].data, waiting[0])) waiting.shift();
          pipe.step();
          for (const event of [...drain(client), ...drain(server)]) events.add(event);
          arrived.push(...readAll(server));
        }
        expect([...events]).not.toContain("error");
        const numbers = arrived.map((data) => new DataView(data.buffer, data.byteOffset).getUint32(0, true));
        expect([...numbers].sort((a, b) => a - b)).toEqual(sent.map((_, i) => i));
        arrived.forEach((data, i) => {
          expect(Buffer.compare(data, sent[numbers[i]].data)).toBe(0);
        });
        for (let priority = 0; priority < 8; priority++) {
          const ordered = numbers.filter((n) => sent[n].ordered && sent[n].priority === priority);
          expect(ordered).toEqual([...ordered].sort((a, b) => a - b));
        }
        // Or the many runs that it takes to find a small counterexample would fill the arena.
        destroySessions();
      }),
      { numRuns: 60, examples: [[ONE_BY_ONE, MANY_BYTES]] },
    );
  });

  test("of 16 MiB arrive though windows begin small, and larger ones are refused with one error", () => {
    const { client, server, pipe } = pair({}, { window: 2000, loss: 0.05 });
    const data = content(16 * 2 ** 20, 7);
    expect(client.sendMessage(data)).toBe(true);
    expect(client.sendMessage(content(10, 8))).toBe(false);
    const arrived: Uint8Array[] = [];
    for (let step = 0; step < 2000 && arrived.length === 0; step++) {
      pipe.step();
      arrived.push(...readAll(server));
    }
    expect(arrived.length).toBe(1);
    expect(Buffer.compare(arrived[0], data)).toBe(0);
    expect(drain(client)).toContain("messageWritable");
    expect(() => client.sendMessage(new Uint8Array(16 * 2 ** 20 + 1))).toThrow(
      /has 16777217 bytes, wanted at most 16777216/,
    );
  });

  test("are as large as the peer takes", () => {
    const client = new Session({ isClient: true, arena });
    const server = new Session({ isClient: false, arena, largestMessage: 1000 });
    sessions.push(client, server);
    // Not before it is known what the peer takes.
    expect(client.sendMessage(new Uint8Array(10))).toBe(false);
    const pipe = new Pipe(client, server, { seed: 1, loss: 0, delay: 3, jitter: 0, window: 40, packetBytes: 1400 });
    pipe.step();
    expect(drain(client)).toEqual(["established", "messageWritable"]);
    expect(client.largestMessage).toBe(1000);
    expect(client.sendMessage(new Uint8Array(1000))).toBe(true);
    expect(() => client.sendMessage(new Uint8Array(1001))).toThrow(/wanted at most 1000/);
  });

  test("that are small share symbols", () => {
    const { client, server, pipe } = pair();
    let sent = 0;
    for (let i = 0; i < 5000; i++) if (client.sendMessage(content(20, i), { ordered: i % 2 === 0 })) sent++;
    expect(sent).toBe(5000);
    const arrived: Uint8Array[] = [];
    for (let step = 0; step < 400; step++) {
      pipe.step();
      arrived.push(...readAll(server));
    }
    expect(arrived.length).toBe(5000);
    // 20 bytes each, and at most 6 around them.
    expect(client.stats.sentSymbols).toBeLessThan((5000 * 26) / 1350 + 10);
  });

  test("that nobody reads stop the sender at the window, and go on when they are read", () => {
    const { client, server, pipe } = pair({ sessionWindow: 2 ** 17, largestMessage: 50_000 });
    const data = content(30_000, 1);
    let sent = 0;
    const run = (steps: number) => {
      for (let i = 0; i < steps; i++) {
        while (client.sendMessage(data)) sent++;
        pipe.step();
        drain(client);
      }
    };
    run(300);
    const { receivedSymbols } = server.stats;
    // Four fit into the window.
    expect(receivedSymbols).toBeLessThan(4 * 24 + 20);
    const before = sent;
    let read = 0;
    for (let i = 0; i < 40; i++) {
      read += readAll(server).length;
      run(20);
    }
    expect(read).toBeGreaterThan(80);
    expect(sent).toBeGreaterThan(before + 70);
    expect(drain(server).filter((type) => type === "message").length).toBeLessThanOrEqual(1);
  });

  test("that are urgent overtake streams and messages that are not", () => {
    const { client, server, pipe } = pair();
    const stream = client.openStream({ priority: 5 });
    client.write(stream, content(200_000, 1));
    client.sendMessage(content(200_000, 2), { priority: 4 });
    for (let step = 0; step < 8; step++) pipe.step();
    client.sendMessage(content(100, 3), { priority: 0 });
    const arrived: number[] = [];
    const steps: number[] = [];
    for (let step = 0; step < 200 && arrived.length < 2; step++) {
      pipe.step();
      for (const data of readAll(server)) {
        arrived.push(data.length);
        steps.push(step);
      }
    }
    expect(arrived).toEqual([100, 200_000]);
    expect(steps[0]).toBeLessThan(9);
    // The stream had its turn last.
    expect(client.idle).toBe(false);
    let streamBytes = 0;
    for (let data = server.read(stream); data !== null; data = server.read(stream)) streamBytes += data.length;
    expect(streamBytes).toBeLessThan(60_000);
  });

  test("larger than what is left of the window do not wait for ever behind streams that take all of it", () => {
    const { client, server, pipe } = pair({ sessionWindow: 2 ** 18, largestMessage: 200_000 });
    const stream = client.openStream();
    const piece = content(50_000, 1);
    let message: Uint8Array | null = null;
    let _sent = false;
    for (let step = 0; step < 1500 && message === null; step++) {
      client.write(stream, piece);
      _sent ||= client.sendMessage(content(200_000, 2));
      pipe.step();
      drain(client);
      drain(server);
      while (server.read(stream) !== null);
      message = server.readMessage();
    }
    expect(message?.length).toBe(200_000);
  });

  test("shrink when both ends compress, and arrive all the same when one does not", () => {
    for (const [ours, theirs, most] of [
      [[deflateRaw], [deflateRaw], 60],
      [[deflateRaw], [], 600],
      [[], [deflateRaw], 600],
    ] as const) {
      const client = new Session({ isClient: true, arena, compressors: ours });
      const server = new Session({ isClient: false, arena, compressors: theirs });
      sessions.push(client, server);
      const pipe = new Pipe(client, server, { seed: 1, loss: 0.1, delay: 3, jitter: 2, window: 40, packetBytes: 1400 });
      const text = new TextEncoder().encode("a line of a log that says much the same as the one before\n".repeat(5000));
      const stream = client.openStream({ compress: true });
      expect(client.write(stream, text)).toBe(text.length);
      client.finish(stream);
      expect(client.sendMessage(text, { compress: true })).toBe(true);
      const parts: Uint8Array[] = [];
      const arrived: Uint8Array[] = [];
      for (let step = 0; step < 1000 && !(server.ended(stream) && parts.length > 0 && arrived.length > 0); step++) {
        pipe.step();
        expect(drain(server)).not.toContain("error");
        for (let part = server.read(stream); part !== null; part = server.read(stream)) parts.push(part);
        arrived.push(...readAll(server));
      }
      expect(Buffer.compare(Buffer.concat(parts), text)).toBe(0);
      expect(Buffer.compare(arrived[0], text)).toBe(0);
      expect(client.stats.sentSymbols).toBeLessThan(most);
    }
  });
});

describe("small writes", () => {
  test("wait for others no longer than they may", () => {
    const { client, server, pipe } = pair({ mergeMs: 10 });
    const stream = client.openStream();
    let read = 0;
    for (let step = 0; step < 200; step++) {
      client.write(stream, content(20, step));
      pipe.step();
      for (let part = server.read(stream); part !== null; part = server.read(stream)) read += part.length;
    }
    // A symbol for every ten writes or so; what is under way is at most 10 old.
    expect(client.stats.sentSymbols).toBeLessThanOrEqual(24);
    expect(read).toBeGreaterThan(20 * (200 - 10 - 3 - 3));
  });
});

test("a message that needs more credit than there is asks for it with the next packet, not the one after", () => {
  const [client, server] = [new Session({ isClient: true }), new Session({ isClient: false })];
  const link = { idleTimeoutMs: 0, maxDatagramBytes: 1472, ackDelayMs: 25, resetToken: null };
  client.established({ ...link, session: server.localParameters });
  expect(client.sendMessage(new Uint8Array(2 ** 20))).toBe(true);
  expect(client.ready(0)).toBe(true);
  const packet = { buffer: new Uint8Array(1500), start: 0, room: 1400, probe: false, length: 0, tag: 0 };
  client.fill(packet, 0);
  expect(packet.length).toBeGreaterThan(0);
  for (const session of [client, server]) session.destroy();
});
