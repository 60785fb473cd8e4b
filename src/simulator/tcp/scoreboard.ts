/**
 * The sender's scoreboard: for each segment sent and not yet ACKed whether it was SACKed, is held lost, is being
 * retransmitted, and when it was last sent (RFC 6675, section 4, with RACK's list in the order of sending, RFC 8985).
 * Which segments are lost is decided elsewhere. Hot: rings indexed by segment number, lists by links in arrays.
 */

export const SACKED = 1;
export const LOST = 2;
/** A retransmission is out. */
export const RETRANSMITTING = 4;
/** Was retransmitted at some time. */
export const RETRANSMITTED = 8;

const NONE = -1;

export class Scoreboard {
  /** First segment not cumulatively ACKed. */
  acknowledged = 0;
  /** Next segment never sent. */
  next = 0;
  sackedOut = 0;
  lostOut = 0;
  retransmitsOut = 0;
  /** Highest segment SACKed; meaningful while `sackedOut` is above 0. */
  highestSacked = NONE;
  /** First segment in the order of sending, NONE (-1) when there is none. */
  oldest = NONE;
  #newest = NONE;
  #mask = 1023;
  #flags = new Uint8Array(1024);
  #sentMs = new Float64Array(1024);
  #sendings = new Float64Array(1024);
  #sendingCount = 0;
  #later = new Int32Array(1024);
  #earlier = new Int32Array(1024);
  // No lost segment that waits for its retransmission is below this.
  #retransmitHint = Number.POSITIVE_INFINITY;

  get packetsOut(): number {
    return this.next - this.acknowledged;
  }

  /** RFC 6675's pipe as Linux counts it. */
  get inFlight(): number {
    return this.packetsOut - this.sackedOut - this.lostOut + this.retransmitsOut;
  }

  /** Where reordering is measured against: the highest segment SACKed, else the first not ACKed. */
  get forwardEdge(): number {
    return this.sackedOut > 0 ? this.highestSacked : this.acknowledged;
  }

  flags(segment: number): number {
    return this.#flags[segment & this.#mask];
  }

  sentMs(segment: number): number {
    return this.#sentMs[segment & this.#mask];
  }

  /** Which of all transmissions its last one was: tells apart what was sent in one instant. */
  sending(segment: number): number {
    return this.#sendings[segment & this.#mask];
  }

  /** The segment sent next after `segment`, of those in the list; -1 at the end. */
  later(segment: number): number {
    return this.#later[segment & this.#mask];
  }

  /** Adds the next new segment. */
  sendNew(nowMs: number): number {
    if (this.packetsOut > this.#mask) this.#grow();
    const segment = this.next++;
    const slot = segment & this.#mask;
    this.#flags[slot] = 0;
    this.#sentMs[slot] = nowMs;
    this.#sendings[slot] = ++this.#sendingCount;
    this.#append(segment);
    return segment;
  }

  retransmit(segment: number, nowMs: number): void {
    const slot = segment & this.#mask;
    const flags = this.#flags[slot];
    if ((flags & RETRANSMITTING) === 0) this.retransmitsOut++;
    this.#unlink(segment);
    this.#flags[slot] = flags | RETRANSMITTING | RETRANSMITTED;
    this.#sentMs[slot] = nowMs;
    this.#sendings[slot] = ++this.#sendingCount;
    this.#append(segment);
  }

  markSacked(segment: number): void {
    const slot = segment & this.#mask;
    let flags = this.#flags[slot];
    if ((flags & LOST) !== 0) {
      this.lostOut--;
      if ((flags & RETRANSMITTING) !== 0) this.retransmitsOut--;
      flags &= ~(LOST | RETRANSMITTING);
    }
    this.#flags[slot] = flags | SACKED;
    if (this.sackedOut++ === 0 || segment > this.highestSacked) this.highestSacked = segment;
    this.#unlink(segment);
  }

  /** Returns false when nothing changed. */
  markLost(segment: number): boolean {
    const slot = segment & this.#mask;
    const flags = this.#flags[slot];
    if ((flags & SACKED) !== 0) return false;
    if (segment < this.#retransmitHint) this.#retransmitHint = segment;
    if ((flags & LOST) === 0) {
      this.lostOut++;
      this.#flags[slot] = flags | LOST;
      return true;
    }
    if ((flags & RETRANSMITTING) === 0) return false;
    // The retransmission was lost as well.
    this.#flags[slot] = flags & ~RETRANSMITTING;
    this.retransmitsOut--;
    return true;
  }

  /** Takes a segment out of the list by time of sending until it is sent again. */
  forgetSending(segment: number): void {
    this.#unlink(segment);
  }

  /** Drops the first segment, which was ACKed; returns its flags. */
  acknowledge(): number {
    const segment = this.acknowledged;
    const flags = this.flags(segment);
    if ((flags & SACKED) !== 0) this.sackedOut--;
    else this.#unlink(segment);
    if ((flags & LOST) !== 0) this.lostOut--;
    if ((flags & RETRANSMITTING) !== 0) this.retransmitsOut--;
    this.acknowledged = segment + 1;
    return flags;
  }

  /** Takes back every loss mark. */
  unmarkLost(): void {
    for (let segment = this.acknowledged; segment < this.next; segment++) this.#flags[segment & this.#mask] &= ~LOST;
    this.lostOut = 0;
    this.#retransmitHint = Number.POSITIVE_INFINITY;
  }

  /** The first lost segment whose retransmission is not out; -1 when there is none. */
  nextToRetransmit(): number {
    let segment = Math.max(this.#retransmitHint, this.acknowledged);
    while (segment < this.next) {
      const flags = this.#flags[segment & this.#mask];
      if ((flags & LOST) !== 0 && (flags & (SACKED | RETRANSMITTING)) === 0) break;
      segment++;
    }
    this.#retransmitHint = segment < this.next ? segment : Number.POSITIVE_INFINITY;
    return segment < this.next ? segment : NONE;
  }

  #append(segment: number): void {
    const slot = segment & this.#mask;
    this.#later[slot] = NONE;
    this.#earlier[slot] = this.#newest;
    if (this.#newest === NONE) this.oldest = segment;
    else this.#later[this.#newest & this.#mask] = segment;
    this.#newest = segment;
  }

  /** Does nothing when the segment is not in the list. */
  #unlink(segment: number): void {
    const slot = segment & this.#mask;
    const earlier = this.#earlier[slot];
    const later = this.#later[slot];
    if (earlier === NONE) {
      if (this.oldest !== segment) return;
      this.oldest = later;
    } else {
      this.#later[earlier & this.#mask] = later;
    }
    if (later === NONE) this.#newest = earlier;
    else this.#earlier[later & this.#mask] = earlier;
    this.#earlier[slot] = NONE;
    this.#later[slot] = NONE;
  }

  #grow(): void {
    const oldMask = this.#mask;
    const size = 2 * (oldMask + 1);
    const flags = new Uint8Array(size);
    const sentMs = new Float64Array(size);
    const sendings = new Float64Array(size);
    const later = new Int32Array(size);
    const earlier = new Int32Array(size);
    for (let segment = this.acknowledged; segment < this.next; segment++) {
      const from = segment & oldMask;
      const to = segment & (size - 1);
      flags[to] = this.#flags[from];
      sentMs[to] = this.#sentMs[from];
      sendings[to] = this.#sendings[from];
      later[to] = this.#later[from];
      earlier[to] = this.#earlier[from];
    }
    this.#flags = flags;
    this.#sentMs = sentMs;
    this.#sendings = sendings;
    this.#later = later;
    this.#earlier = earlier;
    this.#mask = size - 1;
  }
}
