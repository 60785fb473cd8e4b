/**
 * What came and was not yet told often enough: ranges of packet numbers received in one epoch, and the ACK frames made of
 * them. A sender that hears of a packet only once loses that word with the ACK, so each packet is reported in REPORTS ACK
 * frames, or until an ACK frame that named it was itself acknowledged (RFC 9000, section 13.2.3 and 13.2.4); where gaps are so
 * many that frames grow long, in LEAST_REPORTS at least. Not here: when to send an ACK (`ack-policy.ts`), nor which packets are
 * duplicates (`replay-window.ts`).
 *
 * Hot: parallel arrays, ranges in ascending order, new packets nearly always at the end.
 */
import { ackDelayField, FRAME_ACK, FRAME_ACK_ECN } from "./frames.ts";
import { varintBytes, writeVarint } from "./varint.ts";

/** In how many ACK frames each packet is reported unless confirmed before, or MANY_RANGES are newer. */
export const REPORTS = 16;
/** Ranges that are held, at the most and to begin with: what came while the host stood still for a while is told at once. */
const CAPACITY = 1024;
const FIRST_CAPACITY = 4;
/**
 * A range that so many are newer than is dropped after LEAST_REPORTS, so that frame and sender's work stay small. Not before, however
 * late its packets came: what is not named soon, its sender takes for lost, and the first frames that name it may be lost.
 */
const MANY_RANGES = 128;
const LEAST_REPORTS = 6;

export class AckTracker {
  #low = new Float64Array(FIRST_CAPACITY);
  #high = new Float64Array(FIRST_CAPACITY);
  /** How many ACK frames named all of the range. */
  #reports = new Uint8Array(FIRST_CAPACITY);
  /** The number of the first ACK frame that named all of the range as it is now. */
  #firstFrame = new Float64Array(FIRST_CAPACITY);
  #count = 0;
  /** Frames written so far: a frame's number is its place. */
  #frames = 0;
  /** The top of the newest range in each of the last REPORTS frames: below the oldest, that range needs no more reports. */
  readonly #tops = new Float64Array(REPORTS).fill(-1);
  #largestAtMs = 0;
  readonly #ecn = new Float64Array(4);
  /** Ranges that were dropped unreported because there were too many. */
  overflows = 0;

  /** The largest number received, -1 before any. */
  get largest(): number {
    return this.#count === 0 ? -1 : this.#high[this.#count - 1];
  }

  /** Ranges held. */
  get ranges(): number {
    return this.#count;
  }

  /** Takes note of a packet that was not seen before. `ecn` is the codepoint it came with. */
  add(packetNumber: number, ecn: number, nowMs: number): void {
    this.#ecn[ecn]++;
    const last = this.#count - 1;
    if (last >= 0 && packetNumber === this.#high[last] + 1) {
      this.#high[last] = packetNumber;
      this.#reports[last] = 0;
      this.#largestAtMs = nowMs;
      return;
    }
    if (last < 0 || packetNumber > this.#high[last]) {
      if (this.#count === CAPACITY) this.#remove(0);
      this.#makeRoom();
      this.#put(this.#count++, packetNumber, packetNumber);
      this.#tops.fill(-1);
      this.#largestAtMs = nowMs;
      return;
    }
    this.#addLate(packetNumber);
  }

  /**
   * Writes an ACK frame of at most `room` bytes at `at` and returns its end; `at` when there is nothing to report or no
   * room. The frame's number, for `confirm`, is then `lastFrame`.
   */
  write(bytes: Uint8Array, at: number, room: number, nowMs: number): number {
    let index = this.#count - 1;
    if (index < 0) return at;
    const marked = this.#ecn[1] + this.#ecn[2] + this.#ecn[3] > 0;
    const frame = this.#frames;
    // The newest range is cut where earlier frames said enough, so that frame and sender's work stay small.
    const settled = this.#tops[frame % REPORTS];
    if (settled >= this.#low[index]) this.#low[index] = Math.min(settled + 1, this.#high[index]);
    const ecnBytes = marked ? varintBytes(this.#ecn[2]) + varintBytes(this.#ecn[1]) + varintBytes(this.#ecn[3]) : 0;
    const delay = ackDelayField(Math.max(0, nowMs - this.#largestAtMs));
    const largest = this.#high[index];
    const first = largest - this.#low[index];
    // Room for the count of ranges is kept before it is known.
    const countBytes = varintBytes(index);
    const limit = at + room - ecnBytes;
    if (at + 1 + varintBytes(largest) + varintBytes(delay) + countBytes + varintBytes(first) > limit) return at;
    bytes[at] = marked ? FRAME_ACK_ECN : FRAME_ACK;
    let next = writeVarint(bytes, at + 1, largest);
    next = writeVarint(bytes, next, delay);
    const countAt = next;
    next = writeVarint(bytes, next + countBytes, first);
    this.#reported(index, frame);
    let more = 0;
    let above = this.#low[index];
    for (index--; index >= 0; index--) {
      const high = this.#high[index];
      const low = this.#low[index];
      const gap = above - high - 2;
      if (next + varintBytes(gap) + varintBytes(high - low) > limit) break;
      next = writeVarint(bytes, next, gap);
      next = writeVarint(bytes, next, high - low);
      above = low;
      more++;
      this.#reported(index, frame);
    }
    if (countBytes === 1) {
      bytes[countAt] = more;
    } else {
      bytes[countAt] = 0x40 | (more >>> 8);
      bytes[countAt + 1] = more;
    }
    if (marked) {
      next = writeVarint(bytes, next, this.#ecn[2]);
      next = writeVarint(bytes, next, this.#ecn[1]);
      next = writeVarint(bytes, next, this.#ecn[3]);
    }
    this.#tops[frame % REPORTS] = largest;
    this.#frames = frame + 1;
    this.#dropReported();
    return next;
  }

  /** The number of the last ACK frame written, -1 before any. */
  get lastFrame(): number {
    return this.#frames - 1;
  }

  /** The peer got ACK frame `frame`: what it named needs no more reports. */
  confirm(frame: number): void {
    let kept = 0;
    const newest = this.#count - 1;
    for (let i = 0; i < this.#count; i++) {
      if (i !== newest && this.#reports[i] > 0 && this.#firstFrame[i] <= frame) continue;
      if (kept !== i) this.#move(i, kept);
      kept++;
    }
    this.#count = kept;
  }

  #reported(index: number, frame: number): void {
    if (this.#reports[index] === 0) this.#firstFrame[index] = frame;
    if (this.#reports[index] < 255) this.#reports[index]++;
  }

  /** Drops ranges reported often enough; the newest stays, for an ACK frame needs one. */
  #dropReported(): void {
    let kept = 0;
    const newest = this.#count - 1;
    const old = this.#count - MANY_RANGES;
    for (let i = 0; i < this.#count; i++) {
      if (i !== newest && this.#reports[i] >= (i < old ? LEAST_REPORTS : REPORTS)) continue;
      if (kept !== i) this.#move(i, kept);
      kept++;
    }
    this.#count = kept;
  }

  /** A number below the largest: it extends a range, joins two, or stands alone. */
  #addLate(packetNumber: number): void {
    let i = this.#count - 1;
    while (i >= 0 && this.#low[i] > packetNumber) i--;
    // Now range i starts at or below the number, range i + 1 above it.
    const joinsBelow = i >= 0 && this.#high[i] + 1 >= packetNumber;
    const joinsAbove = i + 1 < this.#count && this.#low[i + 1] === packetNumber + 1;
    if (i >= 0 && this.#high[i] >= packetNumber) {
      // Inside a range: only a range that lost its memory of a gap.
      this.#reports[i] = 0;
    } else if (joinsBelow && joinsAbove) {
      this.#high[i] = this.#high[i + 1];
      this.#reports[i] = 0;
      this.#remove(i + 1);
    } else if (joinsBelow) {
      this.#high[i] = packetNumber;
      this.#reports[i] = 0;
    } else if (joinsAbove) {
      this.#low[i + 1] = packetNumber;
      this.#reports[i + 1] = 0;
    } else {
      if (this.#count === CAPACITY) {
        if (i < 0) {
          this.overflows++;
          return;
        }
        this.#remove(0);
        i--;
      }
      this.#makeRoom();
      for (let j = this.#count; j > i + 1; j--) this.#move(j - 1, j);
      this.#count++;
      this.#put(i + 1, packetNumber, packetNumber);
    }
    // Earlier frames did not name this number, however high their tops were.
    this.#tops.fill(-1);
  }

  /** For one more range. */
  #makeRoom(): void {
    const capacity = this.#low.length;
    if (this.#count < capacity) return;
    const low = new Float64Array(2 * capacity);
    const high = new Float64Array(2 * capacity);
    const reports = new Uint8Array(2 * capacity);
    const firstFrame = new Float64Array(2 * capacity);
    low.set(this.#low);
    high.set(this.#high);
    reports.set(this.#reports);
    firstFrame.set(this.#firstFrame);
    this.#low = low;
    this.#high = high;
    this.#reports = reports;
    this.#firstFrame = firstFrame;
  }

  #put(index: number, low: number, high: number): void {
    this.#low[index] = low;
    this.#high[index] = high;
    this.#reports[index] = 0;
    this.#firstFrame[index] = 0;
  }

  #move(from: number, to: number): void {
    this.#low[to] = this.#low[from];
    this.#high[to] = this.#high[from];
    this.#reports[to] = this.#reports[from];
    this.#firstFrame[to] = this.#firstFrame[from];
  }

  #remove(index: number): void {
    if (index === 0 && this.#reports[0] === 0) this.overflows++;
    for (let i = index + 1; i < this.#count; i++) this.#move(i, i - 1);
    this.#count--;
  }
}
