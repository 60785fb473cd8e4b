/**
 * Recovery, RFC 9002: what was sent and what became of it. Keeps the ledger, RTT, bytes in flight and ECN counts, tells whoever
 * sent something of its fate (user, control stream, ACK tracker, MTU discovery), and the congestion controller in the order its
 * contract asks for.
 *
 * Not here: how losses are found (`loss-detection.ts`), when to probe (`probe-timer.ts`), what the rate should be
 * (`src/congestion`).
 */
import type { CongestionController, CongestionUpdate } from "../../congestion/controller.ts";
import { Pacer } from "../../congestion/pacer.ts";
import type { EcnCodepoint } from "../endpoint.ts";
import { AckFrequency } from "./ack-frequency.ts";
import { MAX_ACK_DELAY_MS } from "./ack-policy.ts";
import { EcnValidator } from "./ecn.ts";
import type { FrameReader } from "./frames.ts";
import { LateAck } from "./late-ack.ts";
import type { LinkCore } from "./link-core.ts";
import { DEFAULT_PACING_BURST_MS } from "./link-options.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE, type Epoch, LossDetector, type LossListener } from "./loss-detection.ts";
import { packetNumberBytes } from "./packet-number.ts";
import { ProbeTimer } from "./probe-timer.ts";
import { RttEstimator } from "./rtt.ts";
import {
  SENT_ACK,
  SENT_CONTROL,
  SENT_ECT,
  SENT_HANDSHAKE,
  SENT_IN_FLIGHT,
  SENT_MTU_PROBE,
  SENT_OLD_PATH,
  SENT_TAGGED,
  SentLedger,
  STATE_ACKED,
  STATE_LOST,
  STATE_NONE,
  STATE_OUTSTANDING,
  STATE_SKIPPED,
} from "./sent-ledger.ts";

/** How fast the loss rate follows, packets. */
const LOSS_RATE_PACKETS = 128;

export class Recovery {
  readonly rtt = new RttEstimator();
  readonly frequency = new AckFrequency();
  readonly probes: ProbeTimer;

  readonly #core: LinkCore;
  readonly #congestion: CongestionController;
  readonly #ledger = new SentLedger();
  readonly #loss = new LossDetector(this.#ledger, this.rtt);
  readonly #pacer: Pacer;
  readonly #ecn: EcnValidator;
  readonly #overheadBytes: number;
  readonly #update: CongestionUpdate = {
    nowMs: 0,
    arrivedMs: 0,
    rttMs: Number.NaN,
    smoothedRttMs: Number.NaN,
    inFlightBytes: 0,
    congestionMarks: 0,
  };
  readonly #lateAck = new LateAck();
  readonly #lossListener: LossListener = { packetLost: (n) => this.#onLost(n) };
  #inFlightBytes = 0;
  /** Of fractions from the beginning: V8 compiles anew, at the first loss, all that was made for a whole number. */
  #lossRate = -0;

  constructor(core: LinkCore) {
    const { options } = core;
    this.#core = core;
    this.#congestion = core.congestion;
    this.#overheadBytes = core.overheadBytes;
    this.#pacer = new Pacer(options.pacingBurstMs ?? DEFAULT_PACING_BURST_MS);
    this.#ecn = new EcnValidator(options.ecn ?? true);
    this.probes = new ProbeTimer(core, this.#loss, this.rtt);
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** Packets whose fate is not known. */
  get outstanding(): number {
    return this.#ledger.outstanding;
  }

  get ledgerCapacity(): number {
    return this.#ledger.capacity;
  }

  /** Share of packets lost of late, 0 to 1. */
  get lossRate(): number {
    return this.#lossRate;
  }

  get ecnState(): string {
    return this.#ecn.state;
  }

  get reorderingThreshold(): number {
    return this.#loss.packetThreshold;
  }

  /** The probe timeout without back-off. */
  get probeTimeoutMs(): number {
    return this.#loss.timeoutMs(this.#peerAckDelayMs());
  }

  /** When a probe is due; Infinity when nothing is waited for. */
  get probeMs(): number {
    return this.probes.dueMs(this.#ledger.outstanding, this.#peerAckDelayMs());
  }

  /** How long the peer may hold back an ACK: less than it said when it was asked for more. */
  #peerAckDelayMs(): number {
    return this.frequency.latestDelayMs(this.#core.peer?.ackDelayMs ?? 0);
  }

  get nextPacketNumber(): number {
    return this.#ledger.next;
  }

  /** The largest number that the peer acknowledged in the data epoch, -1 before any. */
  get largestAcked(): number {
    return this.#loss.largestAcked(EPOCH_DATA);
  }

  /** Bytes of the next packet's number that a receiver needs. */
  numberBytes(epoch: Epoch): number {
    return packetNumberBytes(this.#ledger.next, this.#loss.largestAcked(epoch));
  }

  /** Leaves out a number: no packet bears it, and an ACK of it is a lie. */
  skipNumber(nowMs: number): void {
    if (this.#ledger.crowded) this.#giveUpOldest(nowMs);
    this.#ledger.skip(STATE_SKIPPED);
  }

  // ---------------------------------------------------------------- sending

  /** Whether a packet of `bytes` fits a window of `windowBytes`. */
  fits(bytes: number, windowBytes: number): boolean {
    return this.#inFlightBytes + bytes + this.#overheadBytes <= windowBytes;
  }

  /** Whether the congestion window, as far as it is open or ACKs are late, and the ledger have room for a packet of `bytes`. */
  hasRoom(bytes: number, nowMs: number): boolean {
    if (this.#ledger.full) return false;
    const { windowBytes, lateAckRate } = this.#congestion;
    if (this.fits(bytes, windowBytes)) return true;
    return (
      lateAckRate > 0 && this.fits(bytes, windowBytes + lateAckRate * this.#lateAck.latenessMs(this.rtt.minMs, nowMs))
    );
  }

  /** When a packet of `bytes` that the window has no room for may leave, if no ACK comes before; Infinity when it may not. */
  roomMs(bytes: number): number {
    const { windowBytes, lateAckRate } = this.#congestion;
    if (this.#ledger.full || lateAckRate === 0) return Number.POSITIVE_INFINITY;
    const missing = this.#inFlightBytes + bytes + this.#overheadBytes - windowBytes;
    return this.#lateAck.reachedMs(missing / lateAckRate, this.rtt.minMs);
  }

  /** The ECN mark of the next packet of the data epoch. */
  get mark(): EcnCodepoint {
    return this.#ecn.marks ? 2 : 0;
  }

  /** Whether the pacer lets a packet go. */
  paced(nowMs: number): boolean {
    return this.#pacer.maySend(this.#congestion.pacingRate, nowMs);
  }

  /** When the pacer lets the next packet go. */
  pacedMs(nowMs: number): number {
    return this.#pacer.nextMs(this.#congestion.pacingRate, nowMs);
  }

  onAppLimited(nowMs: number): void {
    this.#congestion.onAppLimited(this.#inFlightBytes, nowMs);
  }

  /** Packets in flight, each of the largest size. */
  get packetsInFlight(): number {
    return this.#inFlightBytes / (this.#core.path.mtu.current + this.#overheadBytes);
  }

  /** Whether the next packet is to tell the peer how often to send ACKs. */
  frequencyDue(): boolean {
    return this.rtt.sampled && this.frequency.due(this.packetsInFlight, this.rtt.minMs, this.#lossRate);
  }

  /** The next number went to a packet that nobody waits for. */
  onSentUnheeded(nowMs: number): void {
    if (this.#ledger.crowded) this.#giveUpOldest(nowMs);
    this.#ledger.skip();
  }

  /**
   * The next number went to a packet of `bytes` that asks for an ACK. `tag`, `name` and `ackFrame` are what user, control stream and
   * ACK tracker call what is in it. Returns the mark that it must bear.
   */
  onSent(
    epoch: Epoch,
    bytes: number,
    flags: number,
    tag: number,
    name: number,
    ackFrame: number,
    nowMs: number,
  ): EcnCodepoint {
    if (this.#ledger.crowded) this.#giveUpOldest(nowMs);
    let ecn: EcnCodepoint = 0;
    let sentFlags = flags;
    if ((flags & SENT_IN_FLIGHT) !== 0) {
      const wireBytes = bytes + this.#overheadBytes;
      if (epoch === EPOCH_DATA && this.#ecn.marks) {
        ecn = 2;
        sentFlags |= SENT_ECT;
        this.#ecn.onMarkedSent();
      }
      this.#inFlightBytes += wireBytes;
      this.#congestion.onPacketSent(this.#ledger.next, wireBytes, this.#inFlightBytes, nowMs);
      if (epoch === EPOCH_DATA) this.#pacer.onSent(wireBytes);
    }
    this.probes.onSent(epoch, (flags & (SENT_TAGGED | SENT_CONTROL)) !== 0, this.#ledger.outstanding, nowMs);
    this.#ledger.add(nowMs, bytes, sentFlags, tag, name, ackFrame);
    this.#core.idle.onSent(nowMs);
    return ecn;
  }

  // ---------------------------------------------------------------- acknowledgements

  /** An ACK frame, which `reader` stands on. `counted`: with counts of ECN marks. It came `waitedMs` ago. */
  onAck(reader: FrameReader, epoch: Epoch, counted: boolean, waitedMs: number, nowMs: number): void {
    const core = this.#core;
    const ledger = this.#ledger;
    const largest = reader.number;
    if (largest >= ledger.next) {
      core.drops["impossible-ack"]++;
      if (epoch === EPOCH_DATA) core.protocolError("an ACK of what was not sent", nowMs);
      return;
    }
    const delayMs = Math.min(reader.delayMs, core.peer?.ackDelayMs ?? MAX_ACK_DELAY_MS);
    const wanted = epoch === EPOCH_HANDSHAKE ? SENT_HANDSHAKE : 0;
    const oldest = ledger.oldest;
    let newly = 0;
    let newlyMarked = 0;
    let largestNew = -1;
    while (reader.nextRange()) {
      const low = Math.max(reader.low, oldest);
      for (let n = reader.high; n >= low; n--) {
        const state = ledger.state(n);
        if (state === STATE_SKIPPED) {
          core.protocolError("an ACK of a number that was skipped", nowMs);
          return;
        }
        if (state === STATE_NONE || state === STATE_ACKED || (ledger.flags(n) & SENT_HANDSHAKE) !== wanted) continue;
        newly++;
        if (n > largestNew) largestNew = n;
        if ((ledger.flags(n) & SENT_ECT) !== 0) newlyMarked++;
        this.#onPacketAcked(n, state === STATE_LOST, epoch, nowMs);
        // The user may have closed the link: all is settled then.
        if (core.closing !== null) return;
      }
    }
    if (newly === 0) return;
    const advanced = largest > this.#loss.largestAcked(epoch);
    this.#loss.onAcked(largestNew, epoch);
    let sampleMs = Number.NaN;
    if (largestNew === largest && (ledger.flags(largest) & SENT_OLD_PATH) === 0) {
      const elapsed = Math.max(nowMs - waitedMs - ledger.sentMs(largest), 0);
      this.rtt.onSample(elapsed, delayMs, nowMs);
      sampleMs = elapsed - delayMs >= this.rtt.minMs ? elapsed - delayMs : elapsed;
    }
    this.probes.onAnswered(epoch, nowMs);
    this.#lateAck.onAck(nowMs - waitedMs);
    // An ACK that was overtaken has old counts.
    const marks = advanced
      ? this.#ecn.onAck(
          newlyMarked,
          counted ? reader.ect0 : Number.NaN,
          counted ? reader.ect1 : Number.NaN,
          counted ? reader.ce : Number.NaN,
        )
      : 0;
    this.#loss.detect(epoch, nowMs, this.#lossListener);
    this.#updateCongestion(sampleMs, marks, waitedMs, nowMs);
    ledger.rest();
  }

  #onPacketAcked(n: number, wasLost: boolean, epoch: Epoch, nowMs: number): void {
    const core = this.#core;
    const ledger = this.#ledger;
    const flags = ledger.flags(n);
    const bytes = ledger.bytes(n);
    const wireBytes = bytes + this.#overheadBytes;
    if (wasLost) {
      core.stats.spuriousLosses++;
      this.#lossRate = Math.max(0, this.#lossRate - 1 / LOSS_RATE_PACKETS);
      this.#loss.onSpurious(n, epoch, nowMs);
      if ((flags & (SENT_IN_FLIGHT | SENT_MTU_PROBE)) === SENT_IN_FLIGHT) {
        this.#congestion.onSpuriousLoss(n, wireBytes, nowMs);
      }
    } else {
      core.stats.ackedPackets++;
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        this.#inFlightBytes -= wireBytes;
        this.#congestion.onPacketAcked(n, wireBytes, nowMs);
      }
      this.#lossRate -= this.#lossRate / LOSS_RATE_PACKETS;
    }
    ledger.settle(n, STATE_ACKED);
    if ((flags & SENT_OLD_PATH) === 0) {
      const { mtu } = core.path;
      if ((flags & SENT_MTU_PROBE) !== 0) {
        if (mtu.onProbeAcked(bytes, nowMs)) core.payloadChanged(nowMs);
      } else {
        mtu.onPacketAcked(bytes, ledger.sentMs(n));
      }
    }
    if ((flags & SENT_ACK) !== 0) core.space(epoch).tracker.confirm(ledger.ackFrame(n));
    if ((flags & SENT_CONTROL) !== 0) core.space(epoch).sender.onAcked(ledger.control(n));
    if ((flags & SENT_TAGGED) === 0) {
      if (!wasLost && (flags & (SENT_MTU_PROBE | SENT_OLD_PATH)) === 0) core.user.pathSampled(1, 0);
    } else if (wasLost) {
      core.user.spurious(ledger.tag(n), nowMs);
    } else {
      core.user.acked(ledger.tag(n), nowMs);
    }
  }

  // ---------------------------------------------------------------- losses

  /** When losses may be found without an ACK; Infinity when never. */
  get lossMs(): number {
    return this.#loss.lossMs;
  }

  detectLosses(nowMs: number): void {
    let lost = this.#loss.detect(EPOCH_HANDSHAKE, nowMs, this.#lossListener);
    lost += this.#loss.detect(EPOCH_DATA, nowMs, this.#lossListener);
    if (lost > 0) this.#updateCongestion(Number.NaN, 0, 0, nowMs);
  }

  /** So many numbers were used since a packet went out that its fate will never be known. */
  #giveUpOldest(nowMs: number): void {
    const oldest = this.#ledger.lowest;
    this.#ledger.settle(oldest, STATE_LOST);
    this.#onLost(oldest);
    this.#updateCongestion(Number.NaN, 0, 0, nowMs);
  }

  #onLost(n: number): void {
    const core = this.#core;
    const { nowMs } = core;
    const ledger = this.#ledger;
    const flags = ledger.flags(n);
    const bytes = ledger.bytes(n);
    const wireBytes = bytes + this.#overheadBytes;
    const probe = (flags & SENT_MTU_PROBE) !== 0;
    core.stats.lostPackets++;
    if ((flags & SENT_IN_FLIGHT) !== 0) {
      this.#inFlightBytes -= wireBytes;
      if (probe) this.#congestion.onPacketForgotten(n, wireBytes, nowMs);
      else this.#congestion.onPacketLost(n, wireBytes, nowMs);
    }
    if ((flags & SENT_OLD_PATH) === 0) {
      const { mtu } = core.path;
      if (probe) mtu.onProbeLost(bytes, this.#lossRate, nowMs);
      else {
        this.#lossRate += (1 - this.#lossRate) / LOSS_RATE_PACKETS;
        const blackHole = mtu.onPacketLost(bytes, ledger.sentMs(n), this.#lossRate, this.rtt.estimateMs, nowMs);
        if (blackHole) core.payloadChanged(nowMs);
      }
    }
    if ((flags & SENT_CONTROL) !== 0) {
      const space = core.space((flags & SENT_HANDSHAKE) !== 0 ? EPOCH_HANDSHAKE : EPOCH_DATA);
      space.sender.onLost(ledger.control(n));
    }
    if ((flags & SENT_TAGGED) !== 0) core.user.lost(ledger.tag(n), nowMs);
    else if (!probe && (flags & SENT_OLD_PATH) === 0) core.user.pathSampled(0, 1);
  }

  #updateCongestion(rttMs: number, marks: number, waitedMs: number, nowMs: number): void {
    const update = this.#update;
    update.nowMs = nowMs;
    update.arrivedMs = nowMs - waitedMs;
    update.rttMs = rttMs;
    update.smoothedRttMs = this.rtt.smoothedMs;
    update.inFlightBytes = this.#inFlightBytes;
    update.congestionMarks = marks;
    this.#congestion.onUpdate(update);
    if (this.#loss.persistent) this.#congestion.onPersistentCongestion(nowMs);
  }

  // ---------------------------------------------------------------- forgetting

  /** Waits no more for packets of the handshake epoch; their symbols count as lost. */
  forgetHandshake(nowMs: number): void {
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING || (ledger.flags(n) & SENT_HANDSHAKE) === 0) continue;
      this.#takeOutOfFlight(n, nowMs);
      ledger.settle(n, STATE_ACKED);
      if ((ledger.flags(n) & SENT_CONTROL) !== 0) this.#core.handshakeSpace!.sender.onLost(ledger.control(n));
    }
  }

  /** The handshake epoch is over. */
  endHandshake(nowMs: number): void {
    this.forgetHandshake(nowMs);
    this.#loss.discard(EPOCH_HANDSHAKE);
    this.probes.restart(nowMs);
  }

  /** Another network: RTT, congestion control and ECN start again, what is in flight belongs to the old one. */
  restart(nowMs: number): void {
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING) continue;
      this.#takeOutOfFlight(n, nowMs);
      ledger.setFlags(n, (ledger.flags(n) & ~SENT_IN_FLIGHT) | SENT_OLD_PATH);
    }
    this.rtt.reset();
    this.#congestion.onPathChange(nowMs);
    this.#ecn.restart();
    this.frequency.reset();
    this.probes.restart(nowMs);
  }

  /** The link ends: what is outstanding counts as lost. */
  settleAll(nowMs: number): void {
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING) continue;
      this.#takeOutOfFlight(n, nowMs);
      ledger.settle(n, STATE_LOST);
      if ((ledger.flags(n) & SENT_TAGGED) !== 0) this.#core.user.lost(ledger.tag(n), nowMs);
    }
  }

  #takeOutOfFlight(n: number, nowMs: number): void {
    if ((this.#ledger.flags(n) & SENT_IN_FLIGHT) === 0) return;
    const wireBytes = this.#ledger.bytes(n) + this.#overheadBytes;
    this.#inFlightBytes -= wireBytes;
    this.#congestion.onPacketForgotten(n, wireBytes, nowMs);
  }
}
