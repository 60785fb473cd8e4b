import { afterEach, describe, expect, test } from "vitest";
import { FixedRate } from "../../../src/congestion/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import { createTwoHosts } from "../../../src/simulator/index.ts";
import { MemoryBudget } from "../../../src/transport/session/memory-budget.ts";
import { ReceiveWindow } from "../../../src/transport/session/receive-window.ts";
import { Session } from "../../../src/transport/session/session.ts";
import type { SessionOptions } from "../../../src/transport/session/session-options.ts";
import { createClient, ServerEndpoint } from "../harness.ts";
import { Pipe, type PipeOptions } from "./pipe.ts";

const arena = new Arena();
const sessions: Session[] = [];

afterEach(() => {
  for (const session of sessions.splice(0)) session.destroy();
});

function pair(options: Partial<SessionOptions> = {}, pipe: Partial<PipeOptions> = {}) {
  const client = new Session({ isClient: true, arena, ...options });
  const server = new Session({ isClient: false, arena, ...options });
  sessions.push(client, server);
  const perfect = { seed: 1, loss: 0, delay: 20, jitter: 0, window: 1500, packetBytes: 1400 };
  return { client, server, pipe: new Pipe(client, server, { ...perfect, ...pipe }) };
}

const MEGABYTE = new Uint8Array(2 ** 20);

describe("a receiver's window", () => {
  test("begins small, grows to what the path needs and not to its limit", () => {
    const { client, server, pipe } = pair({}, { loss: 0.1 });
    expect(server.stats.receiveWindow).toBe(2 ** 19);
    const stream = client.openStream();
    let read = 0;
    let late = 0;
    for (let step = 0; step < 2000; step++) {
      client.write(stream, MEGABYTE);
      pipe.step();
      while (client.poll() !== null);
      for (let part = server.read(stream); part !== null; part = server.read(stream)) {
        read += part.length;
        if (step >= 1000) late += part.length;
      }
    }
    // 1500 packets a round trip of 60 steps at most, for those lost are known later; a tenth is lost.
    const mostAStep = (1500 * 1370 * 0.9) / 42;
    expect(late / 1000).toBeGreaterThan(0.8 * mostAStep);
    expect(read).toBeGreaterThan(late);
    expect(server.stats.receiveWindow).toBeLessThan(16 * 2 ** 20);
    expect(server.stats.receiveWindow).toBeGreaterThan(3 * 2 ** 20);
  });

  test("stays small where the application does not read, and memory with it", () => {
    const memory = new MemoryBudget();
    const { client, server, pipe } = pair({ memory });
    const stream = client.openStream();
    for (let step = 0; step < 500; step++) {
      client.write(stream, MEGABYTE);
      pipe.step();
    }
    expect(server.stats.memoryBytes).toBeLessThanOrEqual(2 ** 18 + 64 * 1536);
    // And at the sender what it has buffered.
    expect(client.stats.memoryBytes).toBeLessThan(2 ** 20 + 4 * 64 * 1536);
    expect(memory.usedBytes).toBe(client.stats.memoryBytes + server.stats.memoryBytes);
  });

  test("is granted from the highest that came where reading waits for one symbol, but never beyond its limit", () => {
    const window = new ReceiveWindow(1000, 10_000);
    window.highest = 900;
    window.measure(900, 0, 10);
    expect(window.due).toBe(true);
    expect(window.grant()).toBe(900 + 3600);
    window.highest = 4500;
    window.measure(3600, 5, 10);
    expect(window.grant()).toBe(10_000);
    window.read = 4000;
    window.available = 4000;
    expect(window.grant()).toBe(14_000);
  });

  test("follows reading where the application has more to read than it takes", () => {
    const window = new ReceiveWindow(1000, 100_000);
    window.highest = 1000;
    window.available = 1000;
    window.measure(1000, 0, 10);
    expect(window.due).toBe(false);
    window.read = 800;
    expect(window.grant()).toBe(1800);
  });
});

describe("a sender at a fixed rate, which heeds no loss", () => {
  test("stops at the credit of a receiver that does not read", () => {
    const session = (isClient: boolean) => {
      const one = new Session({ isClient, arena });
      sessions.push(one);
      return one;
    };
    const [sending, receiving] = [session(true), session(false)];
    const { network, a, b } = createTwoHosts({ seed: 1, forward: { rateMbps: 100, delayMs: 20, loss: 0.1 } });
    const congestion = () => new FixedRate(50 * 125);
    const server = new ServerEndpoint({
      seed: 7,
      congestion: congestion(),
      link: { user: receiving, session: receiving.localParameters },
    });
    const { localAddress } = b.attach(server);
    const link = { user: sending, session: sending.localParameters };
    const client = createClient(localAddress, { seed: 3, congestion: congestion(), link });
    const socket = a.attach(client);
    const stream = sending.openStream();
    network.every(5, () => {
      sending.write(stream, MEGABYTE);
      socket.pump();
    });
    network.run(2000);
    const { sentBytes } = client.stats;
    expect(sentBytes).toBeGreaterThan(receiving.stats.receiveWindow / 2);
    // And some batches that are not decoded.
    expect(receiving.stats.memoryBytes).toBeLessThan(receiving.stats.receiveWindow + 6 * 64 * 1536);
    network.run(6000);
    // Probes of the path at most.
    expect(client.stats.sentBytes - sentBytes).toBeLessThan(20_000);
  });
});

describe("sessions of one arena", () => {
  test("count what batches that are not decoded yet hold", () => {
    const memory = new MemoryBudget();
    const { client, server, pipe } = pair({ memory }, { loss: 0.5, delay: 300 });
    const stream = client.openStream();
    let read = 0;
    for (let step = 0; step < 400; step++) {
      client.write(stream, MEGABYTE);
      pipe.step();
      for (let part = server.read(stream); part !== null; part = server.read(stream)) read += part.length;
    }
    const { receivedSymbols, memoryBytes } = server.stats;
    expect(receivedSymbols).toBeGreaterThan(50);
    expect(read).toBeLessThan(10 * 1400);
    expect(memoryBytes).toBeGreaterThan((receivedSymbols - 10) * 1300);
    expect(memory.usedBytes).toBe(memoryBytes + client.stats.memoryBytes);
  });

  test("that are idle hold next to nothing, whatever they did before", () => {
    const before = arena.allocatedBytes;
    const first = pair();
    const second = pair();
    let held = 0;
    for (const { client, server, pipe } of [first, second]) {
      const stream = client.openStream();
      let written = 0;
      for (let step = 0; step < 3000 && !(written === 8 * 2 ** 20 && client.idle); step++) {
        if (written < 8 * 2 ** 20)
          written += client.write(stream, MEGABYTE.subarray(0, Math.min(2 ** 20, 8 * 2 ** 20 - written)));
        pipe.step();
        while (server.read(stream) !== null);
      }
      expect(client.idle).toBe(true);
      expect(client.stats.memoryBytes + server.stats.memoryBytes).toBeLessThan(3 * 64 * 1536);
      if (held === 0) held = arena.allocatedBytes - before;
    }
    // The second did the same in the memory of the first.
    expect(arena.allocatedBytes - before).toBeLessThan(1.5 * held);
  });

  test("share a budget: where others hold all of it a session gets on slowly, and fast again when it is there", () => {
    const memory = new MemoryBudget(2 ** 25);
    const { client, server, pipe } = pair({ memory }, { loss: 0.1, jitter: 10 });
    const stream = client.openStream();
    const run = (steps: number) => {
      let read = 0;
      for (let step = 0; step < steps; step++) {
        client.write(stream, MEGABYTE);
        pipe.step();
        while (client.poll() !== null);
        for (let part = server.read(stream); part !== null; part = server.read(stream)) read += part.length;
      }
      return read;
    };
    memory.change(2 ** 25);
    const slow = run(2000);
    expect(slow).toBeGreaterThan(100_000);
    expect(memory.usedBytes - 2 ** 25).toBeLessThan(2 ** 20);
    memory.change(-(2 ** 25));
    expect(run(2000)).toBeGreaterThan(10 * slow);
    expect(memory.usedBytes).toBeLessThan(2 ** 25);
  });
});
