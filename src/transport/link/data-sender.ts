/**
 * What a packet of the data epoch holds: the user's bytes, ACKs, control symbols, pings, and probes for a larger MTU, as window,
 * pacer and path allow. What becomes of it is `recovery.ts`.
 *
 * Hot: once a packet; nothing is allocated but for the rare frames.
 */
import type { Transmit } from "../endpoint.ts";
import {
  controlFrameBytes,
  EXTENSION_FIRST,
  EXTENSION_LAST,
  FRAME_IMMEDIATE_ACK,
  FRAME_PADDING,
  FRAME_PING,
  FRAME_SESSION,
  writeControlHeader,
  writeExtension,
} from "./frames.ts";
import type { LinkCore } from "./link-core.ts";
import type { PacketFill } from "./link-user.ts";
import { EPOCH_DATA } from "./loss-detection.ts";
import { TAG_BYTES } from "./packet-header.ts";
import type { PacketWriter } from "./packet-writer.ts";
import { LEAST_PACKET_BYTES } from "./path.ts";
import type { Recovery } from "./recovery.ts";
import { SENT_ACK, SENT_CONTROL, SENT_IN_FLIGHT, SENT_MTU_PROBE, SENT_TAGGED } from "./sent-ledger.ts";
import { MAX_TRAIN_BYTES, padBefore, Train } from "./train.ts";

/** Who waits for the pacer waits this much longer, so that a timer serves several packets. */
const PACING_QUANTUM_MS = 0.25;
/** A packet with less room than this is not offered to the user. */
const LEAST_ROOM = 16;
/** Probes without an answer after which none carries bytes of the user's any more. */
const FULL_PROBES = 4;
/** Packets after which the extension range is exercised once more. */
const GREASE_INTERVAL = 1024;
const LEAST_PING_BYTES = 160;

export class DataSender {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #writer: PacketWriter;
  readonly #fill: PacketFill = { buffer: new Uint8Array(0), start: 0, room: 0, probe: false, length: 0, tag: 0 };
  #paceMs = Number.POSITIVE_INFINITY;
  #sinceGrease = 0;
  readonly #train = new Train();

  constructor(core: LinkCore, recovery: Recovery, writer: PacketWriter) {
    this.#core = core;
    this.#recovery = recovery;
    this.#writer = writer;
  }

  /** When the pacer lets the packet go that the last `send` held back; Infinity when it held back none. */
  get paceMs(): number {
    return this.#paceMs;
  }

  /** Nothing has been held back yet at this time. */
  resetPace(): void {
    this.#paceMs = Number.POSITIVE_INFINITY;
  }

  /** Writes the next packet or train, if one is due. The user may close the link in it: what was written before counts as sent. */
  send(transmit: Transmit, nowMs: number): boolean {
    if (this.#train.release(transmit) || this.#sendMtuProbe(transmit, nowMs)) return true;
    const { maxSegments = 1 } = transmit;
    if (!this.#sendFirst(transmit, maxSegments > 1, nowMs)) return false;
    if (maxSegments > 1 && this.#fill.length > 0) this.#extend(transmit, maxSegments, nowMs);
    return true;
  }

  #sendMtuProbe(transmit: Transmit, nowMs: number): boolean {
    const { path, confirmed, draining, stats } = this.#core;
    if (!confirmed || !path.validated || path.challenging || draining) return false;
    const bytes = path.mtu.due(nowMs);
    if (bytes <= path.mtu.current) return false;
    if (!this.#recovery.fits(bytes, this.#core.congestion.windowBytes)) return false;
    const out = transmit.buffer;
    const headerEnd = this.#writer.beginShort(transmit, nowMs);
    let at = headerEnd;
    out[at++] = FRAME_PING;
    out[at++] = FRAME_IMMEDIATE_ACK;
    out.fill(FRAME_PADDING, at, bytes - TAG_BYTES);
    at = bytes - TAG_BYTES;
    path.mtu.onProbeSent();
    stats.mtuProbes++;
    this.#writer.finish(transmit, EPOCH_DATA, headerEnd, at, SENT_MTU_PROBE | SENT_IN_FLIGHT, 0, 0, 0, nowMs);
    return true;
  }

  /** A packet of anything that is due; `train`: more may follow. */
  #sendFirst(transmit: Transmit, train: boolean, nowMs: number): boolean {
    const core = this.#core;
    const recovery = this.#recovery;
    const { path, user, confirmed } = core;
    const { policy, sender, tracker } = core.dataSpace;
    this.#fill.length = 0;
    const size = Math.min(path.mtu.current, path.allowanceForData);
    if (size < LEAST_PACKET_BYTES) return false;
    const probing = recovery.probes.wanted > 0;
    const open = recovery.hasRoom(size, nowMs);
    const paced = open && recovery.paced(nowMs);
    const maySend = probing || paced;
    const ackDue = policy.due(nowMs);
    const wants = !core.draining && user.ready(nowMs);
    const controlReady = confirmed && sender.ready;
    const content = wants || controlReady;
    if (!maySend) {
      if (content || core.pingWanted) {
        this.#paceMs = (open ? recovery.pacedMs(nowMs) : recovery.roomMs(size)) + PACING_QUANTUM_MS;
      }
      if (!ackDue) return false;
    }
    const out = transmit.buffer;
    const headerEnd = this.#writer.beginShort(transmit, nowMs);
    const limit = size - TAG_BYTES;
    let at = headerEnd;
    let flags = 0;
    if (ackDue || (maySend && content && policy.pending && policy.worthwhile(nowMs))) {
      const end = tracker.write(out, at, limit - at, nowMs);
      if (end > at) {
        flags |= SENT_ACK;
        at = end;
      }
    }
    const ackEnd = at;
    let name = 0;
    if (maySend) {
      if (confirmed && content && limit - at >= LEAST_ROOM && recovery.frequencyDue()) {
        at = recovery.frequency.write(out, at, recovery.packetsInFlight, recovery.rtt.minMs, recovery.lossRate);
      }
      if (controlReady) {
        const { batch, batchSize, symbol, bytes } = sender.choose();
        if (at + controlFrameBytes(batch, bytes) + bytes <= limit) {
          at = writeControlHeader(out, at, batch, batchSize, symbol, bytes);
          name = sender.writeChosen(out, at);
          at += bytes;
          flags |= SENT_CONTROL;
        }
      }
      if (wants && this.#sinceGrease === 0 && at === headerEnd) {
        at = this.#writeGrease(out, at);
        this.#sinceGrease = GREASE_INTERVAL;
      }
      // Every second probe is small: if full packets vanish, something must get through to show it. In an outage all are.
      const small = probing && (recovery.probes.unanswered % 2 === 0 || recovery.probes.unanswered > FULL_PROBES);
      if (wants && !small && limit - at > LEAST_ROOM) {
        const filled = this.#fillSession(out, at, limit, probing, nowMs);
        if (core.closing !== null) return false;
        if (filled > at) {
          flags |= SENT_TAGGED;
          const padding = train ? this.#train.padding(filled + TAG_BYTES) : 0;
          at = padBefore(out, at, filled, Math.min(padding, limit - filled));
        }
      }
      const silent = at === ackEnd && core.pingWanted;
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
    if (at === headerEnd) {
      if (paced) recovery.onAppLimited(nowMs);
      return false;
    }
    if (at > ackEnd) {
      flags |= SENT_IN_FLIGHT;
      core.pingWanted = false;
      if (probing) recovery.probes.wanted--;
    }
    if ((flags & SENT_ACK) !== 0) {
      const alone = at === ackEnd;
      policy.onSent(alone ? at + TAG_BYTES + core.overheadBytes : ackEnd - headerEnd, nowMs);
      if (alone) {
        core.stats.ackPackets++;
        core.stats.ackBytes += at + TAG_BYTES;
      }
    }
    this.#writer.finish(transmit, EPOCH_DATA, headerEnd, at, flags, this.#fill.tag, name, tracker.lastFrame, nowMs);
    return true;
  }

  /** Lets packets of the user's bytes alone follow the first, as long as window and pacer allow and they are of its size. */
  #extend(transmit: Transmit, maxSegments: number, nowMs: number): void {
    const core = this.#core;
    const recovery = this.#recovery;
    const { path, user } = core;
    const { sender } = core.dataSpace;
    const out = transmit.buffer;
    const segment = transmit.length;
    for (let count = 1; count < maxSegments; count++) {
      const start = transmit.length;
      const size = path.mtu.current;
      if (start + size > MAX_TRAIN_BYTES || path.allowanceForData < size || recovery.probes.wanted > 0) return;
      if (core.closing !== null || core.draining || recovery.mark !== transmit.ecn || sender.ready) return;
      if (!recovery.hasRoom(size, nowMs) || !recovery.paced(nowMs) || !user.ready(nowMs)) return;
      const headerEnd = this.#writer.beginShort(transmit, nowMs);
      const limit = start + size - TAG_BYTES;
      const filled = this.#fillSession(out, headerEnd, limit, false, nowMs);
      if (core.closing !== null || filled === headerEnd) return;
      const padding = Math.min(this.#train.padding(filled + TAG_BYTES - start), limit - filled);
      const end = padBefore(out, headerEnd, filled, padding);
      const flags = SENT_TAGGED | SENT_IN_FLIGHT;
      this.#writer.finish(transmit, EPOCH_DATA, headerEnd, end, flags, this.#fill.tag, 0, 0, nowMs);
      const bytes = transmit.length - start;
      if (bytes > segment) {
        this.#train.hold(transmit, start);
        return;
      }
      transmit.segmentBytes = segment;
      if (bytes < segment) return;
    }
  }

  /** Lets the user fill a packet from `at` to `limit`, as a frame up to its end. Returns the end, `at` when it had nothing. */
  #fillSession(out: Uint8Array, at: number, limit: number, probe: boolean, nowMs: number): number {
    const fill = this.#fill;
    fill.buffer = out;
    fill.start = at + 1;
    fill.room = limit - at - 1;
    fill.probe = probe;
    fill.length = 0;
    fill.tag = 0;
    this.#core.user.fill(fill, nowMs);
    if (fill.length === 0) return at;
    if (this.#sinceGrease > 0) this.#sinceGrease--;
    out[at] = FRAME_SESSION;
    return at + 1 + Math.min(fill.length, fill.room);
  }

  #writeGrease(out: Uint8Array, at: number): number {
    const bytes = new Uint8Array(4);
    this.#core.random(bytes);
    const span = EXTENSION_LAST - EXTENSION_FIRST + 1;
    const type = EXTENSION_FIRST + (((bytes[0] << 8) | bytes[1]) % span);
    return writeExtension(out, at, type, bytes.subarray(2, 2 + (bytes[2] & 1)));
  }
}
