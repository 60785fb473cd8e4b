/**
 * From a datagram to its frames: which packets are taken in (ours, new, genuine, well formed), and who in the link each of their
 * frames is for.
 *
 * Hot: once a packet; nothing is allocated for packets of the user's bytes and ACKs.
 */
import { type Address, sameAddress } from "../address.ts";
import type { EcnCodepoint, ReceivedDatagram } from "../endpoint.ts";
import { CLOSE_NO_ERROR } from "./close.ts";
import { equalAt } from "./connection-ids.ts";
import type { ControlChannel } from "./control-channel.ts";
import type { FlowWatch } from "./flow-watch.ts";
import {
  EXTENSION_FIRST,
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
} from "./frames.ts";
import type { HandshakeEpoch } from "./handshake-epoch.ts";
import type { KeySchedule } from "./key-schedule.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_DATA } from "./loss-detection.ts";
import { MIN_INITIAL_BYTES, type PacketHeader, TAG_BYTES } from "./packet-header.ts";
import { decodePacketNumber, readPacketNumber } from "./packet-number.ts";
import type { PacketSpace } from "./packet-space.ts";
import type { PathManager } from "./path-manager.ts";
import type { Recovery } from "./recovery.ts";

/** Packets with a key that the server does not have yet, kept until it does. */
const EARLY_PACKETS = 16;

/** A copy of a datagram. */
interface EarlyPacket {
  bytes: Uint8Array;
  source: Address;
  destination: Address;
  ecn: EcnCodepoint;
}

export class PacketReceiver {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #keys: KeySchedule;
  readonly #handshake: HandshakeEpoch;
  readonly #paths: PathManager;
  readonly #channel: ControlChannel;
  readonly #flow: FlowWatch;
  readonly #reader = new FrameReader();
  #early: EarlyPacket[] = [];

  constructor(
    core: LinkCore,
    recovery: Recovery,
    keys: KeySchedule,
    handshake: HandshakeEpoch,
    paths: PathManager,
    channel: ControlChannel,
    flow: FlowWatch,
  ) {
    this.#core = core;
    this.#recovery = recovery;
    this.#keys = keys;
    this.#handshake = handshake;
    this.#paths = paths;
    this.#channel = channel;
    this.#flow = flow;
  }

  /** A short packet, its header read. */
  onShort(datagram: ReceivedDatagram, header: PacketHeader, nowMs: number): void {
    const { bytes } = datagram;
    const core = this.#core;
    const idSequence = core.localIds.find(bytes, header.destinationStart, header.destinationEnd);
    if (idSequence < 0) {
      if (!this.#reset(bytes, nowMs)) core.drops["wrong-connection-id"]++;
      return;
    }
    if (core.closing !== null) {
      core.closing.onReceived();
      core.drops.closed++;
      return;
    }
    if (!this.#keys.established) {
      if (!this.#reset(bytes, nowMs)) this.#keepEarly(datagram);
      return;
    }
    const space = core.dataSpace;
    const packetNumber = this.#newNumber(bytes, header, space);
    if (packetNumber < 0) {
      if (!this.#reset(bytes, nowMs)) core.drops.replayed++;
      return;
    }
    if (!this.#keys.open(bytes, header, packetNumber, nowMs)) {
      if (!this.#reset(bytes, nowMs)) this.#keys.onForgery(nowMs);
      return;
    }
    const highest = packetNumber > space.window.largest;
    space.window.mark(packetNumber);
    if (!this.#openFrames(bytes, header)) return;
    if (!core.confirmed) this.#handshake.confirm(nowMs);
    this.#credit(datagram, packetNumber, space, nowMs);
    if (highest) this.#paths.onHighest(datagram, idSequence, nowMs);
    this.#paths.onReceived(datagram);
    this.#onFrames(datagram, space, nowMs);
  }

  /** A handshake packet, its header read. Returns whether it was taken in. */
  onHandshake(datagram: ReceivedDatagram, header: PacketHeader, nowMs: number): boolean {
    const { bytes } = datagram;
    const core = this.#core;
    const { destinationStart, destinationEnd } = header;
    const own = equalAt(bytes, destinationStart, destinationEnd, core.firstLocalId);
    const first = this.#handshake.isFirstId(bytes, destinationStart, destinationEnd);
    if (!own && !first) {
      core.drops["wrong-connection-id"]++;
      return false;
    }
    if (core.closing !== null) {
      core.closing.onReceived();
      core.drops.closed++;
      return false;
    }
    const keys = this.#keys.handshake;
    if (keys === null) {
      core.drops["no-keys"]++;
      return false;
    }
    if (first && bytes.length < MIN_INITIAL_BYTES) {
      core.drops.undersized++;
      return false;
    }
    if (!sameAddress(datagram.source, core.path.remote)) {
      core.drops["unexpected-address"]++;
      return false;
    }
    const space = core.handshakeSpace!;
    const packetNumber = this.#newNumber(bytes, header, space);
    if (packetNumber < 0) {
      core.drops.replayed++;
      return false;
    }
    if (!keys.opener.open(bytes, header.headerEnd, packetNumber)) {
      core.drops["not-authentic"]++;
      return false;
    }
    space.window.mark(packetNumber);
    if (!this.#openFrames(bytes, header)) return false;
    this.#handshake.onPacket(bytes, header, datagram.destination, own);
    this.#credit(datagram, packetNumber, space, nowMs);
    this.#onFrames(datagram, space, nowMs);
    return true;
  }

  /** Hands the packets that came before their keys to `handle`. */
  replayEarly(handle: (datagram: ReceivedDatagram) => void): void {
    const early = this.#early;
    this.#early = [];
    for (const datagram of early) handle(datagram);
  }

  /** The link ends: nothing is kept any more. */
  destroy(): void {
    this.#early = [];
  }

  #keepEarly(datagram: ReceivedDatagram): void {
    const { bytes, source, destination, ecn } = datagram;
    if (this.#core.isClient || this.#early.length >= EARLY_PACKETS) this.#core.drops["no-keys"]++;
    else this.#early.push({ bytes: bytes.slice(), source, destination, ecn });
  }

  /** Ends the link if the datagram, which is no packet of the peer's, is a stateless reset (RFC 9000, section 10.3.1). */
  #reset(bytes: Uint8Array, nowMs: number): boolean {
    if (this.#core.closing !== null || !this.#core.remoteIds.isReset(bytes)) return false;
    this.#core.close({ cause: "reset", code: CLOSE_NO_ERROR, text: "the peer lost its state" }, false, nowMs);
    return true;
  }

  /** The packet's number; -1 when it came already. */
  #newNumber(bytes: Uint8Array, header: PacketHeader, space: PacketSpace): number {
    const truncated = readPacketNumber(bytes, header.numberStart, header.numberBytes);
    const packetNumber = decodePacketNumber(space.window.largest, truncated, header.numberBytes);
    return space.window.seen(packetNumber) ? -1 : packetNumber;
  }

  #openFrames(bytes: Uint8Array, header: PacketHeader): boolean {
    const malformed = this.#reader.open(bytes, header.headerEnd, bytes.length - TAG_BYTES);
    if (malformed === null) return true;
    this.#core.drops[malformed]++;
    return false;
  }

  /** A genuine, new, well-formed packet. */
  #credit(datagram: ReceivedDatagram, packetNumber: number, space: PacketSpace, nowMs: number): void {
    const { stats, idle } = this.#core;
    stats.receivedPackets++;
    stats.receivedBytes += datagram.bytes.length;
    idle.onReceived(nowMs);
    space.tracker.add(packetNumber, datagram.ecn, nowMs - (datagram.waitedMs ?? 0));
  }

  #onFrames(datagram: ReceivedDatagram, space: PacketSpace, nowMs: number): void {
    const { bytes } = datagram;
    const core = this.#core;
    const reader = this.#reader;
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
          this.#recovery.onAck(reader, space.epoch, type === FRAME_ACK_ECN, datagram.waitedMs ?? 0, nowMs);
          break;
        case FRAME_CONTROL:
          this.#channel.onFrame(bytes, reader, space);
          if (!core.confirmed) immediate = true;
          break;
        case FRAME_CLOSE:
          this.#onClose(bytes, nowMs);
          break;
        case EXTENSION_FIRST:
          core.stats.skippedFrames++;
          break;
        default:
          if (space.epoch === EPOCH_DATA) this.#onDataFrame(type, datagram, nowMs);
          else core.drops["wrong-epoch"]++;
      }
      if (core.closing !== null) return;
    }
    if (!eliciting) return;
    space.policy.onReceived(bytes.length, nowMs);
    if (immediate) space.policy.demand();
  }

  #onDataFrame(type: number, datagram: ReceivedDatagram, nowMs: number): void {
    const { bytes } = datagram;
    const reader = this.#reader;
    switch (type) {
      case FRAME_SESSION:
      case FRAME_SESSION_LENGTH:
        this.#flow.onArrival(this.#recovery.rtt.estimateMs, nowMs);
        if (reader.dataEnd > reader.dataStart) {
          this.#core.user.receive(bytes, reader.dataStart, reader.dataEnd, nowMs);
        }
        break;
      case FRAME_ACK_FREQUENCY:
        this.#core.dataSpace.policy.onFrequency(reader.number, reader.threshold, reader.delayMs);
        break;
      case FRAME_PATH_CHALLENGE:
        this.#paths.onChallenge(datagram, reader.dataStart, reader.dataEnd);
        break;
      default:
        if (type === FRAME_PATH_RESPONSE) this.#paths.onResponse(bytes, reader.dataStart);
    }
  }

  #onClose(bytes: Uint8Array, nowMs: number): void {
    const { number, dataStart, dataEnd } = this.#reader;
    const text = new TextDecoder().decode(bytes.subarray(dataStart, Math.min(dataEnd, dataStart + MAX_REASON_BYTES)));
    this.#core.close({ cause: "peer", code: number, text }, false, nowMs);
  }
}
