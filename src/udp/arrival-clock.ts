/**
 * How long datagrams lay in the kernel before they were taken, from its time stamps. Those are of the system's clock, which may be
 * set, and callers measure by a monotonic one: what both show at a datagram that hardly waited is their distance. One that was
 * taken at once comes along all the time, so the least distance of the last seconds is the one to count from.
 *
 * Not a measure of the network: only of this host.
 */

/** The least distance forgets what is older than one to two of these: clocks drift apart. */
const MEMORY_MS = 2000;
/** Clocks that moved against each other by more than this in between were set. */
const JUMP_MS = 3;

export class ArrivalClock {
  #least = Number.POSITIVE_INFINITY;
  #nextLeast = Number.POSITIVE_INFINITY;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #offsetMs = Number.NaN;
  #beginMs = 0;
  #emptyMs = Number.NEGATIVE_INFINITY;

  /** Datagrams are about to be taken, at `nowMs`, when the system's clock shows `systemMs`. */
  begin(nowMs: number, systemMs: number): void {
    this.#beginMs = nowMs;
    const offset = systemMs - nowMs;
    if (!(Math.abs(offset - this.#offsetMs) <= JUMP_MS)) this.#least = this.#nextLeast = Number.POSITIVE_INFINITY;
    this.#offsetMs = offset;
    if (nowMs < this.#sinceMs + MEMORY_MS) return;
    this.#least = this.#nextLeast;
    this.#nextLeast = Number.POSITIVE_INFINITY;
    this.#sinceMs = nowMs;
  }

  /** How long the datagram waited that bears the stamp `stampMs` and is handed on at `nowMs`, at the least. */
  waitedMs(stampMs: number, nowMs: number): number {
    const distance = nowMs - stampMs;
    if (distance < this.#least) this.#least = distance;
    if (distance < this.#nextLeast) this.#nextLeast = distance;
    // It came after there was nothing left, whatever the clocks say.
    return Math.min(distance - this.#least, nowMs - this.#emptyMs);
  }

  /** What was taken since `begin` was all there was. */
  emptied(): void {
    this.#emptyMs = this.#beginMs;
  }
}
