import fc from "fast-check";
import { expect, test } from "vitest";
import { networkOf } from "../../src/tun/network.ts";
import { PrefixTable } from "../../src/tunnel/prefix-table.ts";

const network = fc.constantFrom(4, 16).chain((length) =>
  fc.record({
    // Few values, so that networks lie in each other.
    address: fc.uint8Array({ minLength: length, maxLength: length, max: 3 }),
    prefixLength: fc.nat(8 * length),
    value: fc.nat(100),
    remove: fc.boolean(),
  }),
);

test("the longest network that an address is in counts, and overlaps are found, whatever was set and deleted before", () => {
  fc.assert(
    fc.property(fc.array(network, { maxLength: 40 }), fc.array(network, { maxLength: 20 }), (changes, asked) => {
      const table = new PrefixTable<{ value: number }>();
      const naive = new Map<string, { address: Uint8Array; prefixLength: number; held: { value: number } }>();
      for (const { address, prefixLength, value, remove } of changes) {
        const masked = networkOf({ text: "", address, prefixLength }).address;
        const key = `${masked}/${prefixLength}`;
        if (remove) {
          table.delete(address, prefixLength);
          naive.delete(key);
        } else {
          const held = { value };
          table.set(address, prefixLength, held);
          naive.set(key, { address: masked, prefixLength, held });
        }
        // What was answered before a change does not count after it.
        for (const { address: other } of asked) table.lookup(Uint8Array.from([9, ...other]), 1, other.length);
      }
      expect(table.size).toBe(naive.size);
      for (const { address } of [...asked, ...changes]) {
        let longest = -1;
        let found: { value: number } | null = null;
        for (const { address: of, prefixLength, held } of naive.values()) {
          if (of.length !== address.length || prefixLength <= longest) continue;
          if (Buffer.compare(networkOf({ text: "", address, prefixLength }).address, of) !== 0) continue;
          longest = prefixLength;
          found = held;
        }
        const bytes = Uint8Array.from([9, ...address]);
        expect(table.lookup(bytes, 1, address.length)).toBe(found);
      }
      for (const wanted of changes) {
        const overlapping = new Set<{ value: number }>();
        for (const { address, prefixLength, held } of naive.values()) {
          const prefix = Math.min(prefixLength, wanted.prefixLength);
          const [one, other] = [address, wanted.address].map(
            (of) => networkOf({ text: "", address: of, prefixLength: prefix }).address,
          );
          if (one.length === other.length && Buffer.compare(one, other) === 0) overlapping.add(held);
        }
        expect(table.overlapping(wanted.address, wanted.prefixLength)).toEqual(overlapping);
      }
    }),
  );
});
