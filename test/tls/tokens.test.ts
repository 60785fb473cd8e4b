import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ADDRESS_TOKEN_BYTES, AddressTokens, ResetTokens } from "../../src/tls/index.ts";

const ADDRESS = { ip: "192.0.2.7", port: 4000 };
const HOUR_MS = 3_600_000;

describe("an address token", () => {
  test("of a retry is good for its address and port, and returns the first connection id", () => {
    const tokens = new AddressTokens();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), fc.double({ min: 0, max: 1e12, noNaN: true }), (id, nowMs) => {
        const token = new AddressTokens().issue("retry", ADDRESS, nowMs, id);
        expect(token.length).toBe(ADDRESS_TOKEN_BYTES);
        const mine = tokens.issue("retry", ADDRESS, 0, id);
        expect(tokens.check(mine, { ...ADDRESS }, 29_000)).toEqual({ kind: "retry", originalId: id });
        expect(tokens.check(mine, { ...ADDRESS, port: 4001 }, 1)).toBe(null);
        expect(tokens.check(mine, { ...ADDRESS, ip: "192.0.2.8" }, 1)).toBe(null);
        expect(tokens.check(mine, ADDRESS, 31_000)).toBe(null);
        expect(tokens.check(token, ADDRESS, nowMs)).toBe(null);
      }),
    );
  });

  test("for later is good from any port of its IP address, for a day", () => {
    const tokens = new AddressTokens();
    const token = tokens.issue("later", ADDRESS, 5);
    expect(tokens.check(token, { ...ADDRESS, port: 9 }, 23 * HOUR_MS)?.kind).toBe("later");
    expect(tokens.check(token, { ...ADDRESS, ip: "2001:db8::1" }, 10)).toBe(null);
    expect(tokens.check(token, ADDRESS, 25 * HOUR_MS)).toBe(null);
  });

  test("stays good when the key changes once, and is refused after that", () => {
    const tokens = new AddressTokens({ laterLifetimeMs: 10 * HOUR_MS });
    tokens.issue("later", ADDRESS, 0);
    const token = tokens.issue("later", ADDRESS, 9 * HOUR_MS);
    tokens.issue("later", ADDRESS, 11 * HOUR_MS);
    expect(tokens.check(token, ADDRESS, 12 * HOUR_MS)?.kind).toBe("later");
    tokens.issue("later", ADDRESS, 22 * HOUR_MS);
    expect(tokens.check(token, ADDRESS, 18 * HOUR_MS)).toBe(null);
  });

  test("that was changed or made up is refused", () => {
    const tokens = new AddressTokens();
    const token = tokens.issue("retry", ADDRESS, 0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
    for (let i = 0; i < 8 * token.length; i++) {
      const changed = token.slice();
      changed[i >> 3] ^= 1 << (i & 7);
      expect(tokens.check(changed, ADDRESS, 0)).toBe(null);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (made) => tokens.check(made, ADDRESS, 0) === null));
    expect(new AddressTokens().check(token, ADDRESS, 0)).toBe(null);
  });
});

describe("a reset token", () => {
  test("depends on the id and the key, and on nothing else", () => {
    const key = new Uint8Array(32).fill(3);
    const id = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const token = new ResetTokens(key).tokenFor(id);
    expect(token.length).toBe(16);
    expect(new ResetTokens(key).tokenFor(id)).toEqual(token);
    expect(new ResetTokens(key).tokenFor(id.subarray(1))).not.toEqual(token);
    expect(new ResetTokens().tokenFor(id)).not.toEqual(token);
  });

  test("needs a key that cannot be guessed", () => {
    expect(() => new ResetTokens(new Uint8Array(8))).toThrow("a reset key of 8 bytes, wanted at least 16");
  });
});
