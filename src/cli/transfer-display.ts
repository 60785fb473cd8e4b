/** How `send` and `receive` show what they do: a bar on a terminal, a line now and then elsewhere, and what came of it at the end. */
import type { SessionStats } from "../api/stats.ts";
import type { Log } from "../proxy/log.ts";
import { type Progress, RateMeter } from "../transfer/progress.ts";
import { escapeControls } from "./log-output.ts";

const BAR_MS = 200;
const LINE_MS = 10_000;
const BAR_CELLS = 20;

/** Of a transfer that is over, or given up. */
export interface Outcome {
  role: "sender" | "receiver";
  peer: string;
  seconds: number;
  complete: boolean;
  stats: SessionStats | null;
}

/** What is shown of a running transfer. On standard error; results are on standard output. */
export class Display {
  readonly #progress: Progress;
  readonly #meter = new RateMeter();
  readonly #timer: NodeJS.Timeout | null;
  readonly #bar: boolean;
  #drawn = false;

  constructor(progress: Progress, shown: boolean) {
    this.#progress = progress;
    this.#bar = shown && process.stderr.isTTY === true;
    this.#timer = shown ? setInterval(() => this.#show(), this.#bar ? BAR_MS : LINE_MS) : null;
    this.#meter.sample(0, performance.now());
  }

  /** A log whose lines stand above the bar. */
  get log(): Log {
    const say = (_fields: object, message: string) => this.say(message);
    return { debug: () => {}, info: () => {}, warn: say, error: say };
  }

  say(text: string): void {
    this.#clear();
    process.stderr.write(`${escapeControls(text)}\n`);
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#clear();
  }

  #show(): void {
    const rate = this.#meter.sample(this.#progress.movedBytes, performance.now());
    const text = progressText(this.#progress, rate, this.#bar ? (process.stderr.columns ?? 80) - 1 : 0);
    this.#clear();
    process.stderr.write(this.#bar ? text : `${text}\n`);
    this.#drawn = this.#bar;
  }

  #clear(): void {
    if (this.#drawn) process.stderr.write("\r\x1b[K");
    this.#drawn = false;
  }
}

/** `width`: the columns of a terminal, where a bar is drawn; 0: a line without one. */
export function progressText(progress: Progress, bytesPerSecond: number, width: number): string {
  const { position, bytes, counted, doneFiles, files } = progress;
  const share = bytes > 0 ? position / bytes : 0;
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  const leftSeconds = counted && bytesPerSecond > 0 ? (bytes - position) / bytesPerSecond : Number.NaN;
  const left = Number.isNaN(leftSeconds) ? "-:--" : duration(leftSeconds);
  const amounts = `${amount(position)} of ${amount(bytes)}${counted ? "" : "+"}`;
  const text = `${amounts}, ${amount(bytesPerSecond)}/s, ${left} left, ${doneFiles} of ${files} files`;
  if (width === 0) return `${percent.trim()}, ${text}`;
  const cells = Math.round(share * BAR_CELLS);
  const line = `${percent} [${"=".repeat(cells)}${" ".repeat(BAR_CELLS - cells)}] ${text}  ${escapeControls(progress.current)}`;
  return [...line].slice(0, width).join("");
}

export function summaryText(progress: Progress, { role, peer, seconds, complete, stats }: Outcome): string {
  const { doneFiles, unchangedFiles, movedBytes, reusedBytes, failed } = progress;
  const verb = role === "sender" ? "sent to" : "received from";
  const reused =
    reusedBytes > 0 || unchangedFiles > 0
      ? `; ${amount(reusedBytes)} were there, ${count(unchangedFiles)} unchanged`
      : "";
  const path =
    stats === null
      ? ""
      : `; RTT ${stats.rttMs.toFixed(1)} ms, loss ${percentOf(stats.lossRate)}, redundancy ${percentOf(stats.redundancy)}`;
  const rate = seconds > 0 ? movedBytes / seconds : 0;
  return (
    `${complete ? "" : "not done: "}${count(doneFiles)} ${verb} ${peer}: ${amount(movedBytes)} in ${seconds.toFixed(1)} s, ` +
    `${amount(rate)}/s${reused}${failed > 0 ? `; ${failed} NOT transferred` : ""}${path}`
  );
}

export function summaryJson(progress: Progress, { role, peer, seconds, complete, stats }: Outcome): object {
  const { files, bytes, doneFiles, unchangedFiles, movedBytes, reusedBytes, failed, problems } = progress;
  return {
    role,
    peer,
    complete: complete && failed === 0,
    files: { total: files, done: doneFiles, unchanged: unchangedFiles },
    bytes: { total: bytes, moved: movedBytes, reused: reusedBytes },
    seconds,
    goodputMbps: seconds > 0 ? (movedBytes * 8) / 1e6 / seconds : 0,
    failed,
    problems,
    path:
      stats === null
        ? null
        : {
            rttMs: stats.rttMs,
            minRttMs: stats.minRttMs,
            lossRate: stats.lossRate,
            redundancy: stats.redundancy,
            io: stats.io,
            aead: stats.aead,
          },
  };
}

/** Bytes with three digits and the unit that fits: 999 B, 1.05 MB, 20.0 GB. */
export function amount(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  let value = bytes;
  let unit = -1;
  for (; value >= 999.5 && unit < 4; unit++) value /= 1000;
  return `${value.toPrecision(3)} ${["kB", "MB", "GB", "TB", "PB"][unit]}`;
}

/** 0:09, 12:34, 1:02:03. */
export function duration(seconds: number): string {
  const whole = Math.min(Math.ceil(seconds), 3600 * 1000);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

function count(files: number): string {
  return files === 1 ? "1 file" : `${files} files`;
}

function percentOf(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
