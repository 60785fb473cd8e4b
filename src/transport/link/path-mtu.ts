/**
 * Path MTU discovery at the packetization layer, for one path: RFC 8899 with RFC 9000, section 14.3. Sizes are UDP payloads.
 * From the base of 1200 bytes it tries the largest first, then halves the range. When for some round trips all packets of a size
 * are lost while smaller ones arrive, that is a black hole: back to the base. The path may lose packets at random, so how many
 * losses count as proof depends on the loss rate.
 */

export const BASE_DATAGRAM_BYTES = 1200;
/** The search ends when the range is no larger than this. */
const PRECISION_BYTES = 4;
/** Losses that are this unlikely at random prove that a size does not pass. */
const PROBE_DOUBT = 0.005;
const BLACK_HOLE_DOUBT = 1e-6;
/** Losses lie this many round trips apart, or a queue that overflows would do. */
const BLACK_HOLE_RTTS = 2;
/** RFC 8899, section 5.1.1: PMTU_RAISE_TIMER. */
const RAISE_MS = 600_000;
/** After a black hole the search starts again sooner: the path has just changed. */
const RETRY_MS = 5000;

export class PathMtu {
  #limit: number;
  #current: number;
  #failed: number;
  #probe = 0;
  #losses = 0;
  #inFlight = false;
  #searchMs = Number.NEGATIVE_INFINITY;
  // Packets above the base that were lost since the last of such a size arrived.
  #lost = 0;
  #leastLost = 0;
  #firstLostMs = 0;
  #smallerAcked = false;
  /** Times that a black hole was found. */
  blackHoles = 0;

  /** `limit`: the largest datagram that either end or the local network takes. */
  constructor(limit: number) {
    this.#limit = Math.max(limit, BASE_DATAGRAM_BYTES);
    this.#current = BASE_DATAGRAM_BYTES;
    this.#failed = this.#limit + 1;
    this.#plan();
  }

  /** The peer takes no more than `limit`, from 1200. */
  restrict(limit: number): void {
    if (limit >= this.#limit) return;
    this.#limit = Math.max(limit, BASE_DATAGRAM_BYTES);
    this.#current = Math.min(this.#current, this.#limit);
    this.#failed = Math.min(this.#failed, this.#limit + 1);
    this.#plan();
  }

  /** The largest datagram known to pass. */
  get current(): number {
    return this.#current;
  }

  /** Whether a larger size is still being looked for. */
  get searching(): boolean {
    return this.#probe > 0;
  }

  /** The size of a probe to send now, or 0. */
  due(nowMs: number): number {
    if (this.#inFlight) return 0;
    if (this.#probe === 0 && nowMs >= this.#searchMs && this.#current < this.#limit) {
      this.#failed = this.#limit + 1;
      this.#plan();
    }
    return nowMs >= this.#searchMs ? this.#probe : 0;
  }

  onProbeSent(): void {
    this.#inFlight = true;
  }

  /** A probe of `bytes` arrived. Returns whether the MTU grew. */
  onProbeAcked(bytes: number, nowMs: number): boolean {
    this.#inFlight = false;
    this.#losses = 0;
    if (bytes <= this.#current) return false;
    this.#current = bytes;
    if (this.#failed <= bytes) this.#failed = this.#limit + 1;
    this.#plan();
    this.#searchMs = this.#probe === 0 ? nowMs + RAISE_MS : nowMs;
    return true;
  }

  /** A probe was lost, as every `lossRate`-th packet is. */
  onProbeLost(bytes: number, lossRate: number, nowMs: number): void {
    this.#inFlight = false;
    if (bytes !== this.#probe || ++this.#losses < proof(lossRate, PROBE_DOUBT, 3, 10)) return;
    this.#losses = 0;
    this.#failed = this.#probe;
    this.#plan();
    if (this.#probe === 0) this.#searchMs = nowMs + RAISE_MS;
  }

  /** What is on its way will not be heard of: a probe counts as never sent. */
  abandonProbe(): void {
    this.#inFlight = false;
  }

  /** A packet that was no probe arrived. */
  onPacketAcked(bytes: number, sentMs: number): void {
    // What left before the first loss says nothing of the path since.
    if (this.#lost === 0 || sentMs < this.#firstLostMs) return;
    if (bytes >= this.#leastLost) this.#lost = 0;
    else this.#smallerAcked = true;
  }

  /** A packet that was no probe is lost. Returns whether that proves a black hole: the MTU is then the base again. */
  onPacketLost(bytes: number, sentMs: number, lossRate: number, rttMs: number, nowMs: number): boolean {
    if (bytes <= BASE_DATAGRAM_BYTES || this.#current === BASE_DATAGRAM_BYTES) return false;
    if (this.#lost++ === 0) {
      this.#firstLostMs = sentMs;
      this.#leastLost = bytes;
      this.#smallerAcked = false;
    } else {
      this.#leastLost = Math.min(this.#leastLost, bytes);
    }
    const lasted = sentMs - this.#firstLostMs >= BLACK_HOLE_RTTS * rttMs;
    if (!lasted || !this.#smallerAcked || this.#lost < proof(lossRate, BLACK_HOLE_DOUBT, 6, 40)) return false;
    this.blackHoles++;
    this.#failed = this.#current;
    this.#current = BASE_DATAGRAM_BYTES;
    this.#lost = 0;
    this.#losses = 0;
    this.#inFlight = false;
    this.#plan();
    this.#searchMs = nowMs + RETRY_MS;
    return true;
  }

  /** Picks the next size to try between what passes and what does not; 0 when they are close. */
  #plan(): void {
    const gap = this.#failed - this.#current;
    if (gap <= PRECISION_BYTES) this.#probe = 0;
    else this.#probe = this.#failed > this.#limit ? this.#limit : this.#current + (gap >> 1);
  }
}

/** How many losses in a row are less likely than `doubt` when each packet is lost with `lossRate`. */
function proof(lossRate: number, doubt: number, least: number, most: number): number {
  if (lossRate <= 0) return least;
  return Math.min(Math.max(Math.ceil(Math.log(doubt) / Math.log(Math.min(lossRate, 0.9))), least), most);
}
