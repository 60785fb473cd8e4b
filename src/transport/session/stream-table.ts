/**
 * The streams of a session: their numbers, how many each end may open, and which are over. A stream that may not be opened yet waits
 * here, and nothing of it leaves, until the peer lets it.
 */
import type { RangeCount } from "./range-set.ts";
import { ReceiveStream } from "./receive-stream.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { SendStream } from "./send-stream.ts";
import { Stream } from "./stream.ts";

/** Streams of the peer that may be open at once, when nothing else is said. */
export const DEFAULT_MAX_STREAMS = 4096;

/** A stream's window to begin with: larger than the first flights, smaller than matters. */
export const INITIAL_STREAM_WINDOW = 256 * 1024;

/** More streams are allowed in steps of this share of how many may be open. */
const LIMIT_STEP = 1 / 8;

export interface StreamTableOptions {
  isClient: boolean;
  /** Streams of the peer that may be open at once. */
  maxStreams: number;
  /** The most that a stream's window grows to, bytes. */
  streamWindow: number;
  /** What streams of the peer begin with. */
  urgency: number;
  gaps: RangeCount;
  /** The peer opened a stream. */
  onOpened: (stream: Stream) => void;
}

export class StreamTable {
  readonly #options: StreamTableOptions;
  readonly #streams: Map<number, Stream> = new Map();
  /** Streams opened so far, here and by the peer. */
  #opened = 0;
  #openedByPeer = 0;
  /** How many the peer allows, and how many it is allowed. */
  #allowed = 0;
  #allowedToPeer: number;
  /** Of the peer's, those that are over. */
  #closedOfPeer = 0;
  /** Credit of each stream to begin with: the peer's word. */
  #sendMaximum = 0;

  constructor(options: StreamTableOptions) {
    this.#options = options;
    this.#allowedToPeer = options.maxStreams;
  }

  /** Streams that are not over. */
  get size(): number {
    return this.#streams.size;
  }

  /** Streams opened here that the peer does not let begin yet. */
  get waiting(): number {
    return Math.max(0, this.#opened - this.#allowed);
  }

  /** What the peer hears at the beginning: the credit of each stream. */
  get initialWindow(): number {
    return Math.min(INITIAL_STREAM_WINDOW, this.#options.streamWindow);
  }

  get(id: number): Stream | undefined {
    return this.#streams.get(id);
  }

  values(): IterableIterator<Stream> {
    return this.#streams.values();
  }

  /** Opens a stream. It is `open` only if the peer allows it now. */
  open(urgency: number, compress: boolean): Stream {
    const index = this.#opened++;
    const stream = this.#create(2 * index + (this.#options.isClient ? 0 : 1), urgency, compress);
    stream.open = index < this.#allowed;
    return stream;
  }

  /** The peer's first word: its streams' credit, and how many may be opened. */
  begin(sendMaximum: number): void {
    this.#sendMaximum = sendMaximum;
    for (const { send } of this.#streams.values()) send.maximum = Math.max(send.maximum, sendMaximum);
  }

  /** The peer lets `count` streams be opened in all; calls `onOpen` for those that waited. */
  allow(count: number, onOpen: (stream: Stream) => void): void {
    const before = this.#allowed;
    if (count <= before) return;
    this.#allowed = count;
    for (let index = before; index < Math.min(count, this.#opened); index++) {
      const stream = this.#streams.get(2 * index + (this.#options.isClient ? 0 : 1));
      if (stream === undefined) continue;
      stream.open = true;
      onOpen(stream);
    }
  }

  /**
   * The stream that a frame names; a new one of the peer's is opened, and all below it, whose frames may be on their way. Null when it
   * is over, undefined when there can be no such stream.
   */
  find(id: number): Stream | null | undefined {
    const index = Math.floor(id / 2);
    if (!this.#isPeers(id))
      return index < Math.min(this.#opened, this.#allowed) ? (this.#streams.get(id) ?? null) : undefined;
    if (index >= this.#allowedToPeer) return undefined;
    while (this.#openedByPeer <= index) {
      const stream = this.#create(2 * this.#openedByPeer++ + (id % 2), this.#options.urgency, false);
      stream.open = true;
      this.#options.onOpened(stream);
    }
    return this.#streams.get(id) ?? null;
  }

  /** Forgets a stream that is over both ways. */
  forgetIfDone(stream: Stream): void {
    if (!stream.done || !this.#streams.delete(stream.id)) return;
    stream.receive?.abandon();
    if (this.#isPeers(stream.id)) this.#closedOfPeer++;
  }

  /** Whether the peer should hear that it may open more. */
  get limitDue(): boolean {
    const { maxStreams } = this.#options;
    const more = this.#closedOfPeer + maxStreams - this.#allowedToPeer;
    return more > 0 && more >= maxStreams * LIMIT_STEP;
  }

  /** Lets the peer open more; returns how many it may in all. */
  raiseLimit(): number {
    this.#allowedToPeer = this.#closedOfPeer + this.#options.maxStreams;
    return this.#allowedToPeer;
  }

  #create(id: number, urgency: number, compress: boolean): Stream {
    const { streamWindow, gaps } = this.#options;
    const window = new ReceiveWindow(INITIAL_STREAM_WINDOW, streamWindow);
    const stream = new Stream(
      id,
      new SendStream(this.#sendMaximum),
      new ReceiveStream(window, gaps),
      urgency,
      compress,
    );
    this.#streams.set(id, stream);
    return stream;
  }

  #isPeers(id: number): boolean {
    return (id % 2 === 1) === this.#options.isClient;
  }
}
