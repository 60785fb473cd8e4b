/**
 * Connection ids: those this end gave out, by which it is found, and those the peer gave out, of which one is in use at a
 * time. A fresh one is taken for each change of path, so that an onlooker cannot join the two (RFC 9000, sections 5.1 and
 * 9.5). New ids and their retirement travel on the control stream, so each arrives.
 */

export const RESET_TOKEN_BYTES = 16;
/** Ids that either end holds of the other at once. */
export const ACTIVE_IDS = 4;

const NO_ID: Uint8Array = new Uint8Array(0);

/** The ids by which the peer addresses this end. */
export class LocalIds {
  readonly #ids = new Map<number, Uint8Array>();
  readonly length: number;
  #nextSequence = 1;
  /** The id that was found last, which the next packet most likely bears too. */
  #lastFound = -1;
  #lastId = NO_ID;

  /** `first`, sequence 0, is the one of the handshake. All have its length, which a short header does not tell. */
  constructor(first: Uint8Array) {
    this.#ids.set(0, first);
    this.length = first.length;
  }

  /** How many more the peer may be given. */
  get wanted(): number {
    return ACTIVE_IDS - this.#ids.size;
  }

  get active(): IterableIterator<Uint8Array> {
    return this.#ids.values();
  }

  /** Enters a new id and returns its sequence. */
  issue(id: Uint8Array): number {
    this.#ids.set(this.#nextSequence, id);
    return this.#nextSequence++;
  }

  /** The peer uses an id no more. Returns it, or null when it was retired already or never given. */
  retire(sequence: number): Uint8Array | null {
    const id = this.#ids.get(sequence) ?? null;
    if (sequence === this.#lastFound) this.#lastFound = -1;
    this.#ids.delete(sequence);
    return id;
  }

  /** The sequence of the id at `start` to `end`; -1 when it is none of ours. */
  find(bytes: Uint8Array, start: number, end: number): number {
    if (this.#lastFound >= 0 && equalAt(bytes, start, end, this.#lastId)) return this.#lastFound;
    for (const [sequence, id] of this.#ids) {
      if (!equalAt(bytes, start, end, id)) continue;
      this.#lastFound = sequence;
      this.#lastId = id;
      return sequence;
    }
    return -1;
  }
}

/** The ids by which this end addresses the peer. */
export class RemoteIds {
  #current: Uint8Array;
  #sequence = 0;
  #token: Uint8Array | null = null;
  /** Each id with its token behind it, in one array: a small array costs several times its bytes. */
  readonly #spare: { sequence: number; idAndToken: Uint8Array }[] = [];
  #largest = 0;

  constructor(first: Uint8Array) {
    this.#current = first;
  }

  get current(): Uint8Array {
    return this.#current;
  }

  get spares(): number {
    return this.#spare.length;
  }

  /** The peer's own choice of id in its first packet, in place of the one made up for it. */
  adopt(id: Uint8Array): void {
    this.#current = id;
  }

  setToken(token: Uint8Array): void {
    this.#token = token;
  }

  /** A new id of the peer; false when it breaks the rules: more than were asked for, or a sequence that does not grow. */
  add(sequence: number, id: Uint8Array, token: Uint8Array): boolean {
    if (sequence <= this.#largest) return false;
    if (this.#spare.length >= ACTIVE_IDS - 1) return false;
    this.#largest = sequence;
    const idAndToken = new Uint8Array(id.length + RESET_TOKEN_BYTES);
    idAndToken.set(id);
    idAndToken.set(token, id.length);
    this.#spare.push({ sequence, idAndToken });
    return true;
  }

  /** Moves to a fresh id; returns the sequence to retire, or -1 when there is no fresh one. */
  rotate(): number {
    const next = this.#spare.shift();
    if (next === undefined) return -1;
    const retired = this.#sequence;
    const { sequence, idAndToken } = next;
    this.#current = idAndToken.slice(0, -RESET_TOKEN_BYTES);
    this.#sequence = sequence;
    this.#token = idAndToken.slice(-RESET_TOKEN_BYTES);
    return retired;
  }

  /** Whether a datagram ends in the reset token of the id in use. In constant time. */
  isReset(datagram: Uint8Array): boolean {
    const token = this.#token;
    if (token === null || datagram.length < 21) return false;
    let difference = 0;
    const at = datagram.length - RESET_TOKEN_BYTES;
    for (let i = 0; i < RESET_TOKEN_BYTES; i++) difference |= datagram[at + i] ^ token[i];
    return difference === 0;
  }
}

export function equalAt(bytes: Uint8Array, start: number, end: number, id: Uint8Array): boolean {
  if (end - start !== id.length) return false;
  for (let i = 0; i < id.length; i++) if (bytes[start + i] !== id[i]) return false;
  return true;
}
