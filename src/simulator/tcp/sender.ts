/**
 * The sending side of the TCP model: what Linux does for a bulk transfer, in segments of one MSS. Loss detection by
 * RACK, tail loss probes (RFC 8985), PRR (RFC 6937), RTO with back-off (RFC 6298), F-RTO (RFC 5682), undo by timestamps
 * and DSACK (RFC 3522, RFC 3708), limited transmit by SACK. Functions follow net/ipv4/tcp_input.c, tcp_output.c and
 * tcp_timer.c, whose names stand in brackets. Not here: the receiver's window, ECN, Nagle, path MTU, idle restart,
 * segmentation offload.
 */
import type { EventHandler } from "../event-queue.ts";
import type { Network, Node } from "../network.ts";
import type { KnownAddress, Packet, PacketPool, PacketReceiver } from "../packet.ts";
import { type CongestionAlgorithm, CongestionWindow, type SenderView } from "./congestion.ts";
import { Rack } from "./rack.ts";
import { RTO_INITIAL_MS, RTO_LEAST_MS, RttEstimator } from "./rtt.ts";
import { RETRANSMITTED, RETRANSMITTING, SACKED, Scoreboard } from "./scoreboard.ts";
import { HEADER_BYTES, type Segment, SYN_BYTES } from "./segment.ts";

/** TCP_TIMEOUT_MIN: two jiffies of 4 ms, added to the timers of RACK and of the probe. */
const TIMER_SLACK_MS = 8;
/** Retransmissions of a SYN before its timeout doubles: tcp_syn_linear_timeouts. */
const SYN_LINEAR_TIMEOUTS = 4;

/** Linux's tcp_ca_state, without CWR, which a probe's loss passes through at once. */
export type TcpState = "handshake" | "open" | "disorder" | "recovery" | "loss";

export interface TcpSenderCounters {
  /** Data segments sent, retransmissions included. */
  sent: number;
  retransmitted: number;
  /** Fast recoveries entered. */
  recoveries: number;
  /** Retransmission timeouts. */
  timeouts: number;
  probes: number;
  /** Window reductions taken back. */
  undos: number;
}

export interface TcpSenderOptions {
  algorithm: CongestionAlgorithm;
  initialWindow: number;
  segmentBytes: number;
  /** Payload to send in all; Infinity for as long as the run. */
  bytes: number;
  pacing: boolean;
  /** The peer's window, in segments. */
  peerWindow: number;
}

type Timer = "none" | "rto" | "probe" | "reordering";

const PACE_TAG = 1;

export class TcpSender implements PacketReceiver, EventHandler, SenderView {
  readonly window: CongestionWindow;
  readonly segmentBytes: number;
  readonly pacing: boolean;
  readonly rtt = new RttEstimator();
  readonly counters: TcpSenderCounters = {
    sent: 0,
    retransmitted: 0,
    recoveries: 0,
    timeouts: 0,
    probes: 0,
    undos: 0,
  };
  state: TcpState = "handshake";
  /** When the handshake was done; NaN before. */
  establishedMs = Number.NaN;
  readonly #network: Network;
  readonly #node: Node;
  readonly #pool: PacketPool;
  readonly #address: KnownAddress;
  readonly #peer: KnownAddress;
  readonly #algorithm: CongestionAlgorithm;
  readonly #board = new Scoreboard();
  readonly #rack = new Rack();
  readonly #totalSegments: number;
  readonly #lastSegmentBytes: number;
  readonly #peerWindow: number;
  #stopped = false;
  #handshakeAttempts = 0;
  // Recovery: its end, where undo would lead, and what PRR counts.
  #recoveryEnd = 0;
  #priorWindow = 0;
  #priorThreshold = 0;
  #prrDelivered = 0;
  #prrOut = 0;
  #undoMarker = -1;
  #undoRetransmits = 0;
  #firstRetransmitMs = 0;
  #retransmits = 0;
  #frto = false;
  #probeEnd = -1;
  #probeRetransmitted = false;
  // Is the window the limit? [tcp_cwnd_validate]
  #windowLimited = false;
  #mostOut = 0;
  #usageEnd = 0;
  // What the ACK in hand did.
  #delivered = 0;
  #newlySacked = 0;
  #newlyLost = 0;
  #originalDelivered = false;
  #reordered = Number.POSITIVE_INFINITY;
  #firstSackedMs = -1;
  #lastSackedMs = -1;
  // SACK blocks of the ACK before, whose segments need no second look.
  readonly #seenBlocks = new Float64Array(6);
  #seenCount = 0;
  // One timer for three purposes [icsk_pending]; its event is armed at or before its time.
  #timer: Timer = "none";
  #timerMs = Number.POSITIVE_INFINITY;
  #armedMs = Number.POSITIVE_INFINITY;
  #armedTag = 0;
  #nextPaceMs = 0;
  #paceArmed = false;

  constructor(network: Network, node: Node, pool: PacketPool, peer: KnownAddress, options: TcpSenderOptions) {
    this.#network = network;
    this.#node = node;
    this.#pool = pool;
    this.#peer = peer;
    this.#algorithm = options.algorithm;
    this.segmentBytes = options.segmentBytes;
    this.pacing = options.pacing;
    this.window = new CongestionWindow(options.initialWindow);
    this.#peerWindow = options.peerWindow;
    this.#totalSegments = Math.ceil(options.bytes / options.segmentBytes);
    this.#lastSegmentBytes =
      this.#totalSegments === Number.POSITIVE_INFINITY
        ? options.segmentBytes
        : options.bytes - (this.#totalSegments - 1) * options.segmentBytes;
    this.#address = network.attachModel(node, this);
  }

  get acknowledged(): number {
    return this.#board.acknowledged;
  }

  get nextSequence(): number {
    return this.#board.next;
  }

  get smoothedRttMs(): number {
    return this.rtt.smoothedMs;
  }

  /** Segments sent and neither delivered nor held lost. */
  get inFlight(): number {
    return this.#board.inFlight;
  }

  /** Payload bytes of the first `segments` segments. */
  bytesOf(segments: number): number {
    return segments === this.#totalSegments && segments > 0
      ? (segments - 1) * this.segmentBytes + this.#lastSegmentBytes
      : segments * this.segmentBytes;
  }

  /** Opens the connection. */
  start(): void {
    this.#sendSyn();
  }

  /** Sends nothing new from now on; what is out is still recovered. */
  stop(): void {
    this.#stopped = true;
  }

  receive(packet: Packet, nowMs: number): void {
    if (packet.corrupted) {
      this.#network.drop(packet, "checksum", this.#node);
      return;
    }
    const segment = packet.model as Segment;
    if (segment.kind === "syn-ack") this.#onSynAck(segment, nowMs);
    else if (segment.kind === "ack" && this.state !== "handshake") this.#onAck(segment, nowMs);
    packet.free();
  }

  handleEvent(nowMs: number, tag: number): void {
    if (tag === PACE_TAG) {
      this.#paceArmed = false;
      this.#sendAllowed(nowMs);
      return;
    }
    if (tag !== this.#armedTag) return;
    this.#armedMs = Number.POSITIVE_INFINITY;
    if (this.#timer === "none") return;
    if (this.#timerMs > nowMs) {
      this.#arm();
      return;
    }
    const timer = this.#timer;
    this.#timer = "none";
    if (timer === "reordering") this.#onReorderingTimer(nowMs);
    else if (timer === "probe") this.#onProbeTimer(nowMs);
    else if (this.state === "handshake") this.#sendSyn();
    else this.#onTimeout(nowMs);
  }

  // Handshake

  #sendSyn(): void {
    const attempt = this.#handshakeAttempts++;
    this.#sendPacket("syn", 0, SYN_BYTES);
    this.#setTimer("rto", RTO_INITIAL_MS * 2 ** Math.max(0, attempt - SYN_LINEAR_TIMEOUTS));
  }

  #onSynAck(segment: Segment, nowMs: number): void {
    if (this.state !== "handshake") return;
    this.state = "open";
    this.establishedMs = nowMs;
    this.#timer = "none";
    this.#sampleRtt(nowMs - segment.echoMs, nowMs - segment.echoMs);
    // RFC 5681, section 3.1: a SYN lost more than once says that the path is bad.
    if (this.#handshakeAttempts > 2) this.window.size = 1;
    this.#sendAllowed(nowMs);
  }

  // ACKs

  /** [tcp_ack] */
  #onAck(segment: Segment, nowMs: number): void {
    const board = this.#board;
    const ack = segment.acknowledged;
    const priorAcknowledged = board.acknowledged;
    const priorEdge = board.forwardEdge;
    const hadOut = board.packetsOut > 0;
    const old = ack < priorAcknowledged;
    const advanced = ack > priorAcknowledged;
    this.#delivered = 0;
    this.#newlySacked = 0;
    this.#newlyLost = 0;
    this.#originalDelivered = false;
    this.#reordered = Number.POSITIVE_INFINITY;
    this.#firstSackedMs = -1;
    this.#lastSackedMs = -1;
    if (!hadOut) return;
    if (advanced) this.#retransmits = 0;
    const duplicate = this.#checkDuplicate(segment, priorAcknowledged, nowMs);
    this.#markSacked(segment, nowMs);
    let setTimer = this.#cleanAcknowledged(ack, segment, priorEdge, nowMs);
    if (this.#probeEnd >= 0 && !old) this.#onProbeAnswered(ack, advanced, duplicate);
    let retransmit: "none" | "lost" | "new" = "none";
    const dubious = !advanced || this.#newlySacked > 0 || duplicate || this.state !== "open";
    if (dubious) {
      retransmit = this.#alert(segment, advanced, duplicate, nowMs);
      if (this.#timer === "reordering") setTimer = false;
    }
    if (setTimer) this.#setTransmitTimer(nowMs);
    if (!old) this.#control(advanced, nowMs);
    if (board.packetsOut === 0) this.#timer = "none";
    this.#recover(retransmit, nowMs);
    this.#sendAllowed(nowMs);
  }

  /** DSACK [tcp_check_dsack]: a retransmission that was not needed. */
  #checkDuplicate(segment: Segment, priorAcknowledged: number, nowMs: number): boolean {
    if (!segment.duplicate) return false;
    const end = segment.blocks[1];
    const ours = end <= priorAcknowledged || (this.#board.flags(end - 1) & RETRANSMITTED) !== 0;
    if (this.#undoMarker >= 0 && this.#undoRetransmits > 0 && ours && end > this.#undoMarker) this.#undoRetransmits--;
    // A probe's own duplicate says nothing about the reordering window.
    if (!(this.#probeEnd >= 0 && this.#probeRetransmitted && end === this.#probeEnd)) {
      this.#rack.onDuplicate(this.rtt.smoothedMs, nowMs);
    }
    return true;
  }

  /** [tcp_sacktag_write_queue] */
  #markSacked(segment: Segment, nowMs: number): void {
    const { blocks, blockCount } = segment;
    const seen = this.#seenBlocks;
    const first = segment.duplicate ? 1 : 0;
    for (let b = first; b < blockCount; b++) {
      const start = Math.max(blocks[2 * b], this.#board.acknowledged);
      const end = blocks[2 * b + 1];
      let skipFrom = end;
      let skipTo = end;
      for (let s = 0; s < this.#seenCount; s++) {
        if (seen[2 * s] < end && seen[2 * s + 1] > start) {
          skipFrom = Math.max(seen[2 * s], start);
          skipTo = Math.min(seen[2 * s + 1], end);
          break;
        }
      }
      for (let i = start; i < skipFrom; i++) this.#sackOne(i, segment.echoMs, nowMs);
      for (let i = skipTo; i < end; i++) this.#sackOne(i, segment.echoMs, nowMs);
    }
    this.#seenCount = blockCount - first;
    for (let i = 0; i < 2 * this.#seenCount; i++) seen[i] = blocks[2 * first + i];
  }

  /** [tcp_sacktag_one] */
  #sackOne(sequence: number, echoMs: number, nowMs: number): void {
    const board = this.#board;
    const flags = board.flags(sequence);
    if ((flags & SACKED) !== 0) return;
    const sentMs = board.sentMs(sequence);
    if ((flags & (RETRANSMITTED | RETRANSMITTING)) === 0) {
      if (sequence < board.forwardEdge && sequence < this.#reordered) this.#reordered = sequence;
      if (sequence < this.#recoveryEnd) this.#originalDelivered = true;
      if (this.#firstSackedMs < 0) this.#firstSackedMs = sentMs;
      this.#lastSackedMs = sentMs;
    }
    if (!this.#spurious(flags, sentMs, echoMs)) {
      this.#rack.onDelivered(flags, sentMs, board.sending(sequence), this.rtt.minimumMs, nowMs);
    }
    board.markSacked(sequence);
    this.#newlySacked++;
    this.#delivered++;
  }

  /** The echo is older than the retransmission: the original was delivered [tcp_skb_spurious_retrans]. */
  #spurious(flags: number, sentMs: number, echoMs: number): boolean {
    return (flags & (RETRANSMITTED | RETRANSMITTING)) !== 0 && echoMs < sentMs;
  }

  /** [tcp_clean_rtx_queue] Returns whether the timer is to be set anew. */
  #cleanAcknowledged(ack: number, segment: Segment, priorEdge: number, nowMs: number): boolean {
    const board = this.#board;
    let firstSentMs = -1;
    let lastSentMs = -1;
    let retransmittedAcked = false;
    const advanced = ack > board.acknowledged;
    while (board.acknowledged < ack) {
      const sequence = board.acknowledged;
      const sentMs = board.sentMs(sequence);
      const sending = board.sending(sequence);
      const flags = board.acknowledge();
      if ((flags & (RETRANSMITTED | RETRANSMITTING)) !== 0) {
        retransmittedAcked = true;
      } else if ((flags & SACKED) === 0) {
        lastSentMs = sentMs;
        if (firstSentMs < 0) firstSentMs = sentMs;
        if (sequence < this.#reordered) this.#reordered = sequence;
        if (sequence < this.#recoveryEnd) this.#originalDelivered = true;
      }
      if ((flags & SACKED) === 0) {
        this.#delivered++;
        if (!this.#spurious(flags, sentMs, segment.echoMs)) {
          this.#rack.onDelivered(flags, sentMs, sending, this.rtt.minimumMs, nowMs);
        }
      }
    }
    let sampleMs = -1;
    let algorithmSampleMs = -1;
    if (firstSentMs >= 0 && !retransmittedAcked) {
      sampleMs = nowMs - firstSentMs;
      algorithmSampleMs = nowMs - lastSentMs;
    }
    if (this.#firstSackedMs >= 0) {
      if (sampleMs < 0) sampleMs = nowMs - this.#firstSackedMs;
      algorithmSampleMs = nowMs - this.#lastSackedMs;
    }
    if (sampleMs < 0 && advanced) {
      // Only timestamps tell which transmission of a retransmitted segment was ACKed.
      sampleMs = nowMs - segment.echoMs;
      algorithmSampleMs = sampleMs;
    }
    if (sampleMs >= 0) this.#sampleRtt(sampleMs, algorithmSampleMs);
    let setTimer = advanced;
    if (this.#reordered < priorEdge) this.#rack.onReordering(priorEdge - this.#reordered);
    if (!advanced && this.#firstSackedMs >= 0 && sampleMs >= 0) {
      // SACKs of what was sent after the head's last transmission must not put off its timeout.
      setTimer = sampleMs > nowMs - board.sentMs(board.acknowledged);
    }
    if (algorithmSampleMs >= 0) this.#algorithm.onRttSample(this, algorithmSampleMs, nowMs);
    return setTimer;
  }

  #sampleRtt(sampleMs: number, minimumMs: number): void {
    this.rtt.minimumMs = Math.min(this.rtt.minimumMs, minimumMs);
    this.rtt.update(sampleMs, this.#board.acknowledged, this.#board.next);
  }

  /** [tcp_fastretrans_alert] Moves the state machine; returns what to send first. */
  #alert(segment: Segment, advanced: boolean, duplicate: boolean, nowMs: number): "none" | "lost" | "new" {
    const board = this.#board;
    if (this.state === "open") this.#firstRetransmitMs = 0;
    else if (this.state === "recovery" && board.acknowledged >= this.#recoveryEnd) {
      this.#tryUndoRecovery(segment);
      this.#endReduction();
    }
    if (this.state === "recovery") {
      if (advanced && this.#tryUndoPartial(segment)) return "none";
      if (this.#tryUndoDuplicates()) this.#keepOpen();
      this.#identifyLosses(nowMs);
      if (!this.#inRecovery()) {
        if (board.lostOut === 0) return "none";
        this.#enterRecovery();
      }
      return "lost";
    }
    if (this.state === "loss") {
      const answer = this.#processLoss(segment, advanced, duplicate);
      const lostRetransmits = this.#identifyLosses(nowMs);
      if (!this.#isOpen() && !lostRetransmits) return answer;
    } else {
      this.#tryUndoDuplicates();
      this.#identifyLosses(nowMs);
    }
    if (board.lostOut === 0) {
      if (!this.#anyRetransmitted()) this.#firstRetransmitMs = 0;
      this.#keepOpen();
      return "none";
    }
    this.#enterRecovery();
    return "lost";
  }

  // The compiler narrows `state` over calls that change it; these look again.
  #inRecovery(): boolean {
    return this.state === "recovery";
  }

  #isOpen(): boolean {
    return this.state === "open";
  }

  #timerIs(timer: Timer): boolean {
    return this.#timer === timer;
  }

  /** [tcp_identify_packet_loss] Returns whether retransmissions were lost. */
  #identifyLosses(nowMs: number): boolean {
    const board = this.#board;
    const priorRetransmits = board.retransmitsOut;
    if (!this.#rack.advanced) return false;
    this.#rack.advanced = false;
    this.#detect(nowMs);
    if (this.#rack.waitMs > 0) this.#setTimer("reordering", this.#rack.waitMs + TIMER_SLACK_MS);
    return priorRetransmits > board.retransmitsOut;
  }

  #detect(nowMs: number): void {
    this.#newlyLost += this.#rack.detect(this.#board, this.#reorderingWindow(), nowMs);
  }

  #reorderingWindow(): number {
    const recovering = this.state === "recovery" || this.state === "loss";
    return this.#rack.windowMs(this.#board, recovering, this.rtt.minimumMs, this.rtt.smoothedMs);
  }

  /** [tcp_try_keep_open] */
  #keepOpen(): void {
    const board = this.#board;
    const disorder = board.sackedOut + board.lostOut > 0 || this.#anyRetransmitted();
    const state = disorder ? "disorder" : "open";
    if (this.state !== state) {
      this.state = state;
      this.#recoveryEnd = board.next;
    }
  }

  #anyRetransmitted(): boolean {
    const board = this.#board;
    if (board.retransmitsOut > 0) return true;
    return board.packetsOut > 0 && (board.flags(board.acknowledged) & RETRANSMITTED) !== 0;
  }

  // Reductions of the window and their undoing

  /** [tcp_enter_recovery] */
  #enterRecovery(): void {
    this.#priorThreshold = 0;
    this.#initUndo();
    this.#priorThreshold = this.#presentThreshold();
    this.#initReduction();
    this.state = "recovery";
    this.counters.recoveries++;
  }

  /** [tcp_init_cwnd_reduction] */
  #initReduction(): void {
    this.#recoveryEnd = this.#board.next;
    this.#probeEnd = -1;
    this.window.count = 0;
    this.#priorWindow = this.window.size;
    this.#prrDelivered = 0;
    this.#prrOut = 0;
    this.window.threshold = this.#algorithm.reduce(this);
  }

  /** [tcp_end_cwnd_reduction] */
  #endReduction(): void {
    if (this.window.threshold !== Number.POSITIVE_INFINITY && this.#undoMarker >= 0) {
      this.window.size = this.window.threshold;
    }
  }

  #initUndo(): void {
    this.#undoMarker = this.#board.acknowledged;
    // -1: undo waits for a retransmission to have been made at all.
    this.#undoRetransmits = this.#board.retransmitsOut > 0 ? this.#board.retransmitsOut : -1;
  }

  /** [tcp_current_ssthresh] */
  #presentThreshold(): number {
    const { size, threshold } = this.window;
    return this.state === "recovery" ? threshold : Math.max(threshold, Math.floor(size / 2) + Math.floor(size / 4));
  }

  /** The ACK answers a transmission from before the first retransmission [tcp_packet_delayed]. */
  #delayed(segment: Segment): boolean {
    return this.#firstRetransmitMs > 0 && segment.echoMs < this.#firstRetransmitMs;
  }

  #mayUndo(segment: Segment): boolean {
    return this.#undoMarker >= 0 && (this.#undoRetransmits === 0 || this.#delayed(segment));
  }

  /** [tcp_undo_cwnd_reduction] */
  #undo(unmarkLost: boolean): void {
    if (unmarkLost) this.#board.unmarkLost();
    if (this.#priorThreshold > 0) {
      this.window.size = Math.max(this.window.size, this.#priorWindow);
      if (this.#priorThreshold > this.window.threshold) this.window.threshold = this.#priorThreshold;
    }
    this.#undoMarker = -1;
    this.#rack.advanced = true;
    this.counters.undos++;
  }

  /** [tcp_try_undo_recovery] */
  #tryUndoRecovery(segment: Segment): void {
    if (this.#mayUndo(segment)) this.#undo(false);
    else this.#rack.onRecovered();
    this.state = "open";
  }

  /** [tcp_try_undo_partial] */
  #tryUndoPartial(segment: Segment): boolean {
    if (this.#undoMarker < 0 || !this.#delayed(segment)) return false;
    if (this.#board.retransmitsOut > 0) return true;
    if (!this.#anyRetransmitted()) this.#firstRetransmitMs = 0;
    this.#undo(true);
    this.#keepOpen();
    return true;
  }

  /** [tcp_try_undo_dsack] */
  #tryUndoDuplicates(): boolean {
    if (this.#undoMarker < 0 || this.#undoRetransmits !== 0) return false;
    this.#undo(false);
    return true;
  }

  /** [tcp_try_undo_loss] */
  #tryUndoLoss(segment: Segment, byFrto: boolean): boolean {
    if (!byFrto && !this.#mayUndo(segment)) return false;
    this.#undo(true);
    this.#retransmits = 0;
    this.state = "open";
    return true;
  }

  /** [tcp_process_loss] */
  #processLoss(segment: Segment, advanced: boolean, duplicate: boolean): "none" | "lost" | "new" {
    const board = this.#board;
    const recovered = board.acknowledged >= this.#recoveryEnd;
    if (advanced && this.#tryUndoLoss(segment, false)) return "none";
    if (this.#frto) {
      // RFC 5682, section 3.1: segments never retransmitted arrive, so the timeout was for nothing.
      if (this.#originalDelivered && this.#tryUndoLoss(segment, true)) return "none";
      if (board.next > this.#recoveryEnd) {
        if (this.#newlySacked > 0 || !advanced || duplicate) this.#frto = false;
      } else if (advanced && !recovered) {
        this.#recoveryEnd = board.next;
        if (this.#hasNew()) return "new";
        this.#frto = false;
      }
    }
    if (recovered) {
      this.#tryUndoRecovery(segment);
      return "none";
    }
    return "lost";
  }

  /** [tcp_cong_control] */
  #control(advanced: boolean, nowMs: number): void {
    if (this.state === "recovery") {
      this.#reduceProportionally(advanced);
      return;
    }
    // [tcp_may_raise_cwnd] With much reordering SACKs count as progress, else only ACKs.
    const progress = advanced || (this.#rack.reordering > 3 && this.#delivered > 0);
    if (progress && this.#delivered > 0 && this.#limitedByWindow()) {
      this.#algorithm.onAcked(this, this.#delivered, nowMs);
    }
  }

  /** PRR with its reduction bound by slow start (RFC 6937) [tcp_cwnd_reduction]. */
  #reduceProportionally(advanced: boolean): void {
    if (this.#delivered <= 0) return;
    const inFlight = this.#board.inFlight;
    const room = this.window.threshold - inFlight;
    this.#prrDelivered += this.#delivered;
    let send: number;
    if (room < 0) {
      send = Math.ceil((this.window.threshold * this.#prrDelivered) / this.#priorWindow) - this.#prrOut;
    } else {
      send = Math.max(this.#prrDelivered - this.#prrOut, this.#delivered);
      if (advanced && this.#newlyLost === 0) send++;
      send = Math.min(room, send);
    }
    this.window.size = inFlight + Math.max(send, this.#prrOut > 0 ? 0 : 1);
  }

  /** [tcp_is_cwnd_limited] */
  #limitedByWindow(): boolean {
    return this.#windowLimited || (this.window.inSlowStart && this.window.size < 2 * this.#mostOut);
  }

  // Timers

  #setTimer(timer: Timer, delayMs: number): void {
    this.#timer = timer;
    this.#timerMs = this.#network.nowMs + delayMs;
    if (this.#timerMs < this.#armedMs) this.#arm();
  }

  #arm(): void {
    this.#armedMs = this.#timerMs;
    // Tags below 2 are taken.
    this.#armedTag = this.#armedTag < 2 ? 2 : this.#armedTag + 1;
    this.#network.schedule(this.#timerMs, this, this.#armedTag);
  }

  /** What is left of the timeout of the first segment out [tcp_rto_delta_us]. */
  #timeoutLeftMs(nowMs: number): number {
    return this.#board.sentMs(this.#board.acknowledged) + this.rtt.timeoutMs - nowMs;
  }

  /** [tcp_rearm_rto] */
  #rearmTimeout(nowMs: number): void {
    if (this.#board.packetsOut === 0) {
      this.#timer = "none";
      return;
    }
    const running = this.#timer === "reordering" || this.#timer === "probe";
    this.#setTimer("rto", running ? Math.max(this.#timeoutLeftMs(nowMs), 0.001) : this.rtt.timeoutMs);
  }

  /** [tcp_set_xmit_timer] */
  #setTransmitTimer(nowMs: number): void {
    if (!this.#scheduleProbe(true, nowMs)) this.#rearmTimeout(nowMs);
  }

  /** [tcp_schedule_loss_probe] */
  #scheduleProbe(advancing: boolean, nowMs: number): boolean {
    const out = this.#board.packetsOut;
    if (out === 0 || this.state !== "open" || this.#board.sackedOut > 0) return false;
    let delay = 2 * this.rtt.smoothedMs + (out === 1 ? RTO_LEAST_MS : TIMER_SLACK_MS);
    const timeout = advancing ? this.rtt.timeoutMs : this.#timeoutLeftMs(nowMs);
    if (timeout > 0) delay = Math.min(delay, timeout);
    this.#setTimer("probe", delay);
    return true;
  }

  /** Tail loss probe (RFC 8985, section 7.3) [tcp_send_loss_probe]. */
  #onProbeTimer(nowMs: number): void {
    const board = this.#board;
    if (board.packetsOut === 0) return;
    this.#timer = "probe";
    if (this.#probeEnd < 0) {
      let sent = false;
      if (this.#hasNew()) {
        // One segment beyond the window.
        this.#sendNew(nowMs);
        this.#probeRetransmitted = false;
        sent = true;
      } else {
        const last = board.next - 1;
        if ((board.flags(last) & SACKED) === 0) {
          this.#retransmit(last, nowMs);
          this.#probeRetransmitted = true;
          sent = true;
        }
      }
      if (sent) {
        this.counters.probes++;
        this.#probeEnd = board.next;
        // The timeout starts anew from here.
        this.#timer = "none";
      }
    }
    this.#rearmTimeout(nowMs);
  }

  /** [tcp_process_tlp_ack] */
  #onProbeAnswered(ack: number, advanced: boolean, duplicate: boolean): void {
    if (ack < this.#probeEnd) return;
    if (!this.#probeRetransmitted || duplicate) {
      this.#probeEnd = -1;
    } else if (ack > this.#probeEnd) {
      // The probe repaired a loss that nobody else saw: pay for it.
      this.#initReduction();
      this.window.size = this.window.threshold;
      this.#keepOpen();
    } else if (!advanced && this.#newlySacked === 0) {
      this.#probeEnd = -1;
    }
  }

  /** [tcp_rack_reo_timeout] */
  #onReorderingTimer(nowMs: number): void {
    const board = this.#board;
    const before = board.inFlight;
    this.#newlyLost = 0;
    this.#timer = "reordering";
    this.#detect(nowMs);
    if (before !== board.inFlight) {
      if (this.state !== "recovery") {
        this.#enterRecovery();
        this.#delivered = 1;
        this.#reduceProportionally(false);
      }
      this.#retransmitLost(nowMs);
    }
    // `#detect` and `#retransmitLost` may have set the timeout already.
    if (!this.#timerIs("rto")) this.#rearmTimeout(nowMs);
  }

  /** [tcp_retransmit_timer, tcp_enter_loss] */
  #onTimeout(nowMs: number): void {
    const board = this.#board;
    if (board.packetsOut === 0) return;
    this.counters.timeouts++;
    const newRecovery = this.state !== "recovery" && this.state !== "loss";
    const head = board.acknowledged;
    board.markLost(head);
    for (let sequence = head + 1; sequence < board.next; sequence++) {
      // Those sent a short while ago may yet arrive.
      if (this.#rack.remainingMs(board.sentMs(sequence), 0, nowMs) > 0) continue;
      board.markLost(sequence);
    }
    if (newRecovery || board.acknowledged >= this.#recoveryEnd || (this.state === "loss" && this.#retransmits === 0)) {
      this.#priorThreshold = this.#presentThreshold();
      this.#priorWindow = this.window.size;
      this.window.threshold = this.#algorithm.reduce(this);
      this.#initUndo();
    }
    this.window.size = board.inFlight + 1;
    this.window.count = 0;
    this.state = "loss";
    this.#algorithm.onTimeout(this, nowMs);
    this.#recoveryEnd = board.next;
    this.#probeEnd = -1;
    this.#frto = newRecovery || this.#retransmits > 0;
    this.#retransmits++;
    this.#retransmit(head, nowMs);
    this.rtt.backOff();
    this.#setTimer("rto", this.rtt.timeoutMs);
  }

  // Sending

  /** [tcp_xmit_recovery] */
  #recover(retransmit: "none" | "lost" | "new", nowMs: number): void {
    if (retransmit === "none") return;
    if (retransmit === "new") {
      this.#sendAllowed(nowMs);
      if (this.#board.next > this.#recoveryEnd) return;
      this.#frto = false;
    }
    this.#retransmitLost(nowMs);
  }

  /** [tcp_xmit_retransmit_queue] */
  #retransmitLost(nowMs: number): void {
    const board = this.#board;
    while (board.inFlight < this.window.size) {
      const sequence = board.nextToRetransmit();
      if (sequence < 0) return;
      this.#retransmit(sequence, nowMs);
      if (this.state === "recovery") this.#prrOut++;
      if (sequence === board.acknowledged && this.#timer !== "reordering") this.#setTimer("rto", this.rtt.timeoutMs);
    }
  }

  #retransmit(sequence: number, nowMs: number): void {
    this.#board.retransmit(sequence, nowMs);
    if (this.#firstRetransmitMs === 0) this.#firstRetransmitMs = nowMs;
    this.#undoRetransmits = Math.max(this.#undoRetransmits, 0) + 1;
    this.counters.retransmitted++;
    this.#sendData(sequence);
  }

  #hasNew(): boolean {
    const { next, packetsOut } = this.#board;
    return !this.#stopped && next < this.#totalSegments && packetsOut < this.#peerWindow;
  }

  /** [tcp_write_xmit] */
  #sendAllowed(nowMs: number): void {
    const board = this.#board;
    let sent = false;
    while (board.inFlight < this.window.size && this.#hasNew()) {
      if (this.pacing && this.#mustPace(nowMs)) break;
      this.#sendNew(nowMs);
      if (this.state === "recovery") this.#prrOut++;
      sent = true;
    }
    const full = board.inFlight >= this.window.size;
    if (sent || full) this.#validateWindow(full);
    if (sent) this.#scheduleProbe(false, nowMs);
  }

  #sendNew(nowMs: number): void {
    const board = this.#board;
    const none = board.packetsOut === 0;
    const sequence = board.sendNew(nowMs);
    this.#sendData(sequence);
    if (none || this.#timer === "probe") this.#rearmTimeout(nowMs);
  }

  /** [tcp_cwnd_validate] */
  #validateWindow(full: boolean): void {
    const board = this.#board;
    if (board.acknowledged >= this.#usageEnd || full || (!this.#windowLimited && board.packetsOut > this.#mostOut)) {
      this.#windowLimited = full;
      this.#mostOut = board.packetsOut;
      this.#usageEnd = board.next;
    }
  }

  /** Twice the rate of the window in slow start, 1.2 times after [tcp_update_pacing_rate]. */
  #mustPace(nowMs: number): boolean {
    if (this.#nextPaceMs > nowMs) {
      if (!this.#paceArmed) {
        this.#paceArmed = true;
        this.#network.schedule(this.#nextPaceMs, this, PACE_TAG);
      }
      return true;
    }
    const ratio = this.window.size < this.window.threshold / 2 ? 2 : 1.2;
    const packets = Math.max(this.window.size, this.#board.packetsOut);
    this.#nextPaceMs = Math.max(nowMs, this.#nextPaceMs) + this.rtt.smoothedMs / (ratio * packets);
    return false;
  }

  #sendData(sequence: number): void {
    this.counters.sent++;
    const payload = sequence === this.#totalSegments - 1 ? this.#lastSegmentBytes : this.segmentBytes;
    this.#sendPacket("data", sequence, HEADER_BYTES + payload);
  }

  #sendPacket(kind: "syn" | "data", sequence: number, ipBytes: number): void {
    const nowMs = this.#network.nowMs;
    const packet = this.#pool.take();
    const segment = packet.model as Segment;
    segment.kind = kind;
    segment.sequence = sequence;
    segment.timestampMs = nowMs;
    segment.blockCount = 0;
    segment.duplicate = false;
    packet.ipBytes = ipBytes;
    packet.source = this.#address;
    packet.destination = this.#peer;
    packet.sentMs = nowMs;
    this.#network.send(packet, this.#node, null);
  }
}
