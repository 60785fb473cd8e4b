/**
 * A stand-in for a link between two sessions, for tests of the session layer alone: packets of a fixed size, a window of
 * packets in flight, loss, reordering and late word of both, all from one seed. No keys, numbers or congestion control.
 */
import { TinyMt32 } from "../../../src/codec/index.ts";
import type { LinkUser, PacketFill } from "../../../src/transport/link/link-user.ts";

export interface PipeOptions {
  seed: number;
  /** Share of packets that are lost, each way. */
  loss: number;
  /** Steps that a packet takes, and at most as many more, at random. */
  delay: number;
  jitter: number;
  /** Packets in flight each way. */
  window: number;
  packetBytes: number;
}

interface InFlight {
  due: number;
  act: () => void;
}

/** What the pipe needs of a session. */
export interface PipeEnd extends LinkUser {
  readonly localParameters: Uint8Array;
  suspend(): void;
  resume(): void;
}

/** More steps than it takes for so many bytes to cross a pipe, be its window one small packet. */
export function mostSteps(bytes: number, { packetBytes, delay, jitter, window, loss }: PipeOptions): number {
  const packets = bytes / (packetBytes - 60) / (1 - loss);
  return 60_000 + (4 * packets * 2 * (delay + jitter + 1)) / window;
}

export class Pipe {
  /** The room of a packet; may be changed at any time. */
  packetBytes: number;
  sentPackets = 0;
  lostPackets = 0;
  readonly #ends: [PipeEnd, PipeEnd];
  /** The words still to be said on packets in flight. */
  readonly #unsettled = new Map<number, () => void>();
  #packets = 0;
  readonly #options: PipeOptions;
  readonly #random: TinyMt32;
  readonly #events: InFlight[] = [];
  readonly #inFlight = [0, 0];
  readonly #quiet = [0, 0];
  #now = 0;

  constructor(a: PipeEnd, b: PipeEnd, options: PipeOptions) {
    this.#ends = [a, b];
    this.#options = options;
    this.packetBytes = options.packetBytes;
    this.#random = new TinyMt32(options.seed);
    this.#connect();
  }

  /** A link comes to be after another was cut. */
  reconnect(): void {
    for (const end of this.#ends) end.resume();
  }

  /** The first link comes to be: both ends hear the other's parameters. */
  #connect(): void {
    const parameters = this.#ends.map((end) => ({
      idleTimeoutMs: 0,
      maxDatagramBytes: 1472,
      ackDelayMs: 25,
      resetToken: null,
      session: end.localParameters,
    }));
    this.#ends[0].established(parameters[1], this.#now);
    this.#ends[1].established(parameters[0], this.#now);
  }

  /** The link ends: what is in flight is gone, and settled as lost at both ends. */
  cut(): void {
    this.#events.length = 0;
    for (const settle of [...this.#unsettled.values()]) settle();
    for (const end of this.#ends) end.suspend();
  }

  /** Moves time by one step. */
  step(): void {
    this.#now++;
    const due = this.#events.filter((event) => event.due <= this.#now);
    for (const event of due) this.#events.splice(this.#events.indexOf(event), 1);
    for (const event of due) event.act();
    for (const side of [0, 1]) this.#send(side);
  }

  #send(side: number): void {
    const { window, delay, jitter, loss } = this.#options;
    const { packetBytes } = this;
    const user = this.#ends[side];
    let probe = false;
    while (this.#inFlight[side] < window) {
      // Silence with nothing in flight is what a link probes after.
      if (!user.ready(this.#now)) {
        this.#quiet[side]++;
        if (this.#inFlight[side] > 0 || this.#quiet[side] < 4 * (delay + jitter)) return;
        probe = true;
      }
      this.#quiet[side] = 0;
      const fill: PacketFill = { buffer: new Uint8Array(2000), start: 7, room: packetBytes, probe, length: 0, tag: 0 };
      user.fill(fill, this.#now);
      if (fill.length === 0) return;
      if (fill.length > packetBytes) throw new Error(`a packet of ${fill.length} bytes where ${packetBytes} fit`);
      this.sentPackets++;
      this.#inFlight[side]++;
      const bytes = fill.buffer.slice(fill.start, fill.start + fill.length);
      const travel = () => delay + this.#random.below(jitter + 1);
      const arrives = this.#random.below(1000) >= 1000 * loss;
      const there = this.#now + travel();
      const back = there + travel();
      if (arrives) {
        this.#events.push({ due: there, act: () => this.#ends[1 - side].receive(bytes, 0, bytes.length, this.#now) });
      } else {
        this.lostPackets++;
      }
      const packet = this.#packets++;
      const settle = (known: boolean) => {
        if (!this.#unsettled.delete(packet)) return;
        this.#inFlight[side]--;
        if (known && arrives) user.acked(fill.tag, this.#now);
        else user.lost(fill.tag, this.#now);
      };
      this.#unsettled.set(packet, () => settle(false));
      this.#events.push({ due: arrives ? back : back + delay, act: () => settle(true) });
      if (probe) return;
    }
  }
}
