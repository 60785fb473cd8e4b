/**
 * A stand-in for packet protection, for simulations and tests: a 16-byte keyed checksum over header, payload and packet
 * number. It costs the bytes of an AEAD and finds damage; it hides nothing and stops no attacker.
 *
 * Hot: one pass over the packet in 32-bit words, four lanes.
 */
import type { LinkKeys, Opener, PacketProtection, Role, Sealer } from "./aead.ts";
import { TAG_BYTES } from "./packet-header.ts";

const NO_LIMIT = Number.MAX_SAFE_INTEGER;

class Checksum implements Sealer, Opener {
  readonly #key: Uint32Array;
  readonly #tag = new Uint32Array(4);

  constructor(key: Uint32Array) {
    this.#key = key;
  }

  seal(bytes: Uint8Array, start: number, _headerBytes: number, end: number, packetNumber: number): void {
    this.#compute(bytes, start, end, packetNumber);
    for (let i = 0; i < TAG_BYTES; i++) bytes[end + i] = this.#tag[i >> 2] >>> (8 * (i & 3));
  }

  open(bytes: Uint8Array, headerBytes: number, packetNumber: number): boolean {
    const end = bytes.length - TAG_BYTES;
    if (end < headerBytes) return false;
    this.#compute(bytes, 0, end, packetNumber);
    let difference = 0;
    for (let i = 0; i < TAG_BYTES; i++) difference |= bytes[end + i] ^ ((this.#tag[i >> 2] >>> (8 * (i & 3))) & 255);
    return difference === 0;
  }

  #compute(bytes: Uint8Array, start: number, end: number, packetNumber: number): void {
    let a = this.#key[0] ^ packetNumber;
    let b = this.#key[1] ^ (packetNumber / 0x1_0000_0000);
    let c = this.#key[2] ^ (end - start);
    let d = this.#key[3];
    let i = start;
    for (; i + 16 <= end; i += 16) {
      a = Math.imul(a ^ word(bytes, i), 0x9e3779b1);
      b = Math.imul(b ^ word(bytes, i + 4), 0x85ebca77);
      c = Math.imul(c ^ word(bytes, i + 8), 0xc2b2ae3d);
      d = Math.imul(d ^ word(bytes, i + 12), 0x27d4eb2f);
      a ^= a >>> 15;
      b ^= b >>> 13;
      c ^= c >>> 14;
      d ^= d >>> 12;
    }
    for (; i < end; i++) {
      const t = Math.imul(a ^ bytes[i], 0x01000193);
      a = b;
      b = c;
      c = d;
      d = t;
    }
    const tag = this.#tag;
    a = mix(a ^ Math.imul(d, 0x9e3779b1));
    b = mix(b ^ Math.imul(a, 0x85ebca77));
    c = mix(c ^ Math.imul(b, 0xc2b2ae3d));
    d = mix(d ^ Math.imul(c, 0x27d4eb2f));
    tag[0] = a ^ d;
    tag[1] = b;
    tag[2] = c;
    tag[3] = d;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Four words that depend on every byte of `secret` and on `label`. Not a cryptographic hash. */
function hashWords(secret: Uint8Array, label: string): Uint32Array {
  const words = new Uint32Array(4);
  for (let lane = 0; lane < 4; lane++) {
    let hash = mix(0x811c9dc5 ^ lane);
    for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193);
    for (let i = 0; i < secret.length; i++) hash = Math.imul(hash ^ secret[i], 0x01000193) ^ (hash >>> 15);
    words[lane] = mix(hash);
  }
  return words;
}

export interface StandInKeyOptions {
  /** Packets a key may seal before it is updated. Default no limit. */
  sealLimit?: number;
}

/** Keys from a secret that both ends know. */
export function standInKeys(secret: Uint8Array, role: Role, options: StandInKeyOptions = {}): LinkKeys {
  const client = new Checksum(hashWords(secret, "client"));
  const server = new Checksum(hashWords(secret, "server"));
  return {
    sealer: role === "client" ? client : server,
    opener: role === "client" ? server : client,
    sealLimit: options.sealLimit ?? NO_LIMIT,
    openLimit: NO_LIMIT,
    next: () => standInKeys(new Uint8Array(hashWords(secret, "next").buffer), role, options),
  };
}

export const standInProtection: PacketProtection = {
  handshakeKeys: (connectionId, role) => standInKeys(connectionId, role),
};
