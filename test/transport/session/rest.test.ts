import fc from "fast-check";
import { expect, test } from "vitest";
import { TinyMt32 } from "../../../src/codec/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { Pipe, type PipeOptions } from "./pipe.ts";

/** Steps of a millisecond after which a session rests, and some more for word of that. */
const REST_STEPS = 22_000;

const perfect: PipeOptions = { seed: 1, loss: 0, delay: 3, jitter: 0, window: 40, packetBytes: 1400 };

function content(length: number, seed: number): Buffer {
  const generator = new TinyMt32(seed);
  return Buffer.from(Uint8Array.from({ length }, () => generator.next()));
}

function pair(options: PipeOptions) {
  const arena = new Arena();
  const client = new Session({ isClient: true, arena });
  const server = new Session({ isClient: false, arena });
  return { arena, client, server, pipe: new Pipe(client, server, options) };
}

/** Sends messages of these lengths both ways, and datagrams; what is wrong with what came. */
function exchange({ client, server, pipe }: ReturnType<typeof pair>, lengths: readonly number[]): string {
  const messages = lengths.map((length, i) => content(length, i + 1));
  const got: Record<string, Buffer[]> = { client: [], server: [] };
  for (const [from, to, name] of [
    [client, server, "server"],
    [server, client, "client"],
  ] as const) {
    for (const message of messages) if (!from.sendMessage(message)) return "no room";
    from.sendDatagram(content(100, 9));
    from.sendDatagram(content(5000, 9));
    got[name].length = 0;
    to.readDatagram();
  }
  for (let step = 0; step < 20_000; step++) {
    pipe.step();
    for (const [session, name] of [
      [client, "client"],
      [server, "server"],
    ] as const) {
      for (let event = session.poll(); event !== null; event = session.poll()) {
        if (event.type === "error") return `${name}: ${event.message}`;
      }
      for (let data = session.readMessage(); data !== null; data = session.readMessage())
        got[name].push(Buffer.from(data));
      while (session.readDatagram() !== null);
    }
    if (step > 100 && client.idle && server.idle) break;
  }
  for (const name of ["client", "server"]) {
    const whole = got[name].length === messages.length && messages.every((one, i) => one.equals(got[name][i]));
    if (!whole) return `${name} did not get what was sent`;
  }
  return "";
}

test("a sender frees a batch when the receiver has all of it, the receiver when it rests", () => {
  const { client, server, pipe } = pair(perfect);
  const message = content(3000, 1);
  expect(client.sendMessage(message)).toBe(true);
  for (let step = 0; step < 300; step++) pipe.step();
  expect(Buffer.from(server.readMessage()!)).toEqual(message);
  expect(client.stats).toMatchObject({ liveBatches: 0, memoryBytes: 0 });
  expect(server.stats.liveBatches).toBe(1);
  for (let step = 0; step < REST_STEPS; step++) pipe.step();
  expect(server.stats).toMatchObject({ liveBatches: 0, memoryBytes: 0 });
  client.destroy();
  server.destroy();
});

test("a session at rest holds no batch, no coder and no symbol at either end, says nothing, and works afterwards as before", () => {
  const ends = pair(perfect);
  const { arena, client, server, pipe } = ends;
  expect(exchange(ends, [10, 3000])).toBe("");
  expect(client.stats.liveBatches + server.stats.liveBatches).toBeGreaterThan(0);
  const used = arena.allocatedBytes;
  for (let step = 0; step < REST_STEPS; step++) pipe.step();
  for (const { stats } of [client, server]) {
    expect(stats.liveBatches).toBe(0);
    expect(stats.memoryBytes).toBe(0);
  }
  expect(arena.allocatedBytes).toBeLessThan(used);
  const before = pipe.sentPackets;
  for (let step = 0; step < REST_STEPS; step++) pipe.step();
  expect(pipe.sentPackets).toBe(before);
  expect(exchange(ends, [1, 100_000, 20])).toBe("");
  for (let step = 0; step < REST_STEPS; step++) pipe.step();
  // Slots for symbols stay with the arena's sessions, for the next that needs some.
  expect(client.stats.memoryBytes + server.stats.memoryBytes).toBe(0);
  client.destroy();
  server.destroy();
});

test("whatever is lost as it goes to rest, a session delivers what is sent afterwards", () => {
  fc.assert(
    fc.property(
      fc.record({ seed: fc.nat(), loss: fc.double({ min: 0, max: 0.4, noNaN: true }), jitter: fc.nat(10) }),
      fc.array(fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 4 }), {
        minLength: 2,
        maxLength: 3,
      }),
      fc.integer({ min: 9_000, max: 11_000 }),
      (path, rounds, pause) => {
        const ends = pair({ ...perfect, ...path });
        for (const lengths of rounds) {
          expect(exchange(ends, lengths)).toBe("");
          for (let step = 0; step < pause; step++) ends.pipe.step();
        }
        ends.client.destroy();
        ends.server.destroy();
      },
    ),
    { numRuns: 15 },
  );
});
