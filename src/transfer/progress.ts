/** How far a transfer is, the same at both ends; and how fast it goes. Counts only: who shows them is elsewhere. */

/** Something that was not transferred. */
export interface Problem {
  readonly path: string;
  readonly text: string;
}

/** All of them are counted, the first of them kept. */
const KEPT_PROBLEMS = 100;

export class Progress {
  /** Files and their bytes, as far as they are known. */
  files = 0;
  bytes = 0;
  /** Whether those are all. */
  counted = false;
  /** Files that are in their place, and their bytes; those of them that were before. */
  doneFiles = 0;
  doneBytes = 0;
  unchangedFiles = 0;
  /** Things that were not transferred. */
  failed = 0;
  problems: Problem[] = [];
  /** What the last file was. */
  current = "";
  /** Called for each problem. */
  onProblem: (problem: Problem) => void = () => {};
  /** Bytes that went over the line before this session, and in it. */
  #movedBefore = 0;
  #moved = 0;
  /** Bytes that were done when this session began, and those that it found at the receiver. */
  #doneBefore = 0;
  #found = 0;

  /** Bytes of files that went over the line, in all sessions. */
  get movedBytes(): number {
    return this.#movedBefore + this.#moved;
  }

  /** Bytes that were there before any session. */
  get reusedBytes(): number {
    return Math.max(0, this.doneBytes - this.movedBytes);
  }

  /** Bytes that are at the receiver, of all. */
  get position(): number {
    return Math.min(this.#doneBefore + this.#found + this.#moved, this.bytes);
  }

  /** Another session goes on where the last one was lost. */
  resume(): void {
    this.#movedBefore += this.#moved;
    this.#moved = 0;
    this.#found = 0;
    this.#doneBefore = this.doneBytes;
  }

  /** Another session begins again from the first file. */
  restart(): void {
    this.files = this.bytes = this.doneFiles = this.doneBytes = this.unchangedFiles = this.failed = 0;
    this.counted = false;
    this.problems = [];
    this.resume();
  }

  fail(path: string, text: string): void {
    const problem = { path, text };
    this.failed++;
    if (this.problems.length < KEPT_PROBLEMS) this.problems.push(problem);
    this.onProblem(problem);
  }

  done(bytes: number, unchanged: boolean): void {
    this.doneFiles++;
    this.doneBytes += bytes;
    if (unchanged) this.unchangedFiles++;
  }

  /** The receiver had `bytes` of a file. */
  found(bytes: number): void {
    this.#found += bytes;
  }

  /** So much has gone over the line in this session. */
  moved(bytes: number): void {
    this.#moved = bytes;
  }
}

/** The rate of late: over the last seconds, so that it neither jumps nor remembers an outage for long. */
export class RateMeter {
  readonly #spanMs: number;
  readonly #samples: { atMs: number; bytes: number }[] = [];

  constructor(spanMs = 5000) {
    this.#spanMs = spanMs;
  }

  /** Takes what has been moved by now; bytes a second. */
  sample(bytes: number, nowMs: number): number {
    const samples = this.#samples;
    samples.push({ atMs: nowMs, bytes });
    while (samples.length > 2 && samples[1].atMs <= nowMs - this.#spanMs) samples.shift();
    const [first] = samples;
    const elapsedMs = nowMs - first.atMs;
    return elapsedMs > 0 ? ((bytes - first.bytes) * 1000) / elapsedMs : 0;
  }
}
