// Any bytes, and any frames of a peer that has the keys, in every state of a link: what comes is used or dropped and counted, time
// goes on, and little is sent for it. fast-check prints the seed that failed.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Address } from "../../src/simulator/index.ts";
import type { Link } from "../../src/transport/link/index.ts";
import { createForgedPair, varints } from "./forger.ts";
import { createTransmit, FixedWindow } from "./harness.ts";

const STATES = ["fresh", "handshaking", "established", "draining", "closing", "closed"] as const;
type State = (typeof STATES)[number];

/** A pair whose ends are in `state`, or about to be. */
function pairIn(state: State) {
  const p = createForgedPair({
    forward: { rateMbps: 100, delayMs: 10 },
    client: { congestion: new FixedWindow(40_000, 1000) },
    server: { congestion: new FixedWindow(40_000, 1000) },
  });
  if (state === "fresh") p.network.run(11);
  else if (state === "handshaking") p.network.run(25);
  else p.network.run(200);
  const nowMs = p.network.nowMs;
  p.clientUser.budget = 1000;
  p.serverUser.budget = 1000;
  if (state !== "fresh" && state !== "handshaking") p.network.run(240);
  for (const link of [p.client, p.server.link!]) {
    if (state === "draining") link.closeGracefully(0x100, "", 60_000, nowMs);
    if (state === "closing" || state === "closed") link.close(0x100, "", nowMs);
    if (state === "closed") link.destroy(nowMs);
  }
  return p;
}

function counted(link: Link): number {
  return Object.values(link.drops).reduce((sum, drops) => sum + drops, link.stats.receivedPackets);
}

/** Does as a driver does for a while. Throws when the link spins or floods. */
function turn(link: Link, nowMs: number, forMs: number): number {
  const out = createTransmit();
  let at = nowMs;
  let timeouts = 0;
  for (;;) {
    let sent = 0;
    while (link.pollTransmit(out, at)) if (++sent > 200) throw new Error(`${sent} datagrams at ${at} ms`);
    const next = link.nextTimeoutMs();
    if (Number.isNaN(next)) throw new Error("a timeout at NaN");
    if (next > nowMs + forMs) return nowMs + forMs;
    if (next > at) timeouts = 0;
    else if (++timeouts > 8) throw new Error(`${timeouts} timeouts at ${at} ms, the last due at ${next}`);
    at = Math.max(at, next);
    link.handleTimeout(at);
  }
}

/** Hands a datagram over and checks that it was counted, or ended the link. */
function give(p: ReturnType<typeof pairIn>, end: "client" | "server", bytes: Uint8Array, from?: Address): void {
  const link = p.link(end);
  const before = counted(link);
  const { state } = link;
  p.give(end, bytes, from);
  expect(counted(link) > before || link.state !== state).toBe(true);
  expect(link.inFlightBytes).toBeGreaterThanOrEqual(0);
}

const end = fc.constantFrom("client" as const, "server" as const);
const state = fc.constantFrom(...STATES);

describe("whatever a stranger sends", () => {
  test("random bytes, with a true connection id or not, are dropped and counted in every state", () => {
    fc.assert(
      fc.property(
        state,
        end,
        fc.array(
          fc.record({
            first: fc.constantFrom(0x40, 0x44, 0x43, 0xc0, 0xc3, 0xd0, 0xff, 0x00),
            version: fc.constantFrom(0x42415401, 0, 0x12345678),
            ours: fc.boolean(),
            rest: fc.uint8Array({ maxLength: 1500 }),
            raw: fc.boolean(),
          }),
          { maxLength: 30 },
        ),
        (inState, to, datagrams) => {
          const p = pairIn(inState);
          for (const { first, version, ours, rest, raw } of datagrams) {
            const bytes = new Uint8Array(rest.length + 1);
            bytes.set(rest, 1);
            if (!raw) {
              bytes[0] = first;
              const id = p.ids[to];
              if ((first & 0x80) !== 0 && bytes.length > 40) {
                new DataView(bytes.buffer).setUint32(1, version);
                bytes[5] = 8;
                if (ours) bytes.set(id, 6);
                bytes[14] = 8;
              } else if (ours && bytes.length > 9) bytes.set(id, 1);
            }
            give(p, to, bytes);
          }
          turn(p.link(to), p.network.nowMs, 2000);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("genuine packets with a byte changed, cut short, or from elsewhere change nothing but counters", () => {
    fc.assert(
      fc.property(
        end,
        fc.array(
          fc.record({ at: fc.nat(), flip: fc.integer({ min: 1, max: 255 }), cut: fc.nat(), elsewhere: fc.boolean() }),
          {
            minLength: 1,
            maxLength: 20,
          },
        ),
        (to, changes) => {
          const p = pairIn("established");
          const link = p.link(to);
          const { remote } = link;
          const received = link.stats.receivedPackets;
          for (const { at, flip, cut, elsewhere } of changes) {
            const bytes = p.packet(to, [0x01, 0x0a, 1, 2, 3, 4, 5]);
            bytes[at % bytes.length] ^= flip;
            const shown = cut % 3 === 0 ? bytes.slice(0, cut % bytes.length) : bytes;
            give(p, to, shown, elsewhere ? { ip: "203.0.113.1", port: 1 } : undefined);
          }
          expect(link.stats.receivedPackets).toBe(received);
          expect(link.remote).toEqual(remote);
          turn(link, p.network.nowMs, 1000);
        },
      ),
      { numRuns: 100 },
    );
  });
});

/** Numbers that are small, near a power of two, or anything that a varint carries. */
const number = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc.constantFrom(63, 64, 16_383, 16_384, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32, 2 ** 53 - 1),
  fc.maxSafeNat(),
);
const small = fc.integer({ min: 0, max: 6 });
/** Mostly a number that was sent: one that was not ends the link. */
const numberSent = fc.oneof(
  { weight: 15, arbitrary: fc.integer({ min: 4, max: 40 }) },
  { weight: 1, arbitrary: number },
);
const record = fc.tuple(fc.oneof(fc.integer({ min: 0, max: 5 }), number), fc.uint8Array({ maxLength: 60 }));
const frame = fc.oneof(
  fc.constantFrom([0x00], [0x01], [0x09]),
  fc
    .tuple(fc.constantFrom(2, 3), numberSent, number, fc.array(fc.tuple(small, small), { maxLength: 5 }))
    .map(([type, largest, delay, more]) => [
      type,
      ...varints(largest, delay, more.length, Math.min(largest, 3), ...more.flat(), ...(type === 3 ? [1, 0, 2] : [])),
    ]),
  // Records as one control batch of one symbol, so that they are read at once.
  fc.tuple(fc.integer({ min: 0, max: 6 }), fc.array(record, { maxLength: 6 })).map(([batch, records]) => {
    const body = records.flatMap(([type, bytes]) => [...varints(type, bytes.length), ...bytes]);
    return [0x04, ...varints(batch), 1, 0, ...varints(body.length), ...body];
  }),
  fc
    .tuple(number, fc.integer({ min: 0, max: 40 }), fc.nat(255), fc.uint8Array({ maxLength: 80 }))
    .map(([batch, size, symbol, bytes]) => [0x04, ...varints(batch), size, symbol, ...varints(bytes.length), ...bytes]),
  fc.tuple(fc.constantFrom(5, 6), fc.uint8Array({ minLength: 8, maxLength: 8 })).map(([type, data]) => [type, ...data]),
  fc.tuple(number, number, number).map((fields) => [0x08, ...varints(...fields)]),
  fc
    .tuple(fc.integer({ min: 0x40, max: 0x3fff }), fc.uint8Array({ maxLength: 20 }))
    .map(([type, body]) => [...varints(type, body.length), ...body]),
  fc.uint8Array({ minLength: 1, maxLength: 30 }).map((bytes) => [...bytes]),
);

describe("whatever a peer with the keys sends", () => {
  test("is used, or dropped and counted; the link neither throws, spins, floods nor lets go of what it counts", () => {
    fc.assert(
      fc.property(
        fc.constantFrom<State>("established", "draining", "closing"),
        end,
        fc.array(
          fc.record({
            frames: fc.array(frame, { minLength: 1, maxLength: 6 }),
            elsewhere: fc.constantFrom(0, 0, 0, 0, 1, 2),
            waitMs: fc.constantFrom(0, 0, 1, 30, 400),
          }),
          { minLength: 1, maxLength: 25 },
        ),
        (inState, to, packets) => {
          const p = pairIn(inState);
          const link = p.link(to);
          let nowMs = p.network.nowMs;
          p.clientUser.receive = () => {};
          p.serverUser.receive = () => {};
          for (const { frames, elsewhere, waitMs } of packets) {
            const bytes = p.packet(to, frames.flat());
            const before = counted(link);
            const { state } = link;
            const source = elsewhere === 0 ? link.remote : { ip: `203.0.113.${elsewhere}`, port: 7 };
            p.give(to, bytes, source, nowMs);
            expect(counted(link) > before || link.state !== state).toBe(true);
            expect(link.inFlightBytes).toBeGreaterThanOrEqual(0);
            nowMs = turn(link, nowMs, waitMs);
          }
          if (link.closeReason === null) link.close(0x100, "", nowMs);
          turn(link, nowMs, 10_000);
          expect(link.state).toBe("closed");
          expect(link.inFlightBytes).toBe(0);
          expect(link.outstandingPackets).toBe(0);
          const user = to === "client" ? p.clientUser : p.serverUser;
          expect(user.outstanding).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
  });
});
