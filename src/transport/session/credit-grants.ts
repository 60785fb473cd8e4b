/** Credit that is due to the peer: of the session, of streams, and streams that it may open. Written into symbols when one leaves. */
import { varintBytes } from "../link/varint.ts";
import type { ReceiveWindow } from "./receive-window.ts";
import { Ring } from "./ring.ts";
import { FRAME_MAX_DATA, FRAME_MAX_STREAM_DATA, FRAME_MAX_STREAMS, writeControlFrame } from "./session-frames.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";

/** The longest of these frames. */
const MOST_FRAME_BYTES = 17;

export class CreditGrants {
  readonly #window: ReceiveWindow;
  readonly #streams: StreamTable;
  /** Streams of which something was read that may be worth a frame. */
  readonly #due: Ring<Stream> = new Ring();

  constructor(window: ReceiveWindow, streams: StreamTable) {
    this.#window = window;
    this.#streams = streams;
  }

  get due(): boolean {
    return this.#due.length > 0 || this.#window.due || this.#streams.limitDue;
  }

  /** Something of the stream came or was read. */
  touch(stream: Stream): void {
    if (stream.creditQueued || stream.receive?.creditDue !== true) return;
    stream.creditQueued = true;
    this.#due.push(stream);
  }

  /** Writes the frames that are due, as many as fit; returns the offset after them. */
  write(symbol: Uint8Array, at: number, end: number): number {
    let next = at;
    if (this.#window.due && next + MOST_FRAME_BYTES <= end) {
      const maximum = this.#window.grant();
      next = writeControlFrame(symbol, next, { type: FRAME_MAX_DATA, fields: [maximum] });
    }
    if (this.#streams.limitDue && next + MOST_FRAME_BYTES <= end) {
      next = writeControlFrame(symbol, next, { type: FRAME_MAX_STREAMS, fields: [this.#streams.raiseLimit()] });
    }
    for (let stream = this.#due.peek(); stream !== undefined; stream = this.#due.peek()) {
      if (next + varintBytes(stream.id) + 9 > end) break;
      this.#due.shift();
      stream.creditQueued = false;
      if (stream.receive?.creditDue !== true) continue;
      const maximum = stream.receive.window.grant();
      next = writeControlFrame(symbol, next, { type: FRAME_MAX_STREAM_DATA, fields: [stream.id, maximum] });
    }
    return next;
  }
}
