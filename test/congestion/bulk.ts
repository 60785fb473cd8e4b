// A bulk transfer with a perfect code: every packet that arrives counts, none is sent twice. Enough of a link (packet
// numbers, ACK ranges, RFC 9002 loss detection, pacing) to drive a congestion controller through the simulator.
import type { CongestionController, CongestionUpdate } from "../../src/congestion/controller.ts";
import { Pacer } from "../../src/congestion/pacer.ts";
import type { Address, Endpoint, ReceivedDatagram, Transmit } from "../../src/simulator/index.ts";

export const PAYLOAD_BYTES = 1472;
export const WIRE_BYTES = 1500;
export const GOODPUT_BYTES = 1400;
const HEADER_BYTES = 24;
const RANGES = 20;
const MAX_ACK_DELAY_MS = 2;
const LEAST_PROBE_INTERVAL_MS = 25;
const HISTORY = 1 << 17;
/** Packets after which one given up for lost is forgotten. */
const MEMORY = 4096;
const KNOWN_RUN = 64;
const ACKED = 1;
const IN_FLIGHT = 2;
const LOST = 3;

/** Acknowledges every second packet, or one after a while, or a gap at once, with up to 20 ranges. */
export class BulkReceiver implements Endpoint {
  packets = 0;
  newest = -1;
  readonly #ackEvery: number;
  #peer: Address | null = null;
  // Ranges received, oldest first.
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  #newestMs = 0;
  #marks = 0;
  #unacknowledged = 0;
  #ackMs = Number.POSITIVE_INFINITY;

  constructor(ackEvery = 2) {
    this.#ackEvery = ackEvery;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    this.#peer = datagram.source;
    if (!this.#note(number)) return;
    this.packets++;
    if (datagram.ecn === 3) this.#marks++;
    if (number > this.newest) {
      this.newest = number;
      this.#newestMs = nowMs;
    }
    if (++this.#unacknowledged >= this.#ackEvery) this.#ackMs = nowMs;
    else if (this.#ackMs === Number.POSITIVE_INFINITY) this.#ackMs = nowMs + MAX_ACK_DELAY_MS;
  }

  handleTimeout(): void {}

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    if (this.#ackMs > nowMs) return false;
    this.#ackMs = Number.POSITIVE_INFINITY;
    this.#unacknowledged = 0;
    const view = new DataView(transmit.buffer.buffer, transmit.buffer.byteOffset);
    const count = Math.min(RANGES, this.#starts.length);
    view.setFloat32(0, nowMs - this.#newestMs);
    view.setUint8(4, count);
    view.setUint32(9, this.#marks);
    let offset = HEADER_BYTES;
    view.setUint32(5, this.#ends[this.#ends.length - 1]);
    let previous = this.#ends[this.#ends.length - 1];
    for (let i = this.#starts.length - 1; i >= this.#starts.length - count; i--, offset += 4) {
      view.setUint16(offset, Math.min(65535, previous - this.#ends[i]));
      view.setUint16(offset + 2, Math.min(65535, this.#ends[i] - this.#starts[i]));
      previous = this.#starts[i];
    }
    transmit.length = offset;
    transmit.destination = this.#peer;
    return true;
  }

  nextTimeoutMs(): number {
    return this.#ackMs;
  }

  /** False for a duplicate. */
  #note(number: number): boolean {
    const starts = this.#starts;
    const ends = this.#ends;
    let i = starts.length - 1;
    while (i >= 0 && starts[i] > number) i--;
    if (i >= 0 && number <= ends[i]) return false;
    const joinsLeft = i >= 0 && ends[i] === number - 1;
    const joinsRight = i + 1 < starts.length && starts[i + 1] === number + 1;
    if (joinsLeft && joinsRight) {
      ends[i] = ends[i + 1];
      starts.splice(i + 1, 1);
      ends.splice(i + 1, 1);
    } else if (joinsLeft) ends[i] = number;
    else if (joinsRight) starts[i + 1] = number;
    else {
      starts.splice(i + 1, 0, number);
      ends.splice(i + 1, 0, number);
    }
    if (starts.length > 256) {
      starts.splice(0, 128);
      ends.splice(0, 128);
    }
    return true;
  }
}

export interface BulkOptions {
  /** Where the receiver listens. */
  destination: Address;
  controller: CongestionController;
  startMs?: number;
  /** What the application writes: this many wire bytes a ms, in one piece every `everyMs`. Default never too little. */
  supply?: { rate: number; everyMs: number };
}

export class BulkSender implements Endpoint {
  readonly controller: CongestionController;
  sent = 0;
  lost = 0;
  spurious = 0;
  acked = 0;
  inFlight = 0;
  smoothedRttMs = Number.NaN;
  persistentCongestions = 0;
  readonly #destination: Address;
  readonly #startMs: number;
  readonly #supply: { rate: number; everyMs: number } | null;
  readonly #pacer = new Pacer(0.5);
  readonly #states = new Uint8Array(HISTORY);
  readonly #sentMs = new Float64Array(HISTORY);
  #next = 0;
  #oldest = 0;
  #newestAcked = -1;
  #rttVariation = 0;
  #packetThreshold = 3;
  #reorderMs = 0;
  #lossMs = Number.POSITIVE_INFINITY;
  #probeMs = Number.POSITIVE_INFINITY;
  #probes = 0;
  #probesDue = 0;
  #marks = 0;
  #nowMs = 0;
  readonly #update: CongestionUpdate = {
    nowMs: 0,
    arrivedMs: 0,
    rttMs: Number.NaN,
    smoothedRttMs: Number.NaN,
    inFlightBytes: 0,
    congestionMarks: 0,
  };

  constructor(options: BulkOptions) {
    this.controller = options.controller;
    this.#destination = options.destination;
    this.#startMs = options.startMs ?? 0;
    this.#supply = options.supply ?? null;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#nowMs = nowMs;
    const { bytes } = datagram;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const delayMs = view.getFloat32(0);
    const count = view.getUint8(4);
    let end = view.getUint32(5);
    const { controller } = this;
    let newest = -1;
    let start = 0;
    for (let i = 0; i < count; i++) {
      if (i > 0) end = start - view.getUint16(HEADER_BYTES + 4 * i);
      start = end - view.getUint16(HEADER_BYTES + 4 * i + 2);
      // Most of a range was acknowledged before; below a run of that nothing new is to be found.
      let run = 0;
      for (let n = end; n >= start && n > this.#oldest - MEMORY && run < KNOWN_RUN; n--) {
        const at = n & (HISTORY - 1);
        const state = this.#states[at];
        if (state === ACKED) {
          run++;
          continue;
        }
        run = 0;
        this.#states[at] = ACKED;
        this.acked++;
        if (state === IN_FLIGHT) {
          this.inFlight -= WIRE_BYTES;
          if (n > newest) newest = n;
          controller.onPacketAcked(n, WIRE_BYTES, nowMs);
        } else if (state === LOST) {
          this.spurious++;
          this.#packetThreshold = Math.max(this.#packetThreshold, Math.min(this.#newestAcked - n + 1, 1000));
          this.#reorderMs = Math.max(
            this.#reorderMs,
            Math.min(nowMs - this.#sentMs[at] - this.smoothedRttMs + 1, this.smoothedRttMs),
          );
          controller.onSpuriousLoss(n, WIRE_BYTES, nowMs);
        }
      }
    }
    const update = this.#update;
    update.rttMs = Number.NaN;
    if (newest > this.#newestAcked) {
      this.#newestAcked = newest;
      const rtt = nowMs - this.#sentMs[newest & (HISTORY - 1)] - delayMs;
      update.rttMs = rtt;
      if (Number.isNaN(this.smoothedRttMs)) {
        this.smoothedRttMs = rtt;
        this.#rttVariation = rtt / 2;
      } else {
        this.#rttVariation += (Math.abs(rtt - this.smoothedRttMs) - this.#rttVariation) / 4;
        this.smoothedRttMs += (rtt - this.smoothedRttMs) / 8;
      }
    }
    if (newest >= 0) {
      this.#probes = 0;
      this.#probesDue = 0;
    }
    this.#detectLosses(nowMs);
    const marks = view.getUint32(9);
    this.#report(nowMs, Math.max(marks - this.#marks, 0));
    this.#marks = Math.max(marks, this.#marks);
    this.#armProbe(nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#lossMs <= nowMs) {
      this.#detectLosses(nowMs);
      this.#report(nowMs, 0);
    }
    if (this.inFlight === 0) this.#probeMs = Number.POSITIVE_INFINITY;
    if (this.#probeMs <= nowMs) {
      this.#probes++;
      this.#probesDue = 2;
      if (this.#probes === 3) {
        for (let n = this.#oldest; n < this.#next; n++) this.#lose(n, nowMs);
        this.#oldest = this.#next;
        this.persistentCongestions++;
        this.controller.onPersistentCongestion(nowMs);
        this.#report(nowMs, 0);
      }
      this.#armProbe(nowMs);
    }
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    this.#nowMs = nowMs;
    if (nowMs < this.#startMs) return false;
    const { controller } = this;
    if (this.#probesDue > 0) this.#probesDue--;
    else if (this.#probes >= 3) return false;
    else if (this.inFlight + WIRE_BYTES > controller.windowBytes) return false;
    else if (this.#suppliedMs() > nowMs) {
      controller.onAppLimited(this.inFlight, nowMs);
      return false;
    } else if (!this.#pacer.maySend(controller.pacingRate, nowMs)) return false;
    const number = this.#next++;
    const at = number & (HISTORY - 1);
    this.#states[at] = IN_FLIGHT;
    this.#sentMs[at] = nowMs;
    this.inFlight += WIRE_BYTES;
    this.sent++;
    this.#pacer.onSent(WIRE_BYTES);
    controller.onPacketSent(number, WIRE_BYTES, this.inFlight, nowMs);
    if (this.#probeMs === Number.POSITIVE_INFINITY) this.#armProbe(nowMs);
    new DataView(transmit.buffer.buffer, transmit.buffer.byteOffset).setUint32(0, number);
    transmit.length = PAYLOAD_BYTES;
    transmit.destination = this.#destination;
    transmit.ecn = 2;
    return true;
  }

  nextTimeoutMs(): number {
    if (this.sent === 0) return this.#suppliedMs();
    const { controller } = this;
    let next = Math.min(this.#lossMs, this.#probeMs);
    if (this.#probes < 3 && this.inFlight + WIRE_BYTES <= controller.windowBytes) {
      next = Math.min(next, Math.max(this.#suppliedMs(), this.#pacer.nextMs(controller.pacingRate, this.#nowMs)));
    }
    return next;
  }

  /** When the application has written the next packet. */
  #suppliedMs(): number {
    if (this.#supply === null) return this.#startMs;
    const { rate, everyMs } = this.#supply;
    return this.#startMs + Math.ceil(((this.sent + 1) * WIRE_BYTES) / (rate * everyMs)) * everyMs;
  }

  #armProbe(nowMs: number): void {
    if (this.inFlight === 0) {
      this.#probeMs = Number.POSITIVE_INFINITY;
      return;
    }
    const rtt = Number.isNaN(this.smoothedRttMs) ? 333 : this.smoothedRttMs;
    const timeout = rtt + Math.max(4 * this.#rttVariation, 1) + MAX_ACK_DELAY_MS;
    this.#probeMs = nowMs + (this.#probes === 0 ? timeout : Math.max(rtt, LEAST_PROBE_INTERVAL_MS));
  }

  #report(nowMs: number, marks: number): void {
    const update = this.#update;
    update.nowMs = update.arrivedMs = nowMs;
    update.smoothedRttMs = this.smoothedRttMs;
    update.inFlightBytes = this.inFlight;
    update.congestionMarks = marks;
    this.controller.onUpdate(update);
    update.rttMs = Number.NaN;
  }

  #detectLosses(nowMs: number): void {
    this.#lossMs = Number.POSITIVE_INFINITY;
    const patience = Math.max(1.125 * this.smoothedRttMs, this.smoothedRttMs + this.#reorderMs, 1);
    let oldest = -1;
    for (let n = this.#oldest; n < this.#newestAcked; n++) {
      if (this.#states[n & (HISTORY - 1)] !== IN_FLIGHT) continue;
      const dueMs = this.#sentMs[n & (HISTORY - 1)] + patience;
      if (n <= this.#newestAcked - this.#packetThreshold || dueMs <= nowMs) {
        this.#lose(n, nowMs);
      } else {
        if (oldest < 0) oldest = n;
        if (dueMs < this.#lossMs) this.#lossMs = dueMs;
        break;
      }
    }
    this.#oldest = oldest < 0 ? this.#newestAcked + 1 : oldest;
  }

  #lose(n: number, nowMs: number): void {
    const at = n & (HISTORY - 1);
    if (this.#states[at] !== IN_FLIGHT) return;
    this.#states[at] = LOST;
    this.lost++;
    this.inFlight -= WIRE_BYTES;
    this.controller.onPacketLost(n, WIRE_BYTES, nowMs);
  }
}
