/**
 * Drives a `TransportEndpoint` with a real socket, clock and timers. It handles all datagrams of a burst, lets the sessions
 * work, then sends what is due: ACKs and data of a turn leave together. What the application does in a turn of the event loop is
 * gathered up to its end.
 *
 * The clock is `performance.now()`. Node's timers tick in milliseconds and come late rather than early, so links save up
 * `PACING_BURST_MS` of pacing for them. Nothing that is due later is waited for by turning round and round: a process that does so
 * is one that the kernel's scheduler lets wait when others want the processor too.
 *
 * Not here: noticing what happens to the network without a packet, which is `network-watch.ts`'s.
 */
import { performance } from "node:perf_hooks";
import type { Transmit } from "../transport/endpoint.ts";
import type { UdpSocket } from "../udp/index.ts";
import type { TransportEndpoint } from "./transport-endpoint.ts";

/** For `LinkOptions.pacingBurstMs`: what a late timer makes a link wait, and a little more. */
export const PACING_BURST_MS = 8;

/** The longest that a timer is set for; Node's limit is 2^31 - 1 ms. */
const LONGEST_WAIT_MS = 60_000;
/** Rounds of sending and of sessions' work in one turn, before the event loop is let go on. */
const MOST_ROUNDS = 4;
/** Bytes sent in one turn: sockets are read in between, and acknowledgements among what comes. */
const MOST_BYTES = 128 * 1024;
/** A socket that was full is tried again after this long, unless it would drop what it is given. */
const FULL_PATIENCE_MS = 50;

/** How busy a driver was. */
export interface DriverLoad {
  turns: number;
  /** Time in turns, and the longest of them. */
  workMs: number;
  longestTurnMs: number;
  /** How late the latest timer came. */
  latestTimerMs: number;
  /** Times that the kernel took no more. */
  fullSockets: number;
}

export class SocketDriver {
  readonly endpoint: TransportEndpoint;
  #socket: UdpSocket;
  readonly #transmit: Transmit = {
    // No Buffer: views of one cost several times as much.
    buffer: new Uint8Array(65_536),
    length: 0,
    segmentBytes: 0,
    maxSegments: 1,
    destination: null,
    source: null,
    ecn: 0,
  };
  #timer: NodeJS.Timeout | null = null;
  #timerMs = Number.POSITIVE_INFINITY;
  #immediate: NodeJS.Immediate | null = null;
  #working = false;
  #full = false;
  #fullMs = 0;
  #closed = false;
  #referenced = true;
  #load = noLoad();

  constructor(endpoint: TransportEndpoint, socket: UdpSocket) {
    this.endpoint = endpoint;
    this.#socket = socket;
    this.#attach(socket);
  }

  get socket(): UdpSocket {
    return this.#socket;
  }

  now(): number {
    return performance.now();
  }

  /** How busy it was since it was asked last. */
  takeLoad(): DriverLoad {
    const load = this.#load;
    this.#load = noLoad();
    return load;
  }

  /** Something may be to send: it is at the end of this turn of the event loop. */
  wake(): void {
    if (this.#working || this.#closed || this.#immediate !== null) return;
    this.#immediate = setImmediate(this.#onImmediate);
    if (!this.#referenced) this.#immediate.unref();
  }

  /** Goes on with another socket, from another local port. Peers see their links move there with the next packet. */
  async replaceSocket(socket: UdpSocket): Promise<void> {
    const old = this.#socket;
    if (this.#closed) {
      await socket.close();
      return;
    }
    this.#socket = socket;
    this.#full = false;
    this.#attach(socket);
    this.wake();
    await old.close();
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      if (this.#timer !== null) clearTimeout(this.#timer);
      if (this.#immediate !== null) clearImmediate(this.#immediate);
      this.#timer = null;
      this.#immediate = null;
    }
    await this.#socket.close();
  }

  ref(): void {
    this.#referenced = true;
    this.#socket.ref();
    this.#timer?.ref();
  }

  unref(): void {
    this.#referenced = false;
    this.#socket.unref();
    this.#timer?.unref();
  }

  #attach(socket: UdpSocket): void {
    socket.onDatagram = (datagram) => {
      if (socket === this.#socket && !this.#closed) this.endpoint.handleDatagram(datagram, performance.now());
    };
    socket.onBatchEnd = () => this.#work();
    socket.onWritable = () => {
      if (socket !== this.#socket) return;
      this.#full = false;
      this.#work();
    };
    socket.start();
    if (!this.#referenced) socket.unref();
  }

  readonly #onImmediate = (): void => {
    this.#immediate = null;
    this.#work();
  };

  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#load.latestTimerMs = Math.max(this.#load.latestTimerMs, performance.now() - this.#timerMs);
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.#work();
  };

  /** One turn: timeouts, sessions, sends, until there is nothing more or it has been long enough; then sets the timer. */
  #work(): void {
    if (this.#working || this.#closed) return;
    this.#working = true;
    const startMs = performance.now();
    try {
      const { endpoint } = this;
      let nowMs = startMs;
      if (this.#full && nowMs >= this.#fullMs + FULL_PATIENCE_MS && !this.#socket.stalled) this.#full = false;
      let bytes = 0;
      for (let round = 0; round < MOST_ROUNDS; round++) {
        if (endpoint.nextTimeoutMs() <= nowMs) endpoint.handleTimeout(nowMs);
        const progressed = endpoint.progress(nowMs);
        nowMs = performance.now();
        const before = bytes;
        while (!this.#full && bytes < MOST_BYTES && this.#sendOne(nowMs)) {
          bytes += this.#transmit.length;
          // A train takes a while to make; what is taken for the time of sending should be it.
          nowMs = performance.now();
        }
        if (!progressed && bytes === before) break;
      }
    } finally {
      this.#working = false;
    }
    const elapsedMs = performance.now() - startMs;
    const load = this.#load;
    load.turns++;
    load.workMs += elapsedMs;
    if (elapsedMs > load.longestTurnMs) load.longestTurnMs = elapsedMs;
    if (!this.#closed) this.#schedule();
  }

  #sendOne(nowMs: number): boolean {
    const transmit = this.#transmit;
    transmit.length = 0;
    transmit.segmentBytes = 0;
    transmit.maxSegments = this.#socket.maxSegments;
    transmit.destination = null;
    transmit.source = null;
    transmit.ecn = 0;
    if (!this.endpoint.pollTransmit(transmit, nowMs)) return false;
    if (!this.#socket.send(transmit)) {
      this.#full = true;
      this.#fullMs = nowMs;
      this.#load.fullSockets++;
    }
    return true;
  }

  #schedule(): void {
    if (this.#immediate !== null) return;
    const nowMs = performance.now();
    // With a full socket only the clock or the socket itself can change anything.
    const { endpoint } = this;
    let nextMs = this.#full ? nowMs + FULL_PATIENCE_MS : endpoint.nextTimeoutMs();
    if (endpoint.progressWaits) nextMs = nowMs;
    if (nextMs <= nowMs) {
      this.#immediate = setImmediate(this.#onImmediate);
      return;
    }
    // A timer that fires too early does no harm, so one that is set for long is left alone.
    if (nextMs >= this.#timerMs || nextMs === Number.POSITIVE_INFINITY) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerMs = Math.min(nextMs, nowMs + LONGEST_WAIT_MS);
    this.#timer = setTimeout(this.#onTimer, this.#timerMs - nowMs);
    if (!this.#referenced) this.#timer.unref();
  }
}

function noLoad(): DriverLoad {
  return { turns: 0, workMs: 0, longestTurnMs: 0, latestTimerMs: 0, fullSockets: 0 };
}
