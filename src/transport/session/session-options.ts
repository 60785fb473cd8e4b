/** Options of a session and their defaults, and what it tells its user. */
import type { Arena } from "../../gf/index.ts";
import type { CloseReason } from "../link/close.ts";
import type { Compressor } from "./compressor.ts";
import { type MemoryBudget, sharedMemoryBudget } from "./memory-budget.ts";
import type { RedundancyOptions } from "./redundancy.ts";
import { DEFAULT_URGENCY, URGENCY_LEVELS } from "./scheduler.ts";
import { checkRange, type SessionErrorCode, SessionRangeError } from "./session-error.ts";
import { MESSAGE_OVERHEAD } from "./session-frames.ts";
import { SESSION_ID_BYTES } from "./session-parameters.ts";
import { DEFAULT_MAX_STREAMS } from "./stream-table.ts";

/** The most that a session lets come before it was read, bytes, when nothing else is said. */
export const DEFAULT_SESSION_WINDOW = 64 * 2 ** 20;
const MAX_WINDOW = 2 ** 30;

/** A session's window to begin with. */
export const INITIAL_SESSION_WINDOW = 512 * 1024;

/** The most source symbols that a live batch may have, M of what is received. */
export const MOST_BATCH_SIZE = 64;
const LEAST_BATCH_SIZE = 8;

/** The largest message that there is. */
export const MAX_MESSAGE_BYTES = 16 * 2 ** 20;

export interface SessionOptions {
  /** Which end opens streams with even numbers: the client. */
  isClient: boolean;
  /** Where symbols live. Default: the arena that the process shares. */
  arena?: Arena;
  /**
   * The most that may come before it was read, of the session and of each stream, bytes: 64 KiB to 1 GiB, default 64 MiB. Windows begin
   * smaller and grow to this as the path needs. The session's must hold the largest message.
   */
  sessionWindow?: number;
  streamWindow?: number;
  /** Streams that the peer may have open at once, 0 to 65,536. Default 4096. */
  maxStreams?: number;
  /** The largest message that is taken from the peer, bytes. Default 16 MiB, or what the session's window holds. */
  largestMessage?: number;
  /** A client's: 16 random bytes by which the session finds its way to a new link. Default: zeros, for one that is never resumed. */
  sessionId?: Uint8Array;
  /** Compression, the best first. Default none. */
  compressors?: readonly Compressor[];
  /** What holds the session's memory down together with other sessions. Default: the process's. */
  memory?: MemoryBudget;
  /** Less than a symbol waits this long for more, ms. Default 0: only what is there when a packet leaves shares a symbol. */
  mergeMs?: number;
  /**
   * M, the most source symbols of a batch of streams and messages, 8 to 64, default 64: a batch that takes long to fill ends with fewer.
   * Smaller ones cost less to code, and more repair.
   */
  batchSize?: number;
  /** How much repair is sent ahead of losses. Default: the preset `adaptive`. */
  redundancy?: RedundancyOptions;
}

/** How a stream is sent. */
export interface StreamOptions {
  /** 0, most urgent, to 7. Strict between levels: one may starve while a more urgent one has anything to send. Default 3. */
  priority?: number;
  /** Compress what is written, if both ends can: before the first write only. Default false. */
  compress?: boolean;
}

/** How a message is sent. */
export interface MessageOptions extends StreamOptions {
  /** Delivered after all ordered messages of the same priority that were sent before it. Default true. */
  ordered?: boolean;
}

export type SessionEvent =
  | { type: "established" }
  | { type: "suspended" }
  | { type: "resumed" }
  | { type: "stream"; stream: number }
  | { type: "readable"; stream: number }
  | { type: "writable"; stream: number }
  | { type: "reset"; stream: number; code: number }
  | { type: "stopped"; stream: number; code: number }
  | { type: "message" }
  | { type: "messageWritable" }
  /** Datagrams can be read. */
  | { type: "datagram" }
  | { type: "closed"; reason: CloseReason }
  | { type: "error"; code: SessionErrorCode; message: string };

export interface SessionStats {
  sentSymbols: number;
  sentRepairs: number;
  receivedSymbols: number;
  redundantSymbols: number;
  droppedSymbols: number;
  liveBatches: number;
  /** Streams that are not over, and those of them that the peer does not let begin yet. */
  openStreams: number;
  waitingStreams: number;
  /** What the session may have under way towards it, bytes. */
  receiveWindow: number;
  /** What was written and has not left, bytes, and the credit that the peer has granted beyond what has. */
  waitingBytes: number;
  creditBytes: number;
  /** What it holds of the memory budget. */
  memoryBytes: number;
  redundancy: RedundancyStats;
  datagrams: DatagramStats;
}

/** What repair was sent, and why. */
export interface RedundancyStats {
  sourceBytes: number;
  repairBytes: number;
  /** Repairs of losses that were known; beyond those, to be on the safe side; ahead of losses; after a probe timeout. */
  knownLoss: number;
  margin: number;
  ahead: number;
  probe: number;
}

/** Numbers of datagrams, but for `givenUpBatches` and bytes. */
export interface DatagramStats {
  /** Taken by `sendDatagram` or of a feed; not taken, for want of room; too old before they could leave. */
  sent: number;
  sentBytes: number;
  refused: number;
  expired: number;
  /** Batches in which something was still missing at the deadline. */
  givenUpBatches: number;
  /** Read by the application, or taken by its sink; dropped because it did not read; never whole though a part came. */
  delivered: number;
  deliveredBytes: number;
  overflowed: number;
  incomplete: number;
}

/** All of them, in range. */
export interface CheckedOptions {
  sessionWindow: number;
  streamWindow: number;
  maxStreams: number;
  largestMessage: number;
  sessionId: Uint8Array;
  compressors: readonly Compressor[];
  memory: MemoryBudget;
  mergeMs: number;
  batchSize: number;
  redundancy: RedundancyOptions;
}

/** Throws a SessionError, ERR_RANGE, for what cannot be. */
export function checkOptions(options: SessionOptions): CheckedOptions {
  const { sessionWindow = DEFAULT_SESSION_WINDOW } = options;
  checkRange("sessionWindow", sessionWindow, 2 ** 16, MAX_WINDOW);
  const { streamWindow = sessionWindow, maxStreams = DEFAULT_MAX_STREAMS, mergeMs = 0 } = options;
  checkRange("streamWindow", streamWindow, 2 ** 14, MAX_WINDOW);
  checkRange("maxStreams", maxStreams, 0, 2 ** 16);
  const holds = Math.min(MAX_MESSAGE_BYTES, sessionWindow - MESSAGE_OVERHEAD);
  const { largestMessage = holds, sessionId = new Uint8Array(SESSION_ID_BYTES), compressors = [] } = options;
  checkRange("largestMessage", largestMessage, 0, holds);
  checkRange("sessionId.length", sessionId.length, SESSION_ID_BYTES, SESSION_ID_BYTES);
  if (!(mergeMs >= 0 && mergeMs <= 1000)) {
    throw new SessionRangeError("mergeMs", mergeMs, "0 to 1000 ms");
  }
  const { memory = sharedMemoryBudget, batchSize = MOST_BATCH_SIZE, redundancy = {} } = options;
  checkRange("batchSize", batchSize, LEAST_BATCH_SIZE, MOST_BATCH_SIZE);
  return {
    sessionWindow,
    streamWindow,
    maxStreams,
    largestMessage,
    sessionId,
    compressors,
    memory,
    mergeMs,
    batchSize,
    redundancy,
  };
}

/** Throws a SessionError, ERR_RANGE, for a priority that is none. */
export function checkPriority(priority: number = DEFAULT_URGENCY): number {
  checkRange("priority", priority, 0, URGENCY_LEVELS - 1);
  return priority;
}
