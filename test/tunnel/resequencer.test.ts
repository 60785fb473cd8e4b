import fc from "fast-check";
import { expect, test } from "vitest";
import { HELD_BYTES, HELD_PACKETS, Resequencer } from "../../src/tunnel/resequencer.ts";

function packet(sequence: number): Uint8Array {
  return Uint8Array.from([sequence >>> 16, sequence >>> 8, sequence]);
}

function collect(patienceMs = 100): { resequencer: Resequencer; released: number[] } {
  const released: number[] = [];
  const resequencer = new Resequencer(patienceMs, ([a, b, c]) => released.push((a << 16) | (b << 8) | c));
  return { resequencer, released };
}

test("packets that all come are released in order, each once, whatever order they come in, and nothing is kept", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30), { minLength: 1, maxLength: 200 }), (delays) => {
      const { resequencer, released } = collect();
      const order = delays.map((delay, sequence) => ({ sequence, at: sequence + delay }));
      order.sort((a, b) => a.at - b.at);
      for (const { sequence, at } of order) {
        if (!resequencer.takeNext(7, sequence, packet(sequence))) {
          resequencer.take(7, sequence, packet(sequence), at / 10);
        }
      }
      expect(released).toEqual(delays.map((_, sequence) => sequence));
      expect(resequencer.bytes).toBe(0);
      expect(resequencer.nextTimeoutMs).toBe(Number.POSITIVE_INFINITY);
    }),
  );
});

test("one that does not come is given up after the patience, and comes out of order if it does later", () => {
  const { resequencer, released } = collect();
  for (const sequence of [0, 2, 3, 5]) resequencer.take(1, sequence, packet(sequence), 10);
  resequencer.take(2, 0, packet(100), 11);
  expect(released).toEqual([0, 100]);
  resequencer.expire(109);
  expect(released).toEqual([0, 100]);
  resequencer.expire(110);
  expect(released).toEqual([0, 100, 2, 3, 5]);
  expect(resequencer.nextTimeoutMs).toBe(Number.POSITIVE_INFINITY);
  resequencer.take(1, 1, packet(1), 211);
  resequencer.take(1, 6, packet(6), 212);
  expect(released).toEqual([0, 100, 2, 3, 5, 1, 6]);
  expect(resequencer.counts).toMatchObject({ givenUp: 2, late: 1 });
});

test("each missing packet is waited for since it was known to be, not since the one before it was given up", () => {
  const { resequencer, released } = collect();
  for (const sequence of [1, 3, 9]) resequencer.take(1, sequence, packet(sequence), 0);
  resequencer.take(1, 12, packet(12), 40);
  // That 4 and 6 are missing was known when 9 came.
  resequencer.take(1, 5, packet(5), 50);
  resequencer.expire(100);
  expect(released).toEqual([1, 3, 5, 9]);
  expect(resequencer.nextTimeoutMs).toBe(140);
  resequencer.expire(140);
  expect(released).toEqual([1, 3, 5, 9, 12]);
});

test("a flow holds a bounded number of packets, and flows with as many holes as that take no time to speak of", () => {
  const { resequencer, released } = collect();
  const sent: number[] = [];
  for (let flow = 0; flow < 40; flow++) {
    for (let sequence = 1; sequence < 4 * HELD_PACKETS; sequence += 2) {
      resequencer.take(flow, sequence, packet(sequence), 0);
      sent.push(sequence);
    }
    expect(resequencer.bytes).toBeLessThanOrEqual(HELD_PACKETS * (3 + 128));
    resequencer.take(flow, 1_000_000, packet(1_000_000), 0);
    sent.push(1_000_000);
    expect(resequencer.bytes).toBe(0);
  }
  expect(released).toEqual(sent);
}, 20_000);

test("sequence numbers wrap, and memory is bounded: the flow that holds most goes on without what is missing", () => {
  const { resequencer, released } = collect();
  const last = 2 ** 24 - 1;
  for (let sequence = 0; sequence < 300; sequence++) {
    const wrapped = (last - 100 + sequence) % 2 ** 24;
    resequencer.take(1, wrapped, packet(wrapped), 0);
  }
  expect(released.slice(99, 103)).toEqual([last - 1, last, 0, 1]);
  const large = new Uint8Array(60_000);
  for (let sequence = 1; sequence < 1000; sequence++) resequencer.take(3, sequence, large, 0);
  expect(resequencer.bytes).toBeLessThanOrEqual(HELD_BYTES);
  expect(resequencer.counts.givenUp).toBe(1);
});
