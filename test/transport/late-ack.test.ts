import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LateAck } from "../../src/transport/link/late-ack.ts";

const times = fc.double({ min: 0, max: 1e7, noNaN: true });
const rtts = fc.double({ min: 0.01, max: 1000, noNaN: true });

describe("an ACK", () => {
  test("is not late before a few of those asked for in a round trip could have come, nor for ever", () => {
    fc.assert(
      fc.property(times, rtts, (ackedMs, minRttMs) => {
        const late = new LateAck();
        late.onAck(ackedMs);
        expect(late.latenessMs(minRttMs, ackedMs + Math.max(2, minRttMs / 32) * 0.999)).toBe(0);
        const most = late.latenessMs(minRttMs, ackedMs + 1e5);
        expect(late.latenessMs(minRttMs, ackedMs + 1e6)).toBe(most);
        expect(most).toBeLessThan(20);
      }),
    );
  });

  test("is as late as is waited for at the time that is named, or never", () => {
    fc.assert(
      fc.property(times, rtts, fc.double({ min: 0, max: 30, noNaN: true }), (ackedMs, minRttMs, wantedMs) => {
        const late = new LateAck();
        late.onAck(ackedMs);
        const atMs = late.reachedMs(wantedMs, minRttMs);
        const most = late.latenessMs(minRttMs, ackedMs + 1e6);
        if (atMs === Number.POSITIVE_INFINITY) expect(wantedMs).toBeGreaterThan(most - 0.001);
        else expect(late.latenessMs(minRttMs, atMs + 0.001)).toBeGreaterThanOrEqual(wantedMs);
      }),
    );
  });

  test("that comes ends it, and one that came before changes nothing", () => {
    const late = new LateAck();
    late.onAck(100);
    expect(late.latenessMs(20, 110)).toBeGreaterThan(0);
    late.onAck(109);
    late.onAck(104);
    expect(late.latenessMs(20, 110)).toBe(0);
  });
});
