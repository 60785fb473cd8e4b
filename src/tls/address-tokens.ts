/**
 * Tokens by which a client proves that it is at its address (RFC 9000, section 8.1): for a retry, bound to address and port, with the
 * connection id that the client used first; and for a later connection, bound to the IP address. Sealed with keys of this
 * process, so that a server keeps no state for them. All have one size, and a token may be used again while it is valid: it proves
 * an address, not that the packet is fresh.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import type { Address } from "../transport/address.ts";

/** One token, of either kind. */
export const ADDRESS_TOKEN_BYTES = 1 + 12 + 28 + 16;

export type AddressTokenKind = "retry" | "later";

export interface AddressTokensOptions {
  /** How long a retry's token is good, ms. Default 30 s. */
  retryLifetimeMs?: number;
  /** How long one for a later connection is good, ms. Default 24 h. */
  laterLifetimeMs?: number;
  /** Fills in keys and nonces. Default node:crypto's. */
  random?: (bytes: Uint8Array) => void;
}

export interface CheckedAddressToken {
  readonly kind: AddressTokenKind;
  /** The id that the client used before the retry; empty in tokens for later. */
  readonly originalId: Uint8Array;
}

const CIPHER = "aes-128-gcm";
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PLAIN_BYTES = 28;
const MAX_ID_BYTES = 20;
const KINDS: readonly AddressTokenKind[] = ["retry", "later"];
/** Random nonces of 96 bits: NIST SP 800-38D, section 8.3 allows 2^32 under one key. */
const TOKENS_A_KEY = 2 ** 28;
const NO_ID = new Uint8Array(0);

interface TokenKey {
  readonly id: number;
  readonly key: Uint8Array;
  readonly fromMs: number;
  issued: number;
}

export class AddressTokens {
  readonly #lifetimesMs: Record<AddressTokenKind, number>;
  readonly #random: (bytes: Uint8Array) => void;
  #current: TokenKey | null = null;
  /** Still opens what it sealed. */
  #previous: TokenKey | null = null;

  constructor({ retryLifetimeMs = 30_000, laterLifetimeMs = 86_400_000, random }: AddressTokensOptions = {}) {
    this.#lifetimesMs = { retry: retryLifetimeMs, later: laterLifetimeMs };
    this.#random = random ?? ((bytes) => bytes.set(randomBytes(bytes.length)));
  }

  /** A token for a client at `address`. `nowMs` is any clock that does not run backwards, the same for `check`. */
  issue(kind: AddressTokenKind, address: Address, nowMs: number, originalId: Uint8Array = NO_ID): Uint8Array {
    if (originalId.length > MAX_ID_BYTES)
      throw new RangeError(`a connection id of ${originalId.length} bytes, at most 20`);
    const key = this.#keyAt(nowMs);
    key.issued++;
    const token = new Uint8Array(ADDRESS_TOKEN_BYTES);
    token[0] = key.id;
    const nonce = token.subarray(1, 1 + NONCE_BYTES);
    this.#random(nonce);
    const plain = Buffer.alloc(PLAIN_BYTES);
    plain[0] = KINDS.indexOf(kind);
    plain.writeUIntBE(Math.floor(nowMs), 1, 6);
    plain[7] = originalId.length;
    plain.set(originalId, 8);
    const cipher = createCipheriv(CIPHER, key.key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(boundTo(kind, address));
    token.set(cipher.update(plain), 1 + NONCE_BYTES);
    cipher.final();
    token.set(cipher.getAuthTag(), ADDRESS_TOKEN_BYTES - TAG_BYTES);
    return token;
  }

  /** What a token from `address` says; null for one that is forged, another's, or too old. Anything may be in it. */
  check(token: Uint8Array, address: Address, nowMs: number): CheckedAddressToken | null {
    if (token.length !== ADDRESS_TOKEN_BYTES) return null;
    const key = [this.#current, this.#previous].find((one) => one?.id === token[0]);
    if (key === undefined || key === null) return null;
    for (const kind of KINDS) {
      const plain = open(key.key, token, boundTo(kind, address));
      if (plain === null || KINDS[plain[0]] !== kind) continue;
      const ageMs = nowMs - plain.readUIntBE(1, 6);
      if (ageMs > this.#lifetimesMs[kind]) return null;
      return { kind, originalId: Uint8Array.from(plain.subarray(8, 8 + plain[7])) };
    }
    return null;
  }

  /** A key seals for as long as its tokens are good, then only opens for as long again. */
  #keyAt(nowMs: number): TokenKey {
    const current = this.#current;
    if (current !== null && nowMs - current.fromMs <= this.#lifetimesMs.later && current.issued < TOKENS_A_KEY) {
      return current;
    }
    const key = new Uint8Array(KEY_BYTES);
    this.#random(key);
    this.#previous = current;
    this.#current = { id: current === null ? 0 : (current.id + 1) & 255, key, fromMs: nowMs, issued: 0 };
    return this.#current;
  }
}

/** Associated data: what the sender of the token has to have in common with who it was made for. */
function boundTo(kind: AddressTokenKind, address: Address): Buffer {
  return Buffer.from(kind === "retry" ? `retry ${address.ip} ${address.port}` : `later ${address.ip}`);
}

function open(key: Uint8Array, token: Uint8Array, associated: Buffer): Buffer | null {
  const sealedEnd = ADDRESS_TOKEN_BYTES - TAG_BYTES;
  const nonce = token.subarray(1, 1 + NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(associated);
  decipher.setAuthTag(token.subarray(sealedEnd));
  const plain = decipher.update(token.subarray(1 + NONCE_BYTES, sealedEnd));
  try {
    decipher.final();
    return plain;
  } catch {
    return null;
  }
}
