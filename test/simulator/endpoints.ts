// Endpoints that the simulator's tests drive: they send on schedules and write down what arrives.
import type { Address, EcnCodepoint, Endpoint, ReceivedDatagram, Transmit } from "../../src/simulator/index.ts";

/** Sends datagrams at given times; the first eight bytes are the number, counted from 0. */
export class Sender implements Endpoint {
  readonly replies: { atMs: number; source: Address; destination: Address }[] = [];
  sent = 0;
  readonly #destination: Address;
  readonly #times: ArrayLike<number>;
  readonly #bytes: number;
  readonly #ecn: EcnCodepoint;
  source: Address | null = null;

  constructor(destination: Address, times: ArrayLike<number>, bytes: number, ecn: EcnCodepoint = 0) {
    this.#destination = destination;
    this.#times = times;
    this.#bytes = bytes;
    this.#ecn = ecn;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.replies.push({ atMs: nowMs, source: datagram.source, destination: datagram.destination });
  }

  handleTimeout(): void {}

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    if (this.sent >= this.#times.length || this.#times[this.sent] > nowMs) return false;
    new DataView(transmit.buffer.buffer, transmit.buffer.byteOffset).setFloat64(0, this.sent++);
    transmit.buffer.fill(0xa5, 8, this.#bytes);
    transmit.length = this.#bytes;
    transmit.destination = this.#destination;
    transmit.source = this.source;
    transmit.ecn = this.#ecn;
    return true;
  }

  nextTimeoutMs(): number {
    return this.sent < this.#times.length ? this.#times[this.sent] : Number.POSITIVE_INFINITY;
  }
}

/** Writes down every datagram and, if asked to, answers it with `replyBytes` bytes. */
export class Sink implements Endpoint {
  readonly numbers: number[] = [];
  readonly times: number[] = [];
  readonly sources: Address[] = [];
  readonly ecns: EcnCodepoint[] = [];
  readonly copies: Uint8Array[] = [];
  readonly #replyBytes: number;
  readonly #keepBytes: boolean;
  readonly #pending: Address[] = [];

  constructor(options: { replyBytes?: number; keepBytes?: boolean } = {}) {
    this.#replyBytes = options.replyBytes ?? 0;
    this.#keepBytes = options.keepBytes ?? false;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    this.numbers.push(new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0));
    this.times.push(nowMs);
    this.sources.push(datagram.source);
    this.ecns.push(datagram.ecn);
    if (this.#keepBytes) this.copies.push(bytes.slice());
    if (this.#replyBytes > 0) this.#pending.push(datagram.source);
  }

  handleTimeout(): void {}

  pollTransmit(transmit: Transmit): boolean {
    const to = this.#pending.shift();
    if (to === undefined) return false;
    transmit.length = this.#replyBytes;
    transmit.destination = to;
    return true;
  }

  nextTimeoutMs(): number {
    return Number.POSITIVE_INFINITY;
  }
}

/** `count` times, one every `everyMs` from `firstMs`. */
export function steady(count: number, everyMs: number, firstMs = 0): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => firstMs + i * everyMs);
}
