/**
 * Delivery-rate samples after draft-cheng-iccrg-delivery-rate-estimation: each packet remembers how much had been
 * delivered, and when, as it was sent; its ACK gives a rate over about one round trip. Two things differ. Beside what was
 * delivered it counts what *passed*: everything sent up to the newest packet acknowledged, arrived or not. Delivered over
 * passed is the share that survived, known without any loss having been declared (so declaring wrongly does no harm).
 * And a sample spans sending positions, so that lost ACKs move nothing. Declares no losses and keeps no RTT.
 *
 * Hot: parallel arrays in a ring by packet number; the results are fields, to be read after `finish`.
 */
const INITIAL_CAPACITY = 8;
/** After a pause this long the ring is as small as at first, and there is none once a lone packet after it is acknowledged. */
const REST_MS = 10_000;
/** What all samplers without a ring have in its place: one place that is free and stays so. */
const NO_NUMBERS = new Float64Array(1).fill(-1);
const NOTHING = new Float64Array(1);
const NO_FLAGS = new Uint8Array(1);

export class RateSampler {
  /** Bytes acknowledged so far. */
  delivered = 0;
  /** Bytes sent so far. */
  sent = 0;
  /** Bytes sent up to the end of the newest packet acknowledged. */
  passed = 0;
  /** The newest packet acknowledged, -1 before. */
  newestAcked = -1;

  // The sample of the last `finish`.
  /** Whether there is a sample. */
  valid = false;
  deliveredBytes = 0;
  passedBytes = 0;
  intervalMs = 0;
  /** The sample says what was sent rather than what the path can do. */
  appLimited = false;

  #mask = 0;
  #numbers = NO_NUMBERS;
  #positions = NOTHING;
  #sentMs = NOTHING;
  #delivereds = NOTHING;
  #passeds = NOTHING;
  #passedMss = NOTHING;
  #passedSentMss = NOTHING;
  #limiteds = NO_FLAGS;
  // When `passed` last moved, and when the packet that moved it was sent.
  #passedMs = 0;
  #passedSentMs = 0;
  // Packets up to this position were sent while the application had too little; -1 when none.
  #limitedUpTo = -1;
  #candidate = -1;
  #invalidBefore = -1;
  #sentLastMs = 0;
  /** The packet in flight when it left alone after a pause, else -1. */
  #lone = -1;

  /** Packets that the ring has room for, for tests. */
  get capacity(): number {
    return this.#numbers === NO_NUMBERS ? 0 : this.#mask + 1;
  }

  /** `flightEmpty`: nothing was in flight before this packet. */
  onSent(packet: number, bytes: number, flightEmpty: boolean, nowMs: number): void {
    this.#lone = -1;
    if (flightEmpty) {
      if (nowMs > this.#sentLastMs + REST_MS) {
        if (this.#mask >= INITIAL_CAPACITY) this.#allocate();
        this.#lone = packet;
      }
      // The pause is not the path's.
      this.#passedMs = nowMs;
      this.#passedSentMs = nowMs;
      this.passed = this.sent;
    }
    if (this.#numbers === NO_NUMBERS) this.#allocate();
    let slot = packet & this.#mask;
    if (this.#numbers[slot] >= 0) {
      this.#grow();
      slot = packet & this.#mask;
    }
    this.sent += bytes;
    this.#sentLastMs = nowMs;
    this.#numbers[slot] = packet;
    this.#positions[slot] = this.sent;
    this.#sentMs[slot] = nowMs;
    this.#delivereds[slot] = this.delivered;
    this.#passeds[slot] = this.passed;
    this.#passedMss[slot] = this.#passedMs;
    this.#passedSentMss[slot] = this.#passedSentMs;
    this.#limiteds[slot] = this.#limitedUpTo >= 0 ? 1 : 0;
  }

  /** Returns when the packet was sent, NaN when that is not known any more. */
  onAcked(packet: number, bytes: number): number {
    this.delivered += bytes;
    const slot = packet & this.#mask;
    if (this.#numbers[slot] !== packet) return Number.NaN;
    if (packet > this.newestAcked && packet > this.#candidate) {
      if (this.#candidate >= 0) this.#numbers[this.#candidate & this.#mask] = -1;
      this.#candidate = packet;
    } else {
      this.#numbers[slot] = -1;
    }
    return this.#sentMs[slot];
  }

  /** Lost or forgotten: nothing more will be asked about the packet. Returns when it was sent, NaN when that is not known any more. */
  onGone(packet: number): number {
    const slot = packet & this.#mask;
    if (this.#numbers[slot] !== packet) return Number.NaN;
    this.#numbers[slot] = -1;
    return this.#sentMs[slot];
  }

  /** A packet given up for lost arrived after all. */
  onSpurious(bytes: number): void {
    this.delivered += bytes;
  }

  /** Marks what is in flight as sent by an application that had too little. */
  onAppLimited(): void {
    this.#limitedUpTo = this.sent;
  }

  /** Makes no more samples of what was sent so far. */
  invalidate(): void {
    this.#invalidBefore = this.sent;
  }

  /** Another path: what was sent so far has been forgotten, and says nothing of it. */
  restart(nowMs: number): void {
    this.invalidate();
    this.passed = this.sent;
    this.#passedMs = nowMs;
    this.#passedSentMs = nowMs;
    this.#limitedUpTo = -1;
  }

  /** Takes the packets acknowledged since the last call as one sample. */
  finish(nowMs: number): void {
    this.valid = false;
    const packet = this.#candidate;
    if (packet < 0) return;
    this.#candidate = -1;
    this.newestAcked = packet;
    const slot = packet & this.#mask;
    this.#numbers[slot] = -1;
    const position = this.#positions[slot];
    const sentMs = this.#sentMs[slot];
    this.deliveredBytes = this.delivered - this.#delivereds[slot];
    this.passedBytes = position - this.#passeds[slot];
    this.intervalMs = Math.max(nowMs - this.#passedMss[slot], sentMs - this.#passedSentMss[slot]);
    this.appLimited = this.#limiteds[slot] === 1;
    this.valid = this.intervalMs > 0 && this.#passeds[slot] >= this.#invalidBefore;
    if (position > this.passed) {
      this.passed = position;
      this.#passedMs = nowMs;
      this.#passedSentMs = sentMs;
    }
    if (this.#limitedUpTo >= 0 && position > this.#limitedUpTo) this.#limitedUpTo = -1;
    if (packet === this.#lone) this.#release();
  }

  #release(): void {
    this.#lone = -1;
    this.#mask = 0;
    this.#numbers = NO_NUMBERS;
    this.#positions = NOTHING;
    this.#sentMs = NOTHING;
    this.#delivereds = NOTHING;
    this.#passeds = NOTHING;
    this.#passedMss = NOTHING;
    this.#passedSentMss = NOTHING;
    this.#limiteds = NO_FLAGS;
  }

  /** A ring as at first. Nothing is in flight, so there is nothing to keep. */
  #allocate(): void {
    const empty = () => new Float64Array(INITIAL_CAPACITY);
    this.#mask = INITIAL_CAPACITY - 1;
    this.#numbers = empty().fill(-1);
    this.#positions = empty();
    this.#sentMs = empty();
    this.#delivereds = empty();
    this.#passeds = empty();
    this.#passedMss = empty();
    this.#passedSentMss = empty();
    this.#limiteds = new Uint8Array(INITIAL_CAPACITY);
  }

  #grow(): void {
    const old = this.#numbers;
    const oldMask = this.#mask;
    let capacity = old.length;
    // Two live packets may still fall on one slot after one doubling: the span of numbers decides.
    let low = Number.POSITIVE_INFINITY;
    let high = 0;
    for (const number of old) {
      if (number >= 0 && number < low) low = number;
      if (number > high) high = number;
    }
    do capacity *= 2;
    while (capacity <= high - low + 1);
    const mask = capacity - 1;
    const moved = (from: Float64Array): Float64Array<ArrayBuffer> => {
      const to = new Float64Array(capacity);
      for (const number of old) if (number >= 0) to[number & mask] = from[number & oldMask];
      return to;
    };
    const numbers = new Float64Array(capacity).fill(-1);
    const limiteds = new Uint8Array(capacity);
    for (const number of old) {
      if (number < 0) continue;
      numbers[number & mask] = number;
      limiteds[number & mask] = this.#limiteds[number & oldMask];
    }
    this.#positions = moved(this.#positions);
    this.#sentMs = moved(this.#sentMs);
    this.#delivereds = moved(this.#delivereds);
    this.#passeds = moved(this.#passeds);
    this.#passedMss = moved(this.#passedMss);
    this.#passedSentMss = moved(this.#passedSentMss);
    this.#numbers = numbers;
    this.#limiteds = limiteds;
    this.#mask = mask;
  }
}
