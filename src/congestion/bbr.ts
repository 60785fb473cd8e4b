/**
 * A rate-based controller after BBR (draft-ietf-ccwg-bbr, BBRv3) for a transport whose code repairs losses, so that a loss
 * costs a packet and no more. It models the path by bottleneck bandwidth, round-trip time without a queue, and the share of
 * packets lost whatever is sent, and paces what the bottleneck carries rather than what arrives: bandwidth counts the
 * packets lost behind the bottleneck too, which is delivery rate / (1 - loss).
 *
 * - The loss comes from experiments only: now and then some 50 ms at 0.9 of the measured delivery rate, uncompensated. What is
 *   lost then is not congestion. Loss beyond it at other times is ours: obeyed at once, tested by an experiment next.
 * - In between the window holds what the path holds plus a small queue of bytes that grow with the root of the rate, so
 *   flows of different rates meet. While even that queue is missing, more is let in, in doubling steps.
 *
 * Differs from BBR further in that there is no periodic 1.25 probe and no PROBE_RTT: experiments drain the queue. Repairs
 * nothing, declares no losses, keeps no timers. docs/congestion.md says why and what was measured.
 *
 * Hot: per packet a few numbers are added up; only rounds and phases do more. Nothing is allocated in steady state.
 */
import type { CongestionController, CongestionMetrics, CongestionOptions, CongestionUpdate } from "./controller.ts";
import { APART_MS, LossEstimate, PROVISIONAL_SHARE } from "./loss-estimate.ts";
import { RateSampler } from "./rate-sampler.ts";
import { WindowedExtremum } from "./windowed-extremum.ts";

type Phase = "startup" | "drain" | "experiment" | "cruise";

const INITIAL_WINDOW_PACKETS = 32;
/** The initial window is as much as that beyond what a path of this rate carries in a round trip: 4 Mbit/s, bytes a ms. */
const INITIAL_RATE = 500;
const LEAST_WINDOW_PACKETS = 4;
/** Before the first RTT sample: 10 Mbit/s, so that the initial window does not hit a slow path as one burst. */
const INITIAL_PACING = 1250;
/** Rounds over which the largest bandwidth counts. */
const BANDWIDTH_ROUNDS = 10;
const DELIVERY_ROUNDS = 3;
const MIN_RTT_WINDOW_MS = 10_000;

/** What the window grows by in a round trip. */
const STARTUP_GAIN = 2.5;
/** Rates are means of a round trip in which they grew; for a growth of g a round trip pacing must be g ln g / (1 - 1/g) times those. */
const STARTUP_PACING_GAIN = 3.8;
/** Growth of the bandwidth in a round from which on startup goes on. */
const STARTUP_GROWTH = 1.25;
/** Growth that proves that the round before was below the path's capacity. */
const PROVING_GROWTH = 1.3;
/** Of rounds with fewer packets a single burst of losses can hide the growth. */
const TELLING_PACKETS = 200;
/** In these the window grows by what was sent, whatever was lost of it up to this share: too little to harm, too little to judge. */
const SMALL_ROUND_LOSS = 0.35;
/** Of a round of so many packets more than this was lost: most of it was too much for the path, whatever that loses besides. */
const OVERRUN_LOSS = 0.5;
const OVERRUN_PACKETS = 40;
/** Samples in a row above the RTT threshold that end startup (RFC 9406 takes 8 too). */
const HIGH_RTTS = 8;
/** In smaller windows they do not: jitter of the path lasts for all of such a round, and who stops there climbs for seconds. */
const QUEUING_PACKETS = 150;
/** A round in which less of the window than this was ever in flight was bounded by the application. */
const LIMITED_FLIGHT = 0.5;
/** Loss beyond what is usual that, with a high RTT, is a full queue's, however much the RTT falls in between. */
const LOSS_JUMP = 0.1;

const DRAIN_GAIN = 0.5;
/** After startup much of what counts as in flight was dropped by the queue, as is known a round trip later. Until then this. */
const OVERSHOT_GAIN = 0.75;
const DRAIN_TARGET = 0.95;
/** On long paths what is left over is no longer than this: what is not sent is lost to the path. */
const DRAIN_MOST_MS = 4;

const EXPERIMENT_GAIN = 0.9;
/** Where an estimate would rise: one flow of several has to slow down further to make a difference. */
const DOUBTFUL_GAIN = 0.5;
const EXPERIMENT_LEAST_MS = 30;
const EXPERIMENT_MOST_MS = 50;
const EXPERIMENT_LEAST_PACKETS = 100;
/** The first, which is slower still, takes no longer than it must. */
const FIRST_EXPERIMENT_PACKETS = 50;
/**
 * The queue was empty in an experiment if its smallest RTT lies no further above the smallest of all, and what its packets stayed above
 * the least that those of any other lately stayed: share of the RTT, and bounds.
 */
const CLEAR_RTTS = 0.125;
const CLEAR_LEAST_MS = 2;
const CLEAR_MOST_MS = 5;
const CLEAR_WINDOW_MS = 20_000;
/** An experiment of a thin flow may last this long for want of packets. */
const EXPERIMENT_PATIENCE_MS = 1000;
/** From one experiment to the next: this many rounds, and as long as this until the estimate is settled, or after. */
const EXPERIMENT_ROUNDS = 16;
const EXPERIMENT_INTERVAL_MS = 1000;
const SETTLED_INTERVAL_MS = 2000;
/** As many pooled experiments make an estimate settled. */
const SETTLED_EXPERIMENTS = 4;

const CRUISE_GAIN = 1.01;
/** Slow enough to do no harm, fast enough to be seen. */
const LEAST_PROBE_GAIN = 1.03;
const MOST_ACCELERATION = 12;
/** After a congestion event nothing is probed for this long, or for fewer rounds on short paths. */
const HOLD_MS = 2000;
/** The queue a flow keeps in bytes, over the root of its bytes a ms: 25 packets at 100 Mbit/s, 79 at 1 Gbit/s. */
const QUEUE_ROOT = 330;
/** What is left of it after a round with marks or with too much loss: the queues of several flows may be more than the path has room for. */
const MARK_QUEUE_CUT = 0.7;
const LOSS_QUEUE_CUT = 0.8;
const LEAST_QUEUE_SCALE = 0.1;
/** Share of that queue below which it counts as missing. */
const MISSING_QUEUE = 0.3;
/** Loss beyond the estimate, of one round and of all since the last experiment, that is not put down to chance. */
const ROUND_EXCESS = 0.02;
const TOTAL_EXCESS = 0.01;
/** Standard deviations that are put down to chance. */
const CHANCE = 3;
const LEAST_CUT = 0.2;
const LEAST_THIN_CUT = 0.85;

/**
 * A run of losses without a gap, of so many packets sent over so long: the path was gone, or the ACKs were. A queue that overflows
 * goes on to pass packets.
 */
const BLACKOUT_PACKETS = 16;
const BLACKOUT_RTTS = 0.25;
const BLACKOUT_LEAST_MS = 10;

export class Bbr implements CongestionController {
  readonly name = "bbr";
  windowBytes: number;
  pacingRate: number;
  lateAckRate = -0;

  readonly #random: () => number;
  readonly #sampler = new RateSampler();
  readonly #loss = new LossEstimate();
  readonly #bandwidth = new WindowedExtremum("max", BANDWIDTH_ROUNDS);
  /** What arrived, uncorrected: what an experiment must stay below. */
  readonly #deliveryRate = new WindowedExtremum("max", DELIVERY_ROUNDS);
  readonly #minRtt = new WindowedExtremum("min", MIN_RTT_WINDOW_MS);
  #packetBytes: number;
  #phase: Phase = "startup";
  #largestSent = -1;

  // Rounds.
  #round = 0;
  #roundEnd = 0;
  #roundFirst = 0;
  #roundPassed = 0;
  #roundDelivered = 0;
  #roundStartMs = 0;
  #staySum = 0;
  #stayCount = 0;
  /** In this round there was a time when the application had nothing to send. */
  #roundLimited = false;
  /** In the last round the application sent too little to tell anything about the path. */
  #thin = false;
  /** The most bytes in flight in this round. */
  #roundFlight = 0;
  /** The window at its start. */
  #roundWindow = 0;
  #roundMarks = 0;
  #rttMax = 0;
  #rttLow = Number.POSITIVE_INFINITY;
  #smoothedRttMs = Number.NaN;

  // Startup.
  /** What small rounds passed, losses not yet proved to be the path's counted as passed. */
  #smallRate = 0;
  #fullBandwidth = 0;
  #fullRounds = 0;
  #pendingPassed = 0;
  #pendingDelivered = 0;
  #startupPassed = 0;
  #startupDelivered = 0;
  /** Of rounds that the application bounded, until they tell. */
  #limitedPassed = 0;
  #limitedDelivered = 0;
  #highRtts = 0;
  #lossyRtts = 0;
  #fall = 0;
  /** The delay beyond the least RTT that ended startup, taken for our queue, ms; 0 before, -1 once that was settled. */
  #suspected = 0;
  /** In drain after startup: the last packet sent before; -1 once later ones are acknowledged. */
  #overshotUpTo = -1;

  // Experiment.
  #phaseStartMs = 0;
  #passive = false;
  #experimentRate = 0;
  #experimentFirst = -1;
  #experimentLast = -1;
  #experimentSent = 0;
  #experimentAcked = 0;
  #experimentOpen = false;
  #experimentCloseMs = 0;
  #nextExperimentMs = 0;
  /** What the packets of an experiment stayed on average, the least lately. */
  readonly #leastStay = new WindowedExtremum("min", CLEAR_WINDOW_MS);
  #drainedSum = 0;
  #drainedCount = 0;
  #drainedStay = Number.POSITIVE_INFINITY;

  // Cruise.
  #acceleration = 0;
  #accelerationRound = 0;
  #lastRoundRate = 0;
  #held = false;
  #holdUntilMs = Number.NEGATIVE_INFINITY;
  /** Packets from here on were sent in the present cruise. */
  #cruiseFirst = 0;
  #drainedLow = Number.POSITIVE_INFINITY;
  #experimentLow = Number.POSITIVE_INFINITY;
  // What to go back to when an experiment shows that a loss was not ours.
  #undoBandwidth = 0;
  #undoShare = 0;
  #undoQueueLimit = 0;
  #undoQueueScale = 1;
  #queueLimitMs = Number.POSITIVE_INFINITY;
  /** Share of the queue that a flow would keep if nobody minded. */
  #queueScale = 1;
  #excessPassed = 0;
  #excessDelivered = 0;

  // Losses in a row: packets, and the sum of the squares of the runs' lengths.
  #lastLost = -2;
  #lostPackets = 0;
  #lostSquares = 0;
  /** The run of losses that `#lastLost` ends: packets, bytes not yet forgiven, packets of it in `#lostPackets`, when its first was sent. */
  #runPackets = 0;
  #runBytes = 0;
  #runCounted = 0;
  #runSentMs = 0;
  /** The losses since the last update were a blackout. */
  #blackout = false;
  /** Packets sent before this one may have been lost to a queue we overran: their runs are not the path's. */
  #runsFrom = 0;
  #provenPackets = 0;
  #provenSquares = 0;
  #pendingPackets = 0;
  #pendingSquares = 0;

  #outage = false;
  #congestionEvents = 0;
  #spurious = 0;

  constructor(options: CongestionOptions = {}) {
    this.#packetBytes = options.packetBytes ?? 1200;
    this.#random = options.random ?? fixedSequence();
    this.windowBytes = INITIAL_WINDOW_PACKETS * this.#packetBytes;
    this.pacingRate = INITIAL_PACING;
  }

  onPacketSent(packet: number, bytes: number, inFlightBytes: number, nowMs: number): void {
    this.#sampler.onSent(packet, bytes, inFlightBytes <= bytes, nowMs);
    this.#largestSent = packet;
    if (inFlightBytes > this.#roundFlight) this.#roundFlight = inFlightBytes;
    if (this.#phase === "experiment") {
      if (this.#experimentFirst < 0) this.#experimentFirst = packet;
      this.#experimentLast = packet;
      this.#experimentSent += bytes;
    }
  }

  onPacketAcked(packet: number, bytes: number, nowMs: number): void {
    const sentMs = this.#sampler.onAcked(packet, bytes);
    this.#countExperiment(packet, bytes);
    if (Number.isNaN(sentMs)) return;
    // How long the packet counted as in flight: what the window has to cover, whatever it is made of.
    const stay = nowMs - sentMs;
    this.#staySum += stay;
    this.#stayCount++;
    if (this.#experimentOpen && packet >= this.#experimentFirst && packet <= this.#experimentLast) {
      this.#drainedSum += stay;
      this.#drainedCount++;
    }
  }

  onPacketLost(packet: number, bytes: number): void {
    const sentMs = this.#sampler.onGone(packet);
    if (packet !== this.#lastLost + 1) {
      this.#runPackets = this.#runBytes = this.#runCounted = 0;
      this.#runSentMs = sentMs;
    }
    this.#lastLost = packet;
    this.#runPackets++;
    this.#runBytes += bytes;
    if (packet >= this.#runsFrom) {
      this.#lostPackets++;
      this.#runCounted++;
      // Adds up to the square of the run's length.
      this.#lostSquares += 2 * this.#runCounted - 1;
    }
    const span = Math.max(BLACKOUT_RTTS * this.#smoothedRttMs, BLACKOUT_LEAST_MS);
    if (this.#runPackets >= BLACKOUT_PACKETS && sentMs - this.#runSentMs >= span) this.#forgive();
  }

  /** What was lost in a row so far tells nothing of loss and rate: as if it had arrived. */
  #forgive(): void {
    this.#sampler.onSpurious(this.#runBytes);
    this.#lostPackets = Math.max(this.#lostPackets - this.#runCounted, 0);
    this.#lostSquares = Math.max(this.#lostSquares - this.#runCounted ** 2, 0);
    this.#runBytes = this.#runCounted = 0;
    this.#blackout = true;
  }

  onSpuriousLoss(packet: number, bytes: number): void {
    this.#spurious++;
    this.#sampler.onSpurious(bytes);
    this.#countExperiment(packet, bytes);
  }

  onPacketForgotten(packet: number, bytes: number): void {
    this.#sampler.onGone(packet);
    // As if it had arrived: its fate says nothing.
    this.#sampler.onSpurious(bytes);
    this.#countExperiment(packet, bytes);
  }

  onUpdate(update: CongestionUpdate): void {
    const { nowMs } = update;
    this.#roundMarks += update.congestionMarks;
    const sampler = this.#sampler;
    const newestBefore = sampler.newestAcked;
    sampler.finish(update.arrivedMs);
    this.#smoothedRttMs = update.smoothedRttMs;
    if (!Number.isNaN(update.rttMs)) this.#onRtt(update.rttMs, nowMs);
    if (this.#blackout || (sampler.newestAcked > newestBefore && this.#outage)) this.#resume(nowMs);
    if (sampler.valid) this.#onSample();
    if (sampler.newestAcked >= this.#roundEnd) this.#endRound(nowMs);
    if (this.#experimentOpen && this.#phase !== "experiment" && sampler.newestAcked > this.#experimentLast) {
      // Packets that were overtaken get a while to arrive.
      if (this.#experimentCloseMs === Number.POSITIVE_INFINITY) {
        this.#experimentCloseMs = nowMs + this.#minRtt.value / 4;
      } else if (nowMs >= this.#experimentCloseMs) {
        this.#closeExperiment(nowMs);
      }
    }
    this.#step(nowMs, update.inFlightBytes);
    this.#setOutputs();
  }

  onAppLimited(): void {
    this.#roundLimited = true;
    this.#sampler.onAppLimited();
  }

  onPersistentCongestion(): void {
    // What is known of the path is kept: most outages end on the path they began on. Who hears of the outage by an ACK of a later
    // packet hears of its end too.
    this.#outage = this.#sampler.newestAcked < this.#lastLost;
    this.#lostPackets = this.#lostSquares = 0;
    this.#sampler.invalidate();
    this.#abandonExperiment();
    if (this.#phase !== "startup") this.#phase = "cruise";
    this.#setOutputs();
  }

  onPathChange(nowMs: number): void {
    this.#sampler.restart(nowMs);
    this.#loss.reset();
    this.#bandwidth.clear();
    this.#minRtt.clear();
    this.#leastStay.clear();
    this.#phase = "startup";
    this.#smallRate = 0;
    this.#fullBandwidth = 0;
    this.#fullRounds = 0;
    this.#fall = this.#highRtts = this.#lossyRtts = this.#suspected = 0;
    this.#deliveryRate.clear();
    this.#startupPassed = this.#startupDelivered = this.#pendingPassed = this.#pendingDelivered = 0;
    this.#limitedPassed = this.#limitedDelivered = 0;
    this.#drainedStay = Number.POSITIVE_INFINITY;
    this.#drainedLow = Number.POSITIVE_INFINITY;
    this.#queueLimitMs = Number.POSITIVE_INFINITY;
    this.#queueScale = 1;
    this.#holdUntilMs = nowMs;
    this.#undoBandwidth = 0;
    this.#acceleration = 0;
    this.#experimentOpen = false;
    this.#outage = this.#blackout = false;
    this.#thin = false;
    this.#lostPackets = this.#lostSquares = this.#provenPackets = this.#provenSquares = 0;
    this.#pendingPackets = this.#pendingSquares = 0;
    this.#runsFrom = this.#largestSent + 1;
    this.#startRound(nowMs);
    this.windowBytes = INITIAL_WINDOW_PACKETS * this.#packetBytes;
    this.pacingRate = INITIAL_PACING;
  }

  setPacketBytes(packetBytes: number): void {
    this.#packetBytes = packetBytes;
  }

  metrics(): CongestionMetrics {
    return {
      name: this.name,
      state: this.#phase,
      windowBytes: this.windowBytes,
      pacingRate: this.pacingRate,
      bandwidth: this.#bandwidth.value > 0 ? this.#bandwidth.value : 0,
      minRttMs: this.#minRtt.value,
      lossEstimate: this.#loss.share,
      congestionEvents: this.#congestionEvents,
      spuriousLosses: this.#spurious,
    };
  }

  #onRtt(rttMs: number, nowMs: number): void {
    this.#minRtt.update(rttMs, nowMs);
    if (rttMs > this.#rttMax) this.#rttMax = rttMs;
    if (rttMs < this.#rttLow) this.#rttLow = rttMs;
    const packet = this.#sampler.newestAcked;
    if (this.#experimentOpen && packet >= this.#experimentFirst && packet <= this.#experimentLast) {
      if (rttMs < this.#experimentLow) this.#experimentLow = rttMs;
    }
    if (this.#phase === "startup" && !this.#thin) {
      const least = this.#minRtt.value;
      const threshold = this.#highRttMs();
      // A queue of ours only grows within a round; an RTT that falls again is the path's jitter.
      this.#fall = Math.max(this.#fall, this.#rttMax - rttMs);
      this.#highRtts = rttMs > least + threshold + 1.5 * this.#fall ? this.#highRtts + 1 : 0;
      this.#lossyRtts = rttMs > least + threshold && this.#lossJumps() ? this.#lossyRtts + 1 : 0;
      const large = this.windowBytes >= QUEUING_PACKETS * this.#packetBytes;
      if (Math.max(large ? this.#highRtts : 0, this.#lossyRtts) >= HIGH_RTTS && this.#round > 1) {
        const first = this.#suspected === 0 && this.#lossyRtts < HIGH_RTTS;
        this.#startDrain(nowMs);
        this.#suspected = first ? rttMs - least : -1;
      }
    }
  }

  /** So much above the least an RTT is a queue's. */
  #highRttMs(): number {
    return Math.min(Math.max(this.#minRtt.value / 8, 2.5), 4);
  }

  /** In startup: whether this round has lost more so far than earlier ones that proved to be below capacity, chance allowed for. */
  #lossJumps(): boolean {
    const passed = this.#sampler.passed - this.#roundPassed;
    const packets = passed / this.#packetBytes;
    if (packets < TELLING_PACKETS / 2) return false;
    return 1 - (this.#sampler.delivered - this.#roundDelivered) / passed > this.#startupLossAllowed(packets);
  }

  /** The most that may be lost of so many packets in startup without it being more than is usual, chance allowed for. */
  #startupLossAllowed(packets: number): number {
    const usual = this.#startupLoss();
    return usual + LOSS_JUMP + CHANCE * Math.sqrt((usual * (1 - usual)) / packets);
  }

  #onSample(): void {
    const { deliveredBytes, passedBytes, intervalMs, appLimited } = this.#sampler;
    if (passedBytes <= 0) return;
    const packets = passedBytes / this.#packetBytes;
    const share = this.#phase === "startup" ? this.#startupLoss() : this.#loss.share;
    // Below what chance explains, every loss was after the bottleneck: what passed is what the bottleneck carried.
    const allowed = Math.min(share + Math.sqrt((share * (1 - share) * this.#loss.dispersion) / packets), 0.9);
    const lost = Math.min(Math.max(1 - deliveredBytes / passedBytes, 0), allowed);
    const rate = Math.min(deliveredBytes / (1 - lost), passedBytes) / intervalMs;
    if (!appLimited || rate > this.#bandwidth.value) this.#bandwidth.update(rate, this.#round);
    this.#deliveryRate.update(deliveredBytes / intervalMs, this.#round);
    if (this.#phase === "startup" && packets < TELLING_PACKETS) {
      const small = Math.min(passedBytes, deliveredBytes / (1 - SMALL_ROUND_LOSS)) / intervalMs;
      this.#smallRate = Math.max(this.#smallRate, small);
    }
  }

  #startRound(nowMs: number): void {
    this.#roundEnd = this.#largestSent + 1;
    this.#roundFirst = this.#sampler.newestAcked + 1;
    this.#roundPassed = this.#sampler.passed;
    this.#roundDelivered = this.#sampler.delivered;
    this.#roundStartMs = nowMs;
    this.#roundWindow = this.windowBytes;
    this.#staySum = this.#stayCount = this.#rttMax = this.#roundMarks = this.#roundFlight = 0;
    this.#roundLimited = false;
    this.#rttLow = Number.POSITIVE_INFINITY;
  }

  #endRound(nowMs: number): void {
    this.#round++;
    const passed = this.#sampler.passed - this.#roundPassed;
    const initial = INITIAL_WINDOW_PACKETS * this.#packetBytes;
    this.#thin = this.#roundLimited && passed < Math.max(initial, (this.#bandwidth.value * this.#minRtt.value) / 2);
    const delivered = this.#sampler.delivered - this.#roundDelivered;
    if (passed > 0 && nowMs > this.#roundStartMs) {
      if (this.#phase === "startup") this.#endStartupRound(passed, delivered, nowMs);
      else this.#endLaterRound(passed, delivered, nowMs);
    }
    this.#lostPackets *= 0.98;
    this.#lostSquares *= 0.98;
    // The variance of the number lost is that of runs: mean square over mean length. What a queue drops one by one hardly hides the
    // path's bursts in it, as it would in the mean length.
    const { share } = this.#loss;
    const ratio = this.#lostPackets > 1 ? this.#lostSquares / this.#lostPackets : 1;
    this.#loss.dispersion = Math.min(Math.max(ratio * (1 - share) - share, 1), 30);
    this.#startRound(nowMs);
  }

  #endStartupRound(passed: number, delivered: number, nowMs: number): void {
    const bandwidth = this.#bandwidth.value;
    const lossShare = 1 - delivered / passed;
    const packets = passed / this.#packetBytes;
    if (bandwidth >= PROVING_GROWTH * this.#fullBandwidth) {
      // The path has proved to carry more than it did a round before: losses of that time were not congestion.
      this.#startupPassed += this.#pendingPassed;
      this.#startupDelivered += this.#pendingDelivered;
      this.#provenPackets = this.#pendingPackets;
      this.#provenSquares = this.#pendingSquares;
      this.#pendingPackets = this.#lostPackets;
      this.#pendingSquares = this.#lostSquares;
      this.#pendingPassed = passed;
      this.#pendingDelivered = delivered;
    } else {
      this.#pendingPassed = this.#pendingDelivered = 0;
    }
    if (lossShare > OVERRUN_LOSS && packets >= OVERRUN_PACKETS) {
      this.#startDrain(nowMs);
      return;
    }
    const usual = this.#startupLoss();
    if (bandwidth >= STARTUP_GROWTH * this.#fullBandwidth) {
      const jump = lossShare > usual + 0.15 + 3 * Math.sqrt((usual * (1 - usual)) / packets);
      const slow = this.#fullBandwidth > 0 && bandwidth < 1.5 * this.#fullBandwidth;
      this.#fullBandwidth = bandwidth;
      this.#fullRounds = 0;
      if (jump && slow && packets >= TELLING_PACKETS) this.#startDrain(nowMs);
    } else if (
      !this.#thin &&
      !this.#withinRate(passed, delivered) &&
      ++this.#fullRounds >= (packets >= TELLING_PACKETS ? 2 : 3)
    ) {
      this.#startDrain(nowMs);
    }
  }

  /** Whether a round did not grow because there was too little to send, and no more of it was lost than is usual. */
  #withinRate(passed: number, delivered: number): boolean {
    if (!this.#roundLimited || this.#roundFlight > LIMITED_FLIGHT * this.windowBytes) return false;
    this.#limitedPassed += passed;
    this.#limitedDelivered += delivered;
    const packets = this.#limitedPassed / this.#packetBytes;
    if (packets < TELLING_PACKETS) return true;
    const lost = 1 - this.#limitedDelivered / this.#limitedPassed;
    this.#limitedPassed = this.#limitedDelivered = 0;
    return lost <= this.#startupLossAllowed(packets);
  }

  /** The share lost in rounds that proved to be below the path's capacity; before there are any, what experiments found for certain. */
  #startupLoss(): number {
    if (this.#startupPassed < 20 * this.#packetBytes) return this.#loss.provisional ? 0 : this.#loss.share;
    return Math.min(Math.max(1 - this.#startupDelivered / this.#startupPassed, 0), 0.5);
  }

  #endLaterRound(passed: number, delivered: number, nowMs: number): void {
    const packets = passed / this.#packetBytes;
    const lossShare = 1 - delivered / passed;
    const { share } = this.#loss;
    const roundRate = delivered / (nowMs - this.#roundStartMs);
    if (this.#phase !== "cruise" || this.#roundFirst < this.#cruiseFirst) return;
    this.#excessPassed += passed;
    this.#excessDelivered += delivered;
    const allPackets = this.#excessPassed / this.#packetBytes;
    const allShare = 1 - this.#excessDelivered / this.#excessPassed;
    const excess =
      lossShare > share + ROUND_EXCESS + CHANCE * this.#loss.deviation(packets) ||
      allShare > share + TOTAL_EXCESS + CHANCE * this.#loss.deviation(allPackets);
    if (excess) {
      this.#onExcessLoss(roundRate, lossShare, nowMs);
      return;
    }
    this.#lastRoundRate = roundRate;
    if (this.#roundMarks > 0) {
      // RFC 3168: as a loss would be obeyed, by leaving less in the queue.
      this.#congestionEvents++;
      this.#queueScale = Math.max(MARK_QUEUE_CUT * this.#queueScale, LEAST_QUEUE_SCALE);
      this.#holdUntilMs = nowMs + this.#holdMs();
    }
    const missingMs = (MISSING_QUEUE * this.#queueBytes()) / this.#bandwidth.value;
    const meanStay = this.#stayCount > 0 ? this.#staySum / this.#stayCount : Number.POSITIVE_INFINITY;
    const idle = meanStay < this.#baseStay() + missingMs || this.#rttLow < this.#drainedLow + missingMs;
    if (!idle || this.#thin || this.#loss.provisional || nowMs < this.#holdUntilMs) {
      this.#acceleration = 0;
    } else if (this.#acceleration < 2 || this.#round >= this.#accelerationRound + 2) {
      // What a step does is seen a round trip after the round it was taken in.
      this.#acceleration = Math.min(this.#acceleration + 1, MOST_ACCELERATION);
      this.#accelerationRound = this.#round;
    }
    if (this.#acceleration > 0) this.#runsFrom = Number.POSITIVE_INFINITY;
    else this.#resumeRuns();
  }

  #resumeRuns(): void {
    if (this.#runsFrom === Number.POSITIVE_INFINITY) this.#runsFrom = this.#largestSent + 1;
  }

  #onExcessLoss(roundRate: number, lossShare: number, nowMs: number): void {
    this.#congestionEvents++;
    this.#runsFrom = this.#largestSent + 1;
    this.#undoBandwidth = this.#bandwidth.value;
    this.#undoShare = lossShare;
    this.#undoQueueLimit = this.#queueLimitMs;
    this.#undoQueueScale = this.#queueScale;
    this.#queueScale = Math.max(LOSS_QUEUE_CUT * this.#queueScale, LEAST_QUEUE_SCALE);
    const delivered = Math.max(roundRate, this.#lastRoundRate);
    const rate = delivered / (1 - this.#loss.share);
    // What an application with little to send got through says little about the path.
    const bandwidth = Math.max(rate, (this.#thin ? LEAST_THIN_CUT : LEAST_CUT) * this.#bandwidth.value);
    if (bandwidth < this.#bandwidth.value) this.#bandwidth.reset(bandwidth, this.#round);
    const queueMs = this.#stayCount > 0 ? this.#staySum / this.#stayCount - this.#minRtt.value : 0;
    if (queueMs > 2) this.#queueLimitMs = 0.75 * queueMs;
    this.#holdUntilMs = nowMs + this.#holdMs();
    if (this.#thin) this.#startExperiment(nowMs, true);
    else this.#startDrain(nowMs);
  }

  #holdMs(): number {
    const rtt = this.#smoothedRttMs;
    return Math.min(EXPERIMENT_ROUNDS * rtt, Math.max(HOLD_MS, 4 * rtt));
  }

  #startDrain(nowMs: number): void {
    if (this.#phase === "startup" && this.#startupPassed > 0) {
      const packets = this.#startupPassed / this.#packetBytes;
      const lost = packets * (1 - this.#startupDelivered / this.#startupPassed);
      if (packets >= 50) this.#loss.addExperiment(packets, lost, true, nowMs);
    }
    this.#overshotUpTo = this.#phase === "startup" ? this.#largestSent : -1;
    if (this.#phase === "startup") {
      this.#lostPackets = this.#provenPackets;
      this.#lostSquares = this.#provenSquares;
      this.#runsFrom = this.#largestSent + 1;
    }
    this.#phase = "drain";
    this.#phaseStartMs = nowMs;
    this.#experimentRate = this.#deliveryRate.value;
    this.#abandonExperiment();
  }

  /** `passive`: the application sends too little to congest anything; there is nothing to slow down. */
  #startExperiment(nowMs: number, passive: boolean): void {
    this.#passive = passive;
    this.#phase = "experiment";
    this.#phaseStartMs = nowMs;
    this.#experimentOpen = true;
    this.#experimentCloseMs = Number.POSITIVE_INFINITY;
    this.#experimentFirst = this.#experimentLast = -1;
    this.#experimentSent = this.#experimentAcked = 0;
    this.#drainedSum = this.#drainedCount = 0;
    this.#experimentLow = Number.POSITIVE_INFINITY;
  }

  #startCruise(nowMs: number): void {
    this.#phase = "cruise";
    this.#phaseStartMs = nowMs;
    this.#excessPassed = this.#excessDelivered = 0;
    this.#acceleration = 0;
    this.#lastRoundRate = 0;
    this.#resumeRuns();
    this.#cruiseFirst = this.#largestSent + 1;
    this.#planExperiment(nowMs);
  }

  #planExperiment(nowMs: number): void {
    const rtt = Number.isNaN(this.#smoothedRttMs) ? 100 : this.#smoothedRttMs;
    const usual = this.#loss.experiments >= SETTLED_EXPERIMENTS ? SETTLED_INTERVAL_MS : EXPERIMENT_INTERVAL_MS;
    // Not in step with others, of whom an experiment would learn more than of the path.
    this.#nextExperimentMs = nowMs + Math.max(EXPERIMENT_ROUNDS * rtt, usual) * (0.85 + 0.3 * this.#random());
  }

  #countExperiment(packet: number, bytes: number): void {
    if (this.#experimentOpen && packet >= this.#experimentFirst && packet <= this.#experimentLast) {
      this.#experimentAcked += bytes;
    }
  }

  /** What it would have told is not known: of the delay that ended startup neither, after a drain that others' packets may have filled. */
  #abandonExperiment(): void {
    this.#experimentOpen = false;
    if (this.#suspected > 0) this.#suspected = -1;
  }

  #closeExperiment(nowMs: number): void {
    this.#experimentOpen = false;
    const sent = this.#experimentSent / this.#packetBytes;
    const acked = this.#experimentAcked / this.#packetBytes;
    if (sent <= 0) return;
    const before = this.#loss.share;
    const found = 1 - acked / sent;
    const clear = this.#experimentClear(nowMs);
    this.#loss.addExperiment(sent, sent - acked, clear, nowMs);
    // What arrives stays what it is; what passed was more than thought.
    if (this.#loss.share > before) this.#bandwidth.scale((1 - before) / (1 - this.#loss.share));
    if (this.#drainedCount > 0) {
      this.#drainedStay = this.#drainedSum / this.#drainedCount;
      this.#drainedLow = this.#experimentLow;
    }
    if (this.#suspected > 0) this.#acquit(nowMs);
    if (this.#undoBandwidth > 0) {
      if (found > (before + this.#undoShare) / 2) {
        // Most of the loss remained though we had slowed down: it was none of our doing.
        if (this.#undoBandwidth > this.#bandwidth.value) this.#bandwidth.reset(this.#undoBandwidth, this.#round);
        this.#queueLimitMs = this.#undoQueueLimit;
        // Others' queues stand all the same, and ours is part of what they overflow.
        if (clear) this.#queueScale = this.#undoQueueScale;
        this.#holdUntilMs = nowMs;
      }
      this.#undoBandwidth = 0;
    } else {
      this.#queueLimitMs *= 1.25;
      this.#queueScale = Math.min(1.1 * this.#queueScale, 1);
    }
    if (this.#loss.doubtful) this.#nextExperimentMs = nowMs + Math.max(APART_MS, 2 * this.#smoothedRttMs);
  }

  /** The delay that ended startup is still there though we have drained what we sent: it is the path's, or others'. Startup goes on, once. */
  #acquit(nowMs: number): void {
    const low = this.#experimentLow - this.#minRtt.value;
    if (low > this.#highRttMs() && low < Number.POSITIVE_INFINITY) {
      this.#fall = Math.max(this.#fall, this.#suspected);
      this.#phase = "startup";
      this.#fullBandwidth = this.#fullRounds = this.#highRtts = 0;
      // What the first startup found is in the estimate, if it was much; what it did not get to prove stays unproved.
      this.#startupPassed = this.#startupDelivered = this.#pendingPassed = this.#pendingDelivered = 0;
      this.#provenPackets = this.#pendingPackets = this.#lostPackets;
      this.#provenSquares = this.#pendingSquares = this.#lostSquares;
      this.#startRound(nowMs);
    }
    this.#suspected = -1;
  }

  /** Whether the queue was empty, so that no flow can have lost anything to it. */
  #experimentClear(nowMs: number): boolean {
    if (this.#drainedCount === 0) return false;
    const least = this.#minRtt.value;
    const tolerance = Math.min(Math.max(CLEAR_RTTS * least, CLEAR_LEAST_MS), CLEAR_MOST_MS);
    const stay = this.#drainedSum / this.#drainedCount;
    this.#leastStay.update(stay, nowMs);
    return this.#experimentLow <= least + tolerance && stay <= this.#leastStay.value + tolerance;
  }

  /** The path is back, or was never gone: on as before. */
  #resume(nowMs: number): void {
    this.#outage = this.#blackout = false;
    this.#abandonExperiment();
    this.#undoBandwidth = 0;
    this.#startRound(nowMs);
    if (this.#phase !== "startup") this.#startCruise(nowMs);
  }

  #step(nowMs: number, inFlightBytes: number): void {
    this.#held = nowMs < this.#holdUntilMs;
    if (this.#phase === "cruise") {
      // Acceleration is let finish, but not go on for ever on an estimate that is wrong.
      const doubt =
        this.#loss.share > PROVISIONAL_SHARE && nowMs >= this.#nextExperimentMs + EXPERIMENT_INTERVAL_MS / 2;
      const due = nowMs >= this.#nextExperimentMs && !this.#experimentOpen && (this.#acceleration === 0 || doubt);
      if (due && this.#thin) this.#startExperiment(nowMs, true);
      else if (due) this.#startDrain(nowMs);
    } else if (this.#phase === "drain" && this.#overshotUpTo >= 0) {
      if (this.#sampler.newestAcked > this.#overshotUpTo) {
        this.#overshotUpTo = -1;
        this.#phaseStartMs = nowMs;
      }
    } else if (this.#phase === "drain") {
      const least = this.#minRtt.value;
      const target = Math.max(
        this.#bandwidth.value * Math.max(DRAIN_TARGET * least, least - DRAIN_MOST_MS),
        LEAST_WINDOW_PACKETS * this.#packetBytes,
      );
      if (inFlightBytes <= target || nowMs > this.#phaseStartMs + 1.5 * this.#smoothedRttMs)
        this.#startExperiment(nowMs, false);
    } else if (this.#phase === "experiment") {
      const duration = Math.min(Math.max(this.#minRtt.value, EXPERIMENT_LEAST_MS), EXPERIMENT_MOST_MS);
      const packets = this.#experimentSent / this.#packetBytes;
      const elapsed = nowMs - this.#phaseStartMs;
      const wanted = this.#loss.experiments === 0 ? FIRST_EXPERIMENT_PACKETS : EXPERIMENT_LEAST_PACKETS;
      const enough = packets >= wanted || elapsed >= EXPERIMENT_PATIENCE_MS;
      if (elapsed >= duration && enough) this.#startCruise(nowMs);
    }
  }

  /** RTT without a queue of ours: the least, or more where others or the path's jitter keep it up. */
  #baseStay(): number {
    const least = this.#minRtt.value;
    if (this.#drainedStay === Number.POSITIVE_INFINITY) return least;
    return Math.max(least, Math.min(this.#drainedStay, least + this.#queueLimitMs));
  }

  #queueBytes(): number {
    return this.#queueScale * QUEUE_ROOT * Math.sqrt(Math.max(this.#bandwidth.value, 1));
  }

  #setOutputs(): void {
    const bandwidth = this.#bandwidth.value;
    const packetBytes = this.#packetBytes;
    const least = LEAST_WINDOW_PACKETS * packetBytes;
    if (!(bandwidth > 0) || this.#minRtt.value === Number.POSITIVE_INFINITY) return;
    const gain = this.#gain();
    const slow = this.#phase === "experiment" && !this.#passive;
    const rate = slow ? Math.min(bandwidth, this.#experimentRate) : bandwidth;
    const pacing = Math.max(gain * rate, packetBytes / 100);
    if (this.#phase === "startup") {
      // Never slower than the initial window in a round trip: the first rates tell of the application, not of the path.
      const initial = (INITIAL_WINDOW_PACKETS * packetBytes) / this.#minRtt.value;
      const grown = Math.max(bandwidth, this.#smallRate);
      const model = STARTUP_GAIN * grown * this.#minRtt.value;
      const first = Math.min((initial + INITIAL_RATE) * this.#minRtt.value, TELLING_PACKETS * packetBytes);
      this.windowBytes = Math.max(this.windowBytes, first, model + 3 * packetBytes, this.#smallWindow());
      this.pacingRate = Math.max(STARTUP_PACING_GAIN * Math.max(grown, initial), this.pacingRate);
    } else {
      this.pacingRate = pacing;
      const held = bandwidth * this.#baseStay();
      const extra = this.#acceleration > 1 ? Math.max(this.#extra() * held, this.#queueBytes()) : this.#queueBytes();
      const model = held + extra;
      // What was dropped must not keep the rest from being sent.
      const overshot = this.#phase === "drain" && this.#overshotUpTo >= 0 ? STARTUP_GAIN : 1;
      this.windowBytes = Math.max(least, overshot * model);
    }
    // Into a path that answers nothing only feelers; the first answer opens it again.
    if (this.#outage) this.windowBytes = least;
    // A drain and an experiment are over soon, and need a window that holds; in startup it is none too small.
    this.lateAckRate = this.#phase === "cruise" && !this.#outage ? bandwidth : 0;
  }

  /** The window that what passed in a small round allows. The rates of the first are too low: they are means from before its first ACK. */
  #smallWindow(): number {
    if (this.#roundFlight < LIMITED_FLIGHT * this.#roundWindow) return 0;
    const passed = this.#sampler.passed - this.#roundPassed;
    const delivered = this.#sampler.delivered - this.#roundDelivered;
    const grown = STARTUP_GAIN * Math.min(passed, delivered / (1 - SMALL_ROUND_LOSS));
    return Math.min(grown, TELLING_PACKETS * this.#packetBytes);
  }

  /** What acceleration puts into the path beyond what it is thought to hold, as a share of that. */
  #extra(): number {
    const held = this.#bandwidth.value * this.#baseStay();
    return Math.min((this.#queueBytes() * 2 ** (this.#acceleration - 1)) / held, 1);
  }

  #gain(): number {
    switch (this.#phase) {
      case "startup":
        return STARTUP_GAIN;
      case "drain":
        return this.#overshotUpTo >= 0 ? OVERSHOT_GAIN : DRAIN_GAIN;
      case "experiment":
        if (this.#passive) return 1;
        return this.#loss.doubtful || this.#loss.experiments === 0 ? DOUBTFUL_GAIN : EXPERIMENT_GAIN;
      case "cruise":
        if (this.#held) return 1;
        return this.#acceleration === 0 ? CRUISE_GAIN : Math.max(1 + this.#extra(), LEAST_PROBE_GAIN);
    }
  }
}

/** Numbers from 0 to 1 without a seed: multiples of the golden ratio. */
function fixedSequence(): () => number {
  let value = 0;
  return () => {
    value = (value + 0.6180339887498949) % 1;
    return value;
  };
}
