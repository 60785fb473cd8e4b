/**
 * How a packet starts and how it ends, whatever is in it: header and number before its frames; ledger, seal and address after.
 */
import type { EcnCodepoint, Transmit } from "../endpoint.ts";
import type { KeySchedule } from "./key-schedule.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE, type Epoch } from "./loss-detection.ts";
import { TAG_BYTES, writeHandshakeHeader, writeShortHeader } from "./packet-header.ts";
import { writePacketNumber } from "./packet-number.ts";
import type { Recovery } from "./recovery.ts";
import { SENT_ACK, SENT_HANDSHAKE } from "./sent-ledger.ts";

/** Flags of a packet that nobody acknowledges: a CLOSE, a path frame. */
export const SENT_NOTHING = 0;

/** Between two packet numbers that are left out lie this many, up to twice as many. */
const SKIP_LEAST = 2048;

export class PacketWriter {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #keys: KeySchedule;
  #nextSkip = 0;

  constructor(core: LinkCore, recovery: Recovery, keys: KeySchedule) {
    this.#core = core;
    this.#recovery = recovery;
    this.#keys = keys;
  }

  /** Writes the header of a short packet after what `transmit` holds already and returns its end. */
  beginShort(transmit: Transmit, nowMs: number): number {
    const { buffer, length } = transmit;
    if (this.#recovery.nextPacketNumber >= this.#nextSkip) this.#skipNumber(nowMs);
    const numberBytes = this.#recovery.numberBytes(EPOCH_DATA);
    const at = writeShortHeader(buffer, length, this.#core.remoteIds.current, this.#keys.phase, numberBytes);
    return writePacketNumber(buffer, at, this.#recovery.nextPacketNumber, numberBytes);
  }

  /** Writes the header of a handshake packet and returns its end. */
  beginHandshake(out: Uint8Array, token: Uint8Array): number {
    const { remoteIds, firstLocalId } = this.#core;
    const numberBytes = this.#recovery.numberBytes(EPOCH_HANDSHAKE);
    const at = writeHandshakeHeader(out, 0, remoteIds.current, firstLocalId, token, numberBytes);
    return writePacketNumber(out, at, this.#recovery.nextPacketNumber, numberBytes);
  }

  /** Gives the packet that was begun its entry in the ledger, seals it and fills in the rest of `transmit`. */
  finish(
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
    const core = this.#core;
    const recovery = this.#recovery;
    const start = transmit.length;
    const bytes = end + TAG_BYTES - start;
    const packetNumber = recovery.nextPacketNumber;
    let ecn: EcnCodepoint = 0;
    if ((flags & ~(SENT_ACK | SENT_HANDSHAKE)) === 0) recovery.onSentUnheeded(nowMs);
    else ecn = recovery.onSent(epoch, bytes, flags, tag, name, ackFrame, nowMs);
    if (epoch === EPOCH_DATA) this.#keys.seal(transmit.buffer, start, headerEnd, end, packetNumber, nowMs);
    else this.#keys.handshake!.sealer.seal(transmit.buffer, 0, headerEnd, end, packetNumber);
    core.stats.sentPackets++;
    core.stats.sentBytes += bytes;
    core.path.onSent(bytes);
    transmit.length = start + bytes;
    transmit.destination = core.path.remote;
    transmit.source = core.isClient ? null : core.path.local;
    transmit.ecn = ecn;
  }

  /**
   * Leaves a packet number out at a place that nobody can foresee: a peer that acknowledges what it did not get, to be
   * sent more than the path carries, gives itself away (RFC 9000, section 21.4).
   */
  #skipNumber(nowMs: number): void {
    const bytes = new Uint8Array(2);
    this.#core.random(bytes);
    const first = this.#nextSkip === 0;
    this.#nextSkip = this.#recovery.nextPacketNumber + SKIP_LEAST + (((bytes[0] << 8) | bytes[1]) % SKIP_LEAST);
    if (!first) this.#recovery.skipNumber(nowMs);
  }
}
