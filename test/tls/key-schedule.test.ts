import { describe, expect, test } from "vitest";
import { packetProtection } from "../../src/tls/index.ts";
import { keysOf } from "../../src/tls/key-schedule.ts";
import type { LinkKeys } from "../../src/transport/link/aead.ts";
import { keysFit } from "./pair.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));
const HEADER = Uint8Array.from({ length: 11 }, (_, i) => i);
const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);

/** "bats" sealed after an 11-byte header. */
function sealed(keys: LinkKeys, packetNumber: number): string {
  const packet = new Uint8Array(11 + 4 + 16);
  packet.set(HEADER);
  packet.set(new TextEncoder().encode("bats"), 11);
  keys.sealer.seal(packet, 0, 11, 15, packetNumber);
  return Buffer.from(packet.subarray(11)).toString("hex");
}

// Made with Python's hmac and cryptography packages from docs/wire-format-link.md.
describe("packet keys are those of the wire format", () => {
  test("in the handshake epoch", () => {
    const id = hex("8394c8f03e515708");
    expect(sealed(packetProtection.handshakeKeys(id, "client"), 2)).toBe("cf6503fc3d403b027845e1872cf505b25a03d37c");
    expect(sealed(packetProtection.handshakeKeys(id, "server"), 2)).toBe("980a45e8150d53714c6cf919dbb2d2b2bb048a16");
  });

  test("in the data epoch, with either AEAD, and in the next phase", () => {
    const phase1 = keysOf("aes-128-gcm", SECRET, "client").next();
    expect(sealed(phase1, 0x123456789a)).toBe("ee3088e29738aa2fe6aab9e57a9b441c26f8ac27");
    const chacha = keysOf("chacha20-poly1305", SECRET, "server");
    expect(sealed(chacha, 0x123456789a)).toBe("9c2b732fef4be24dfc6d1509a0c67d5659884364");
  });
});

test("the keys of many phases fit, each only its own", () => {
  for (const aead of ["aes-128-gcm", "chacha20-poly1305"] as const) {
    let client = keysOf(aead, SECRET, "client");
    let server = keysOf(aead, SECRET, "server");
    for (let phase = 0; phase < 5; phase++) {
      const before = server;
      [client, server] = [client.next(), server.next()];
      expect(keysFit(client, server)).toBe(true);
      expect(keysFit(client, before)).toBe(false);
    }
  }
});

test("limits leave room below those of RFC 9001", () => {
  const aes = keysOf("aes-128-gcm", SECRET, "client");
  // A link goes on for as many again while an update does not get through.
  expect(2 * aes.sealLimit).toBeLessThanOrEqual(2 ** 23);
  expect(aes.openLimit).toBeLessThanOrEqual(2 ** 52);
  expect(keysOf("chacha20-poly1305", SECRET, "client").openLimit).toBeLessThanOrEqual(2 ** 36);
});
