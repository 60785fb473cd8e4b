/** A stream of a session: its two halves, and its turn to send. */
import type { ReceiveStream } from "./receive-stream.ts";
import type { Sendable } from "./scheduler.ts";
import type { SendStream } from "./send-stream.ts";
import { STREAM_LENGTH_BYTES, streamHeaderBytes, writeStreamHeader } from "./session-frames.ts";

export class Stream implements Sendable {
  readonly id: number;
  readonly send: SendStream;
  /** Null after the peer's reset. */
  receive: ReceiveStream | null;
  urgency: number;
  queued = false;
  spent = 0;
  /** Compress what is written, if both ends can. */
  compress: boolean;
  /** Whether the peer lets it be opened: else it waits. */
  open = false;
  /** It was reset with this code before it could be opened; else -1. */
  resetCode = -1;
  /** A write was not taken whole: a "writable" event is owed. */
  blocked = false;
  /** A "readable" event waits to be polled: one is enough. */
  announced = false;
  /** It stands in the queue for a frame of credit. */
  creditQueued = false;

  constructor(id: number, send: SendStream, receive: ReceiveStream, urgency: number, compress: boolean) {
    this.id = id;
    this.send = send;
    this.receive = receive;
    this.urgency = urgency;
    this.compress = compress;
  }

  /** Whether both halves are over. */
  get done(): boolean {
    return this.send.done && (this.receive === null || this.receive.done);
  }

  get ready(): boolean {
    return this.open && (this.send.sendableBytes > 0 || this.send.ending);
  }

  get leastCredit(): number {
    return this.send.ending ? 0 : 1;
  }

  write(bytes: Uint8Array, at: number, end: number, _begun: boolean, credit: number): number {
    const { send } = this;
    const header = streamHeaderBytes(this.id, send.offset);
    const room = end - at - header;
    const most = Math.min(send.sendableBytes, credit);
    const fills = most >= room;
    const length = fills ? room : Math.min(most, room - STREAM_LENGTH_BYTES);
    const fin = send.endsAfter(length);
    this.spent = 0;
    if (length < 0 || (length === 0 && !fin)) return at;
    const compressed = send.compressor !== null;
    const next = writeStreamHeader(bytes, at, this.id, send.offset, fills ? -1 : length, fin, compressed);
    send.take(length, bytes, next);
    this.spent = length;
    return next + length;
  }
}
