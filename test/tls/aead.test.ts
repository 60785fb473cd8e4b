import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AEAD_IV_BYTES,
  AEAD_KEY_BYTES,
  AEAD_NAMES,
  aeadImplementations,
  passesSelfTest,
  preferredAeads,
} from "../../src/tls/aead.ts";
import { packetProtection } from "../../src/tls/index.ts";
import { keysFit } from "./pair.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));

/** RFC 8439, section 2.8.2; NIST GCM test case 4 (McGrew and Viega, appendix B). The packet number is 0: the nonce is the IV. */
const VECTORS = {
  "chacha20-poly1305": {
    key: hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
    iv: hex("070000004041424344454647"),
    header: hex("50515253c0c1c2c3c4c5c6c7"),
    plain: new TextEncoder().encode(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
    ),
    sealed: hex(`d31a8d34648e60db7b86afbc53ef7ec2 a4aded51296e08fea9e2b5a736ee62d6
      3dbea45e8ca9671282fafb69da92728b 1a71de0a9e060b2905d6a5b67ecd3b36 92ddbd7f2d778b8c9803aee328091b58
      fab324e4fad675945585808b4831d7bc 3ff4def08e4b7a9de576d26586cec64b 6116 1ae10b594f09e26a7e902ecbd0600691`),
  },
  "aes-128-gcm": {
    key: hex("feffe9928665731c6d6a8f9467308308"),
    iv: hex("cafebabefacedbaddecaf888"),
    header: hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
    plain: hex(`d9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72
      1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b39`),
    sealed: hex(`42831ec2217774244b7221b784d0d49c e3aa212f2c02a4e035c17e2329aca12e
      21d514b25466931c7d8f6a5aac84aa05 1ba30b396a0aac973d58e091 5bc94fbc3221a5db94fae95ae7121a47`),
  },
};

const cases = AEAD_NAMES.flatMap((aead) =>
  aeadImplementations(aead).map((implementation) => ({
    aead,
    implementation,
    name: `${aead} of ${implementation.name}`,
  })),
);

describe.each(cases)("$name", ({ aead, implementation }) => {
  test("gives the answers of the standard", () => {
    const { key, iv, header, plain, sealed } = VECTORS[aead];
    const packet = new Uint8Array(header.length + sealed.length);
    packet.set(header);
    packet.set(plain, header.length);
    const sealer = implementation.sealer(aead, key, iv);
    sealer.seal(packet, 0, header.length, header.length + plain.length, 0);
    expect(packet.subarray(header.length)).toEqual(sealed);
    expect(implementation.opener(aead, key, iv).open(packet, header.length, 0)).toBe(true);
    expect(packet.subarray(header.length, header.length + plain.length)).toEqual(plain);
  });

  test("opens what another implementation sealed, anywhere in a buffer, and nothing that was changed", () => {
    const bytes = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
    fc.assert(
      fc.property(
        bytes(AEAD_KEY_BYTES[aead]),
        bytes(AEAD_IV_BYTES),
        fc.uint8Array({ minLength: 1, maxLength: 1500 }),
        fc.nat(70_000),
        fc.integer({ min: 1, max: 40 }),
        fc.maxSafeNat(),
        fc.nat(),
        (key, iv, content, before, header, packetNumber, place) => {
          const headerBytes = Math.min(header, content.length);
          const other = aeadImplementations(aead).at(-1)!;
          const buffer = new Uint8Array(before + content.length + 16 + 3);
          buffer.set(content, before);
          const end = before + content.length;
          implementation.sealer(aead, key, iv).seal(buffer, before, headerBytes, end, packetNumber);
          expect(buffer.subarray(0, before).every((byte) => byte === 0)).toBe(true);
          expect(buffer.subarray(end + 16)).toEqual(new Uint8Array(3));
          const packet = buffer.subarray(before, end + 16);
          const changed = packet.slice();
          changed[place % changed.length] ^= 1 << (place % 8);
          const opener = implementation.opener(aead, key, iv);
          expect(opener.open(changed, headerBytes, packetNumber)).toBe(false);
          const copy = packet.slice();
          expect(opener.open(packet, headerBytes, packetNumber)).toBe(true);
          expect(packet.subarray(0, content.length)).toEqual(content);
          expect(other.opener(aead, key, iv).open(copy, headerBytes, packetNumber)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("works in WebAssembly's memory, also after that has grown and moved", () => {
    const { key, iv, header, plain, sealed } = VECTORS[aead];
    const sealer = implementation.sealer(aead, key, iv);
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 2000 });
    for (const grow of [0, 1, 1500]) {
      memory.grow(grow);
      const bytes = new Uint8Array(memory.buffer);
      const start = bytes.length - header.length - sealed.length;
      bytes.set(header, start);
      bytes.set(plain, start + header.length);
      sealer.seal(bytes, start, header.length, bytes.length - 16, 0);
      expect(bytes.subarray(start + header.length)).toEqual(sealed);
      const packet = new Uint8Array(memory.buffer, start);
      expect(implementation.opener(aead, key, iv).open(packet, header.length, 0)).toBe(true);
    }
  });

  test("never writes outside the bytes that it was given", () => {
    const sealer = implementation.sealer(aead, new Uint8Array(AEAD_KEY_BYTES[aead]), new Uint8Array(AEAD_IV_BYTES));
    const memory = new Uint8Array(300);
    expect(() => sealer.seal(memory.subarray(100, 200), 0, 10, 90, 1)).toThrow();
    expect(memory.subarray(200).every((byte) => byte === 0)).toBe(true);
  });

  test("refuses packets too short for a header and a tag", () => {
    const opener = implementation.opener(aead, new Uint8Array(AEAD_KEY_BYTES[aead]), new Uint8Array(AEAD_IV_BYTES));
    for (let length = 0; length < 30; length++) expect(opener.open(new Uint8Array(length), 14, 1)).toBe(false);
  });
});

test("an implementation that computes wrongly, or opens what is not genuine, or throws, is not used", () => {
  for (const aead of AEAD_NAMES) {
    const [good] = aeadImplementations(aead);
    const fails = (change: Partial<typeof good>) => expect(passesSelfTest({ ...good, ...change }, aead)).toBe(false);
    expect(passesSelfTest(good, aead)).toBe(true);
    fails({
      sealer: (name, key, iv) =>
        good.sealer(
          name,
          key,
          iv.map((byte) => byte ^ 1),
        ),
    });
    fails({ sealer: () => ({ seal: () => {} }) });
    fails({ opener: () => ({ open: () => true }) });
    fails({ opener: () => ({ open: () => false }) });
    fails({
      opener: () => {
        throw new Error("not there");
      },
    });
  }
});

test("node:crypto always has both, and the preference names both", () => {
  for (const aead of AEAD_NAMES) expect(aeadImplementations(aead).at(-1)?.name).toBe("node");
  expect([...preferredAeads()].sort()).toEqual([...AEAD_NAMES].sort());
});

test("the handshake's keys fit for the same connection id only", () => {
  const client = packetProtection.handshakeKeys(hex("8394c8f03e515708"), "client");
  expect(keysFit(client, packetProtection.handshakeKeys(hex("8394c8f03e515708"), "server"))).toBe(true);
  expect(keysFit(client, packetProtection.handshakeKeys(hex("8394c8f03e515709"), "server"))).toBe(false);
  expect(keysFit(client, packetProtection.handshakeKeys(hex("8394c8f03e515708"), "client"))).toBe(false);
});
