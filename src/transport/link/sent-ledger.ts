/**
 * The ledger of sent packets: one entry a packet number, until its fate is known, and a while longer so that a
 * packet declared lost that arrives after all is recognised. Not here: who decides the fate (`loss-detection.ts`).
 *
 * Hot: a ring of parallel arrays indexed by packet number; nothing is allocated but when the ring doubles, or after a long pause.
 */

export const STATE_NONE = 0;
export const STATE_OUTSTANDING = 1;
export const STATE_ACKED = 2;
export const STATE_LOST = 3;
/** A number that no packet ever bore. */
export const STATE_SKIPPED = 4;

/** The packet counts towards congestion and bytes in flight. */
export const SENT_IN_FLIGHT = 1;
/** It carried the upper layer's bytes, which have a tag. */
export const SENT_TAGGED = 2;
/** It carried a control symbol. */
export const SENT_CONTROL = 4;
/** It probed for a larger path MTU. */
export const SENT_MTU_PROBE = 8;
/** It carried an ACK frame. */
export const SENT_ACK = 16;
/** It left as ECT(0). */
export const SENT_ECT = 32;
/** It belongs to the handshake epoch. */
export const SENT_HANDSHAKE = 64;
/** It left after a change of path that this entry does not know: no RTT sample, no MTU verdict. */
export const SENT_OLD_PATH = 128;

const INITIAL_CAPACITY = 8;
/** Packets that may be outstanding at once: a limit on memory, about 50 bytes each. */
const MAX_CAPACITY = 1 << 18;
/** The ring is this many times as long as what is outstanding, so that lost packets are remembered for some round trips. */
const MEMORY = 4;
/**
 * After a pause this long what was lost before it is of no interest, and the ring as small as at first. There is none at all once the
 * one packet that follows a pause is settled: keep-alives of an idle link.
 */
const REST_MS = 10_000;
/** What all ledgers without a ring have in its place: one place of STATE_NONE, which nobody writes to. */
const NO_NUMBERS = new Float64Array(1);
const NO_BYTES = new Uint32Array(1);
const NO_FLAGS = new Uint8Array(1);
/** Nothing is outstanding further back than this: less than the ring, so that no entry is ever lost to a newer one. */
const MAX_SPAN = MAX_CAPACITY / 2;

export class SentLedger {
  #mask = 0;
  #sentMs = NO_NUMBERS;
  #tag = NO_NUMBERS;
  #control = NO_NUMBERS;
  #ackFrame = NO_NUMBERS;
  #bytes = NO_BYTES;
  #flags = NO_FLAGS;
  #state = NO_FLAGS;
  #next = 0;
  #lowest = 0;
  #outstanding = 0;
  /** When the last packet was entered, and whether it is the only one after a pause. */
  #addedMs = Number.POSITIVE_INFINITY;
  #lone = false;

  /** The next packet number. */
  get next(): number {
    return this.#next;
  }

  /** No packet below this is outstanding. */
  get lowest(): number {
    return this.#lowest;
  }

  /** Packets outstanding. */
  get outstanding(): number {
    return this.#outstanding;
  }

  /** Entries of memory, for tests. */
  get capacity(): number {
    return this.#state === NO_FLAGS ? 0 : this.#mask + 1;
  }

  /** Whether the lowest packet must be settled before another number is used: its place will be needed. */
  get crowded(): boolean {
    return this.#outstanding > 0 && this.#next - this.#lowest >= MAX_SPAN;
  }

  /** Whether there is room for one more packet. */
  get full(): boolean {
    return this.#next - this.#lowest >= MAX_CAPACITY / MEMORY;
  }

  /** Uses up a number: for a packet that nobody waits for, one of ACKs alone, or for none (STATE_SKIPPED). */
  skip(state: typeof STATE_NONE | typeof STATE_SKIPPED = STATE_NONE): number {
    const packetNumber = this.#next;
    // Where there is no memory, no number was ever used as far as it goes back.
    if (state !== STATE_NONE || this.#state !== NO_FLAGS) {
      this.#makeRoom();
      this.#state[packetNumber & this.#mask] = state;
    }
    this.#next++;
    if (this.#outstanding === 0) this.#lowest = this.#next;
    return packetNumber;
  }

  /** Enters an ack-eliciting packet of `bytes` and returns its number. */
  add(nowMs: number, bytes: number, flags: number, tag: number, control: number, ackFrame: number): number {
    const packetNumber = this.#next;
    this.#lone = this.#outstanding === 0 && nowMs > this.#addedMs + REST_MS;
    if (this.#lone) this.#shrink();
    this.#addedMs = nowMs;
    this.#makeRoom();
    const slot = packetNumber & this.#mask;
    this.#sentMs[slot] = nowMs;
    this.#bytes[slot] = bytes;
    this.#flags[slot] = flags;
    this.#tag[slot] = tag;
    this.#control[slot] = control;
    this.#ackFrame[slot] = ackFrame;
    this.#state[slot] = STATE_OUTSTANDING;
    if (this.#outstanding++ === 0) this.#lowest = packetNumber;
    this.#next++;
    return packetNumber;
  }

  /** STATE_NONE for a number never used, or too old to remember. */
  state(packetNumber: number): number {
    if (packetNumber >= this.#next || packetNumber < this.#next - this.#mask - 1) return STATE_NONE;
    return this.#state[packetNumber & this.#mask];
  }

  sentMs(packetNumber: number): number {
    return this.#sentMs[packetNumber & this.#mask];
  }

  bytes(packetNumber: number): number {
    return this.#bytes[packetNumber & this.#mask];
  }

  flags(packetNumber: number): number {
    return this.#flags[packetNumber & this.#mask];
  }

  tag(packetNumber: number): number {
    return this.#tag[packetNumber & this.#mask];
  }

  /** What the control stream called the symbol that the packet carried. */
  control(packetNumber: number): number {
    return this.#control[packetNumber & this.#mask];
  }

  /** The number of the ACK frame in the packet. */
  ackFrame(packetNumber: number): number {
    return this.#ackFrame[packetNumber & this.#mask];
  }

  setFlags(packetNumber: number, flags: number): void {
    this.#flags[packetNumber & this.#mask] = flags;
  }

  /** Settles an outstanding packet, or makes a lost one acknowledged. */
  settle(packetNumber: number, state: number): void {
    const slot = packetNumber & this.#mask;
    if (this.#state[slot] === STATE_OUTSTANDING) this.#outstanding--;
    this.#state[slot] = state;
    if (packetNumber === this.#lowest) this.#advance();
  }

  /** Gives the memory back if the only packet after a pause is settled. What was asked of packets before is known no more. */
  rest(): void {
    if (!this.#lone || this.#outstanding > 0) return;
    this.#lone = false;
    this.#mask = 0;
    this.#sentMs = NO_NUMBERS;
    this.#tag = NO_NUMBERS;
    this.#control = NO_NUMBERS;
    this.#ackFrame = NO_NUMBERS;
    this.#bytes = NO_BYTES;
    this.#flags = NO_FLAGS;
    this.#state = NO_FLAGS;
  }

  /** The lowest packet number that may still be remembered. */
  get oldest(): number {
    return Math.max(0, this.#next - this.#mask - 1);
  }

  #advance(): void {
    if (this.#outstanding === 0) {
      this.#lowest = this.#next;
      return;
    }
    while (this.state(this.#lowest) !== STATE_OUTSTANDING) this.#lowest++;
  }

  /** For the next number. */
  #makeRoom(): void {
    if (this.#state === NO_FLAGS) this.#resize(INITIAL_CAPACITY);
    else if (this.#outstanding > 0 && (this.#next + 1 - this.#lowest) * MEMORY > this.#mask + 1) this.#grow();
  }

  #grow(): void {
    const capacity = 2 * (this.#mask + 1);
    if (capacity <= MAX_CAPACITY) this.#resize(capacity);
  }

  #shrink(): void {
    if (this.#mask + 1 > INITIAL_CAPACITY) this.#resize(INITIAL_CAPACITY);
  }

  /** Keeps the newest entries that the smaller of both rings has room for. */
  #resize(capacity: number): void {
    const oldMask = this.#mask;
    const mask = capacity - 1;
    const from = Math.max(this.oldest, this.#next - capacity);
    const move = <A extends Float64Array | Uint32Array | Uint8Array>(old: A, grown: A): A => {
      for (let n = from; n < this.#next; n++) grown[n & mask] = old[n & oldMask];
      return grown;
    };
    this.#sentMs = move(this.#sentMs, new Float64Array(capacity));
    this.#tag = move(this.#tag, new Float64Array(capacity));
    this.#control = move(this.#control, new Float64Array(capacity));
    this.#ackFrame = move(this.#ackFrame, new Float64Array(capacity));
    this.#bytes = move(this.#bytes, new Uint32Array(capacity));
    this.#flags = move(this.#flags, new Uint8Array(capacity));
    this.#state = move(this.#state, new Uint8Array(capacity));
    this.#mask = mask;
  }
}
