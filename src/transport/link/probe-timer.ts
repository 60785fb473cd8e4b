/**
 * When to probe: a packet that asks for an ACK, whatever the window says, when one is overdue (RFC 9002, section 6.2). How far
 * apart probes are is `loss-detection.ts`; what one holds is the senders' business.
 */

import { FlowWatch } from "./flow-watch.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE, type Epoch, type LossDetector, PROBE_PACE_MS } from "./loss-detection.ts";
import type { RttEstimator } from "./rtt.ts";

/** Handshake packets that leave when a probe is due: one alone would be lost too often. */
const HANDSHAKE_PROBES = 2;
/** The first of them follows the client's first flight so soon: nothing is known of the path but that it may lose. */
const FIRST_PROBE_MS = 20;
/** A round trip and the answer's making; then so far apart. */
const HANDSHAKE_ANSWER_RTTS = 1.5;
const HANDSHAKE_REPEAT_RTTS = 0.5;
/**
 * A probe timeout counts from the last packet sent (RFC 9002, section 6.2), which whoever sends a little all the time pushes away for ever.
 * So the first probe leaves within so many timeouts of when the wait for an answer began, and each further one of the probe before.
 */
const FIRST_WITHIN_TIMEOUTS = 2;
const NEXT_WITHIN_TIMEOUTS = 1;
/** After this much silence a handshake is in no hurry any more. */
const HASTE_MS = 3000;

export class ProbeTimer {
  /** Probes that should leave now. The senders count them down. */
  wanted = 0;
  handshakeWanted = 0;
  /** Probe timeouts in a row without an answer. */
  unanswered = 0;
  readonly #core: LinkCore;
  readonly #loss: LossDetector;
  readonly #rtt: RttEstimator;
  readonly #ackFlow = new FlowWatch();
  #lastElicitingMs: number;
  /** Since when an answer is waited for: the last answer, the last probe, or the first packet when nothing was outstanding. */
  #awaitingSinceMs: number;
  /** More than pings waits for an answer, or a flow has stopped: a thousand idle links must not flood a server that is away. */
  #urgent = false;

  constructor(core: LinkCore, loss: LossDetector, rtt: RttEstimator) {
    this.#core = core;
    this.#loss = loss;
    this.#rtt = rtt;
    this.#lastElicitingMs = core.nowMs;
    this.#awaitingSinceMs = core.nowMs;
  }

  /** A packet that asks for an ACK left, with something to deliver or not, when so many others were `outstanding`. */
  onSent(epoch: Epoch, delivers: boolean, outstanding: number, nowMs: number): void {
    this.#urgent = delivers || (this.#urgent && (outstanding > 0 || this.unanswered > 0));
    if (outstanding === 0) {
      this.#awaitingSinceMs = nowMs;
      // When all is answered ACKs stop, and nothing is wrong.
      this.#ackFlow.reset();
    }
    // Before the handshake is over, bytes that are sent along must not push its probes away.
    if (epoch === EPOCH_HANDSHAKE || outstanding === 0 || this.#core.confirmed) this.#lastElicitingMs = nowMs;
  }

  /** A flow from the peer has stopped. */
  onFlowSilent(nowMs: number): void {
    this.onTimeout(nowMs);
    this.#urgent = true;
  }

  /** Something that was sent was acknowledged. */
  onAnswered(epoch: Epoch, nowMs: number): void {
    if (epoch === EPOCH_DATA) this.#ackFlow.onArrival(this.#rtt.estimateMs, nowMs);
    this.restart(nowMs);
    this.wanted = 0;
    this.handshakeWanted = 0;
  }

  /** What was asked before does not count any more. */
  restart(nowMs: number): void {
    this.unanswered = 0;
    this.#awaitingSinceMs = nowMs;
  }

  /** When a probe is due: when something is `outstanding`, or the client must keep the handshake going. */
  dueMs(outstanding: number, peerAckDelayMs: number): number {
    const { closing, confirmed, isClient, idle, nowMs } = this.#core;
    if (closing !== null) return Number.POSITIVE_INFINITY;
    if (outstanding === 0 && !(isClient && !confirmed)) return Number.POSITIVE_INFINITY;
    // ACKs that stop say sooner than any packet's age that something is wrong: a window that they clock sends nothing more.
    const silentMs = this.#ackFlow.silentMs(this.#rtt.estimateMs);
    // What losses by time are about to settle needs no probe (RFC 9002, section 6.2.1).
    if (this.#loss.lossMs !== Number.POSITIVE_INFINITY && this.unanswered === 0) return silentMs;
    const silence = nowMs - idle.waitingSinceMs;
    const intervalMs = confirmed
      ? this.#loss.probeIntervalMs(this.unanswered, silence, this.#urgent, peerAckDelayMs)
      : this.#handshakeIntervalMs(silence);
    const timeouts = this.unanswered === 0 ? FIRST_WITHIN_TIMEOUTS : NEXT_WITHIN_TIMEOUTS;
    const withinMs = Math.max(intervalMs, timeouts * this.#loss.timeoutMs(peerAckDelayMs));
    return Math.min(this.#lastElicitingMs + intervalMs, this.#awaitingSinceMs + withinMs, silentMs);
  }

  /**
   * A packet too many costs less than a round trip too many, but it is a whole datagram, and a server that many clients
   * dial at once is the later the more each of them repeats.
   */
  #handshakeIntervalMs(silenceMs: number): number {
    const { sampled, estimateMs } = this.#rtt;
    const patientMs = Math.max(estimateMs, PROBE_PACE_MS);
    if (silenceMs >= HASTE_MS) return patientMs;
    if (sampled) {
      const rtts = this.unanswered === 0 ? HANDSHAKE_ANSWER_RTTS : HANDSHAKE_REPEAT_RTTS;
      return Math.max(rtts * estimateMs, FIRST_PROBE_MS);
    }
    const firstMs = this.#core.isClient ? FIRST_PROBE_MS : PROBE_PACE_MS;
    return Math.min(firstMs * 2 ** Math.min(this.unanswered, 10), patientMs);
  }

  onTimeout(nowMs: number): void {
    const core = this.#core;
    this.unanswered++;
    this.wanted = 1;
    this.#ackFlow.reset();
    core.stats.probes++;
    this.#lastElicitingMs = nowMs;
    this.#awaitingSinceMs = nowMs;
    if (!core.confirmed) {
      // In both epochs: a client cannot know which of them the server is in.
      core.handshakeSpace!.sender.probe(HANDSHAKE_PROBES);
      this.handshakeWanted = HANDSHAKE_PROBES;
    }
    core.dataSpace.sender.probe(1);
  }
}
