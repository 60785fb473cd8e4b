/**
 * A link: one UDP hop between two nodes. Without I/O, clock or randomness of its own: an `Endpoint` driven by four verbs.
 *
 * It knows no stream, batch or symbol of a session, and sends nothing again but control symbols: the layer above
 * (`LinkUser`) fills packets and hears what became of them.
 *
 * Input from the network never throws and never grows memory beyond fixed bounds: it is used, or dropped and counted.
 *
 * This file is what others see of a link, and how its parts work together:
 *
 *     handleDatagram -> PacketReceiver -> Recovery (ACKs), ControlChannel (records), PathManager (where from), the user
 *     pollTransmit   -> PathManager, HandshakeEpoch, DataSender, LinkEnd: who has something to send, in this order
 *                       -> PacketWriter -> Recovery (ledger), KeySchedule (seal)
 *     handleTimeout  -> Recovery (losses, probes), PathManager (validation), LinkEnd
 *
 * All of them share a `LinkCore`; what each keeps for itself is named at the head of its file.
 */
import type { CongestionController } from "../../congestion/controller.ts";
import type { Address } from "../address.ts";
import type { Endpoint, ReceivedDatagram, Transmit } from "../endpoint.ts";
import { CLOSE_HANDSHAKE, CLOSE_NO_ERROR, type CloseReason } from "./close.ts";
import { ControlChannel } from "./control-channel.ts";
import { DataSender } from "./data-sender.ts";
import type { DropCause } from "./drops.ts";
import { FlowWatch } from "./flow-watch.ts";
import { HandshakeEpoch } from "./handshake-epoch.ts";
import { KeySchedule } from "./key-schedule.ts";
import { LinkCore, type LinkState } from "./link-core.ts";
import { LinkEnd } from "./link-end.ts";
import type { LinkOptions } from "./link-options.ts";
import type { LinkStats } from "./link-stats.ts";
import { PacketHeader } from "./packet-header.ts";
import { PacketReceiver } from "./packet-receiver.ts";
import { PacketWriter } from "./packet-writer.ts";
import type { LinkParameters } from "./parameters.ts";
import { LEAST_PACKET_BYTES } from "./path.ts";
import { PathManager } from "./path-manager.ts";
import { Recovery } from "./recovery.ts";
import type { RttEstimator } from "./rtt.ts";

const FIRST_ID_BYTES = 8;

export class Link implements Endpoint {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #keys: KeySchedule;
  readonly #channel: ControlChannel;
  readonly #handshake: HandshakeEpoch;
  readonly #paths: PathManager;
  readonly #data: DataSender;
  readonly #receiver: PacketReceiver;
  readonly #end: LinkEnd;
  readonly #flow = new FlowWatch();
  readonly #header = new PacketHeader();
  readonly #replay = (datagram: ReceivedDatagram): void => this.handleDatagram(datagram, this.#core.nowMs);

  constructor(options: LinkOptions) {
    const { accepted, connectionIds, protection, role } = options;
    const localId = connectionIds.issue();
    const keyId = accepted === undefined ? new Uint8Array(FIRST_ID_BYTES) : accepted.destinationId.slice();
    if (accepted === undefined) options.random(keyId);
    const core = new LinkCore(options, localId, keyId, (reason, speaks, nowMs) => this.#close(reason, speaks, nowMs));
    const recovery = new Recovery(core);
    const keys = new KeySchedule(core, recovery, accepted?.keys ?? protection.handshakeKeys(keyId, role));
    const writer = new PacketWriter(core, recovery, keys);
    this.#channel = new ControlChannel(core, (body) => this.#handshake.onParameters(body, core.nowMs));
    this.#handshake = new HandshakeEpoch(core, recovery, keys, this.#channel, writer, keyId, accepted?.token ?? null);
    this.#paths = new PathManager(core, recovery, this.#channel, writer);
    this.#data = new DataSender(core, recovery, writer);
    this.#receiver = new PacketReceiver(core, recovery, keys, this.#handshake, this.#paths, this.#channel, this.#flow);
    this.#end = new LinkEnd(core, recovery, keys, this.#handshake, writer);
    this.#core = core;
    this.#recovery = recovery;
    this.#keys = keys;
    core.congestion.setPacketBytes(core.path.mtu.current + core.overheadBytes);
    this.#pumpHandshake(options.nowMs);
  }

  get state(): LinkState {
    return this.#core.state;
  }

  /** Whether the peer is known to have the keys too. */
  get confirmed(): boolean {
    return this.#core.confirmed;
  }

  /** Why the link closes or closed; null while it lives. */
  get closeReason(): CloseReason | null {
    return this.#core.closing?.reason ?? null;
  }

  /** Bytes that the user may count on in a packet without ACK or control frames. */
  get payloadBytes(): number {
    return this.#core.payloadBytes;
  }

  /** The largest datagram that is known to pass. */
  get datagramBytes(): number {
    return this.#core.path.mtu.current;
  }

  /** Bytes of the wire that were sent and are neither acknowledged nor lost. */
  get inFlightBytes(): number {
    return this.#recovery.inFlightBytes;
  }

  /** Packets whose fate is not known. */
  get outstandingPackets(): number {
    return this.#recovery.outstanding;
  }

  /** Entries in the sent ledger's memory. */
  get ledgerCapacity(): number {
    return this.#recovery.ledgerCapacity;
  }

  /** Share of packets lost of late, 0 to 1. */
  get lossRate(): number {
    return this.#recovery.lossRate;
  }

  get rtt(): RttEstimator {
    return this.#recovery.rtt;
  }

  get remote(): Address {
    return this.#core.path.remote;
  }

  /** Probes since the peer last acknowledged anything. */
  get unansweredProbes(): number {
    return this.#recovery.probes.unanswered;
  }

  /** When the last genuine packet came, or the link was made. */
  get receivedMs(): number {
    return this.#core.idle.receivedMs;
  }

  /** Whether the peer proved to be at its address. */
  get pathValidated(): boolean {
    return this.#core.path.validated;
  }

  get congestion(): CongestionController {
    return this.#core.congestion;
  }

  get ecnState(): string {
    return this.#recovery.ecnState;
  }

  get reorderingThreshold(): number {
    return this.#recovery.reorderingThreshold;
  }

  /** What the peer said of itself; null before. */
  get peerParameters(): LinkParameters | null {
    return this.#core.peer;
  }

  /** The last token that the server gave; null when none came. */
  get receivedToken(): Uint8Array | null {
    return this.#channel.receivedToken;
  }

  /** What was dropped, by cause. */
  get drops(): Record<DropCause, number> {
    return this.#core.drops;
  }

  get stats(): LinkStats {
    return this.#core.stats;
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
    this.#end.begin({ cause: "local", code, text }, patienceMs, nowMs);
  }

  /**
   * This end moved to another address, or may have: takes a fresh connection id, starts RTT, MTU and congestion control again
   * and asks the peer for proof that the new path works.
   */
  localAddressChanged(nowMs: number): void {
    this.#enter(nowMs);
    this.#paths.localAddressChanged(nowMs);
  }

  /** Asks the peer for a sign of life at once, as after a sleep. */
  ping(): void {
    if (this.#core.confirmed) this.#core.pingWanted = true;
  }

  /** Takes new keys for what is sent from now on; the peer follows. False when the last update is not through yet. */
  updateKeys(nowMs: number): boolean {
    return this.#keys.update(nowMs);
  }

  /** Gives the client a token for its next link, at most 128 bytes. False when too much waits, or it is too early. */
  sendToken(token: Uint8Array): boolean {
    return this.#channel.sendToken(token);
  }

  /** Gives shared memory back. The link must be closed, or is so at once without a word to the peer. */
  destroy(nowMs: number): void {
    this.#close({ cause: "local", code: CLOSE_NO_ERROR, text: "" }, false, nowMs);
    this.#core.state = "closed";
  }

  // ---------------------------------------------------------------- the driver's verbs

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.#enter(nowMs);
    const { bytes } = datagram;
    const core = this.#core;
    const header = this.#header;
    const error = header.parse(bytes, core.localIds.length);
    if (error !== null) {
      core.drops[error]++;
      return;
    }
    if (core.state === "closed") {
      core.drops.closed++;
      return;
    }
    if (bytes.length > core.maxDatagramBytes) {
      core.drops.oversized++;
      return;
    }
    if (header.kind === "short") this.#receiver.onShort(datagram, header, nowMs);
    else if (header.kind === "handshake") {
      if (this.#receiver.onHandshake(datagram, header, nowMs)) this.#pumpHandshake(nowMs);
    } else if (header.kind === "retry") this.#handshake.onRetry(bytes, header, nowMs);
    else this.#handshake.onVersionNegotiation(bytes, header, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.#enter(nowMs);
    const core = this.#core;
    const recovery = this.#recovery;
    if (core.closing !== null) {
      if (nowMs >= core.closing.endMs) core.state = "closed";
      return;
    }
    this.#pumpHandshake(nowMs);
    if (nowMs >= core.idle.deadMs(recovery.probeTimeoutMs)) {
      this.#close({ cause: "idle", code: CLOSE_NO_ERROR, text: "nothing came for too long" }, false, nowMs);
      return;
    }
    // A client with keys knows no more than that it accepts the server: whether the server accepts it is still to be heard.
    if (!core.confirmed && nowMs >= this.#handshake.deadlineMs) {
      this.#close({ cause: "timeout", code: CLOSE_HANDSHAKE, text: "the handshake took too long" }, true, nowMs);
      return;
    }
    if (nowMs >= recovery.lossMs) recovery.detectLosses(nowMs);
    if (nowMs >= recovery.probeMs) recovery.probes.onTimeout(nowMs);
    if (core.confirmed && nowMs >= core.idle.keepAliveMs) core.pingWanted = true;
    if (nowMs >= this.#flowSilentMs()) {
      this.#flow.reset();
      recovery.probes.onFlowSilent(nowMs);
    }
    if (nowMs >= this.#paths.deadlineMs) this.#paths.onDeadline(nowMs);
    this.#end.proceed(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    this.#enter(nowMs);
    transmit.length = 0;
    transmit.segmentBytes = 0;
    this.#data.resetPace();
    const core = this.#core;
    this.#pumpHandshake(nowMs);
    this.#end.proceed(nowMs);
    if (core.closing !== null) return this.#end.send(transmit, nowMs);
    const { established } = this.#keys;
    if (established && this.#paths.send(transmit, nowMs)) return true;
    if (!core.confirmed && this.#handshake.send(transmit, nowMs)) return true;
    if (established && this.#data.send(transmit, nowMs)) return true;
    // The user may just have closed the link.
    return core.closing !== null && this.#end.send(transmit, nowMs);
  }

  nextTimeoutMs(): number {
    const core = this.#core;
    if (core.state === "closed") return Number.POSITIVE_INFINITY;
    if (core.closing !== null) return core.closing.nextMs;
    const recovery = this.#recovery;
    const { established } = this.#keys;
    let next = core.idle.deadMs(recovery.probeTimeoutMs);
    if (!core.confirmed) next = Math.min(next, this.#handshake.deadlineMs);
    next = Math.min(next, recovery.lossMs, recovery.probeMs, this.#data.paceMs);
    next = Math.min(next, this.#paths.deadlineMs, this.#end.patienceEndMs, this.#flowSilentMs());
    if (established && !core.draining) {
      const userMs = core.user.nextTimeoutMs();
      if (userMs > core.nowMs) next = Math.min(next, userMs);
    }
    if (core.confirmed && !core.pingWanted) next = Math.min(next, core.idle.keepAliveMs);
    if (established) next = Math.min(next, this.#paths.nextMs);
    if (core.path.allowanceForData >= LEAST_PACKET_BYTES) {
      if (core.handshakeSpace !== null) next = Math.min(next, core.handshakeSpace.policy.dueMs(core.nowMs));
      if (established) next = Math.min(next, core.dataSpace.policy.dueMs(core.nowMs));
    }
    return next;
  }

  #enter(nowMs: number): void {
    if (nowMs > this.#core.nowMs) this.#core.nowMs = nowMs;
    this.#keys.onTime(nowMs);
  }

  #pumpHandshake(nowMs: number): void {
    if (this.#handshake.pump(nowMs)) this.#receiver.replayEarly(this.#replay);
  }

  /** When a client's incoming flow has stopped; Infinity when there is none. */
  #flowSilentMs(): number {
    if (!this.#core.isClient) return Number.POSITIVE_INFINITY;
    return this.#flow.silentMs(this.#recovery.rtt.estimateMs);
  }

  #close(reason: CloseReason, speaks: boolean, nowMs: number): void {
    if (this.#core.closing !== null) return;
    this.#paths.destroy();
    this.#receiver.destroy();
    this.#end.close(reason, speaks, nowMs);
  }
}
