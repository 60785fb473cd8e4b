/**
 * How a link ends: at once or when all that was sent is settled, and telling the peer. How often CLOSE is said is `close.ts`.
 */
import type { Transmit } from "../endpoint.ts";
import { type CloseReason, Closing } from "./close.ts";
import { FRAME_PADDING, MAX_REASON_BYTES, writeClose } from "./frames.ts";
import type { HandshakeEpoch } from "./handshake-epoch.ts";
import type { KeySchedule } from "./key-schedule.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_DATA, EPOCH_HANDSHAKE } from "./loss-detection.ts";
import { TAG_BYTES } from "./packet-header.ts";
import { type PacketWriter, SENT_NOTHING } from "./packet-writer.ts";
import { LEAST_PACKET_BYTES } from "./path.ts";
import { BASE_DATAGRAM_BYTES } from "./path-mtu.ts";
import type { Recovery } from "./recovery.ts";

/** Bytes of a CLOSE frame around its text, at most. */
const CLOSE_FRAME_BYTES = 12;
const NO_BYTES = new Uint8Array(0);

export class LinkEnd {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #keys: KeySchedule;
  readonly #handshake: HandshakeEpoch;
  readonly #writer: PacketWriter;
  #graceful: CloseReason | null = null;
  #patienceEndMs = Number.POSITIVE_INFINITY;

  constructor(core: LinkCore, recovery: Recovery, keys: KeySchedule, handshake: HandshakeEpoch, writer: PacketWriter) {
    this.#core = core;
    this.#recovery = recovery;
    this.#keys = keys;
    this.#handshake = handshake;
    this.#writer = writer;
  }

  /** When a graceful close has no patience any more. */
  get patienceEndMs(): number {
    return this.#patienceEndMs;
  }

  /** Takes nothing more from the user, and closes once all that was sent is settled, after `patienceMs` at the latest. */
  begin(reason: CloseReason, patienceMs: number, nowMs: number): void {
    if (this.#graceful !== null || this.#core.closing !== null) return;
    this.#graceful = reason;
    this.#core.draining = true;
    this.#patienceEndMs = nowMs + patienceMs;
    this.proceed(nowMs);
  }

  /** Closes if a graceful close has come to its end. */
  proceed(nowMs: number): void {
    if (this.#graceful === null || this.#core.closing !== null) return;
    const settled = this.#recovery.outstanding === 0 && this.#core.dataSpace.sender.idle;
    if (settled || nowMs >= this.#patienceEndMs) this.#core.close(this.#graceful, true, nowMs);
  }

  /** Settles what is in flight, gives memory back and tells the user. Nothing but `send` comes after it. */
  close(reason: CloseReason, speaks: boolean, nowMs: number): void {
    const core = this.#core;
    core.closing = new Closing(reason, speaks, this.#recovery.probeTimeoutMs, nowMs);
    core.state = "closing";
    this.#recovery.settleAll(nowMs);
    core.handshakeSpace?.destroy();
    core.dataSpace.destroy();
    for (const id of core.localIds.active) core.options.connectionIds.retire(id);
    core.user.closed(reason, nowMs);
  }

  /** Writes a packet with CLOSE, if one is due. Only after `close`. */
  send(transmit: Transmit, nowMs: number): boolean {
    const { closing, path, isClient, state } = this.#core;
    if (closing === null || state === "closed" || !closing.due(nowMs)) return false;
    closing.onSent(nowMs);
    if (path.allowance < LEAST_PACKET_BYTES) return false;
    // As long as it is not known which keys the peer has, CLOSE leaves under both in turn.
    const data = this.#keys.established && (this.#keys.handshake === null || closing.sent % 2 === 1);
    if (!data && this.#keys.handshake === null) return false;
    const out = transmit.buffer;
    const headerEnd = data ? this.#writer.beginShort(transmit, nowMs) : this.#handshake.beginPacket(out);
    const reason = new TextEncoder().encode(closing.reason.text).subarray(0, MAX_REASON_BYTES);
    const limit = Math.min(BASE_DATAGRAM_BYTES, path.allowance) - TAG_BYTES;
    const text = headerEnd + CLOSE_FRAME_BYTES + reason.length <= limit ? reason : NO_BYTES;
    let at = writeClose(out, headerEnd, closing.reason.code, text);
    if (!data && isClient && at < limit) {
      out.fill(FRAME_PADDING, at, limit);
      at = limit;
    }
    this.#writer.finish(transmit, data ? EPOCH_DATA : EPOCH_HANDSHAKE, headerEnd, at, SENT_NOTHING, 0, 0, 0, nowMs);
    return true;
  }
}
