/** What a measurement does, as the client asks the server for it, and what an end counted: lines of JSON, checked at both ends. */
import { MAX_DATAGRAM_BYTES } from "../transport/session/datagram-frames.ts";

export const PERF_MODES = ["stream", "message", "datagram"] as const;

/** What `sizeBytes` is at most; streams have no use for it. */
export const LARGEST_BYTES: Record<Plan["mode"], number> = {
  stream: 1_000_000,
  message: 1_000_000,
  datagram: MAX_DATAGRAM_BYTES,
};

export interface Plan {
  mode: (typeof PERF_MODES)[number];
  /** Whether the server sends. */
  reverse: boolean;
  seconds: number;
  /** Streams at once. */
  parallel: number;
  /** Of a message or datagram. */
  sizeBytes: number;
  /** Of datagrams, which nothing else slows down. */
  rateMbps: number;
}

/** What one end sent or received. */
export interface Tally {
  bytes: number;
  count: number;
  /** From the first byte to the last. */
  elapsedMs: number;
}

export function encodeLine(value: Plan | Tally | true): string {
  return `${JSON.stringify(value)}\n`;
}

/** Null for what is none. */
export function parsePlan(value: unknown): Plan | null {
  if (typeof value !== "object" || value === null) return null;
  const { mode, reverse, seconds, parallel, sizeBytes, rateMbps } = value as Record<string, unknown>;
  const good =
    PERF_MODES.includes(mode as Plan["mode"]) &&
    typeof reverse === "boolean" &&
    isNumber(seconds, 0.1, 3600) &&
    isNumber(parallel, 1, 64) &&
    isNumber(sizeBytes, 1, LARGEST_BYTES[mode as Plan["mode"]]) &&
    isNumber(rateMbps, 0.001, 100_000);
  return good ? ({ mode, reverse, seconds, parallel, sizeBytes, rateMbps } as Plan) : null;
}

export function parseTally(value: unknown): Tally | null {
  if (typeof value !== "object" || value === null) return null;
  const { bytes, count, elapsedMs } = value as Record<string, unknown>;
  const most = Number.MAX_SAFE_INTEGER;
  if (!isNumber(bytes, 0, most) || !isNumber(count, 0, most) || !isNumber(elapsedMs, 0, most)) return null;
  return { bytes, count, elapsedMs } as Tally;
}

function isNumber(value: unknown, least: number, most: number): boolean {
  return typeof value === "number" && value >= least && value <= most;
}
