/**
 * Tokens of stateless resets (RFC 9000, section 10.3.2): a keyed hash of the connection id, so that a server which lost its state
 * still knows the token of an id that it once gave out. That takes the same key after the restart.
 */
import { createHmac, randomBytes } from "node:crypto";

const KEY_BYTES = 32;
const LEAST_KEY_BYTES = 16;
const TOKEN_BYTES = 16;

export class ResetTokens {
  readonly #key: Uint8Array;

  /** `key`: at least 16 secret bytes, kept over restarts. Without it, one that lives as long as the process. */
  constructor(key: Uint8Array = randomBytes(KEY_BYTES)) {
    if (key.length < LEAST_KEY_BYTES) throw new RangeError(`a reset key of ${key.length} bytes, wanted at least 16`);
    this.#key = key.slice();
  }

  /** The 16 bytes that end the link of `connectionId`. */
  tokenFor(connectionId: Uint8Array): Uint8Array {
    const hash = createHmac("sha256", this.#key).update("bats1 stateless reset").update(connectionId).digest();
    return Uint8Array.from(hash.subarray(0, TOKEN_BYTES));
  }
}
