import { expect, test } from "vitest";
import {
  SENT_IN_FLIGHT,
  SentLedger,
  STATE_ACKED,
  STATE_LOST,
  STATE_NONE,
  STATE_OUTSTANDING,
} from "../../src/transport/link/sent-ledger.ts";

test("a ledger that grew with a long flight is small again after a pause, and forgets none that is outstanding", () => {
  const ledger = new SentLedger();
  const small = ledger.capacity;
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
  expect(ledger.capacity).toBe(small);
  expect([ledger.state(after), ledger.tag(after)]).toEqual([STATE_OUTSTANDING, 80_000]);
  expect([ledger.state(999), ledger.sentMs(999)]).toEqual([STATE_LOST, 999]);
  expect(ledger.state(500)).toBe(STATE_NONE);
  expect([ledger.lowest, ledger.outstanding]).toEqual([after, 1]);
});
