// Random links and faults: what must hold whatever the network does. A failing seed is printed by fast-check and stays the
// same run.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { LinkOptions as HopOptions } from "../../src/simulator/index.ts";
import { coder, createPair, FixedWindow, ServerEndpoint } from "./harness.ts";

const hop = fc.record({
  rateMbps: fc.constantFrom(1, 5, 20, 100),
  delayMs: fc.integer({ min: 0, max: 120 }),
  jitterMs: fc.constantFrom(0, 0, 1, 10, 40),
  reorder: fc.boolean(),
  loss: fc.constantFrom(0, 0.01, 0.1, 0.3, 0.6),
  duplication: fc.constantFrom(0, 0.02, 0.3),
  corruption: fc.constantFrom(0, 0.01, 0.1),
  outageMs: fc.constantFrom(0, 0, 300, 2500),
});

function options(h: typeof hop extends fc.Arbitrary<infer T> ? T : never): HopOptions {
  return {
    rateMbps: h.rateMbps,
    delayMs: h.delayMs,
    jitter: { spreadMs: h.jitterMs, reorder: h.reorder },
    loss: h.loss,
    duplication: h.duplication,
    corruption: h.corruption,
    outages: h.outageMs > 0 ? [{ fromMs: 1500, toMs: 1500 + h.outageMs }] : [],
  };
}

test("on any link every packet filled is acked or lost, exactly once, and memory comes back", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer({ min: 1, max: 1_000_000 }),
        forward: hop,
        backward: hop,
        move: fc.constantFrom("none", "port", "ip", "twice"),
        graceful: fc.boolean(),
        clientPackets: fc.integer({ min: 0, max: 400 }),
        serverPackets: fc.integer({ min: 0, max: 400 }),
      }),
      (c) => {
        const before = coder.symbolsInUse;
        const p = createPair({
          seed: c.seed,
          forward: options(c.forward),
          backward: options(c.backward),
          client: { congestion: new FixedWindow(40_000, 300), link: { idleTimeoutMs: 90_000 } },
          server: { congestion: new FixedWindow(40_000, 300), link: { idleTimeoutMs: 90_000 } },
        });
        p.clientUser.budget = c.clientPackets;
        p.serverUser.budget = c.serverPackets;
        if (c.move !== "none") {
          p.network.at(1800, () =>
            p.clientSocket.changeAddress({ port: 5000, ...(c.move === "ip" ? { ip: "10.9.9.9" } : {}) }),
          );
        }
        if (c.move === "twice") p.network.at(2500, () => p.clientSocket.changeAddress({ ip: "10.9.9.10", port: 6000 }));
        // A client that moved while it had nothing to say is found again by its next ping, at the latest.
        const unsettled = () => {
          const { clientUser: c, serverUser: s } = p;
          return c.outstanding + s.outstanding + c.budget + s.budget > 0;
        };
        for (let s = 20; s <= 200 && (s === 20 || unsettled()); s += 20) {
          p.network.run(1000 * s);
        }
        const established = p.client.state === "established" && p.server.link?.state === "established";
        if (established) {
          expect(p.clientUser.sent).toBe(c.clientPackets);
          expect(p.serverUser.sent).toBe(c.serverPackets);
          expect(p.clientUser.outstanding).toBe(0);
          expect(p.serverUser.outstanding).toBe(0);
          // What was acked did arrive.
          for (const [tag, fate] of p.clientUser.fate.entries()) {
            if (fate === 1 || fate === 3) expect(p.serverUser.received.has(tag)).toBe(true);
          }
        }
        if (c.graceful) p.client.closeGracefully(0x100, "done", 5000, p.network.nowMs);
        else p.client.close(0x100, "done", p.network.nowMs);
        p.network.run(p.network.nowMs + 250_000);
        expect(p.client.state).toBe("closed");
        if (p.server.link !== null) expect(p.server.link.state).toBe("closed");
        expect(p.clientUser.outstanding + p.serverUser.outstanding).toBe(0);
        expect(p.client.inFlightBytes).toBe(0);
        expect(p.clientUser.filledAfterClose + p.serverUser.filledAfterClose).toBe(0);
        expect(coder.symbolsInUse).toBe(before);
        expect(p.client.ledgerCapacity).toBeLessThanOrEqual(4096);
      },
    ),
    { numRuns: 60, seed: 7 },
  );
});

test("a link closed at any moment, by either end, gives everything back", () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer({ min: 1, max: 1_000_000 }),
        forward: hop,
        closeMs: fc.integer({ min: 0, max: 1500 }),
        byServer: fc.boolean(),
        graceful: fc.boolean(),
        packets: fc.integer({ min: 0, max: 500 }),
      }),
      (c) => {
        const before = coder.symbolsInUse;
        const p = createPair({
          seed: c.seed,
          forward: options(c.forward),
          client: { link: { idleTimeoutMs: 60_000 } },
          server: { link: { idleTimeoutMs: 60_000 } },
        });
        p.clientUser.budget = c.packets;
        p.serverUser.budget = c.packets;
        p.network.at(c.closeMs, (nowMs) => {
          const link = (c.byServer ? p.server.link : null) ?? p.client;
          if (c.graceful) link.closeGracefully(0x100, "", 3000, nowMs);
          else link.close(0x100, "", nowMs);
        });
        p.network.run(300_000);
        expect(p.client.state).toBe("closed");
        expect(p.server.link?.state ?? "closed").toBe("closed");
        expect(p.clientUser.outstanding + p.serverUser.outstanding).toBe(0);
        expect(p.client.inFlightBytes + (p.server.link?.inFlightBytes ?? 0)).toBe(0);
        expect(coder.symbolsInUse).toBe(before);
      },
    ),
    { numRuns: 100, seed: 3 },
  );
});

test("the same seed gives the same run", () => {
  const run = () => {
    const p = createPair({
      seed: 99,
      forward: { rateMbps: 20, delayMs: 15, loss: 0.1, jitter: { spreadMs: 3, reorder: true }, corruption: 0.02 },
    });
    p.clientUser.budget = 1500;
    p.serverUser.budget = 500;
    p.network.run(4000);
    return JSON.stringify([p.client.stats, p.server.link!.stats, p.client.rtt, p.client.drops, p.network.eventCount]);
  };
  expect(run()).toBe(run());
});

test("garbage and damaged copies of genuine packets at line rate change nothing", () => {
  const p = createPair({ seed: 5, forward: { rateMbps: 50, delayMs: 5, corruption: 0.3, duplication: 0.3 } });
  p.clientUser.budget = 3000;
  p.network.run(300);
  const random = p.network.random("garbage");
  const source = { ip: "203.0.113.9", port: 9 };
  const destination = p.serverSocket.localAddress;
  for (let i = 0; i < 3000; i++) {
    const bytes = Uint8Array.from({ length: random.below(1400) }, () => random.below(256));
    p.server.handleDatagram({ bytes, source, destination, ecn: 0 }, p.network.nowMs);
  }
  p.network.run(8000);
  expect(p.clientUser.outstanding).toBe(0);
  expect(p.clientUser.acks).toBeGreaterThan(1500);
  expect(p.server.link!.remote).toEqual(p.clientSocket.outerAddress);
  expect(new ServerEndpoint().link).toBe(null);
});
