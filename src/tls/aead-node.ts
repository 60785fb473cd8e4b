/**
 * The AEADs from node:crypto: there wherever Node is, a new cipher object and several buffers for each packet.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Opener, Sealer } from "../transport/link/aead.ts";
import { TAG_BYTES } from "../transport/link/packet-header.ts";
import type { AeadImplementation, AeadName } from "./aead.ts";
import { writeNonce } from "./nonce.ts";

const OPTIONS = { authTagLength: TAG_BYTES };
// The typings know the ChaCha20-Poly1305 overload by its literal; both AEADs have the same methods.
type Gcm = "aes-128-gcm";

class NodeAead implements Sealer, Opener {
  readonly #name: Gcm;
  readonly #key: Uint8Array;
  readonly #iv: Uint8Array;
  readonly #nonce = new Uint8Array(12);

  constructor(name: AeadName, key: Uint8Array, iv: Uint8Array) {
    this.#name = name as Gcm;
    this.#key = key.slice();
    this.#iv = iv.slice();
  }

  seal(bytes: Uint8Array, start: number, headerBytes: number, end: number, packetNumber: number): void {
    writeNonce(this.#nonce, 0, this.#iv, packetNumber);
    const cipher = createCipheriv(this.#name, this.#key, this.#nonce, OPTIONS);
    const payload = start + headerBytes;
    cipher.setAAD(bytes.subarray(start, payload));
    bytes.set(cipher.update(bytes.subarray(payload, end)), payload);
    cipher.final();
    bytes.set(cipher.getAuthTag(), end);
  }

  open(bytes: Uint8Array, headerBytes: number, packetNumber: number): boolean {
    const end = bytes.length - TAG_BYTES;
    if (end < headerBytes) return false;
    writeNonce(this.#nonce, 0, this.#iv, packetNumber);
    const decipher = createDecipheriv(this.#name, this.#key, this.#nonce, OPTIONS);
    decipher.setAAD(bytes.subarray(0, headerBytes));
    decipher.setAuthTag(bytes.subarray(end));
    const plain = decipher.update(bytes.subarray(headerBytes, end));
    try {
      decipher.final();
    } catch {
      return false;
    }
    bytes.set(plain, headerBytes);
    return true;
  }
}

export const nodeAead: AeadImplementation = {
  name: "node",
  aeads: ["aes-128-gcm", "chacha20-poly1305"],
  sealer: (aead, key, iv) => new NodeAead(aead, key, iv),
  opener: (aead, key, iv) => new NodeAead(aead, key, iv),
};
