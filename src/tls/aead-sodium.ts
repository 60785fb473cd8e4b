/**
 * ChaCha20-Poly1305 from libsodium through sodium-native (an optional dependency with prebuilt binaries): in place, three
 * views for each packet.
 */
import { createRequire } from "node:module";
import type { Opener, Sealer } from "../transport/link/aead.ts";
import { TAG_BYTES } from "../transport/link/packet-header.ts";
import type { AeadImplementation } from "./aead.ts";
import { writeNonce } from "./nonce.ts";

/** What is used of sodium-native. */
interface Sodium {
  crypto_aead_chacha20poly1305_ietf_encrypt(
    sealed: Uint8Array,
    plain: Uint8Array,
    associated: Uint8Array,
    secretNonce: null,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
  /** Throws for what is not genuine. */
  crypto_aead_chacha20poly1305_ietf_decrypt(
    plain: Uint8Array,
    secretNonce: null,
    sealed: Uint8Array,
    associated: Uint8Array,
    nonce: Uint8Array,
    key: Uint8Array,
  ): number;
}

class SodiumAead implements Sealer, Opener {
  readonly #sodium: Sodium;
  readonly #key: Uint8Array;
  readonly #iv: Uint8Array;
  readonly #nonce = new Uint8Array(12);

  constructor(sodium: Sodium, key: Uint8Array, iv: Uint8Array) {
    this.#sodium = sodium;
    this.#key = key.slice();
    this.#iv = iv.slice();
  }

  seal(bytes: Uint8Array, start: number, headerBytes: number, end: number, packetNumber: number): void {
    writeNonce(this.#nonce, 0, this.#iv, packetNumber);
    const payload = start + headerBytes;
    this.#sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
      bytes.subarray(payload, end + TAG_BYTES),
      bytes.subarray(payload, end),
      bytes.subarray(start, payload),
      null,
      this.#nonce,
      this.#key,
    );
  }

  open(bytes: Uint8Array, headerBytes: number, packetNumber: number): boolean {
    const end = bytes.length - TAG_BYTES;
    if (end < headerBytes) return false;
    writeNonce(this.#nonce, 0, this.#iv, packetNumber);
    try {
      this.#sodium.crypto_aead_chacha20poly1305_ietf_decrypt(
        bytes.subarray(headerBytes, end),
        null,
        bytes.subarray(headerBytes),
        bytes.subarray(0, headerBytes),
        this.#nonce,
        this.#key,
      );
      return true;
    } catch {
      return false;
    }
  }
}

/** Null where sodium-native is not installed or has no binary. */
export function loadSodiumAead(): AeadImplementation | null {
  try {
    const sodium = createRequire(import.meta.url)("sodium-native") as Sodium;
    return {
      name: "sodium",
      aeads: ["chacha20-poly1305"],
      sealer: (_aead, key, iv) => new SodiumAead(sodium, key, iv),
      opener: (_aead, key, iv) => new SodiumAead(sodium, key, iv),
    };
  } catch {
    return null;
  }
}
