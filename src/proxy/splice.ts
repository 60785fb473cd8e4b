/**
 * Joins a local socket and a stream: bytes, ends, resets and back-pressure pass both ways. An end is passed on as an end only when
 * it was one: whatever else closes one side resets the other, so that a cut stream never looks complete.
 */
import type { Socket } from "node:net";
import type { CarrierStream } from "./carrier.ts";
import { resetOnClose } from "./linger.ts";
import { resetSocket } from "./local-socket.ts";

/** The code of a stream's reset. The peer resets its socket whatever the code: it is for traces. */
export const RESET_BY_SOCKET = 1;
export const RESET_BY_PROXY = 2;
export const RESET_REFUSED = 3;

export interface SpliceResult {
  /** "done": both directions ended. Else what cut it. */
  outcome: "done" | "local reset" | "peer reset" | "session lost" | "refused" | "stopped";
  /** From the local socket into the stream, and out of it. */
  bytesIn: number;
  bytesOut: number;
}

/**
 * Starts at once to carry what the socket says; what the stream says only after `openDown`, because an answer may come first in it. Calls
 * `done` once, when both are closed or one was cut.
 */
export class Splice {
  readonly #socket: Socket;
  readonly #stream: CarrierStream;
  readonly #done: (result: SpliceResult) => void;
  readonly #result: SpliceResult = { outcome: "done", bytesIn: 0, bytesOut: 0 };
  #over = false;
  #localEnded = false;
  #peerEnded = false;
  #down = false;
  /** On their way from the stream into the socket, oldest first. */
  readonly #leaving: Buffer[] = [];
  readonly #onWritten = (error?: Error | null) => {
    // Nothing leaves any more, and what was refused may be heard of before what is under way.
    if (error) this.#leaving.length = 0;
    const chunk = this.#leaving.shift();
    if (chunk !== undefined) this.#stream.release(chunk);
  };

  constructor(socket: Socket, stream: CarrierStream, done: (result: SpliceResult) => void) {
    this.#socket = socket;
    this.#stream = stream;
    this.#done = done;
    resetOnClose(socket, true);
    socket.on("data", (chunk: Buffer) => {
      this.#result.bytesIn += chunk.length;
      if (!stream.write(chunk)) socket.pause();
    });
    stream.on("drain", () => socket.resume());
    socket.on("end", () => {
      this.#localEnded = true;
      stream.end();
    });
    socket.on("error", () => this.cut("local reset"));
    socket.on("close", () => {
      if (!this.#localEnded || !socket.writableFinished) this.cut("local reset");
      else this.#finishIfClosed();
    });
    stream.on("end", () => this.#onPeerEnd());
    // It may have ended together with its header.
    if (stream.readableEnded) this.#peerEnded = true;
    stream.on("error", () => this.cut("peer reset"));
    stream.on("close", () => {
      if (!this.#peerEnded || !stream.writableFinished) this.cut("peer reset");
      else this.#finishIfClosed();
    });
    socket.resume();
  }

  /** From now on what the stream says goes to the socket. */
  openDown(): void {
    const socket = this.#socket;
    const stream = this.#stream;
    if (this.#over) return;
    stream.startReleasing();
    stream.on("data", (chunk: Buffer) => {
      this.#result.bytesOut += chunk.length;
      this.#leaving.push(chunk);
      if (!socket.write(chunk, this.#onWritten)) stream.pause();
    });
    socket.on("drain", () => stream.resume());
    this.#down = true;
    if (this.#peerEnded) this.#endSocket();
    stream.resume();
  }

  /** Ends both sides with a reset. */
  cut(outcome: SpliceResult["outcome"]): void {
    if (this.#over) return;
    this.#over = true;
    this.#result.outcome = outcome;
    if (!this.#stream.destroyed) {
      this.#stream.reset(
        outcome === "refused" ? RESET_REFUSED : outcome === "stopped" ? RESET_BY_PROXY : RESET_BY_SOCKET,
      );
    }
    resetSocket(this.#socket);
    this.#done(this.#result);
  }

  #onPeerEnd(): void {
    this.#peerEnded = true;
    if (this.#down) this.#endSocket();
  }

  #endSocket(): void {
    // Not before the last byte has left this process: killed before, it would end cleanly what is not whole.
    this.#socket.end(() => resetOnClose(this.#socket, false));
  }

  #finishIfClosed(): void {
    if (this.#over || !this.#socket.closed || !this.#stream.closed) return;
    this.#over = true;
    this.#done(this.#result);
  }
}
