import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { repairTable } from "../../../src/codec/coefficients.ts";
import { TinyMt32 } from "../../../src/codec/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { takeBlock } from "../../../src/transport/session/block-pool.ts";
import {
  SYMBOL_REPAIR,
  SYMBOL_SOURCE,
  writeRepairHeader,
  writeSourceHeader,
} from "../../../src/transport/session/frames.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { writeStreamHeader } from "../../../src/transport/session/session-frames.ts";
import type { SessionOptions } from "../../../src/transport/session/session-options.ts";
import { mostSteps, Pipe, type PipeOptions } from "./pipe.ts";

const arena = new Arena();

function pair(options: Partial<SessionOptions> = {}) {
  return {
    client: new Session({ isClient: true, arena, ...options }),
    server: new Session({ isClient: false, arena, ...options }),
  };
}

function content(length: number, seed: number): Uint8Array {
  const generator = new TinyMt32(seed);
  return Uint8Array.from({ length }, () => generator.next());
}

/** Reads all that is there of every stream that says so. */
function collect(session: Session, into: Map<number, Uint8Array[]>, log: string[] = []): void {
  for (let event = session.poll(); event !== null; event = session.poll()) {
    if (event.type === "error" || event.type === "closed") log.push(JSON.stringify(event));
    if (event.type === "reset" || event.type === "stopped") log.push(`${event.type} ${event.stream} ${event.code}`);
    if (event.type !== "readable") continue;
    const parts = into.get(event.stream) ?? [];
    into.set(event.stream, parts);
    for (let data = session.read(event.stream); data !== null; data = session.read(event.stream)) parts.push(data);
  }
}

const perfect: PipeOptions = { seed: 1, loss: 0, delay: 3, jitter: 0, window: 40, packetBytes: 1400 };

const lossy = fc.record({
  seed: fc.integer(),
  loss: fc.double({ min: 0, max: 0.6, noNaN: true }),
  delay: fc.integer({ min: 1, max: 20 }),
  jitter: fc.nat(20),
  window: fc.integer({ min: 1, max: 200 }),
  packetBytes: fc.integer({ min: 200, max: 1440 }),
});

describe("a session", () => {
  test("delivers every byte of every stream once and in order, over any link", () => {
    const transfer = fc.array(fc.record({ length: fc.nat(30_000), piece: fc.integer({ min: 20, max: 9000 }) }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(lossy, transfer, transfer, (options, up, down) => {
        repairTable(arena);
        const before = arena.allocatedBytes;
        const { client, server } = pair();
        const pipe = new Pipe(client, server, options);
        const jobs = [
          ...up.map((job, i) => ({ ...job, from: client, data: content(job.length, i) })),
          ...down.map((job, i) => ({ ...job, from: server, data: content(job.length, 100 + i) })),
        ].map((job) => ({ ...job, stream: job.from.openStream(), at: 0, finished: false }));
        const arrived = { client: new Map<number, Uint8Array[]>(), server: new Map<number, Uint8Array[]>() };
        const log: string[] = [];
        const limit = mostSteps(
          jobs.reduce((sum, { data }) => sum + data.length, 0),
          options,
        );
        let step = 0;
        for (; step < limit; step++) {
          for (const job of jobs) {
            if (job.at < job.data.length) {
              job.at += job.from.write(job.stream, job.data.subarray(job.at, job.at + job.piece));
            } else if (!job.finished) {
              job.finished = true;
              job.from.finish(job.stream);
            }
          }
          pipe.step();
          collect(client, arrived.client, log);
          collect(server, arrived.server, log);
          if (jobs.every((job) => job.finished) && client.idle && server.idle) break;
        }
        expect(log).toEqual([]);
        expect(step).toBeLessThan(limit);
        for (const { from, stream, data } of jobs) {
          const [peer, parts] =
            from === client ? [server, arrived.server.get(stream)] : [client, arrived.client.get(stream)];
          expect(Buffer.compare(Buffer.concat(parts ?? []), data)).toBe(0);
          expect(peer.ended(stream)).toBe(true);
        }
        expect(client.stats.droppedSymbols + server.stats.droppedSymbols).toBe(0);
        client.destroy();
        server.destroy();
        expect(arena.allocatedBytes).toBe(before);
      }),
      { numRuns: 60 },
    );
  });

  test("without loss it sends next to no repair, and with it hardly more than what was lost", () => {
    for (const [loss, most] of [
      [0, 0.01],
      [0.02, 0.035],
      [0.1, 0.16],
      [0.3, 0.55],
    ]) {
      const { client, server } = pair();
      const pipe = new Pipe(client, server, { ...perfect, loss, seed: 3, delay: 10, window: 200 });
      const stream = client.openStream();
      const data = content(3_000_000, 1);
      const arrived = new Map<number, Uint8Array[]>();
      let at = 0;
      for (let step = 0; step < 20_000 && !(at === data.length && client.idle); step++) {
        at += client.write(stream, data.subarray(at, at + 100_000));
        pipe.step();
        collect(server, arrived);
        while (client.poll() !== null);
      }
      expect(Buffer.compare(Buffer.concat(arrived.get(stream) ?? []), data)).toBe(0);
      const { sentSymbols, sentRepairs } = client.stats;
      expect(sentRepairs / sentSymbols).toBeLessThanOrEqual(most);
      if (loss > 0) expect(sentRepairs).toBeGreaterThan(0);
      client.destroy();
      server.destroy();
    }
  });

  test("its feedback, word of batches and credit, is few packets: one for several batches, with loss for every second or so", () => {
    for (const [loss, share] of [
      [0, 0.2],
      [0.1, 0.4],
    ]) {
      const client = new Session({ isClient: true, arena });
      const server = new Session({ isClient: false, arena });
      const filled = vi.spyOn(server, "fill");
      const perfect = { seed: 1, delay: 20, jitter: 0, window: 1500, packetBytes: 1400 };
      const pipe = new Pipe(client, server, { ...perfect, loss });
      const stream = client.openStream();
      for (let step = 0; step < 400; step++) {
        client.write(stream, new Uint8Array(2 ** 18));
        pipe.step();
        while (client.poll() !== null);
        while (server.read(stream) !== null);
      }
      const batches = client.stats.sentSymbols / 64;
      expect(batches).toBeGreaterThan(50);
      expect(filled.mock.calls.length).toBeLessThan(share * batches);
      expect(server.stats.liveBatches + client.stats.liveBatches).toBeLessThan(batches);
      client.destroy();
      server.destroy();
    }
  });

  test("when packets become smaller, what was lost in larger ones is still repaired", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer({ min: 5, max: 60 }),
        fc.integer({ min: 800, max: 1200 }),
        (seed, when, small) => {
          const { client, server } = pair();
          const pipe = new Pipe(client, server, { ...perfect, seed, loss: 0.3, jitter: 5 });
          const stream = client.openStream();
          const data = content(400_000, seed);
          const arrived = new Map<number, Uint8Array[]>();
          let at = 0;
          for (let step = 0; step < 5000 && !(at === data.length && client.idle); step++) {
            if (step === when) {
              pipe.packetBytes = small;
              client.payloadBytesChanged(small, step);
            }
            at += client.write(stream, data.subarray(at, at + 20_000));
            pipe.step();
            collect(server, arrived);
            while (client.poll() !== null);
          }
          expect(Buffer.compare(Buffer.concat(arrived.get(stream) ?? []), data)).toBe(0);
          client.destroy();
          server.destroy();
        },
      ),
      { numRuns: 20 },
    );
  });

  test("a receiver that does not read stops the sender at its credit, and lets it go on when it reads", () => {
    const { client, server } = pair({ sessionWindow: 100_000, streamWindow: 60_000 });
    const pipe = new Pipe(client, server, perfect);
    const streams = [client.openStream(), client.openStream()];
    const data = content(200_000, 5);
    const written = [0, 0];
    const run = (steps: number) => {
      for (let i = 0; i < steps; i++) {
        streams.forEach((stream, s) => {
          written[s] += client.write(stream, data.subarray(written[s]));
          if (written[s] === data.length) client.finish(stream);
        });
        pipe.step();
        while (client.poll() !== null);
      }
    };
    run(300);
    // Of each stream at most its window, of both the session's.
    const held = streams.map((stream) => {
      let bytes = 0;
      for (let part = server.read(stream); part !== null; part = server.read(stream)) bytes += part.length;
      return bytes;
    });
    expect(held[0] + held[1]).toBe(100_000);
    expect(Math.max(...held)).toBeLessThanOrEqual(60_000);
    const total = [...held];
    for (let i = 0; i < 100; i++) {
      run(20);
      streams.forEach((stream, s) => {
        for (let part = server.read(stream); part !== null; part = server.read(stream)) total[s] += part.length;
      });
    }
    expect(total).toEqual([data.length, data.length]);
    expect(streams.every((stream) => server.ended(stream))).toBe(true);
    client.destroy();
    server.destroy();
  });

  test("an application that never polls costs one event a stream, however much comes", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, perfect);
    const stream = client.openStream();
    const data = content(200_000, 9);
    let at = 0;
    for (let i = 0; i < 400; i++) {
      at += client.write(stream, data.subarray(at));
      pipe.step();
    }
    const types: string[] = [];
    for (let event = server.poll(); event !== null; event = server.poll()) types.push(event.type);
    expect(types).toEqual(["established", "stream", "readable"]);
    let read = 0;
    for (let part = server.read(stream); part !== null; part = server.read(stream)) read += part.length;
    expect(read).toBe(data.length);
    client.destroy();
    server.destroy();
  });

  test("a receiver that missed thousands of batches goes on with those of interest", () => {
    const receiver = new Session({ isClient: false, arena });
    const frame = new Uint8Array(64);
    const symbol = new Uint8Array(20);
    const body = writeStreamHeader(symbol, 0, 0, 0, 3, false, false);
    symbol.set([7, 8, 9], body);
    const at = writeSourceHeader(frame, 0, SYMBOL_SOURCE, 10_000, 9990, 0, false, body + 3);
    frame.set(symbol.subarray(0, body + 3), at);
    receiver.receive(frame, 0, at + body + 3, 0);
    expect([...(receiver.read(0) ?? [])]).toEqual([7, 8, 9]);
    receiver.destroy();
  });

  test("decoders of many batches at a time are given back when these are over", () => {
    const before = arena.allocatedBytes;
    const receiver = new Session({ isClient: false, arena });
    const frame = new Uint8Array(64);
    const receive = (batch: number, lowestLive: number) => {
      const repaired = writeRepairHeader(frame, 0, SYMBOL_REPAIR, batch, lowestLive, 2, 0, false, 8) + 8;
      receiver.receive(frame, 0, repaired, 0);
    };
    for (let batch = 0; batch < 1000; batch++) receive(batch, 0);
    expect(receiver.stats.liveBatches).toBe(1000);
    expect(arena.allocatedBytes - before).toBeGreaterThan(10 * 2 ** 20);
    receive(2000, 2000);
    expect(receiver.stats.liveBatches).toBe(1);
    expect(arena.allocatedBytes - before).toBeLessThan(3 * 2 ** 20);
    receiver.destroy();
  });

  test("resets and stops reach the peer at any moment, and other streams do not notice", () => {
    fc.assert(
      fc.property(lossy, fc.nat(60), fc.boolean(), (options, when, stops) => {
        const { client, server } = pair();
        const pipe = new Pipe(client, server, options);
        const [broken, whole] = [client.openStream(), client.openStream()];
        const data = content(20_000, 7);
        client.write(broken, data);
        client.write(whole, data);
        client.finish(whole);
        const arrived = new Map<number, Uint8Array[]>();
        const log: string[] = [];
        const clientLog: string[] = [];
        // A window of one packet takes up to 30,000.
        for (let step = 0; step < 100_000; step++) {
          if (step === when) {
            if (stops) server.stop(broken, 42);
            else client.reset(broken, 42);
          }
          pipe.step();
          collect(server, arrived, log);
          collect(client, new Map(), clientLog);
          if (step > when && client.idle && server.idle && server.ended(whole)) break;
        }
        if (stops && clientLog.length === 0) {
          // The stream that the server had not heard of yet cannot be stopped.
          expect(log).toEqual([]);
        } else {
          expect(log).toEqual([`reset ${broken} 42`]);
          expect(clientLog).toEqual(stops ? [`stopped ${broken} 42`] : []);
        }
        expect(Buffer.compare(Buffer.concat(arrived.get(whole) ?? []), data)).toBe(0);
        client.destroy();
        server.destroy();
      }),
      {
        numRuns: 60,
        examples: [[{ seed: 0, loss: 0.33, delay: 20, jitter: 14, window: 1, packetBytes: 200 }, 0, true]],
      },
    );
  });

  test("what is read of a stream that was given up is not used again, and not kept for it", () => {
    const { client, server } = pair();
    const pipe = new Pipe(client, server, perfect);
    const stream = client.openStream();
    const data = content(500_000, 3);
    const views: Uint8Array[] = [];
    let written = 0;
    for (let step = 0; step < 3000; step++) {
      written += client.write(stream, data.subarray(written));
      pipe.step();
      server.startReleasing(stream);
      for (let view = server.read(stream); view !== null; view = server.read(stream)) views.push(view);
    }
    expect(views.reduce((sum, { length }) => sum + length, 0)).toBe(data.length);
    server.stop(stream, 5);
    for (const view of views) server.release(stream, view);
    const blocks = new Set(views.map(({ buffer }) => buffer));
    // More than the pool keeps.
    const taken = Array.from({ length: 100 }, () => takeBlock().buffer);
    expect(taken.filter((buffer) => blocks.has(buffer))).toEqual([]);
    client.destroy();
    server.destroy();
  });

  test("windows may be 64 KiB to 1 GiB", () => {
    for (const sessionWindow of [2 ** 16, 2 ** 30]) new Session({ isClient: true, sessionWindow }).destroy();
    for (const sessionWindow of [2 ** 16 - 1, 2 ** 30 + 1]) {
      expect(() => new Session({ isClient: true, sessionWindow })).toThrow(
        /sessionWindow is \d+, wanted a whole number from 65536 to 1073741824/,
      );
    }
  });

  test("any bytes from the peer end it with an error at most, never with an exception", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 80 }), { maxLength: 20 }), fc.boolean(), (packets, valid) => {
        const { client, server } = pair();
        new Pipe(client, server, perfect);
        for (const bytes of packets) {
          // Half of them are source symbols with such bytes inside.
          const packet = valid ? Uint8Array.of(1, 0, 0, bytes.length % 32, bytes.length, ...bytes) : bytes;
          server.receive(packet, 0, packet.length, 0);
        }
        const errors: string[] = [];
        for (let event = server.poll(); event !== null; event = server.poll()) {
          if (event.type === "error") errors.push(event.message);
        }
        expect(errors.length).toBeLessThanOrEqual(1);
        expect(server.stats.liveBatches).toBeLessThanOrEqual(20 * 14);
        client.destroy();
        server.destroy();
      }),
      { numRuns: 300 },
    );
  });
});
