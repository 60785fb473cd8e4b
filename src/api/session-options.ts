/** Options of the session as applications give them, and what the session below makes of them. Checks nothing: that does. */
import type { Compressor } from "../transport/session/compressor.ts";
import type { RedundancyOptions, RedundancyPreset } from "../transport/session/redundancy.ts";
import type { SessionOptions as CoreOptions } from "../transport/session/session-options.ts";

/** Options of sessions, whoever opens them. */
export interface SessionOptions {
  /** The most that may come before it was read, bytes, 64 KiB to 1 GiB. Windows grow to this as the path needs. Default 64 MiB. */
  sessionWindow?: number;
  /** The same for each stream. Default that of the session. */
  streamWindow?: number;
  /** Streams that the peer may have open at once, 0 to 65,536. Default 4096. */
  maxStreams?: number;
  /** The largest message to take, bytes. Default 16 MiB, or what the session's window holds. */
  largestMessage?: number;
  /** Whether streams and messages may be compressed, where that is asked for. Default true. */
  compression?: boolean;
  /** Less than a packet waits this long for more, ms, 0 to 1000. Default 0. */
  mergeMs?: number;
  /** M, the most symbols of a batch of streams and messages, 8 to 64: smaller ones cost less CPU, and more repair. Default 64. */
  batchSize?: number;
  /** How much repair is sent ahead of losses. Default "adaptive". */
  redundancy?: RedundancyPreset | RedundancyOptions;
}

/** The same for `transport/session`, with these compressors where compression is not switched off. */
export function coreOptions(
  options: SessionOptions,
  isClient: boolean,
  compressors: readonly Compressor[],
): CoreOptions {
  const core: CoreOptions = { isClient, compressors: options.compression === false ? [] : compressors };
  for (const name of [
    "sessionWindow",
    "streamWindow",
    "maxStreams",
    "largestMessage",
    "mergeMs",
    "batchSize",
  ] as const) {
    if (options[name] !== undefined) core[name] = options[name];
  }
  const { redundancy } = options;
  if (redundancy !== undefined) core.redundancy = typeof redundancy === "string" ? { preset: redundancy } : redundancy;
  return core;
}
