/**
 * A link: one UDP hop between two nodes. It puts the other files of this folder together: packets with numbers and keys,
 * ACKs, RTT, loss detection, pacing under a congestion controller, the path and its MTU, the handshake and the reliable control
 * stream, and the link's end. Without I/O, clock or randomness of its own: an `Endpoint` driven by four verbs.
 *
 * It knows no stream, batch or symbol of a session, and sends nothing again but control symbols: the layer above
 * (`LinkUser`) fills packets and hears what became of them.
 *
 * Input from the network never throws and never grows memory beyond fixed bounds: it is used, or dropped and counted.
 */
import type { CongestionController, CongestionUpdate } from "../../congestion/controller.ts";
import { Pacer } from "../../congestion/pacer.ts";
import type { Address } from "../address.ts";
import type { EcnCodepoint, Endpoint, ReceivedDatagram, Transmit } from "../endpoint.ts";
import { AckPolicy, latestAckDelayMs, MAX_ACK_DELAY_MS, wantedAckDelayMs, wantedAckThreshold } from "./ack-policy.ts";
import { AckTracker } from "./ack-tracker.ts";
import type { LinkKeys, Opener } from "./aead.ts";
import { CLOSE_HANDSHAKE, CLOSE_KEYS, CLOSE_NO_ERROR, CLOSE_PROTOCOL, type CloseReason, Closing } from "./close.ts";
import { equalAt, LocalIds, RemoteIds } from "./connection-ids.ts";
import {
  decodeNewId,
  encodeNewId,
  encodeRecord,
  encodeRetireId,
  RECORD_HANDSHAKE,
  RECORD_NEW_ID,
  RECORD_PARAMETERS,
  RECORD_RETIRE_ID,
  RECORD_TOKEN,
  RecordReader,
} from "./control-records.ts";
import { ControlReceiver, ControlSender } from "./control-stream.ts";
import { type DropCause, dropCounts } from "./drops.ts";
import { EcnValidator } from "./ecn.ts";
import {
  controlFrameBytes,
  EXTENSION_FIRST,
  EXTENSION_LAST,
  FRAME_ACK,
  FRAME_ACK_ECN,
  FRAME_ACK_FREQUENCY,
  FRAME_CLOSE,
  FRAME_CONTROL,
  FRAME_IMMEDIATE_ACK,
  FRAME_PADDING,
  FRAME_PATH_CHALLENGE,
  FRAME_PATH_RESPONSE,
  FRAME_PING,
  FRAME_SESSION,
  FRAME_SESSION_LENGTH,
  FrameReader,
  MAX_REASON_BYTES,
  NO_MORE_FRAMES,
  PATH_DATA_BYTES,
  writeAckFrequency,
  writeClose,
  writeControlHeader,
  writeExtension,
  writePathFrame,
} from "./frames.ts";
import type { Handshake } from "./handshake.ts";
import { IdleTimer } from "./idle.ts";
import {
  DEFAULT_HANDSHAKE_TIMEOUT_MS,
  DEFAULT_IDLE_TIMEOUT_MS,
  DEFAULT_KEEP_ALIVE_MS,
  DEFAULT_MAX_DATAGRAM_BYTES,
  DEFAULT_PACING_BURST_MS,
  type LinkOptions,
} from "./link-options.ts";
import type { ConnectionIdSource, LinkUser, PacketFill } from "./link-user.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE, type Epoch, LossDetector, type LossListener } from "./loss-detection.ts";
import {
  MAX_TOKEN_BYTES,
  MIN_INITIAL_BYTES,
  PacketHeader,
  TAG_BYTES,
  VERSION,
  writeHandshakeHeader,
  writeShortHeader,
} from "./packet-header.ts";
import { decodePacketNumber, packetNumberBytes, readPacketNumber, writePacketNumber } from "./packet-number.ts";
import { decodeParameters, encodeParameters, type LinkParameters } from "./parameters.ts";
import { Path, sameAddress, sameIp } from "./path.ts";
import { BASE_DATAGRAM_BYTES } from "./path-mtu.ts";
import { ReplayWindow } from "./replay-window.ts";
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

import { readVarint } from "./varint.ts";

export type LinkState = "handshaking" | "established" | "closing" | "closed";

/** Counters since the link began. */
export interface LinkStats {
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
  /** Packets that held ACKs and nothing that asks for one, and their bytes. */
  ackPackets: number;
  ackBytes: number;
  ackedPackets: number;
  lostPackets: number;
  spuriousLosses: number;
  probes: number;
  mtuProbes: number;
  /** Frames of the extension range that were skipped. */
  skippedFrames: number;
  keyUpdates: number;
  pathChanges: number;
  failedValidations: number;
}

/** Who waits for the pacer waits this much longer, so that a timer serves several packets. */
const PACING_QUANTUM_MS = 0.25;
/** Packets with a key that the server does not have yet, kept until it does. */
const EARLY_PACKETS = 16;
/** Until the handshake is done its packets are not paced, and this many are in flight at least. */
const HANDSHAKE_WINDOW_BYTES = 16 * 1228;
/** Handshake packets that leave when a probe is due: one alone would be lost too often. */
const HANDSHAKE_PROBES = 2;
/** The first of them follows the client's first flight soon: nothing is known of the path but that it may lose. */
const FIRST_PROBE_MS = 20;
/** After this much silence a handshake is in no hurry any more. */
const HASTE_MS = 3000;
/** Path responses that wait. */
const MAX_RESPONSES = 4;
/** Challenges are this far apart at least; a path that gives no proof in VALIDATION_PTOS probe timeouts has failed. */
const CHALLENGE_LEAST_MS = 50;
const VALIDATION_PTOS = 6;
const VALIDATION_LEAST_MS = 1000;
/** Bytes around the session's in the largest packet: header with the longest number, frame type, tag. */
const PACKET_NUMBER_MOST = 4;
/** A packet with less room than this is not offered to the user. */
const LEAST_ROOM = 16;
/** How fast the loss rate follows, packets. */
const LOSS_RATE_PACKETS = 128;
/** Between two packet numbers that are left out lie this many, up to twice as many. */
const SKIP_LEAST = 2048;
/** A flow is this many packets without a gap; a gap is this many round trips, at least this long. */
const FLOW_PACKETS = 16;
const FLOW_SILENCE_RTTS = 0.75;
const FLOW_SILENCE_LEAST_MS = 15;
/** Probes without an answer after which none carries bytes of the user's any more. */
const FULL_PROBES = 4;
/** Packets after which the extension range is exercised once more. */
const GREASE_INTERVAL = 1024;
/** Nothing is sent where less than this is allowed: an ACK frame with a few ranges and its packet. */
const LEAST_PACKET_BYTES = 80;
/** A path frame and its packet, the longest connection id and packet number counted. */
const LEAST_PATH_PACKET_BYTES = 50;
const LEAST_PING_BYTES = 160;
/** Of what may be sent to an unproved address, this is kept for challenges. */
const CHALLENGE_RESERVE_BYTES = 4 * LEAST_PATH_PACKET_BYTES;

interface PendingResponse {
  data: Uint8Array;
  remote: Address;
  local: Address;
  bytes: number;
}

interface EarlyPacket {
  bytes: Uint8Array;
  source: Address;
  destination: Address;
  ecn: EcnCodepoint;
}

export class Link implements Endpoint {
  /** What was dropped, by cause. */
  readonly drops: Record<DropCause, number> = dropCounts();
  readonly stats: LinkStats = {
    sentPackets: 0,
    sentBytes: 0,
    receivedPackets: 0,
    receivedBytes: 0,
    ackPackets: 0,
    ackBytes: 0,
    ackedPackets: 0,
    lostPackets: 0,
    spuriousLosses: 0,
    probes: 0,
    mtuProbes: 0,
    skippedFrames: 0,
    keyUpdates: 0,
    pathChanges: 0,
    failedValidations: 0,
  };
  readonly rtt = new RttEstimator();

  readonly #isClient: boolean;
  readonly #options: LinkOptions;
  readonly #user: LinkUser;
  readonly #handshake: Handshake;
  readonly #congestion: CongestionController;
  readonly #idSource: ConnectionIdSource;
  readonly #random: (bytes: Uint8Array) => void;
  /** IP and UDP headers: congestion control counts bytes of the wire. */
  readonly #overhead: number;
  readonly #header = new PacketHeader();
  readonly #reader = new FrameReader();
  readonly #ledger = new SentLedger();
  readonly #loss: LossDetector;
  readonly #pacer: Pacer;
  readonly #ecn: EcnValidator;
  readonly #idle: IdleTimer;
  readonly #windows = [new ReplayWindow(), new ReplayWindow()];
  readonly #trackers = [new AckTracker(), new AckTracker()];
  readonly #policies = [new AckPolicy(), new AckPolicy()];
  readonly #controlSenders: [ControlSender, ControlSender];
  readonly #controlReceivers: [ControlReceiver, ControlReceiver];
  readonly #records = [new RecordReader(), new RecordReader()];
  readonly #localIds: LocalIds;
  readonly #firstLocalId: Uint8Array;
  readonly #remoteIds: RemoteIds;
  readonly #fill: PacketFill = { buffer: new Uint8Array(0), start: 0, room: 0, probe: false, length: 0, tag: 0 };
  readonly #update: CongestionUpdate = {
    nowMs: 0,
    rttMs: Number.NaN,
    smoothedRttMs: Number.NaN,
    inFlightBytes: 0,
    congestionMarks: 0,
  };
  readonly #lossListener: LossListener = { packetLost: (n) => this.#onLost(n) };
  readonly #localParameters: Uint8Array;
  readonly #handshakeDeadlineMs: number;

  #state: LinkState = "handshaking";
  /** The largest that either end takes. */
  #maxDatagramBytes: number;
  #confirmed = false;
  #nowMs: number;
  /** The id from which the handshake's keys come: the client's first destination, or the server's in a retry. */
  #keyId: Uint8Array;
  #token: Uint8Array;
  /** The token of the client's first flight that the server took up. */
  #saidToken: Uint8Array;
  #receivedToken: Uint8Array | null = null;
  #heardServer = false;
  #handshakeKeys: LinkKeys | null;
  #keys: LinkKeys | null = null;
  #nextKeys: LinkKeys | null = null;
  #previousOpener: Opener | null = null;
  #previousOpenerEndMs = 0;
  #keyPhase = 0;
  #phaseFirstSent = 0;
  #phaseFirstReceived = 0;
  #phaseSealed = 0;
  #failedOpens = 0;
  #peer: LinkParameters | null = null;
  #path: Path;
  #previousPath: Path | null = null;
  #responses: PendingResponse[] = [];
  #early: EarlyPacket[] = [];
  #inFlight = 0;
  #lossRate = 0;
  #lastElicitingMs: number;
  #probes = 0;
  #probesWanted = 0;
  #handshakeProbesWanted = 0;
  #pingWanted = false;
  #paceMs = Number.POSITIVE_INFINITY;
  #flowPackets = 0;
  #flowMs = 0;
  #sinceGrease = 0;
  #nextSkip = 0;
  #frequencySequence = 0;
  #toldThreshold = 0;
  #toldDelayMs = 0;
  #lastIdUsed = 0;
  #deliveringEpoch: Epoch = EPOCH_HANDSHAKE;
  #closing: Closing | null = null;
  #graceful: CloseReason | null = null;
  #gracefulEndMs = Number.POSITIVE_INFINITY;

  constructor(options: LinkOptions) {
    const { role, remote, nowMs, accepted } = options;
    this.#options = options;
    this.#isClient = role === "client";
    this.#user = options.user;
    this.#handshake = options.handshake;
    this.#congestion = options.congestion;
    this.#idSource = options.connectionIds;
    this.#random = options.random;
    this.#nowMs = nowMs;
    this.#lastElicitingMs = nowMs;
    this.#maxDatagramBytes = Math.max(options.maxDatagramBytes ?? DEFAULT_MAX_DATAGRAM_BYTES, BASE_DATAGRAM_BYTES);
    this.#overhead = remote.ip.includes(":") ? 48 : 28;
    this.#pacer = new Pacer(options.pacingBurstMs ?? DEFAULT_PACING_BURST_MS);
    this.#loss = new LossDetector(this.#ledger, this.rtt);
    this.#ecn = new EcnValidator(options.ecn ?? true);
    this.#idle = new IdleTimer(
      options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
      options.keepAliveMs ?? DEFAULT_KEEP_ALIVE_MS,
      nowMs,
    );
    this.#handshakeDeadlineMs = nowMs + (options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS);
    this.#controlSenders = [new ControlSender(options.coder, true), new ControlSender(options.coder, false)];
    this.#controlReceivers = [new ControlReceiver(options.coder), new ControlReceiver(options.coder)];
    this.#firstLocalId = this.#idSource.issue();
    this.#localIds = new LocalIds(this.#firstLocalId);
    if (accepted === undefined) {
      this.#keyId = new Uint8Array(8);
      this.#random(this.#keyId);
      this.#token = (options.token ?? new Uint8Array(0)).slice(0, MAX_TOKEN_BYTES);
      this.#remoteIds = new RemoteIds(this.#keyId);
    } else {
      this.#keyId = accepted.destinationId.slice();
      this.#token = accepted.token.slice();
      this.#remoteIds = new RemoteIds(accepted.sourceId.slice());
    }
    this.#saidToken = this.#token;
    this.#handshakeKeys = options.protection.handshakeKeys(this.#keyId, role);
    this.#path = new Path(remote, null, this.#isClient || accepted?.validated === true, this.#maxDatagramBytes);
    this.#congestion.setPacketBytes(BASE_DATAGRAM_BYTES + this.#overhead);
    this.#localParameters = encodeParameters({
      idleTimeoutMs: options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
      maxDatagramBytes: this.#maxDatagramBytes,
      ackDelayMs: MAX_ACK_DELAY_MS,
      resetToken: this.#isClient ? null : this.#idSource.resetToken(this.#firstLocalId),
      session: options.session ?? new Uint8Array(0),
    });
    this.#controlSenders[EPOCH_HANDSHAKE].write(encodeRecord(RECORD_PARAMETERS, this.#localParameters));
    this.#pumpHandshake(nowMs);
  }

  get state(): LinkState {
    return this.#state;
  }

  /** Whether the peer is known to have the keys too. */
  get confirmed(): boolean {
    return this.#confirmed;
  }

  /** Why the link closes or closed; null while it lives. */
  get closeReason(): CloseReason | null {
    return this.#closing?.reason ?? null;
  }

  /** Bytes that the user may count on in a packet without ACK or control frames. */
  get payloadBytes(): number {
    return this.#path.mtu.current - 1 - this.#remoteIds.current.length - PACKET_NUMBER_MOST - 1 - TAG_BYTES;
  }

  /** The largest datagram that is known to pass. */
  get datagramBytes(): number {
    return this.#path.mtu.current;
  }

  /** Bytes of the wire that were sent and are neither acknowledged nor lost. */
  get inFlightBytes(): number {
    return this.#inFlight;
  }

  /** Packets whose fate is not known. */
  get outstandingPackets(): number {
    return this.#ledger.outstanding;
  }

  /** Entries in the sent ledger's memory. */
  get ledgerCapacity(): number {
    return this.#ledger.capacity;
  }

  /** Share of packets lost of late, 0 to 1. */
  get lossRate(): number {
    return this.#lossRate;
  }

  get remote(): Address {
    return this.#path.remote;
  }

  /** Whether the peer proved to be at its address. */
  get pathValidated(): boolean {
    return this.#path.validated;
  }

  get congestion(): CongestionController {
    return this.#congestion;
  }

  get ecnState(): string {
    return this.#ecn.state;
  }

  get reorderingThreshold(): number {
    return this.#loss.packetThreshold;
  }

  /** What the peer said of itself; null before. */
  get peerParameters(): LinkParameters | null {
    return this.#peer;
  }

  // ---------------------------------------------------------------- the user's verbs

  /**
   * Ends the link at once: the peer is told, nothing more is sent or taken. `code` from CLOSE_APPLICATION on is the user's
   * own; `text` is cut at 256 bytes.
   */
  close(code: number, text: string, nowMs: number): void {
    this.#close({ cause: "local", code, text }, true, nowMs);
  }

  /** Takes nothing more from the user, waits until all that was sent is settled (at most `patienceMs`), then closes. */
  closeGracefully(code: number, text: string, patienceMs: number, nowMs: number): void {
    if (this.#graceful !== null || this.#closing !== null) return;
    this.#graceful = { cause: "local", code, text };
    this.#gracefulEndMs = nowMs + patienceMs;
    this.#finishGracefully(nowMs);
  }

  /**
   * This end moved to another address, or may have: takes a fresh connection id, starts RTT, MTU and congestion control again
   * and asks the peer for proof that the new path works.
   */
  localAddressChanged(nowMs: number): void {
    this.#enter(nowMs);
    if (!this.#confirmed || this.#closing !== null) return;
    const path = new Path(this.#path.remote, null, true, this.#maxDatagramBytes);
    this.#previousPath = null;
    this.#path = path;
    this.#challengePath(path, nowMs);
    this.#rotateId();
    this.#restart(nowMs);
    this.stats.pathChanges++;
    this.#user.pathChanged(path.remote, true, nowMs);
  }

  /** Takes new keys for what is sent from now on; the peer follows. False when the last update is not through yet. */
  updateKeys(nowMs: number): boolean {
    if (this.#keys === null || !this.#confirmed || this.#closing !== null) return false;
    if (this.#loss.largestAcked(EPOCH_DATA) < this.#phaseFirstSent || this.#previousOpener !== null) return false;
    this.#turnKeys(nowMs, Number.POSITIVE_INFINITY);
    return true;
  }

  /** Gives the client a token for its next link, at most 128 bytes. False when too much waits, or it is too early. */
  sendToken(token: Uint8Array): boolean {
    return this.#confirmed && this.#controlSenders[EPOCH_DATA].write(encodeRecord(RECORD_TOKEN, token));
  }

  /** The last token that the server gave; null when none came. */
  get receivedToken(): Uint8Array | null {
    return this.#receivedToken;
  }

  // ---------------------------------------------------------------- the driver's verbs

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#enter(nowMs);
    const { bytes } = datagram;
    const header = this.#header;
    const error = header.parse(bytes, this.#localIds.length);
    if (error !== null) {
      this.drops[error]++;
      return;
    }
    if (this.#state === "closed") {
      this.drops.closed++;
      return;
    }
    if (header.kind === "short") this.#onShort(datagram, nowMs);
    else if (header.kind === "handshake") this.#onHandshakePacket(datagram, nowMs);
    else if (header.kind === "retry") this.#onRetry(bytes, nowMs);
    else this.#onVersionNegotiation(bytes, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#enter(nowMs);
    if (this.#closing !== null) {
      if (nowMs >= this.#closing.endMs) this.#state = "closed";
      return;
    }
    this.#pumpHandshake(nowMs);
    if (nowMs >= this.#idle.deadMs(this.#loss.timeoutMs(this.#peerAckDelayMs))) {
      this.#close({ cause: "idle", code: CLOSE_NO_ERROR, text: "nothing came for too long" }, false, nowMs);
      return;
    }
    if (this.#state === "handshaking" && nowMs >= this.#handshakeDeadlineMs) {
      this.#close({ cause: "handshake", code: CLOSE_HANDSHAKE, text: "the handshake took too long" }, true, nowMs);
      return;
    }
    if (nowMs >= this.#loss.lossMs) this.#detectLosses(nowMs);
    if (nowMs >= this.#probeMs) this.#onProbeTimeout(nowMs);
    if (this.#confirmed && nowMs >= this.#idle.keepAliveMs) this.#pingWanted = true;
    if (nowMs >= this.#flowSilentMs) {
      this.#flowPackets = 0;
      this.#pingWanted = true;
    }
    if (nowMs >= this.#path.deadlineMs) this.#validationFailed(nowMs);
    this.#finishGracefully(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    this.#enter(nowMs);
    this.#paceMs = Number.POSITIVE_INFINITY;
    if (this.#closing !== null) return this.#sendClose(transmit, nowMs);
    this.#pumpHandshake(nowMs);
    if (this.#closing !== null) return this.#sendClose(transmit, nowMs);
    this.#finishGracefully(nowMs);
    if (this.#closing !== null) return this.#sendClose(transmit, nowMs);
    return (
      this.#sendPathFrame(transmit, nowMs) ||
      (this.#handshakeKeys !== null && this.#sendHandshake(transmit, nowMs)) ||
      (this.#keys !== null && (this.#sendMtuProbe(transmit, nowMs) || this.#sendData(transmit, nowMs)))
    );
  }

  nextTimeoutMs(): number {
    if (this.#state === "closed") return Number.POSITIVE_INFINITY;
    if (this.#closing !== null) return this.#closing.nextMs;
    let next = this.#idle.deadMs(this.#loss.timeoutMs(this.#peerAckDelayMs));
    if (this.#state === "handshaking") next = Math.min(next, this.#handshakeDeadlineMs);
    next = Math.min(next, this.#loss.lossMs, this.#probeMs, this.#paceMs, this.#path.deadlineMs, this.#gracefulEndMs);
    next = Math.min(next, this.#flowSilentMs);
    if (this.#keys !== null && this.#graceful === null) {
      const userMs = this.#user.nextTimeoutMs();
      if (userMs > this.#nowMs) next = Math.min(next, userMs);
    }
    if (this.#confirmed && !this.#pingWanted) next = Math.min(next, this.#idle.keepAliveMs);
    if (this.#keys !== null && this.#path.allowance >= LEAST_PATH_PACKET_BYTES) {
      next = Math.min(next, this.#path.nextChallengeMs);
    }
    if (this.#allowance >= LEAST_PACKET_BYTES) {
      if (this.#handshakeKeys !== null) next = Math.min(next, this.#policies[EPOCH_HANDSHAKE].dueMs(this.#nowMs));
      if (this.#keys !== null) next = Math.min(next, this.#policies[EPOCH_DATA].dueMs(this.#nowMs));
    }
    return next;
  }

  /** Gives shared memory back. The link must be closed, or is so at once without a word to the peer. */
  destroy(nowMs: number): void {
    if (this.#closing === null) this.#close({ cause: "local", code: CLOSE_NO_ERROR, text: "" }, false, nowMs);
    this.#state = "closed";
  }

  #enter(nowMs: number): void {
    if (nowMs > this.#nowMs) this.#nowMs = nowMs;
    if (this.#previousOpener !== null && nowMs >= this.#previousOpenerEndMs) this.#previousOpener = null;
  }

  /** Bytes that may be sent now to where the peer seems to be, challenges aside. */
  get #allowance(): number {
    const { allowance, challenging } = this.#path;
    return challenging ? allowance - CHALLENGE_RESERVE_BYTES : allowance;
  }

  /** How long the peer may hold back an ACK: less than it said when it was asked for more. */
  get #peerAckDelayMs(): number {
    const longest = this.#peer?.ackDelayMs ?? 0;
    return this.#toldThreshold === 0 ? longest : Math.min(longest, latestAckDelayMs(this.#toldDelayMs));
  }

  // ---------------------------------------------------------------- receiving

  #onShort(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const header = this.#header;
    const idSequence = this.#localIds.find(bytes, header.destinationStart, header.destinationEnd);
    if (this.#remoteIds.isReset(bytes) && this.#closing === null) {
      this.#close({ cause: "reset", code: CLOSE_NO_ERROR, text: "the peer lost its state" }, false, nowMs);
      return;
    }
    if (idSequence < 0) {
      this.drops["wrong-connection-id"]++;
      return;
    }
    if (this.#closing !== null) {
      this.#closing.onReceived();
      this.drops.closed++;
      return;
    }
    if (this.#keys === null) {
      if (this.#isClient || this.#early.length >= EARLY_PACKETS) {
        this.drops["no-keys"]++;
        return;
      }
      const { source, destination, ecn } = datagram;
      this.#early.push({ bytes: bytes.slice(), source, destination, ecn });
      return;
    }
    const window = this.#windows[EPOCH_DATA];
    const truncated = readPacketNumber(bytes, header.numberStart, header.numberBytes);
    const packetNumber = decodePacketNumber(window.largest, truncated, header.numberBytes);
    if (window.seen(packetNumber)) {
      this.drops.replayed++;
      return;
    }
    if (!this.#openShort(bytes, packetNumber, nowMs)) {
      this.drops["not-authentic"]++;
      if (++this.#failedOpens > this.#keys.openLimit) {
        this.#close({ cause: "local", code: CLOSE_KEYS, text: "too many forged packets" }, true, nowMs);
      }
      return;
    }
    const highest = packetNumber > window.largest;
    window.mark(packetNumber);
    const malformed = this.#reader.open(bytes, header.headerEnd, bytes.length - TAG_BYTES);
    if (malformed !== null) {
      this.drops[malformed]++;
      return;
    }
    if (!this.#confirmed) this.#confirm(nowMs);
    this.#credited(datagram, packetNumber, EPOCH_DATA, nowMs);
    if (highest) this.#onHighest(datagram, idSequence, nowMs);
    if (sameAddress(datagram.source, this.#path.remote)) this.#path.onReceived(bytes.length);
    else if (this.#previousPath !== null && sameAddress(datagram.source, this.#previousPath.remote)) {
      this.#previousPath.onReceived(bytes.length);
    }
    this.#onFrames(datagram, EPOCH_DATA, nowMs);
  }

  #openShort(bytes: Uint8Array, packetNumber: number, nowMs: number): boolean {
    const header = this.#header;
    const keys = this.#keys!;
    if (header.keyPhase === this.#keyPhase) return keys.opener.open(bytes, header.headerEnd, packetNumber);
    if (this.#previousOpener !== null && packetNumber < this.#phaseFirstReceived) {
      return this.#previousOpener.open(bytes, header.headerEnd, packetNumber);
    }
    // A phase that is not ours: the peer updated its keys. Another update before ours was heard of cannot be.
    if (this.#previousOpener !== null || !this.#confirmed) return false;
    this.#nextKeys ??= keys.next();
    if (!this.#nextKeys.opener.open(bytes, header.headerEnd, packetNumber)) return false;
    this.#turnKeys(nowMs, packetNumber);
    return true;
  }

  /** Enters the next key phase, for sending and receiving. */
  #turnKeys(nowMs: number, firstReceived: number): void {
    const keys = this.#keys!;
    this.#previousOpener = keys.opener;
    // The old key stays for packets that come late, and until the peer follows (RFC 9001, section 6.5).
    this.#previousOpenerEndMs = nowMs + 3 * this.#loss.timeoutMs(this.#peerAckDelayMs);
    this.#keys = this.#nextKeys ?? keys.next();
    this.#nextKeys = null;
    this.#keyPhase ^= 1;
    this.#phaseFirstSent = this.#ledger.next;
    this.#phaseFirstReceived = firstReceived;
    this.#phaseSealed = 0;
    this.stats.keyUpdates++;
  }

  #onHandshakePacket(datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const header = this.#header;
    const own = equalAt(bytes, header.destinationStart, header.destinationEnd, this.#firstLocalId);
    const first = !this.#isClient && equalAt(bytes, header.destinationStart, header.destinationEnd, this.#keyId);
    if (!own && !first) {
      this.drops["wrong-connection-id"]++;
      return;
    }
    if (this.#closing !== null) {
      this.#closing.onReceived();
      this.drops.closed++;
      return;
    }
    if (this.#handshakeKeys === null) {
      this.drops["no-keys"]++;
      return;
    }
    if (first && bytes.length < MIN_INITIAL_BYTES) {
      this.drops.undersized++;
      return;
    }
    if (!sameAddress(datagram.source, this.#path.remote)) {
      this.drops["unexpected-address"]++;
      return;
    }
    const window = this.#windows[EPOCH_HANDSHAKE];
    const truncated = readPacketNumber(bytes, header.numberStart, header.numberBytes);
    const packetNumber = decodePacketNumber(window.largest, truncated, header.numberBytes);
    if (window.seen(packetNumber)) {
      this.drops.replayed++;
      return;
    }
    if (!this.#handshakeKeys.opener.open(bytes, header.headerEnd, packetNumber)) {
      this.drops["not-authentic"]++;
      return;
    }
    const malformed = this.#reader.open(bytes, header.headerEnd, bytes.length - TAG_BYTES);
    window.mark(packetNumber);
    if (malformed !== null) {
      this.drops[malformed]++;
      return;
    }
    if (this.#isClient && !this.#heardServer) {
      this.#heardServer = true;
      this.#remoteIds.adopt(bytes.slice(header.sourceStart, header.sourceEnd));
      this.#token = new Uint8Array(0);
    }
    this.#path.local ??= datagram.destination;
    this.#path.onReceived(bytes.length);
    // Who uses an id that only this end's packets told has received them (RFC 9000, section 8.1).
    if (own && !this.#path.validated) this.#path.validate();
    this.#credited(datagram, packetNumber, EPOCH_HANDSHAKE, nowMs);
    this.#onFrames(datagram, EPOCH_HANDSHAKE, nowMs);
    this.#pumpHandshake(nowMs);
  }

  /** A genuine, new, well-formed packet. */
  #credited(datagram: ReceivedDatagram, packetNumber: number, epoch: Epoch, nowMs: number): void {
    this.stats.receivedPackets++;
    this.stats.receivedBytes += datagram.bytes.length;
    this.#idle.onReceived(nowMs);
    this.#trackers[epoch].add(packetNumber, datagram.ecn, nowMs);
  }

  #onFrames(datagram: ReceivedDatagram, epoch: Epoch, nowMs: number): void {
    const { bytes } = datagram;
    const reader = this.#reader;
    const data = epoch === EPOCH_DATA;
    let eliciting = false;
    let immediate = datagram.ecn === 3;
    for (;;) {
      const type = reader.next();
      if (type === NO_MORE_FRAMES) break;
      if (type !== FRAME_PADDING && type !== FRAME_ACK && type !== FRAME_ACK_ECN && type !== FRAME_CLOSE) {
        eliciting = true;
      }
      switch (type) {
        case FRAME_PADDING:
        case FRAME_PING:
          break;
        case FRAME_IMMEDIATE_ACK:
          immediate = true;
          break;
        case FRAME_ACK:
        case FRAME_ACK_ECN:
          this.#onAck(epoch, type === FRAME_ACK_ECN, nowMs);
          break;
        case FRAME_CONTROL:
          this.#onControl(bytes, epoch);
          if (!this.#confirmed) immediate = true;
          break;
        case FRAME_CLOSE:
          this.#onClose(bytes, nowMs);
          break;
        case EXTENSION_FIRST:
          this.stats.skippedFrames++;
          break;
        default:
          if (data) this.#onDataFrame(type, datagram, nowMs);
          else this.drops["wrong-epoch"]++;
      }
      if (this.#closing !== null) return;
    }
    if (!eliciting) return;
    this.#policies[epoch].onReceived(bytes.length, nowMs);
    if (immediate) this.#policies[epoch].demand();
  }

  #onDataFrame(type: number, datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const reader = this.#reader;
    switch (type) {
      case FRAME_SESSION:
      case FRAME_SESSION_LENGTH:
        this.#onFlow(nowMs);
        if (reader.dataEnd > reader.dataStart) {
          this.#user.receive(bytes, reader.dataStart, reader.dataEnd, nowMs);
        }
        break;
      case FRAME_ACK_FREQUENCY:
        this.#policies[EPOCH_DATA].onFrequency(reader.number, reader.threshold, reader.delayMs);
        break;
      case FRAME_PATH_CHALLENGE:
        if (this.#responses.length >= MAX_RESPONSES) this.#responses.shift();
        this.#responses.push({
          data: bytes.slice(reader.dataStart, reader.dataEnd),
          remote: datagram.source,
          local: datagram.destination,
          bytes: bytes.length,
        });
        // The peer is not sure of this end's address and may send little: a ping, repeated until it is answered, gives it
        // leave to send and to ask again when the response is lost.
        this.#pingWanted = true;
        break;
      default:
        if (type === FRAME_PATH_RESPONSE && this.#path.onResponse(bytes, reader.dataStart)) this.#previousPath = null;
    }
  }

  /** Counts the packets of a flow that this end takes in, for `#flowSilentMs`. */
  #onFlow(nowMs: number): void {
    if (nowMs > this.#flowSilentMs) this.#flowPackets = 0;
    this.#flowPackets++;
    this.#flowMs = nowMs;
  }

  /**
   * When a client that was taking in a flow should wonder why it stopped. It may have got another address without knowing,
   * and only a packet of its own tells the peer where to send. Infinity when there is no flow, or it will ask anyway.
   */
  get #flowSilentMs(): number {
    if (!this.#isClient || this.#flowPackets < FLOW_PACKETS || this.#ledger.outstanding > 0) {
      return Number.POSITIVE_INFINITY;
    }
    return this.#flowMs + Math.max(FLOW_SILENCE_RTTS * this.rtt.estimateMs, FLOW_SILENCE_LEAST_MS);
  }

  #onControl(bytes: Uint8Array, epoch: Epoch): void {
    const { number, batchSize, symbol, dataStart, dataEnd } = this.#reader;
    this.#deliveringEpoch = epoch;
    const data = bytes.subarray(dataStart, dataEnd);
    const verdict = this.#controlReceivers[epoch].receive(number, batchSize, symbol, data, this.#deliver);
    if (verdict !== "taken") this.drops[verdict]++;
  }

  readonly #deliver = (bytes: Uint8Array): void => {
    const epoch = this.#deliveringEpoch;
    if (this.#closing !== null) return;
    if (!this.#records[epoch].push(bytes, this.#onRecord)) this.#protocolError("no control records", this.#nowMs);
  };

  readonly #onRecord = (type: number, body: Uint8Array): void => {
    if (this.#closing !== null) return;
    if (type === RECORD_HANDSHAKE) {
      this.#handshake.receive(body);
      return;
    }
    if (this.#deliveringEpoch === EPOCH_HANDSHAKE) {
      if (type === RECORD_PARAMETERS && this.#peer === null) this.#onParameters(body);
      else if (type < 0x40) this.drops["wrong-epoch"]++;
      return;
    }
    switch (type) {
      case RECORD_NEW_ID: {
        const fresh = decodeNewId(body);
        if (fresh === null || fresh.id.length !== this.#remoteIds.current.length) {
          this.#protocolError("a connection id that is none", this.#nowMs);
        } else if (!this.#remoteIds.add(fresh.sequence, fresh.id, fresh.resetToken)) {
          this.#protocolError("more connection ids than asked for", this.#nowMs);
        }
        break;
      }
      case RECORD_RETIRE_ID: {
        const id = this.#localIds.retire(readVarint(body, 0, body.length));
        if (id !== null) this.#idSource.retire(id);
        this.#issueIds();
        break;
      }
      case RECORD_TOKEN:
        if (this.#isClient && body.length <= MAX_TOKEN_BYTES) this.#receivedToken = body.slice();
        break;
      default:
        break;
    }
  };

  #onParameters(body: Uint8Array): void {
    const peer = decodeParameters(body);
    if (peer === null) {
      this.#protocolError("parameters that are none", this.#nowMs);
      return;
    }
    this.#peer = peer;
    this.#maxDatagramBytes = Math.min(this.#maxDatagramBytes, peer.maxDatagramBytes);
    this.#path.mtu.restrict(this.#maxDatagramBytes);
    this.#idle.negotiate(peer.idleTimeoutMs);
    if (this.#isClient && peer.resetToken !== null) this.#remoteIds.setToken(peer.resetToken);
    this.#handshake.bind(this.#transcript(body));
  }

  /** All that was said before the handshake, each part with its length. */
  #transcript(peerParameters: Uint8Array): Uint8Array {
    const client = this.#isClient;
    const parts = [
      new Uint8Array([VERSION >>> 24, (VERSION >>> 16) & 255, (VERSION >>> 8) & 255, VERSION & 255]),
      this.#keyId,
      this.#saidToken,
      client ? this.#firstLocalId : this.#remoteIds.current,
      client ? this.#remoteIds.current : this.#firstLocalId,
      client ? this.#localParameters : peerParameters,
      client ? peerParameters : this.#localParameters,
    ];
    const out = new Uint8Array(parts.reduce((sum, part) => sum + 2 + part.length, 0));
    let at = 0;
    for (const part of parts) {
      out[at] = part.length >> 8;
      out[at + 1] = part.length;
      out.set(part, at + 2);
      at += 2 + part.length;
    }
    return out;
  }

  #onClose(bytes: Uint8Array, nowMs: number): void {
    const { number, dataStart, dataEnd } = this.#reader;
    const text = new TextDecoder().decode(bytes.subarray(dataStart, Math.min(dataEnd, dataStart + MAX_REASON_BYTES)));
    this.#close({ cause: "peer", code: number, text }, false, nowMs);
  }

  #onRetry(bytes: Uint8Array, nowMs: number): void {
    const header = this.#header;
    const first = this.#isClient && !this.#heardServer && this.#token.length === 0 && this.#closing === null;
    const ours = equalAt(bytes, header.destinationStart, header.destinationEnd, this.#firstLocalId);
    const tokenBytes = header.tokenEnd - header.tokenStart;
    if (!first || !ours || tokenBytes === 0 || header.headerEnd + TAG_BYTES !== bytes.length) {
      this.drops["unexpected-packet"]++;
      return;
    }
    if (this.#handshakeKeys === null || !this.#handshakeKeys.opener.open(bytes, header.headerEnd, 0)) {
      this.drops["not-authentic"]++;
      return;
    }
    this.#token = bytes.slice(header.tokenStart, header.tokenEnd);
    this.#saidToken = this.#token;
    this.#keyId = bytes.slice(header.sourceStart, header.sourceEnd);
    this.#remoteIds.adopt(this.#keyId);
    this.#handshakeKeys = this.#options.protection.handshakeKeys(this.#keyId, "client");
    this.#forgetHandshake(nowMs);
  }

  #onVersionNegotiation(bytes: Uint8Array, nowMs: number): void {
    const header = this.#header;
    const ours = equalAt(bytes, header.destinationStart, header.destinationEnd, this.#firstLocalId);
    let known = false;
    for (let at = header.numberStart; at < bytes.length; at += 4) {
      known ||= ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0 === VERSION;
    }
    if (!this.#isClient || this.#heardServer || known || !ours || this.#closing !== null) {
      this.drops["unexpected-packet"]++;
      return;
    }
    this.#close({ cause: "version", code: CLOSE_NO_ERROR, text: "the peer speaks no version of ours" }, false, nowMs);
  }

  // ---------------------------------------------------------------- acknowledgements and loss

  #onAck(epoch: Epoch, counted: boolean, nowMs: number): void {
    const reader = this.#reader;
    const ledger = this.#ledger;
    const largest = reader.number;
    if (largest >= ledger.next) {
      this.drops["impossible-ack"]++;
      if (epoch === EPOCH_DATA) this.#protocolError("an ACK of what was not sent", nowMs);
      return;
    }
    const delayMs = Math.min(reader.delayMs, this.#peer?.ackDelayMs ?? MAX_ACK_DELAY_MS);
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
          this.#protocolError("an ACK of a number that was skipped", nowMs);
          return;
        }
        if (state === STATE_NONE || state === STATE_ACKED || (ledger.flags(n) & SENT_HANDSHAKE) !== wanted) continue;
        newly++;
        if (n > largestNew) largestNew = n;
        if ((ledger.flags(n) & SENT_ECT) !== 0) newlyMarked++;
        this.#onPacketAcked(n, state === STATE_LOST, epoch, nowMs);
        // The user may have closed the link: all is settled then.
        if (this.#closing !== null) return;
      }
    }
    if (newly === 0) return;
    const advanced = largest > this.#loss.largestAcked(epoch);
    this.#loss.onAcked(largestNew, epoch);
    let sampleMs = Number.NaN;
    if (largestNew === largest && (ledger.flags(largest) & SENT_OLD_PATH) === 0) {
      const elapsed = Math.max(nowMs - ledger.sentMs(largest), 0);
      this.rtt.onSample(elapsed, delayMs, nowMs);
      sampleMs = elapsed - delayMs >= this.rtt.minMs ? elapsed - delayMs : elapsed;
    }
    this.#probes = 0;
    this.#probesWanted = 0;
    this.#handshakeProbesWanted = 0;
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
    this.#updateCongestion(sampleMs, marks, nowMs);
  }

  #onPacketAcked(n: number, wasLost: boolean, epoch: Epoch, nowMs: number): void {
    const ledger = this.#ledger;
    const flags = ledger.flags(n);
    const bytes = ledger.bytes(n);
    const wireBytes = bytes + this.#overhead;
    if (wasLost) {
      this.stats.spuriousLosses++;
      this.#lossRate = Math.max(0, this.#lossRate - 1 / LOSS_RATE_PACKETS);
      this.#loss.onSpurious(n, epoch, nowMs);
      if ((flags & (SENT_IN_FLIGHT | SENT_MTU_PROBE)) === SENT_IN_FLIGHT) {
        this.#congestion.onSpuriousLoss(n, wireBytes, nowMs);
      }
    } else {
      this.stats.ackedPackets++;
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        this.#inFlight -= wireBytes;
        this.#congestion.onPacketAcked(n, wireBytes, nowMs);
      }
      this.#lossRate -= this.#lossRate / LOSS_RATE_PACKETS;
    }
    ledger.settle(n, STATE_ACKED);
    if ((flags & SENT_OLD_PATH) === 0) {
      if ((flags & SENT_MTU_PROBE) !== 0) {
        if (this.#path.mtu.onProbeAcked(bytes, nowMs)) this.#payloadChanged(nowMs);
      } else {
        this.#path.mtu.onPacketAcked(bytes);
      }
    }
    if ((flags & SENT_ACK) !== 0) this.#trackers[epoch].confirm(ledger.ackFrame(n));
    if ((flags & SENT_CONTROL) !== 0) this.#controlSenders[epoch].onAcked(ledger.control(n));
    if ((flags & SENT_TAGGED) === 0) return;
    if (wasLost) this.#user.spurious(ledger.tag(n), nowMs);
    else this.#user.acked(ledger.tag(n), nowMs);
  }

  #onLost(n: number): void {
    const nowMs = this.#nowMs;
    const ledger = this.#ledger;
    const flags = ledger.flags(n);
    const bytes = ledger.bytes(n);
    const probe = (flags & SENT_MTU_PROBE) !== 0;
    this.stats.lostPackets++;
    if ((flags & SENT_IN_FLIGHT) !== 0) {
      this.#inFlight -= bytes + this.#overhead;
      if (probe) this.#congestion.onPacketForgotten(n, bytes + this.#overhead, nowMs);
      else this.#congestion.onPacketLost(n, bytes + this.#overhead, nowMs);
    }
    if ((flags & SENT_OLD_PATH) === 0) {
      if (probe) this.#path.mtu.onProbeLost(bytes, this.#lossRate, nowMs);
      else {
        this.#lossRate += (1 - this.#lossRate) / LOSS_RATE_PACKETS;
        if (this.#path.mtu.onPacketLost(bytes, this.#lossRate, nowMs)) this.#payloadChanged(nowMs);
      }
    }
    if ((flags & SENT_CONTROL) !== 0) {
      const epoch = (flags & SENT_HANDSHAKE) !== 0 ? EPOCH_HANDSHAKE : EPOCH_DATA;
      this.#controlSenders[epoch].onLost(ledger.control(n));
    }
    if ((flags & SENT_TAGGED) !== 0) this.#user.lost(ledger.tag(n), nowMs);
  }

  #detectLosses(nowMs: number): void {
    let lost = this.#loss.detect(EPOCH_HANDSHAKE, nowMs, this.#lossListener);
    lost += this.#loss.detect(EPOCH_DATA, nowMs, this.#lossListener);
    if (lost > 0) this.#updateCongestion(Number.NaN, 0, nowMs);
  }

  #updateCongestion(rttMs: number, marks: number, nowMs: number): void {
    const update = this.#update;
    update.nowMs = nowMs;
    update.rttMs = rttMs;
    update.smoothedRttMs = this.rtt.smoothedMs;
    update.inFlightBytes = this.#inFlight;
    update.congestionMarks = marks;
    this.#congestion.onUpdate(update);
    if (this.#loss.persistent) this.#congestion.onPersistentCongestion(nowMs);
  }

  /** When a probe is due: when something is unanswered, or the client must keep the handshake going. */
  get #probeMs(): number {
    if (this.#closing !== null) return Number.POSITIVE_INFINITY;
    if (this.#loss.lossMs !== Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
    if (this.#ledger.outstanding === 0 && !(this.#isClient && !this.#confirmed)) return Number.POSITIVE_INFINITY;
    const silence = this.#nowMs - this.#idle.receivedMs;
    let intervalMs = this.#loss.probeIntervalMs(this.#probes, silence, this.#peerAckDelayMs);
    if (!this.#confirmed && silence < HASTE_MS) {
      // A handshake packet too many costs less than a round trip too many.
      if (this.rtt.sampled) intervalMs = Math.min(intervalMs, Math.max(1.5 * this.rtt.smoothedMs, FIRST_PROBE_MS));
      else if (this.#isClient) intervalMs = Math.min(intervalMs, FIRST_PROBE_MS * 2 ** Math.min(this.#probes, 10));
    }
    return this.#lastElicitingMs + intervalMs;
  }

  #onProbeTimeout(nowMs: number): void {
    this.#probes++;
    this.#probesWanted = 1;
    this.stats.probes++;
    this.#lastElicitingMs = nowMs;
    if (this.#handshakeKeys !== null) {
      // In both epochs: a client cannot know which of them the server is in.
      this.#controlSenders[EPOCH_HANDSHAKE].probe(HANDSHAKE_PROBES);
      this.#handshakeProbesWanted = HANDSHAKE_PROBES;
    }
    this.#controlSenders[EPOCH_DATA].probe(1);
  }

  // ---------------------------------------------------------------- handshake

  /** Moves bytes and keys between the handshake and the link. */
  #pumpHandshake(nowMs: number): void {
    if (this.#closing !== null) return;
    const handshake = this.#handshake;
    if (handshake.failure !== null) {
      this.#close({ cause: "handshake", code: CLOSE_HANDSHAKE, text: handshake.failure }, true, nowMs);
      return;
    }
    for (;;) {
      const bytes = handshake.poll();
      if (bytes === null) break;
      const epoch = this.#keys === null ? EPOCH_HANDSHAKE : EPOCH_DATA;
      for (let at = 0; at < bytes.length; at += 8192) {
        const record = encodeRecord(RECORD_HANDSHAKE, bytes.subarray(at, at + 8192));
        if (!this.#controlSenders[epoch].write(record)) {
          this.#close({ cause: "handshake", code: CLOSE_HANDSHAKE, text: "a flight too long" }, true, nowMs);
          return;
        }
      }
    }
    if (this.#keys !== null || this.#peer === null) return;
    const keys = handshake.keys();
    if (keys === null) return;
    this.#keys = keys;
    this.#state = "established";
    this.#phaseFirstSent = this.#ledger.next;
    this.#user.established(this.#peer, nowMs);
    if (this.#isClient) return;
    this.#confirm(nowMs);
    // Tickets and the like are ready now that there are keys.
    this.#pumpHandshake(nowMs);
    const early = this.#early;
    this.#early = [];
    for (const datagram of early) this.handleDatagram(datagram, nowMs);
  }

  /** Both ends have the keys: the handshake epoch is over. */
  #confirm(nowMs: number): void {
    this.#confirmed = true;
    this.#handshakeKeys = null;
    this.#forgetHandshake(nowMs);
    this.#controlSenders[EPOCH_HANDSHAKE].destroy();
    this.#controlReceivers[EPOCH_HANDSHAKE].destroy();
    this.#loss.discard(EPOCH_HANDSHAKE);
    this.#probes = 0;
    if (!this.#path.validated) this.#path.validate();
    this.#issueIds();
  }

  /** Waits no more for packets of the handshake epoch; their symbols count as lost. */
  #forgetHandshake(nowMs: number): void {
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING || (ledger.flags(n) & SENT_HANDSHAKE) === 0) continue;
      const flags = ledger.flags(n);
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        this.#inFlight -= ledger.bytes(n) + this.#overhead;
        this.#congestion.onPacketForgotten(n, ledger.bytes(n) + this.#overhead, nowMs);
      }
      ledger.settle(n, STATE_ACKED);
      if ((flags & SENT_CONTROL) !== 0) this.#controlSenders[EPOCH_HANDSHAKE].onLost(ledger.control(n));
    }
  }

  /** Gives the peer as many connection ids as it may have. */
  #issueIds(): void {
    while (this.#localIds.wanted > 0) {
      const id = this.#idSource.issue();
      const sequence = this.#localIds.issue(id);
      const record = encodeNewId(sequence, id, this.#idSource.resetToken(id));
      if (!this.#controlSenders[EPOCH_DATA].write(record)) return;
    }
  }

  #rotateId(): void {
    const retired = this.#remoteIds.rotate();
    if (retired >= 0) this.#controlSenders[EPOCH_DATA].write(encodeRetireId(retired));
  }

  // ---------------------------------------------------------------- paths

  /** A packet of a higher number than any before says where the peer is. */
  #onHighest(datagram: ReceivedDatagram, idSequence: number, nowMs: number): void {
    const { source, destination } = datagram;
    const path = this.#path;
    const rotated = idSequence !== this.#lastIdUsed;
    this.#lastIdUsed = idSequence;
    if (sameAddress(source, path.remote)) {
      const moved = path.local !== null && !sameIp(path.local, destination);
      path.local = destination;
      // The peer's packets come to another address of ours: this end moved.
      if (moved && this.#isClient) this.localAddressChanged(nowMs);
      return;
    }
    const restarted = !sameIp(source, path.remote);
    const previous = this.#previousPath;
    if (path.validated) this.#previousPath = path;
    if (previous !== null && sameAddress(source, previous.remote)) {
      // Back where it was, which needs no new proof.
      this.#path = previous;
      this.#previousPath = path.validated ? path : null;
    } else {
      this.#path = new Path(source, destination, false, this.#maxDatagramBytes);
      if (!restarted) this.#path.mtu = path.mtu;
      this.#challengePath(this.#path, nowMs);
    }
    if (rotated) this.#rotateId();
    if (restarted) this.#restart(nowMs);
    // What is on its way to the old address is lost; an answer from the new one shows it soonest.
    this.#probesWanted = 1;
    this.stats.pathChanges++;
    this.#user.pathChanged(source, restarted, nowMs);
  }

  #challengePath(path: Path, nowMs: number): void {
    const data = new Uint8Array(PATH_DATA_BYTES);
    this.#random(data);
    const patience = Math.max(VALIDATION_PTOS * this.#loss.timeoutMs(this.#peerAckDelayMs), VALIDATION_LEAST_MS);
    path.challenge(data, nowMs, nowMs + patience);
  }

  /** The peer gave no proof that it is where its packets seemed to come from: back to where it was. */
  #validationFailed(nowMs: number): void {
    const failed = this.#path;
    this.stats.failedValidations++;
    const previous = this.#previousPath;
    if (previous === null || failed.validated) {
      // There is nowhere to go back to; go on asking.
      this.#challengePath(failed, nowMs);
      return;
    }
    this.#path = previous;
    this.#previousPath = null;
    const restarted = !sameIp(failed.remote, previous.remote);
    if (restarted) this.#restart(nowMs);
    this.#user.pathChanged(previous.remote, restarted, nowMs);
  }

  /** Another network: RTT, congestion control and ECN start again, what is in flight belongs to the old one. */
  #restart(nowMs: number): void {
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING) continue;
      const flags = ledger.flags(n);
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        const bytes = ledger.bytes(n) + this.#overhead;
        this.#inFlight -= bytes;
        this.#congestion.onPacketForgotten(n, bytes, nowMs);
      }
      ledger.setFlags(n, (flags & ~SENT_IN_FLIGHT) | SENT_OLD_PATH);
    }
    this.rtt.reset();
    this.#congestion.onPathChange(nowMs);
    this.#ecn.restart();
    this.#toldThreshold = 0;
    this.#probes = 0;
    this.#payloadChanged(nowMs);
  }

  #payloadChanged(nowMs: number): void {
    this.#congestion.setPacketBytes(this.#path.mtu.current + this.#overhead);
    this.#user.payloadBytesChanged(this.payloadBytes, nowMs);
  }

  // ---------------------------------------------------------------- sending

  /** A response to a challenge, to wherever that came from, or a challenge of the present path. */
  #sendPathFrame(transmit: Transmit, nowMs: number): boolean {
    if (this.#keys === null) return false;
    const response = this.#responses[0];
    const path = this.#path;
    if (response !== undefined) {
      const here = sameAddress(response.remote, path.remote);
      // No more than came from there: an answer must not amplify.
      const limit = Math.min(response.bytes, here ? path.allowance : response.bytes, BASE_DATAGRAM_BYTES);
      if (limit >= LEAST_PACKET_BYTES || response.bytes < LEAST_PACKET_BYTES) {
        this.#responses.shift();
        return this.#sendPathPacket(transmit, FRAME_PATH_RESPONSE, response.data, limit, response, nowMs);
      }
    }
    if (path.nextChallengeMs > nowMs || path.allowance < LEAST_PATH_PACKET_BYTES) return false;
    const interval = Math.max(CHALLENGE_LEAST_MS, this.rtt.sampled ? this.rtt.smoothedMs : 0);
    path.onChallengeSent(nowMs, interval);
    // Padding must not eat the leave to ask again.
    const limit = path.allowance >= 2 * BASE_DATAGRAM_BYTES ? BASE_DATAGRAM_BYTES : LEAST_PATH_PACKET_BYTES;
    return this.#sendPathPacket(transmit, FRAME_PATH_CHALLENGE, path.challengeData, limit, path, nowMs);
  }

  #sendPathPacket(
    transmit: Transmit,
    type: number,
    data: Uint8Array,
    bytes: number,
    to: { remote: Address; local: Address | null },
    nowMs: number,
  ): boolean {
    const out = transmit.buffer;
    const headerEnd = this.#writeShort(out);
    let at = writePathFrame(out, headerEnd, type, data);
    // Padded, as far as allowed, so that the path proves to carry full packets (RFC 9000, section 8.2.1).
    if (at + TAG_BYTES < bytes) {
      out.fill(FRAME_PADDING, at, bytes - TAG_BYTES);
      at = bytes - TAG_BYTES;
    }
    // Path frames have their own retry: nobody waits for their ACK.
    this.#seal(transmit, EPOCH_DATA, headerEnd, at, SENT_NOTHING, 0, 0, 0, nowMs);
    transmit.destination = to.remote;
    return true;
  }

  #sendHandshake(transmit: Transmit, nowMs: number): boolean {
    const path = this.#path;
    const control = this.#controlSenders[EPOCH_HANDSHAKE];
    const policy = this.#policies[EPOCH_HANDSHAKE];
    const size = Math.min(BASE_DATAGRAM_BYTES, path.allowance);
    if (size < LEAST_PACKET_BYTES) return false;
    const window = Math.max(this.#congestion.windowBytes, HANDSHAKE_WINDOW_BYTES);
    const probing = this.#handshakeProbesWanted > 0;
    const open = probing || this.#inFlight + BASE_DATAGRAM_BYTES + this.#overhead <= window;
    const ackDue = policy.due(nowMs);
    const symbolReady = open && control.ready;
    // A client whose first flight is not answered yet, or whose server waits for permission to send, keeps asking.
    const ping = probing && !symbolReady && this.#isClient;
    if (!symbolReady && !ackDue && !ping) return false;
    const out = transmit.buffer;
    const packetNumber = this.#ledger.next;
    const numberBytes = packetNumberBytes(packetNumber, this.#loss.largestAcked(EPOCH_HANDSHAKE));
    const id = this.#remoteIds.current;
    let at = writeHandshakeHeader(out, 0, id, this.#firstLocalId, this.#isClient ? this.#token : NO_BYTES, numberBytes);
    at = writePacketNumber(out, at, packetNumber, numberBytes);
    const headerEnd = at;
    const limit = size - TAG_BYTES;
    let flags = SENT_HANDSHAKE;
    let name = 0;
    let symbolEnd = 0;
    if (symbolReady) {
      // The symbol's room first: an ACK that does not fit beside it waits.
      const { batch, batchSize, symbol, bytes } = control.choose();
      const needed = controlFrameBytes(batch, bytes) + bytes;
      if (at + needed <= limit) {
        at = writeControlHeader(out, at, batch, batchSize, symbol, bytes);
        name = control.writeChosen(out, at);
        at += bytes;
        symbolEnd = at;
        flags |= SENT_CONTROL | SENT_IN_FLIGHT;
      } else if (!ackDue) {
        return false;
      }
    }
    if (policy.pending) {
      const end = this.#trackers[EPOCH_HANDSHAKE].write(out, at, limit - at, nowMs);
      if (end > at) {
        flags |= SENT_ACK;
        at = end;
      }
    }
    if (ping) {
      out[at++] = FRAME_PING;
      flags |= SENT_IN_FLIGHT;
    }
    if (at === headerEnd) return false;
    if (this.#isClient && (symbolEnd > 0 || ping || !this.#heardServer) && at < limit) {
      out.fill(FRAME_PADDING, at, limit);
      at = limit;
    }
    if ((flags & SENT_IN_FLIGHT) !== 0 && probing) this.#handshakeProbesWanted--;
    if ((flags & SENT_ACK) !== 0) policy.onSent(0, nowMs);
    this.#seal(transmit, EPOCH_HANDSHAKE, headerEnd, at, flags, 0, name, this.#trackers[0].lastFrame, nowMs);
    return true;
  }

  #sendMtuProbe(transmit: Transmit, nowMs: number): boolean {
    const path = this.#path;
    if (!this.#confirmed || !path.validated || path.challenging || this.#graceful !== null) return false;
    const bytes = path.mtu.due(nowMs);
    if (bytes <= path.mtu.current) return false;
    if (this.#inFlight + bytes + this.#overhead > this.#congestion.windowBytes) return false;
    const out = transmit.buffer;
    const headerEnd = this.#writeShort(out);
    let at = headerEnd;
    out[at++] = FRAME_PING;
    out[at++] = FRAME_IMMEDIATE_ACK;
    out.fill(FRAME_PADDING, at, bytes - TAG_BYTES);
    at = bytes - TAG_BYTES;
    path.mtu.onProbeSent();
    this.stats.mtuProbes++;
    this.#seal(transmit, EPOCH_DATA, headerEnd, at, SENT_MTU_PROBE | SENT_IN_FLIGHT, 0, 0, 0, nowMs);
    return true;
  }

  #sendData(transmit: Transmit, nowMs: number): boolean {
    const path = this.#path;
    const policy = this.#policies[EPOCH_DATA];
    const control = this.#controlSenders[EPOCH_DATA];
    const congestion = this.#congestion;
    const size = Math.min(path.mtu.current, this.#allowance);
    if (size < LEAST_PACKET_BYTES) return false;
    const probing = this.#probesWanted > 0;
    const open = this.#inFlight + size + this.#overhead <= congestion.windowBytes && !this.#ledger.full;
    const paced = open && this.#pacer.maySend(congestion.pacingRate, nowMs);
    const maySend = probing || paced;
    const ackDue = policy.due(nowMs);
    const wants = this.#graceful === null && this.#user.ready(nowMs);
    const controlReady = this.#confirmed && control.ready;
    const content = wants || controlReady;
    if (!maySend) {
      if (open && (content || this.#pingWanted)) {
        this.#paceMs = this.#pacer.nextMs(congestion.pacingRate, nowMs) + PACING_QUANTUM_MS;
      }
      if (!ackDue) return false;
    }
    const out = transmit.buffer;
    const headerEnd = this.#writeShort(out);
    const limit = size - TAG_BYTES;
    let at = headerEnd;
    let flags = 0;
    if (ackDue || (maySend && content && policy.pending && policy.worthwhile(nowMs))) {
      const end = this.#trackers[EPOCH_DATA].write(out, at, limit - at, nowMs);
      if (end > at) {
        flags |= SENT_ACK;
        at = end;
      }
    }
    const ackEnd = at;
    let tag = 0;
    let name = 0;
    if (maySend) {
      if (this.#confirmed && content && limit - at >= LEAST_ROOM && this.#wantsFrequency())
        at = this.#writeFrequency(out, at);
      if (controlReady) {
        const { batch, batchSize, symbol, bytes } = control.choose();
        if (at + controlFrameBytes(batch, bytes) + bytes <= limit) {
          at = writeControlHeader(out, at, batch, batchSize, symbol, bytes);
          name = control.writeChosen(out, at);
          at += bytes;
          flags |= SENT_CONTROL;
        }
      }
      if (wants && this.#sinceGrease === 0 && at === headerEnd) {
        at = this.#writeGrease(out, at);
        this.#sinceGrease = GREASE_INTERVAL;
      }
      // Every second probe is small: if full packets vanish, something must get through to show it. In an outage all are.
      const small = probing && (this.#probes % 2 === 0 || this.#probes > FULL_PROBES);
      if (wants && !small && limit - at > LEAST_ROOM) {
        const fill = this.#fill;
        fill.buffer = out;
        fill.start = at + 1;
        fill.room = limit - at - 1;
        fill.probe = probing;
        fill.length = 0;
        fill.tag = 0;
        this.#user.fill(fill, nowMs);
        if (this.#closing !== null) return this.#sendClose(transmit, nowMs);
        if (fill.length > 0) {
          out[at] = FRAME_SESSION;
          at += 1 + Math.min(fill.length, fill.room);
          tag = fill.tag;
          flags |= SENT_TAGGED;
          if (this.#sinceGrease > 0) this.#sinceGrease--;
        }
      }
      const silent = at === ackEnd && this.#pingWanted;
      if ((silent || (probing && (flags & SENT_TAGGED) === 0)) && at + 2 <= limit) {
        out[at++] = FRAME_PING;
        out[at++] = FRAME_IMMEDIATE_ACK;
        // Not too small: if this end has moved, it is all that the peer may answer thrice of.
        const end = Math.min(limit, LEAST_PING_BYTES - TAG_BYTES);
        if (at < end) {
          out.fill(FRAME_PADDING, at, end);
          at = end;
        }
      }
    }
    if (at === headerEnd || (at === ackEnd && (flags & SENT_ACK) === 0)) {
      if (paced) congestion.onAppLimited(this.#inFlight, nowMs);
      return false;
    }
    if (at > ackEnd) {
      flags |= SENT_IN_FLIGHT;
      this.#pingWanted = false;
      if (probing) this.#probesWanted--;
    }
    if ((flags & SENT_ACK) !== 0) {
      const alone = at === ackEnd;
      policy.onSent(alone ? at + TAG_BYTES + this.#overhead : ackEnd - headerEnd, nowMs);
      if (alone) {
        this.stats.ackPackets++;
        this.stats.ackBytes += at + TAG_BYTES;
      }
    }
    this.#seal(transmit, EPOCH_DATA, headerEnd, at, flags, tag, name, this.#trackers[EPOCH_DATA].lastFrame, nowMs);
    return true;
  }

  #sendClose(transmit: Transmit, nowMs: number): boolean {
    const closing = this.#closing!;
    if (this.#state === "closed" || !closing.due(nowMs)) return false;
    closing.onSent(nowMs);
    // As long as it is not known which keys the peer has, CLOSE leaves under both in turn.
    const data = this.#keys !== null && (this.#handshakeKeys === null || closing.sent % 2 === 1);
    const epoch = data ? EPOCH_DATA : EPOCH_HANDSHAKE;
    const out = transmit.buffer;
    if (this.#path.allowance < LEAST_PACKET_BYTES) return false;
    let headerEnd: number;
    if (epoch === EPOCH_DATA) {
      headerEnd = this.#writeShort(out);
    } else {
      if (this.#handshakeKeys === null) return false;
      const id = this.#remoteIds.current;
      headerEnd = writeHandshakeHeader(out, 0, id, this.#firstLocalId, this.#isClient ? this.#token : NO_BYTES, 4);
      headerEnd = writePacketNumber(out, headerEnd, this.#ledger.next, 4);
    }
    const reason = new TextEncoder().encode(closing.reason.text).subarray(0, MAX_REASON_BYTES);
    const limit = Math.min(BASE_DATAGRAM_BYTES, this.#path.allowance) - TAG_BYTES;
    const text = headerEnd + 12 + reason.length <= limit ? reason : NO_BYTES;
    let at = writeClose(out, headerEnd, closing.reason.code, text);
    if (epoch === EPOCH_HANDSHAKE && this.#isClient && at < limit) {
      out.fill(FRAME_PADDING, at, limit);
      at = limit;
    }
    this.#seal(transmit, epoch, headerEnd, at, SENT_NOTHING, 0, 0, 0, nowMs);
    return true;
  }

  #writeShort(out: Uint8Array): number {
    if (this.#ledger.next >= this.#nextSkip) this.#skipNumber();
    const packetNumber = this.#ledger.next;
    const numberBytes = packetNumberBytes(packetNumber, this.#loss.largestAcked(EPOCH_DATA));
    const at = writeShortHeader(out, 0, this.#remoteIds.current, this.#keyPhase, numberBytes);
    return writePacketNumber(out, at, packetNumber, numberBytes);
  }

  /**
   * Leaves a packet number out at a place that nobody can foresee: a peer that acknowledges what it did not get, to be
   * sent more than the path carries, gives itself away (RFC 9000, section 21.4).
   */
  #skipNumber(): void {
    const bytes = new Uint8Array(2);
    this.#random(bytes);
    const first = this.#nextSkip === 0;
    this.#nextSkip = this.#ledger.next + SKIP_LEAST + (((bytes[0] << 8) | bytes[1]) % SKIP_LEAST);
    if (!first) this.#ledger.skip(STATE_SKIPPED);
  }

  /** Whether rate and round trip changed so much that the peer should send ACKs at another pace. */
  #wantsFrequency(): boolean {
    if (!this.rtt.sampled) return false;
    const { threshold, delayMs } = this.#ackWishes();
    const told = this.#toldThreshold;
    if (told === 0) return threshold !== 2 || Math.abs(delayMs - 5) > 1;
    return (
      threshold >= 2 * told ||
      threshold * 2 <= told ||
      delayMs > 1.5 * this.#toldDelayMs ||
      delayMs * 1.5 < this.#toldDelayMs
    );
  }

  #ackWishes(): { threshold: number; delayMs: number } {
    const packets = this.#inFlight / (this.#path.mtu.current + this.#overhead);
    return { threshold: wantedAckThreshold(packets), delayMs: wantedAckDelayMs(this.rtt.minMs) };
  }

  #writeFrequency(out: Uint8Array, at: number): number {
    const { threshold, delayMs } = this.#ackWishes();
    this.#toldThreshold = threshold;
    this.#toldDelayMs = delayMs;
    return writeAckFrequency(out, at, this.#frequencySequence++, threshold, delayMs);
  }

  #writeGrease(out: Uint8Array, at: number): number {
    const bytes = new Uint8Array(4);
    this.#random(bytes);
    const span = EXTENSION_LAST - EXTENSION_FIRST + 1;
    const type = EXTENSION_FIRST + (((bytes[0] << 8) | bytes[1]) % span);
    return writeExtension(out, at, type, bytes.subarray(2, 2 + (bytes[2] & 1)));
  }

  /** Gives the packet its entry in the ledger, seals it and fills in the rest of `transmit`. */
  #seal(
    transmit: Transmit,
    epoch: Epoch,
    headerEnd: number,
    end: number,
    flags: number,
    tag: number,
    name: number,
    ackFrame: number,
    nowMs: number,
  ): void {
    const bytes = end + TAG_BYTES;
    const ledger = this.#ledger;
    const packetNumber = ledger.next;
    const eliciting = flags !== SENT_NOTHING && (flags & ~(SENT_ACK | SENT_HANDSHAKE)) !== 0;
    let ecn: EcnCodepoint = 0;
    if (!eliciting) {
      ledger.skip();
    } else {
      let sentFlags = flags;
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        const wireBytes = bytes + this.#overhead;
        if (epoch === EPOCH_DATA && this.#ecn.marks) {
          ecn = 2;
          sentFlags |= SENT_ECT;
          this.#ecn.onMarkedSent();
        }
        this.#inFlight += wireBytes;
        this.#congestion.onPacketSent(packetNumber, wireBytes, this.#inFlight, nowMs);
        if (epoch === EPOCH_DATA) this.#pacer.onSent(wireBytes);
      }
      ledger.add(nowMs, bytes, sentFlags, tag, name, ackFrame);
      this.#lastElicitingMs = nowMs;
      this.#idle.onSent(nowMs);
    }
    const keys = epoch === EPOCH_DATA ? this.#keys! : this.#handshakeKeys!;
    keys.sealer.seal(transmit.buffer, 0, headerEnd, end, packetNumber);
    if (epoch === EPOCH_DATA && ++this.#phaseSealed >= keys.sealLimit && !this.updateKeys(nowMs)) {
      // Twice the limit without an update getting through: no packet may be sealed with these keys any more.
      if (this.#phaseSealed >= 2 * keys.sealLimit) {
        this.#close({ cause: "local", code: CLOSE_KEYS, text: "the keys are used up" }, true, nowMs);
      }
    }
    this.stats.sentPackets++;
    this.stats.sentBytes += bytes;
    this.#path.onSent(bytes);
    transmit.length = bytes;
    transmit.segmentBytes = 0;
    transmit.destination = this.#path.remote;
    transmit.source = this.#isClient ? null : this.#path.local;
    transmit.ecn = ecn;
  }

  // ---------------------------------------------------------------- the end

  #protocolError(text: string, nowMs: number): void {
    this.#close({ cause: "protocol", code: CLOSE_PROTOCOL, text }, true, nowMs);
  }

  #finishGracefully(nowMs: number): void {
    if (this.#graceful === null || this.#closing !== null) return;
    const settled = this.#ledger.outstanding === 0 && this.#controlSenders[EPOCH_DATA].idle;
    if (settled || nowMs >= this.#gracefulEndMs) this.#close(this.#graceful, true, nowMs);
  }

  /** Ends the link: settles what is in flight, gives memory back, tells user and, if `speaks`, peer. */
  #close(reason: CloseReason, speaks: boolean, nowMs: number): void {
    if (this.#closing !== null) return;
    this.#closing = new Closing(reason, speaks, this.#loss.timeoutMs(this.#peerAckDelayMs), nowMs);
    this.#state = "closing";
    const ledger = this.#ledger;
    for (let n = ledger.lowest; n < ledger.next; n++) {
      if (ledger.state(n) !== STATE_OUTSTANDING) continue;
      const flags = ledger.flags(n);
      if ((flags & SENT_IN_FLIGHT) !== 0) {
        this.#inFlight -= ledger.bytes(n) + this.#overhead;
        this.#congestion.onPacketForgotten(n, ledger.bytes(n) + this.#overhead, nowMs);
      }
      ledger.settle(n, STATE_LOST);
      if ((flags & SENT_TAGGED) !== 0) this.#user.lost(ledger.tag(n), nowMs);
    }
    for (const epoch of [EPOCH_HANDSHAKE, EPOCH_DATA]) {
      this.#controlSenders[epoch].destroy();
      this.#controlReceivers[epoch].destroy();
    }
    this.#early = [];
    this.#responses = [];
    for (const id of this.#localIds.active) this.#idSource.retire(id);
    this.#user.closed(reason, nowMs);
  }
}

const NO_BYTES = new Uint8Array(0);
/** Flags of a packet that nobody acknowledges: a CLOSE. */
const SENT_NOTHING = 0;
