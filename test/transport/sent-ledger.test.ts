import { expect, test } from "vitest";
import {
  SENT_IN_FLIGHT,
  SentLedger,
  STATE_ACKED,
  STATE_LOST,
  STATE_NONE,
  STATE_OUTSTANDING,
  STATE_SKIPPED,
} from "../../src/transport/link/sent-ledger.ts";

test("a ledger that grew with a long flight is small again after a pause, and forgets none that is outstanding", () => {
  const ledger = new SentLedger();
  expect(ledger.capacity).toBe(0);
  const add = (nowMs: number) => ledger.add(nowMs, 1400, SENT_IN_FLIGHT, nowMs, 0, 0);
  for (let n = 0; n < 1000; n++) add(n);
  expect(ledger.capacity).toBeGreaterThanOrEqual(4000);
  for (let n = 0; n < 1000; n++) ledger.settle(n, n === 999 ? STATE_LOST : STATE_ACKED);
  // A pause that is not long, and one in which something is outstanding, change nothing.
  expect(add(5000)).toBe(1000);
  add(60_000);
  expect(ledger.capacity).toBeGreaterThanOrEqual(4000);
  ledger.settle(1000, STATE_ACKED);
  ledger.settle(1001, STATE_ACKED);
  const after = add(80_000);
  expect(ledger.capacity).toBe(8);
  expect([ledger.state(after), ledger.tag(after)]).toEqual([STATE_OUTSTANDING, 80_000]);
  expect([ledger.state(999), ledger.sentMs(999)]).toEqual([STATE_LOST, 999]);
  expect(ledger.state(500)).toBe(STATE_NONE);
  expect([ledger.lowest, ledger.outstanding]).toEqual([after, 1]);
});

test("a ledger holds nothing once the only packet after a pause is settled, and goes on from there", () => {
  const ledger = new SentLedger();
  const add = (nowMs: number) => ledger.add(nowMs, 1400, SENT_IN_FLIGHT, nowMs, 0, 0);
  const settle = (packet: number) => {
    ledger.settle(packet, STATE_ACKED);
    ledger.rest();
  };
  settle(add(0));
  // It was busy just before.
  expect(ledger.capacity).toBe(8);
  const lone = add(20_000);
  expect(ledger.tag(lone)).toBe(20_000);
  settle(lone);
  expect(ledger.capacity).toBe(0);
  expect([ledger.state(lone), ledger.state(0), ledger.lowest, ledger.outstanding]).toEqual([0, 0, 2, 0]);
  // Packets that nobody waits for need no memory; numbers that were left out do, for an ACK of one is a lie.
  expect(ledger.skip()).toBe(2);
  expect([ledger.capacity, ledger.state(2)]).toEqual([0, STATE_NONE]);
  expect(ledger.skip(STATE_SKIPPED)).toBe(3);
  expect(ledger.state(3)).toBe(STATE_SKIPPED);
  const [first, second] = [add(40_000), add(40_001)];
  settle(first);
  expect([ledger.state(second), ledger.sentMs(second), ledger.lowest]).toEqual([STATE_OUTSTANDING, 40_001, second]);
  settle(second);
  // Two were under way: not what an idle link sends.
  expect(ledger.capacity).toBe(8);
  // A ledger at rest is as any other: they share nothing that one of them could write to.
  const other = new SentLedger();
  expect([other.state(0), other.capacity]).toEqual([STATE_NONE, 0]);
});
