/**
 * What a session knows of its path from the fates of its own packets: round-trip time, the share of packets lost, and how losses
 * cluster. For redundancy alone: what congestion control and loss detection need, the link measures for itself.
 *
 * Losses are modelled as Gilbert did ("Capacity of a Burst-Noise Channel", Bell System Technical Journal 39, 1960), packet by packet:
 * `loss` is their share, `persistence` the chance that the packet after a lost one is lost too. Where losses are independent the two
 * are equal; the mean burst is 1 / (1 - persistence).
 */

/** Packets over which the loss is averaged: few, for the beginning of a thin flow, to many. */
const LEAST_MEMORY = 8;
const MEMORY = 800;
/** With the fates of so many packets the loss is known. */
const SETTLED_PACKETS = 300;
/** Losses over which their persistence is averaged, and as how many the assumption of independence counts. */
const PERSISTENCE_MEMORY = 200;
const PERSISTENCE_PRIOR = 10;
/**
 * Packets whose fate is remembered: losses are known far less than `MOST_FATES` after the packets next to them, and mostly less than
 * `FIRST_FATES`. More are remembered as soon as half of them leave before the first is settled.
 */
const FIRST_FATES = 64;
const MOST_FATES = 4096;
const UNKNOWN = 0;
const ARRIVED = 1;
const LOST = 2;
/** Packets that others sent count among the first so many only: later ones are mostly those of a path that is gone. */
const MOST_SAMPLES = 32;
/** Before anything is known. */
const INITIAL_LOSS = 0.02;
const INITIAL_RTT_MS = 200;
/** Beyond this no redundancy helps. */
const MOST_LOSS = 0.7;

export class PathEstimate {
  #rttMs = Number.NaN;
  #leastRttMs = Number.NaN;
  #loss = INITIAL_LOSS;
  #packets = 0;
  #next = 0;
  /** A ring by packet number; its length is a power of two. */
  #fates = new Uint8Array(FIRST_FATES);
  /** Of fractions from the beginning: V8 compiles anew, at the first loss, all that was made for whole numbers. */
  #afterLoss = -0;
  #bothLost = -0;

  /** Smoothed, from a packet's leaving to the word that it arrived; what is assumed before the first. */
  get rttMs(): number {
    return this.sampled ? this.#rttMs : INITIAL_RTT_MS;
  }

  /** The way there alone, ms, as if the way back took as long: half of the least round trip; 0 before the first. */
  get oneWayMs(): number {
    return this.sampled ? this.#leastRttMs / 2 : 0;
  }

  get sampled(): boolean {
    return !Number.isNaN(this.#rttMs);
  }

  get loss(): number {
    return Math.min(this.#loss, MOST_LOSS);
  }

  /** Whether the loss is known well enough to be paid for before it happens. */
  get settled(): boolean {
    return this.#packets >= SETTLED_PACKETS;
  }

  get persistence(): number {
    const { loss } = this;
    const mean = (this.#bothLost + PERSISTENCE_PRIOR * loss) / (this.#afterLoss + PERSISTENCE_PRIOR);
    return Math.min(Math.max(mean, loss), 0.95);
  }

  /** A packet leaves; its number. */
  packetSent(): number {
    const number = this.#next++;
    const half = number - this.#fates.length / 2;
    if (half >= 0 && this.#fate(half) === UNKNOWN) this.#grow();
    this.#fates[number & (this.#fates.length - 1)] = UNKNOWN;
    return number;
  }

  packetArrived(packet: number, sentMs: number, nowMs: number): void {
    const sampleMs = Math.max(nowMs - sentMs, 0);
    this.#leastRttMs = this.sampled ? Math.min(this.#leastRttMs, sampleMs) : sampleMs;
    this.#rttMs = this.sampled ? this.#rttMs + (sampleMs - this.#rttMs) / 16 : sampleMs;
    this.#loss -= this.#loss * this.#weight();
    this.#settle(packet, ARRIVED);
  }

  packetLost(packet: number): void {
    this.#loss += (1 - this.#loss) * this.#weight();
    this.#settle(packet, LOST);
  }

  /** A packet that was given up for lost arrived. */
  spurious(): void {
    this.#loss = Math.max(0, this.#loss - 1 / MEMORY);
  }

  /** Of packets that were not the session's so many arrived, so many did not: what is known of the path before it sends. */
  sample(arrived: number, lost: number): void {
    for (let i = 0; i < arrived + lost && this.#packets < MOST_SAMPLES; i++) {
      this.#loss += ((i < lost ? 1 : 0) - this.#loss) * this.#weight();
    }
  }

  /** A new path: nothing is known of it. */
  reset(): void {
    this.#rttMs = Number.NaN;
    this.#loss = INITIAL_LOSS;
    this.#packets = 0;
    this.#afterLoss = 0;
    this.#bothLost = 0;
  }

  /** Nothing is under way: the memory of a flight that was long goes. */
  rest(): void {
    if (this.#fates.length > FIRST_FATES) this.#fates = new Uint8Array(FIRST_FATES);
  }

  #weight(): number {
    return 1 / Math.min(LEAST_MEMORY + this.#packets++, MEMORY);
  }

  #fate(packet: number): number {
    return this.#fates[packet & (this.#fates.length - 1)];
  }

  #grow(): void {
    const old = this.#fates;
    if (old.length === MOST_FATES) return;
    const larger = new Uint8Array(2 * old.length);
    for (let packet = Math.max(0, this.#next - old.length); packet < this.#next; packet++) {
      larger[packet & (larger.length - 1)] = old[packet & (old.length - 1)];
    }
    this.#fates = larger;
  }

  #settle(packet: number, fate: number): void {
    if (this.#next - packet >= this.#fates.length) return;
    this.#fates[packet & (this.#fates.length - 1)] = fate;
    if (packet > 0 && this.#fate(packet - 1) === LOST) this.#pair(fate);
    if (fate !== LOST || packet + 1 === this.#next) return;
    const after = this.#fate(packet + 1);
    if (after !== UNKNOWN) this.#pair(after);
  }

  /** The fate of a packet after a lost one. */
  #pair(fate: number): void {
    const keep = 1 - 1 / PERSISTENCE_MEMORY;
    this.#afterLoss = this.#afterLoss * keep + 1;
    this.#bothLost = this.#bothLost * keep + (fate === LOST ? 1 : 0);
  }
}
