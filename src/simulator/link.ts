/**
 * One direction of a link. A packet passes, in this order: policer, drop-tail queue drained at a rate (ECN marks on
 * entry), loss and outage as its last byte leaves the queue, then delay with jitter, on which it may be doubled or
 * damaged. Packets lost after the queue have used their share of the rate, as on a radio link ("tbf on the sender,
 * netem on the receiver"). Fate and times are settled when the packet enters; nothing happens at a departure.
 *
 * Hot: where order is kept, packets wait in a ring and the event queue holds one event for its head.
 */
import { checkNumber, checkShare, SimulatorOptionError } from "./error.ts";
import type { EventHandler, EventQueue } from "./event-queue.ts";
import { createLoss, type LossModel, type LossOptions } from "./loss.ts";
import type { Observation } from "./observer.ts";
import type { Carrier, Packet } from "./packet.ts";
import { Policer, type PolicerOptions } from "./policer.ts";
import type { Random } from "./random.ts";
import { checkAscending, RateSchedule, type RateStep, StepValue } from "./schedule.ts";

export interface JitterOptions {
  /**
   * "uniform": extra delay evenly from 0 to `spreadMs`. "normal": the delay is normal around `delayMs` with standard
   * deviation `spreadMs`, cut at 0. Default "uniform".
   */
  distribution?: "uniform" | "normal";
  /** Milliseconds, from 0. */
  spreadMs: number;
  /** Lets packets overtake each other. Default false: a packet waits for the one before it. */
  reorder?: boolean;
}

/** One direction of a link. All sizes and rates count IP packets, headers included. */
export interface LinkOptions {
  /** 10^6 bits a second, above 0. Default Infinity: no queue ever forms. */
  rateMbps?: number;
  /** Later rates, by ascending time. */
  rateSteps?: readonly RateStep[];
  /**
   * Room in the queue in bytes, counting what is left of the packet in service; a packet that does not fit whole is
   * dropped. Default 10 ms of `rateMbps`, at least 150,000 bytes. Not together with `queueMs`.
   */
  queueBytes?: number;
  /** Room in the queue as milliseconds of `rateMbps` (the first rate, whatever `rateSteps` say). */
  queueMs?: number;
  /** A policer ahead of the queue. Default none. */
  policer?: PolicerOptions;
  /** Propagation delay, milliseconds from 0. Default 0. */
  delayMs?: number;
  /** Later delays, by ascending time, by when the packet leaves the queue. Order is kept unless jitter may reorder. */
  delaySteps?: readonly { atMs: number; delayMs: number }[];
  /** Default none. */
  jitter?: JitterOptions;
  /** Default none. A `LossModel` of one's own also works; it serves one direction, so give `backward` another. */
  loss?: LossOptions | LossModel;
  /** Later losses, by ascending time, by when the packet leaves the queue. */
  lossSteps?: readonly { atMs: number; loss: LossOptions | LossModel }[];
  /** Share of packets that arrive twice, each with jitter of its own. Default 0. */
  duplication?: number;
  /**
   * Share of packets in which one byte, at random, has one to eight bits flipped: the rare damage that no checksum saw.
   * Default 0. Models of TCP drop such packets.
   */
  corruption?: number;
  /**
   * Everything that leaves the queue from `fromMs` up to, not including, `toMs` is lost. Ascending, not overlapping.
   */
  outages?: readonly { fromMs: number; toMs: number }[];
  /** Marks ECN-capable packets CE when this many bytes are queued before them. Default never. Not with `ecnMs`. */
  ecnBytes?: number;
  /** The same as milliseconds of `rateMbps`. */
  ecnMs?: number;
}

export interface Tally {
  packets: number;
  /** IP bytes. */
  bytes: number;
}

/** offered + duplicated = delivered + every dropped + inFlight, in packets and in bytes. */
export interface LinkCounters {
  offered: Tally;
  delivered: Tally;
  dropped: { queue: Tally; policer: Tally; loss: Tally; outage: Tally };
  /** Second copies made. */
  duplicated: Tally;
  corrupted: Tally;
  /** CE marks set here. */
  marked: Tally;
  /** Waiting in the queue or on the way. */
  inFlight: Tally;
  /** The most bytes the queue ever held, a newly taken packet included. */
  maxQueueBytes: number;
}

/** What takes packets at the far end. */
export interface PacketSink {
  accept(packet: Packet, nowMs: number): void;
}

const DEFAULT_QUEUE_MS = 10;
const DEFAULT_QUEUE_LEAST_BYTES = 150_000;
const INITIAL_RING = 256;

export class LinkDirection implements EventHandler, Carrier {
  /** "a>b" for node names a and b, with "#2" and so on for further links between them. */
  readonly name: string;
  readonly counters: LinkCounters = {
    offered: tally(),
    delivered: tally(),
    dropped: { queue: tally(), policer: tally(), loss: tally(), outage: tally() },
    duplicated: tally(),
    corrupted: tally(),
    marked: tally(),
    inFlight: tally(),
    maxQueueBytes: 0,
  };
  /** Room in the queue in bytes; Infinity when the rate has no limit. */
  readonly queueLimitBytes: number;

  readonly #far: PacketSink;
  readonly #events: EventQueue;
  readonly #observation: Observation;
  readonly #rate: RateSchedule | null;
  readonly #policer: Policer | null;
  readonly #delay: StepValue<number>;
  readonly #loss: StepValue<LossModel>;
  readonly #jitterSpread: number;
  readonly #jitterNormal: boolean;
  readonly #reorder: boolean;
  readonly #duplication: number;
  readonly #corruption: number;
  readonly #outages: readonly { fromMs: number; toMs: number }[];
  readonly #ecnBytes: number;
  readonly #jitterRandom: Random;
  readonly #faultRandom: Random;
  // The work done when the queue runs empty; what is queued is this less the work done by now.
  #workEnd = 0;
  #lastArriveMs = 0;
  #outage = 0;
  // The ring of packets on their way, in order of arrival.
  #ring: (Packet | null)[] = new Array<Packet | null>(INITIAL_RING).fill(null);
  #ringTimes = new Float64Array(INITIAL_RING);
  #ringOrders = new Float64Array(INITIAL_RING);
  #ringHead = 0;
  #ringLength = 0;

  constructor(
    name: string,
    options: LinkOptions,
    random: Random,
    events: EventQueue,
    observation: Observation,
    far: PacketSink,
  ) {
    this.name = name;
    this.#far = far;
    this.#events = events;
    this.#observation = observation;
    const { rateMbps = Number.POSITIVE_INFINITY, rateSteps = [], jitter, outages = [] } = options;
    const schedule = new RateSchedule(rateMbps, rateSteps);
    this.#rate = rateMbps === Number.POSITIVE_INFINITY ? null : schedule;
    const bytesPerMs = rateMbps * 125;
    this.queueLimitBytes = queueLimit(options, bytesPerMs);
    this.#ecnBytes = threshold("ecnBytes", "ecnMs", options.ecnBytes, options.ecnMs, bytesPerMs);
    this.#policer = options.policer === undefined ? null : new Policer(options.policer);
    this.#delay = delays(options);
    this.#loss = losses(options, random);
    this.#jitterSpread = checkNumber("jitter.spreadMs", jitter?.spreadMs ?? 0, 0, Number.MAX_VALUE, "ms");
    const distribution = jitter?.distribution ?? "uniform";
    if (distribution !== "uniform" && distribution !== "normal") {
      throw new SimulatorOptionError("jitter.distribution", distribution, '"uniform" or "normal"');
    }
    this.#jitterNormal = distribution === "normal";
    this.#reorder = (jitter?.reorder ?? false) && this.#jitterSpread > 0;
    this.#duplication = checkShare("duplication", options.duplication ?? 0);
    this.#corruption = checkShare("corruption", options.corruption ?? 0);
    checkOutages(outages);
    this.#outages = outages;
    this.#jitterRandom = random.fork("jitter");
    this.#faultRandom = random.fork("fault");
  }

  /** Bytes in the queue at `nowMs`, which never runs backwards; fractions are of the packet in service. */
  queueBytes(nowMs: number): number {
    return this.#rate === null ? 0 : Math.max(0, this.#workEnd - this.#rate.workAt(nowMs));
  }

  /** The configured rate at `nowMs` in Mbit/s, which never runs backwards. Infinity when there is no limit. */
  rateMbps(nowMs: number): number {
    return this.#rate === null ? Number.POSITIVE_INFINITY : this.#rate.rateAt(nowMs) / 125;
  }

  /** Takes a packet at the near end; the packet is the link's from here on. */
  offer(packet: Packet, nowMs: number): void {
    const counters = this.counters;
    const bytes = packet.ipBytes;
    const observed = this.#observation.active;
    add(counters.offered, bytes);
    if (this.#policer !== null && !this.#policer.admit(bytes, nowMs)) {
      add(counters.dropped.policer, bytes);
      if (observed) this.#observation.report("drop", nowMs, this.name, packet, "policer", this.queueBytes(nowMs));
      packet.free();
      return;
    }
    let departMs = nowMs;
    let queued = 0;
    if (this.#rate !== null) {
      const done = this.#rate.workAt(nowMs);
      queued = Math.max(0, this.#workEnd - done);
      if (queued + bytes > this.queueLimitBytes) {
        add(counters.dropped.queue, bytes);
        if (observed) this.#observation.report("drop", nowMs, this.name, packet, "queue", queued);
        packet.free();
        return;
      }
      this.#workEnd = done + queued + bytes;
      departMs = Math.max(nowMs, this.#rate.timeOf(this.#workEnd));
      if (queued + bytes > counters.maxQueueBytes) counters.maxQueueBytes = queued + bytes;
      if (queued > this.#ecnBytes && (packet.ecn === 1 || packet.ecn === 2)) {
        packet.ecn = 3;
        add(counters.marked, bytes);
      }
    }
    // Every draw is made whatever the others say, so that one fault does not shift another's.
    const lost = this.#loss.at(departMs).lost();
    const corrupted = this.#corruption > 0 && this.#faultRandom.next() < this.#corruption;
    const duplicated = this.#duplication > 0 && this.#faultRandom.next() < this.#duplication;
    const out = this.#outages.length > 0 && this.#inOutage(departMs);
    // What waits in a halted queue for ever is not lost: it is still in flight.
    if ((lost || out) && departMs !== Number.POSITIVE_INFINITY) {
      add(out ? counters.dropped.outage : counters.dropped.loss, bytes);
      if (observed) {
        this.#observation.report("drop", nowMs, this.name, packet, out ? "outage" : "loss", queued, departMs);
      }
      packet.free();
      return;
    }
    const copy = duplicated ? packet.pool.duplicate(packet) : null;
    if (corrupted) this.#corrupt(packet);
    const delay = this.#delay.at(departMs);
    this.#carry(packet, departMs, delay, nowMs, "queue", queued);
    if (copy !== null) {
      add(counters.duplicated, bytes);
      this.#carry(copy, departMs, delay, nowMs, "duplicate", queued);
    }
  }

  /** The head of the ring arrives. */
  handleEvent(nowMs: number): void {
    const head = this.#ringHead;
    const packet = this.#ring[head]!;
    this.#ring[head] = null;
    this.#ringHead = (head + 1) & (this.#ring.length - 1);
    this.#ringLength--;
    if (this.#ringLength > 0) {
      this.#events.pushOrdered(this.#ringTimes[this.#ringHead], this.#ringOrders[this.#ringHead], this, 0);
    }
    this.release(packet, nowMs);
  }

  /** A packet reaches the far end. */
  release(packet: Packet, nowMs: number): void {
    const bytes = packet.ipBytes;
    this.counters.inFlight.packets--;
    this.counters.inFlight.bytes -= bytes;
    add(this.counters.delivered, bytes);
    if (this.#observation.active) this.#observation.report("deliver", nowMs, this.name, packet);
    this.#far.accept(packet, nowMs);
  }

  #carry(packet: Packet, departMs: number, delay: number, nowMs: number, event: "queue" | "duplicate", queued: number) {
    let arriveMs = departMs + delay;
    if (this.#jitterSpread > 0) {
      arriveMs += this.#jitterSpread * (this.#jitterNormal ? this.#jitterRandom.normal() : this.#jitterRandom.next());
      if (arriveMs < departMs) arriveMs = departMs;
    }
    if (!this.#reorder) {
      if (arriveMs < this.#lastArriveMs) arriveMs = this.#lastArriveMs;
      this.#lastArriveMs = arriveMs;
    }
    add(this.counters.inFlight, packet.ipBytes);
    if (this.#observation.active) {
      this.#observation.report(event, nowMs, this.name, packet, null, queued, departMs, arriveMs);
    }
    // A halted link keeps its packets for ever: no event for them.
    if (arriveMs === Number.POSITIVE_INFINITY) return;
    if (this.#reorder) {
      packet.carrier = this;
      this.#events.push(arriveMs, packet, 0);
      return;
    }
    if (this.#ringLength === this.#ring.length) this.#growRing();
    const order = this.#events.reserveOrder();
    const slot = (this.#ringHead + this.#ringLength) & (this.#ring.length - 1);
    this.#ring[slot] = packet;
    this.#ringTimes[slot] = arriveMs;
    this.#ringOrders[slot] = order;
    if (this.#ringLength++ === 0) this.#events.pushOrdered(arriveMs, order, this, 0);
  }

  #corrupt(packet: Packet): void {
    packet.corrupted = true;
    add(this.counters.corrupted, packet.ipBytes);
    // The packet owns its bytes: they were copied when it was sent.
    const bytes = packet.bytes;
    if (bytes.length > 0) bytes[this.#faultRandom.below(bytes.length)] ^= 1 + this.#faultRandom.below(255);
  }

  #inOutage(departMs: number): boolean {
    while (this.#outage < this.#outages.length && this.#outages[this.#outage].toMs <= departMs) this.#outage++;
    return this.#outage < this.#outages.length && this.#outages[this.#outage].fromMs <= departMs;
  }

  #growRing(): void {
    const size = this.#ring.length;
    const ring = new Array<Packet | null>(2 * size).fill(null);
    const times = new Float64Array(2 * size);
    const orders = new Float64Array(2 * size);
    for (let i = 0; i < size; i++) {
      const from = (this.#ringHead + i) & (size - 1);
      ring[i] = this.#ring[from];
      times[i] = this.#ringTimes[from];
      orders[i] = this.#ringOrders[from];
    }
    this.#ring = ring;
    this.#ringTimes = times;
    this.#ringOrders = orders;
    this.#ringHead = 0;
  }
}

function tally(): Tally {
  return { packets: 0, bytes: 0 };
}

function add(to: Tally, bytes: number): void {
  to.packets++;
  to.bytes += bytes;
}

function threshold(
  bytesField: string,
  msField: string,
  bytes: number | undefined,
  ms: number | undefined,
  bytesPerMs: number,
): number {
  if (bytes !== undefined && ms !== undefined) {
    throw new SimulatorOptionError(msField, ms, `nothing beside ${bytesField}`);
  }
  if (ms !== undefined) return checkNumber(msField, ms, 0, Number.MAX_VALUE, "ms") * bytesPerMs;
  return checkNumber(bytesField, bytes ?? Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY, "bytes");
}

function queueLimit(options: LinkOptions, bytesPerMs: number): number {
  if (options.queueBytes === undefined && options.queueMs === undefined) {
    return Math.max(DEFAULT_QUEUE_MS * bytesPerMs, DEFAULT_QUEUE_LEAST_BYTES);
  }
  return threshold("queueBytes", "queueMs", options.queueBytes, options.queueMs, bytesPerMs);
}

function delays(options: LinkOptions): StepValue<number> {
  const first = checkNumber("delayMs", options.delayMs ?? 0, 0, Number.MAX_VALUE, "ms");
  const steps = options.delaySteps ?? [];
  checkAscending("delaySteps", steps);
  return new StepValue(
    first,
    steps.map(({ atMs, delayMs }, i) => ({
      atMs,
      value: checkNumber(`delaySteps[${i}].delayMs`, delayMs, 0, Number.MAX_VALUE, "ms"),
    })),
  );
}

function losses(options: LinkOptions, random: Random): StepValue<LossModel> {
  const steps = options.lossSteps ?? [];
  checkAscending("lossSteps", steps);
  const create = (field: string, loss: LossOptions | LossModel, label: string): LossModel =>
    typeof loss === "object" && "lost" in loss ? loss : createLoss(field, loss, random.fork(label));
  return new StepValue(
    create("loss", options.loss ?? 0, "loss"),
    steps.map(({ atMs, loss }, i) => ({ atMs, value: create(`lossSteps[${i}].loss`, loss, `loss${i}`) })),
  );
}

function checkOutages(outages: readonly { fromMs: number; toMs: number }[]): void {
  let before = 0;
  for (let i = 0; i < outages.length; i++) {
    const from = checkNumber(`outages[${i}].fromMs`, outages[i].fromMs, before, Number.MAX_VALUE, "ms");
    before = checkNumber(`outages[${i}].toMs`, outages[i].toMs, from, Number.POSITIVE_INFINITY, "ms");
  }
}
