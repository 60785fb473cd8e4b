/**
 * A stream of a session as a Node `Duplex`: ordered bytes both ways, each half ended by itself. Works wherever a socket of
 * `node:net` does as a byte pipe: `createConnection` of http, ws, tls.
 *
 * It never looks complete when it is not: 'end' comes only after the peer ended its half and all of it was read; everything else is
 * an error.
 */
import { Duplex } from "node:stream";
import { BLOCK_BYTES } from "../transport/session/block-pool.ts";
import type { Session as CoreSession } from "../transport/session/session.ts";
import { BatsError } from "./errors.ts";
import type { Session } from "./session.ts";
import type { ByteCounts } from "./stats.ts";

/** Bytes handed over in one piece, at most; smaller ones that are there are joined up to this. */
const CHUNK_BYTES = 64 * 1024;
/** Pieces at least this large are handed over as they are. */
const WHOLE_BYTES = 16 * 1024;
const HIGH_WATER_BYTES = 128 * 1024;

/** The code of a reset that `destroy` without an error sends. */
export const RESET_CANCELLED = 0;
/** The code of a reset that `destroy(error)` sends. */
export const RESET_FAILED = 1;

/** What a stream wants of its session. Not for users. */
export interface StreamCarrier {
  readonly session: Session;
  readonly core: CoreSession;
  /** Something may have to be sent. */
  wake(): void;
  /** The stream is done with, here. */
  forget(stream: Stream): void;
  readonly counts: ByteCounts;
}

/** Ordered bytes both ways, each half ended by itself: a `Duplex` that stands in for a socket. */
export class Stream extends Duplex {
  /** The stream's number: even ones were opened by the client. */
  readonly id: number;
  readonly #carrier: StreamCarrier;
  /** Bytes received and sent by the application, for statistics. */
  bytesRead = 0;
  bytesWritten = 0;
  #wanted = false;
  #pulling = false;
  #releasing = false;
  #ended = false;
  #finished = false;
  #resetCode = -1;
  #rest: Uint8Array | null = null;
  #restList: { chunk: Uint8Array }[] = [];
  #restIndex = 0;
  #written: ((error?: Error | null) => void) | null = null;
  #timeoutMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #activeMs = 0;

  /** @internal */
  constructor(id: number, carrier: StreamCarrier) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES, decodeStrings: true });
    this.id = id;
    this.#carrier = carrier;
  }

  get session(): Session {
    return this.#carrier.session;
  }

  get remoteAddress(): string | undefined {
    return this.session.peer.address?.ip;
  }

  get remotePort(): number | undefined {
    return this.session.peer.address?.port;
  }

  /**
   * Gives the stream up in both directions: the peer gets an error with `code`, an integer from 0 to 2^53 - 1, never a clean end.
   * What was written and has not arrived may be lost.
   */
  reset(code: number): void {
    if (!Number.isSafeInteger(code) || code < 0) {
      throw new BatsError("ERR_BATS_ARGUMENT", `reset code is ${code}, wanted an integer from 0 to 2^53 - 1`);
    }
    if (this.destroyed) return;
    this.#resetCode = code;
    this.destroy();
  }

  /** As of a socket of `node:net`: 'timeout' is emitted after `ms` without a byte either way; 0 for never. */
  setTimeout(ms: number, callback?: () => void): this {
    this.#timeoutMs = ms;
    if (callback !== undefined) this.once("timeout", callback);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (ms > 0) {
      this.#activeMs = performance.now();
      this.#armTimeout(ms);
    }
    return this;
  }

  /** Nothing to set: a session never waits to fill a packet unless it was told to. For callers that know `net.Socket`. */
  setNoDelay(): this {
    return this;
  }

  /** Nothing to set: a session keeps itself alive. For callers that know `net.Socket`. */
  setKeepAlive(): this {
    return this;
  }

  /** Nothing to do: the session's socket keeps the process alive. For callers that know `net.Socket`. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  /**
   * @internal Chunks from now on are released when nobody looks at them any more: their memory is used again, which spares a fast
   * stream most of the garbage collector's work. For who passes them on and knows when they have left.
   */
  startReleasing(): void {
    this.#releasing = true;
    this.#carrier.core.startReleasing(this.id);
  }

  /** @internal A chunk is not looked at any more. In the order in which they came. */
  release(chunk: Uint8Array): void {
    this.#carrier.core.release(this.id, chunk);
  }

  // What Node calls.

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const taken = this.#take(chunk);
    if (taken === chunk.length) {
      callback();
      return;
    }
    this.#rest = chunk.subarray(taken);
    this.#written = callback;
  }

  override _writev(chunks: { chunk: Uint8Array }[], callback: (error?: Error | null) => void): void {
    this.#restList = chunks;
    this.#restIndex = 0;
    this.#written = callback;
    this.#writeRest();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#finished = true;
    this.#carrier.core.finish(this.id);
    this.#carrier.wake();
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const { core } = this.#carrier;
    const code = this.#resetCode >= 0 ? this.#resetCode : error === null ? RESET_CANCELLED : RESET_FAILED;
    // What was finished properly is still delivered, unless it failed.
    if (!this.#finished || error !== null || this.#resetCode >= 0) core.reset(this.id, code);
    if (!this.#ended) core.stop(this.id, code);
    this.#carrier.wake();
    this.#carrier.forget(this);
    const written = this.#written;
    this.#written = null;
    this.#rest = null;
    this.#restList = [];
    callback(error);
    written?.(error ?? new BatsError("ERR_BATS_STREAM_RESET", `stream ${this.id} was destroyed here`));
  }

  // What the session says.

  /** @internal Bytes, or the end, came. */
  onReadable(): void {
    if (this.#wanted) this.#pull();
  }

  /** @internal There is room for bytes again. */
  onWritable(): void {
    if (this.#written !== null) this.#writeRest();
  }

  /** @internal The peer gave up one half, or asks this end to. */
  onReset(code: number, what: "reset" | "stopped"): void {
    if (what === "stopped" && this.#finished && this.#ended) return;
    const text = what === "reset" ? "the peer gave it up" : "the peer takes no more of it";
    this.destroy(
      new BatsError("ERR_BATS_STREAM_RESET", `stream ${this.id}: ${text}, code ${code}`, { resetCode: code }),
    );
  }

  /** @internal The session is over: whatever has arrived is still handed over, and a stream that is not whole is an error. */
  onSessionEnd(error: BatsError | null): void {
    for (let chunk = this.#gather(); chunk !== null; chunk = this.#gather()) this.push(chunk);
    const { core } = this.#carrier;
    if (core.ended(this.id) && !this.#ended) {
      this.#ended = true;
      this.push(null);
    }
    // The half that this end writes may be whole too, but whether all of it arrived is known only of a session that ended well.
    if (!this.#ended || !this.#finished) this.destroy(error ?? undefined);
  }

  #take(chunk: Uint8Array): number {
    if (chunk.length === 0) return 0;
    const taken = this.#carrier.core.write(this.id, chunk);
    this.bytesWritten += taken;
    this.#carrier.counts.streamBytesWritten += taken;
    if (taken > 0) {
      if (this.#timer !== null) this.#activeMs = performance.now();
      this.#carrier.wake();
    }
    return taken;
  }

  #writeRest(): void {
    if (this.#rest !== null) {
      const taken = this.#take(this.#rest);
      if (taken < this.#rest.length) {
        this.#rest = this.#rest.subarray(taken);
        return;
      }
      this.#rest = null;
    }
    while (this.#restIndex < this.#restList.length) {
      const { chunk } = this.#restList[this.#restIndex++];
      const taken = this.#take(chunk);
      if (taken < chunk.length) {
        this.#rest = chunk.subarray(taken);
        return;
      }
    }
    this.#restList = [];
    const callback = this.#written;
    this.#written = null;
    callback?.();
  }

  #pull(): void {
    if (this.#pulling || this.#ended || this.destroyed) return;
    this.#pulling = true;
    while (this.#wanted && !this.destroyed) {
      const chunk = this.#gather();
      if (chunk === null) {
        if (this.#carrier.core.ended(this.id)) {
          this.#ended = true;
          this.push(null);
        }
        break;
      }
      this.#wanted = this.push(chunk);
    }
    this.#pulling = false;
  }

  /** What has arrived, joined to at most about CHUNK_BYTES; null when nothing has. */
  #gather(): Buffer | null {
    const { core } = this.#carrier;
    const first = core.read(this.id);
    if (first === null) return null;
    // Reading gives the peer credit.
    this.#carrier.wake();
    if (this.#timer !== null) this.#activeMs = performance.now();
    this.#count(first);
    // What is released is handed over as it is; blocks that are smaller are never used again.
    const lent = this.#releasing && first.buffer.byteLength === BLOCK_BYTES;
    if (first.length >= WHOLE_BYTES || lent) return Buffer.from(first.buffer, first.byteOffset, first.length);
    const pieces = [first];
    let length = first.length;
    while (length < CHUNK_BYTES) {
      const next = core.read(this.id);
      if (next === null) break;
      pieces.push(next);
      length += next.length;
      this.#count(next);
    }
    if (pieces.length === 1) return Buffer.from(first.buffer, first.byteOffset, first.length);
    return Buffer.concat(pieces, length);
  }

  #count(read: Uint8Array): void {
    this.bytesRead += read.length;
    this.#carrier.counts.streamBytesRead += read.length;
  }

  #armTimeout(ms: number): void {
    this.#timer = setTimeout(() => {
      const leftMs = this.#activeMs + this.#timeoutMs - performance.now();
      if (leftMs > 1) {
        this.#armTimeout(leftMs);
        return;
      }
      this.#timer = null;
      this.emit("timeout");
    }, ms);
    this.#timer.unref();
  }
}
