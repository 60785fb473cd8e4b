/**
 * UDP over a session: a flow is one source of datagrams and its way back. A stream opens it, lives as long and has its number;
 * payloads travel as datagrams of the session, the number in front, so that each arrives whole or not at all and none waits for
 * another. A payload too long for that goes over the stream, framed by its length.
 */
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../transport/link/varint.ts";
import { MAX_DATAGRAM_BYTES } from "../transport/session/datagram-frames.ts";
import type { Carrier, CarrierStream } from "./carrier.ts";

/** Payloads that outran the stream which opens their flow: how many, how many bytes and how long they are kept. */
const EARLY_MAX = 256;
const EARLY_MAX_BYTES = 256 * 1024;
const EARLY_MS = 2000;

/** Bytes that may wait in a flow's stream before long payloads are dropped, as a full UDP buffer would. */
const STREAM_MAX_BYTES = 1024 * 1024;

/** Where a datagram is put together: the session takes a copy. */
const scratch = new Uint8Array(MAX_DATAGRAM_BYTES);

export interface FlowStats {
  bytesSent: number;
  bytesReceived: number;
  datagramsSent: number;
  datagramsReceived: number;
  /** Not sent, for lack of room or because the flow is over. */
  dropped: number;
}

/** One flow of a session. */
export class Flow {
  readonly stats: FlowStats = { bytesSent: 0, bytesReceived: 0, datagramsSent: 0, datagramsReceived: 0, dropped: 0 };
  lastActiveMs = performance.now();
  readonly #carrier: Carrier;
  readonly #stream: CarrierStream;
  readonly #datagramOptions: { deadlineMs?: number };
  readonly #onPayload: (payload: Uint8Array) => void;
  #closed = false;
  /** What else ends with it; set by `Flows`. */
  onClose: () => void = () => {};

  constructor(
    carrier: Carrier,
    stream: CarrierStream,
    deadlineMs: number | undefined,
    onPayload: (payload: Uint8Array) => void,
  ) {
    this.#carrier = carrier;
    this.#stream = stream;
    this.#datagramOptions = deadlineMs === undefined ? {} : { deadlineMs };
    this.#onPayload = onPayload;
  }

  get isOver(): boolean {
    return this.#closed;
  }

  send(payload: Uint8Array): void {
    if (this.#closed) {
      this.stats.dropped++;
      return;
    }
    this.lastActiveMs = performance.now();
    const { id } = this.#stream;
    const header = varintBytes(id);
    if (header + payload.length > MAX_DATAGRAM_BYTES) {
      this.#sendLong(payload);
      return;
    }
    writeVarint(scratch, 0, id);
    scratch.set(payload, header);
    const bytes = scratch.subarray(0, header + payload.length);
    this.#count(this.#carrier.sendDatagram(bytes, this.#datagramOptions), payload.length);
  }

  deliver(payload: Uint8Array): void {
    if (this.#closed) return;
    this.lastActiveMs = performance.now();
    this.stats.datagramsReceived++;
    this.stats.bytesReceived += payload.length;
    this.#onPayload(payload);
  }

  /** Ends it for both sides. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.end();
    this.#stream.resume();
    this.onClose();
  }

  #sendLong(payload: Uint8Array): void {
    const room = this.#stream.writableLength < STREAM_MAX_BYTES;
    if (room) {
      const length = Buffer.allocUnsafe(varintBytes(payload.length));
      writeVarint(length, 0, payload.length);
      this.#stream.write(Buffer.concat([length, payload]));
    }
    this.#count(room, payload.length);
  }

  #count(sent: boolean, bytes: number): void {
    if (sent) {
      this.stats.datagramsSent++;
      this.stats.bytesSent += bytes;
    } else this.stats.dropped++;
  }
}

export interface FlowOptions {
  deadlineMs: number | undefined;
  /** Gets each payload of the peer, lent. */
  onPayload: (payload: Uint8Array) => void;
  /** Called once, after `attach` returned. */
  onClose: () => void;
  answer?: Promise<boolean>;
}

/** All flows of one session. */
export class Flows {
  readonly #carrier: Carrier;
  readonly #flows: Map<number, Flow> = new Map();
  /** Streams whose datagrams are none of a flow's. */
  readonly #claimed: Map<number, (payload: Uint8Array) => void> = new Map();
  readonly #early: { id: number; payload: Uint8Array; atMs: number }[] = [];
  #earlyBytes = 0;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    carrier.on("datagram", (data: Uint8Array) => this.#onDatagram(data));
  }

  get count(): number {
    return this.#flows.size;
  }

  /**
   * Makes the flow of a stream. What came for it before is delivered now. With `answer`, what the stream itself carries is read
   * only when that resolves; when it resolves to false, or rejects, the flow ends.
   */
  attach(stream: CarrierStream, { deadlineMs, onPayload, onClose, answer }: FlowOptions): Flow {
    const flow = new Flow(this.#carrier, stream, deadlineMs, onPayload);
    this.#flows.set(stream.id, flow);
    let closed = false;
    const close = () => {
      if (closed) return;
      closed = true;
      this.#flows.delete(stream.id);
      flow.close();
      onClose();
    };
    flow.onClose = close;
    stream.on("end", close);
    stream.on("error", close);
    stream.on("close", close);
    // It may have ended together with its header.
    if (stream.readableEnded || stream.destroyed) queueMicrotask(close);
    this.#deliverEarly(stream.id, (payload) => flow.deliver(payload));
    if (answer === undefined) readFrames(stream, flow);
    else {
      answer.then(
        (accepted) => (accepted ? readFrames(stream, flow) : close()),
        () => close(),
      );
    }
    return flow;
  }

  /** Hands datagrams of a stream over as they are, for as long as the stream lives. */
  claim(stream: CarrierStream, receive: (payload: Uint8Array) => void): void {
    this.#claimed.set(stream.id, receive);
    this.#deliverEarly(stream.id, receive);
    stream.once("close", () => this.#claimed.delete(stream.id));
  }

  #onDatagram(data: Uint8Array): void {
    const id = readVarint(data, 0, data.length);
    if (id < 0) return;
    const payload = data.subarray(varintLengthAt(data, 0));
    const claimed = this.#claimed.get(id);
    if (claimed !== undefined) {
      claimed(payload);
      return;
    }
    const flow = this.#flows.get(id);
    if (flow !== undefined) flow.deliver(payload);
    else this.#keepEarly(id, payload);
  }

  #keepEarly(id: number, payload: Uint8Array): void {
    const nowMs = performance.now();
    this.#early.push({ id, payload: new Uint8Array(payload), atMs: nowMs });
    this.#earlyBytes += payload.length;
    while (
      this.#early.length > EARLY_MAX ||
      this.#earlyBytes > EARLY_MAX_BYTES ||
      this.#early[0]?.atMs < nowMs - EARLY_MS
    ) {
      this.#earlyBytes -= this.#early.shift()!.payload.length;
    }
  }

  #deliverEarly(id: number, deliver: (payload: Uint8Array) => void): void {
    const kept = this.#early.splice(0);
    this.#earlyBytes = 0;
    for (const entry of kept) {
      if (entry.id === id) deliver(entry.payload);
      else {
        this.#early.push(entry);
        this.#earlyBytes += entry.payload.length;
      }
    }
  }
}

/** Long payloads come over the stream. A length that no datagram has ends the flow. */
function readFrames(stream: CarrierStream, flow: Flow): void {
  let bytes: Uint8Array = new Uint8Array(0);
  stream.on("data", (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    for (;;) {
      const length = readVarint(bytes, 0, bytes.length);
      if (length < 0 && bytes.length < 8) return;
      if (length < 0 || length > MAX_DATAGRAM_BYTES) {
        flow.close();
        return;
      }
      const start = varintLengthAt(bytes, 0);
      if (bytes.length < start + length) return;
      flow.deliver(bytes.subarray(start, start + length));
      bytes = bytes.subarray(start + length);
    }
  });
  stream.resume();
}
