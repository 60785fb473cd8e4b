/**
 * What comes inside source symbols: bytes of streams, messages, credit. Keeps both within the credit of the session and says what
 * the peer did wrong; nothing here throws.
 */
import type { Compressor } from "./compressor.ts";
import { CreditGrants } from "./credit-grants.ts";
import type { Outgoing } from "./outgoing.ts";
import type { RangeCount } from "./range-set.ts";
import { ReceiveMessages } from "./receive-messages.ts";
import { ReceiveWindow } from "./receive-window.ts";
import {
  BAD_FINAL_SIZE,
  BAD_STREAM_NUMBER,
  BEYOND_SESSION_CREDIT,
  BEYOND_STREAM_CREDIT,
  type Fault,
} from "./session-error.ts";
import type { SessionEvents } from "./session-events.ts";
import {
  FRAME_RESET_STREAM,
  MESSAGE_OVERHEAD,
  type MessageFrame,
  readSessionFrames,
  type SessionFrameHandler,
} from "./session-frames.ts";
import { INITIAL_SESSION_WINDOW } from "./session-options.ts";
import type { Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";

export interface IncomingOptions {
  streams: StreamTable;
  outgoing: Outgoing;
  events: SessionEvents;
  gaps: RangeCount;
  /** The most that the session's window grows to, bytes. */
  window: number;
  /** The largest message that is taken, bytes. */
  largestMessage: number;
  /** The peer asks for a reset of a stream. */
  onStop: (stream: Stream, code: number) => void;
}

export class Incoming implements SessionFrameHandler {
  /** Credit of the session. */
  readonly window: ReceiveWindow;
  readonly credit: CreditGrants;
  /** What both ends agreed on. */
  compressor: Compressor | null = null;
  /** The session's credit to begin with. */
  readonly initialWindow: number;
  readonly #options: IncomingOptions;
  /** Made for the first message: most sessions have none. */
  #messages: ReceiveMessages | null = null;
  #nowMs = 0;
  #roundTripMs = 0;

  constructor(options: IncomingOptions) {
    this.#options = options;
    this.window = new ReceiveWindow(INITIAL_SESSION_WINDOW, options.window);
    this.initialWindow = this.window.ahead;
    this.credit = new CreditGrants(this.window, options.streams);
  }

  /** Bytes that came, or must come before what came can be read, and were not read. */
  get unreadBytes(): number {
    return this.window.highest - this.window.read;
  }

  /** Takes a source symbol; returns what is wrong with it, or null. `roundTripMs` is 0 while it is not known. */
  take(symbol: Uint8Array, nowMs: number, roundTripMs: number): Fault | null {
    this.#nowMs = nowMs;
    this.#roundTripMs = roundTripMs;
    return readSessionFrames(symbol, this);
  }

  read(stream: Stream): Uint8Array | null {
    const { receive } = stream;
    if (receive === null) return null;
    const before = receive.window.read;
    const data = receive.read();
    this.window.read += receive.window.read - before;
    this.credit.touch(stream);
    this.#options.streams.forgetIfDone(stream);
    return data;
  }

  readMessage(): Uint8Array | null {
    const message = this.#messages?.read() ?? null;
    if (message !== null) this.window.read += ReceiveMessages.creditOf(message);
    return message;
  }

  onStreamData(id: number, offset: number, data: Uint8Array, fin: boolean, compressed: boolean): Fault | null {
    const { streams, events } = this.#options;
    const stream = streams.find(id);
    if (stream === undefined) return BAD_STREAM_NUMBER;
    // Symbols come in any order: after a reset there may still come what was sent before it.
    if (stream === null || stream.receive === null) return null;
    const { receive } = stream;
    const { highest, available } = receive.window;
    const fault = receive.receive(offset, data, fin, compressed, this.compressor);
    if (fault !== null) return fault;
    this.window.highest += receive.window.highest - highest;
    this.window.available += receive.window.available - available;
    if (this.window.highest > this.window.maximum) return BEYOND_SESSION_CREDIT;
    receive.window.measure(data.length, this.#nowMs, this.#roundTripMs);
    this.window.measure(data.length, this.#nowMs, this.#roundTripMs);
    this.credit.touch(stream);
    if (receive.readable || receive.done) events.readable(stream);
    streams.forgetIfDone(stream);
    return null;
  }

  onResetStream(id: number, code: number, finalSize: number): Fault | null {
    const { streams, events } = this.#options;
    const stream = streams.find(id);
    if (stream === undefined) return BAD_STREAM_NUMBER;
    if (stream === null || stream.receive === null) return null;
    const { receive } = stream;
    const { window } = receive;
    if (finalSize < window.highest || finalSize > receive.finalSize) return BAD_FINAL_SIZE;
    if (finalSize > window.maximum) return BEYOND_STREAM_CREDIT;
    this.window.highest += finalSize - window.highest;
    if (this.window.highest > this.window.maximum) return BEYOND_SESSION_CREDIT;
    // What was not read will not be: its credit goes back.
    this.window.available += finalSize - window.available;
    this.window.read += finalSize - window.read;
    receive.abandon();
    stream.receive = null;
    events.push({ type: "reset", stream: id, code });
    streams.forgetIfDone(stream);
    return null;
  }

  onStopSending(id: number, code: number): Fault | null {
    const stream = this.#options.streams.find(id);
    if (stream === undefined) return BAD_STREAM_NUMBER;
    if (stream === null || stream.send.done) return null;
    this.#options.events.push({ type: "stopped", stream: id, code });
    this.#options.onStop(stream, code);
    return null;
  }

  onMaxData(maximum: number): Fault | null {
    this.#options.outgoing.allow(maximum);
    return null;
  }

  onMaxStreamData(id: number, maximum: number): Fault | null {
    const stream = this.#options.streams.find(id);
    if (stream === undefined) return BAD_STREAM_NUMBER;
    if (stream === null) return null;
    stream.send.maximum = Math.max(stream.send.maximum, maximum);
    if (stream.ready) this.#options.outgoing.schedule(stream);
    return null;
  }

  onMaxStreams(maximum: number): Fault | null {
    const { streams, outgoing } = this.#options;
    streams.allow(maximum, (stream) => {
      if (stream.resetCode >= 0) outgoing.pushControl(FRAME_RESET_STREAM, stream.id, stream.resetCode, 0);
      else if (stream.ready) outgoing.schedule(stream);
    });
    return null;
  }

  onDataBlocked(wanted: number): Fault | null {
    this.window.want(wanted);
    return null;
  }

  onMessage(frame: MessageFrame, data: Uint8Array): Fault | null {
    const messages = this.#receiveMessages;
    const cost = messages.costOf(frame);
    if (this.window.highest + cost > this.window.maximum) return BEYOND_SESSION_CREDIT;
    const fault = messages.take(frame, data, this.compressor);
    if (fault !== null) return fault;
    this.window.highest += cost;
    this.window.available += messages.readied;
    this.window.measure(data.length + MESSAGE_OVERHEAD, this.#nowMs, this.#roundTripMs);
    if (messages.readable) this.#options.events.message();
    return null;
  }

  get #receiveMessages(): ReceiveMessages {
    this.#messages ??= new ReceiveMessages(this.#options.largestMessage, this.#options.gaps);
    return this.#messages;
  }
}
