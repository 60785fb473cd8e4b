/**
 * The life of a link until both ends have keys: moves bytes and keys between the handshake and the link, sends the handshake's
 * packets, follows a retry, gives up when versions differ. Then it is over and stays so. Which packets of it are taken in is
 * `packet-receiver.ts`, what the handshake says its own business.
 */
import type { Address } from "../address.ts";
import type { Transmit } from "../endpoint.ts";
import { MAX_ACK_DELAY_MS } from "./ack-policy.ts";
import { CLOSE_HANDSHAKE, CLOSE_NO_ERROR } from "./close.ts";
import { equalAt } from "./connection-ids.ts";
import type { ControlChannel } from "./control-channel.ts";
import { encodeRecord, RECORD_HANDSHAKE, RECORD_PARAMETERS } from "./control-records.ts";
import { controlFrameBytes, FRAME_PADDING, FRAME_PING, writeControlHeader } from "./frames.ts";
import type { KeySchedule } from "./key-schedule.ts";
import type { LinkCore } from "./link-core.ts";
import { DEFAULT_HANDSHAKE_TIMEOUT_MS, DEFAULT_IDLE_TIMEOUT_MS } from "./link-options.ts";
import { EPOCH_HANDSHAKE } from "./loss-detection.ts";
import { MAX_TOKEN_BYTES, type PacketHeader, TAG_BYTES, VERSION } from "./packet-header.ts";
import type { PacketWriter } from "./packet-writer.ts";
import { decodeParameters, encodeParameters } from "./parameters.ts";
import { LEAST_PACKET_BYTES } from "./path.ts";
import { BASE_DATAGRAM_BYTES } from "./path-mtu.ts";
import type { Recovery } from "./recovery.ts";
import { SENT_ACK, SENT_CONTROL, SENT_HANDSHAKE, SENT_IN_FLIGHT } from "./sent-ledger.ts";

/** The handshake's packets are not paced, and this many bytes are in flight at least. */
const WINDOW_BYTES = 16 * 1228;
/** The longest record of handshake bytes. */
const RECORD_BYTES = 8192;
const NO_BYTES = new Uint8Array(0);

export class HandshakeEpoch {
  readonly deadlineMs: number;
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #keys: KeySchedule;
  readonly #channel: ControlChannel;
  readonly #writer: PacketWriter;
  #localParameters: Uint8Array;
  /** The id from which the handshake's keys come: the client's first destination, or the server's in a retry. */
  #keyId: Uint8Array;
  /** What a client's packets bear until the server is heard. */
  #token: Uint8Array;
  /** The token of the client's first flight that the server took up. */
  #saidToken: Uint8Array;
  /** A client's: whether a packet of the server came. */
  #heardServer = false;
  #retried = false;
  /** The parameters leave in the handshake's first flight: as a flight of their own they would be several packets more. */
  #saidParameters = false;

  constructor(
    core: LinkCore,
    recovery: Recovery,
    keys: KeySchedule,
    channel: ControlChannel,
    writer: PacketWriter,
    keyId: Uint8Array,
    acceptedToken: Uint8Array | null,
  ) {
    const { options } = core;
    this.#core = core;
    this.#recovery = recovery;
    this.#keys = keys;
    this.#channel = channel;
    this.#writer = writer;
    this.#keyId = keyId;
    this.#token = acceptedToken?.slice() ?? (options.token ?? NO_BYTES).slice(0, MAX_TOKEN_BYTES);
    this.#saidToken = this.#token;
    this.deadlineMs = core.nowMs + (options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS);
    this.#localParameters = encodeParameters({
      idleTimeoutMs: options.idleTimeoutMs ?? DEFAULT_IDLE_TIMEOUT_MS,
      maxDatagramBytes: core.maxDatagramBytes,
      ackDelayMs: MAX_ACK_DELAY_MS,
      resetToken: core.isClient ? null : options.connectionIds.resetToken(core.firstLocalId),
      session: options.session ?? NO_BYTES,
    });
  }

  /** Whether bytes `start` to `end` are the id that a client chose for its first packets. */
  isFirstId(bytes: Uint8Array, start: number, end: number): boolean {
    return !this.#core.isClient && equalAt(bytes, start, end, this.#keyId);
  }

  /** Moves bytes and keys between the handshake and the link. Returns whether the link came to keys. */
  pump(nowMs: number): boolean {
    const core = this.#core;
    if (core.closing !== null || !this.#flush(nowMs)) return false;
    if (this.#keys.established || core.peer === null) return false;
    const keys = core.options.handshake.keys();
    if (keys === null) return false;
    this.#keys.establish(keys);
    core.state = "established";
    // First: if a server's user refuses the peer, CLOSE leaves in the data epoch, and nothing before it that would let the peer in.
    if (!core.isClient) this.confirm(nowMs);
    core.user.established(core.peer, nowMs);
    if (core.isClient || core.closing !== null) return true;
    // Tickets and the like are ready now that there are keys.
    this.#flush(nowMs);
    return true;
  }

  /** Both ends have the keys: the handshake epoch is over. */
  confirm(nowMs: number): void {
    const core = this.#core;
    core.confirmed = true;
    this.#keys.handshake = null;
    this.#recovery.endHandshake(nowMs);
    core.handshakeSpace!.destroy();
    core.handshakeSpace = null;
    if (!core.path.validated) core.path.validate();
    // The transcript was hashed, and no packet of this epoch is taken in any more.
    this.#localParameters = NO_BYTES;
    this.#token = NO_BYTES;
    this.#saidToken = NO_BYTES;
    this.#channel.issueIds();
  }

  /** A genuine handshake packet from the peer, sent to an id that only this end's packets told (`own`) or not. */
  onPacket(bytes: Uint8Array, header: PacketHeader, local: Address, own: boolean): void {
    const { isClient, remoteIds, path } = this.#core;
    if (isClient && !this.#heardServer) {
      this.#heardServer = true;
      remoteIds.adopt(bytes.slice(header.sourceStart, header.sourceEnd));
      this.#token = NO_BYTES;
    }
    path.local ??= local;
    path.onReceived(bytes.length);
    // Who uses an id that only this end's packets told has received them (RFC 9000, section 8.1).
    if (own && !path.validated) path.validate();
  }

  onParameters(body: Uint8Array, nowMs: number): void {
    const core = this.#core;
    const peer = decodeParameters(body);
    if (peer === null) {
      core.protocolError("parameters that are none", nowMs);
      return;
    }
    core.peer = peer;
    core.maxDatagramBytes = Math.min(core.maxDatagramBytes, peer.maxDatagramBytes);
    core.path.mtu.restrict(core.maxDatagramBytes);
    core.idle.negotiate(peer.idleTimeoutMs);
    if (core.isClient && peer.resetToken !== null) core.remoteIds.setToken(peer.resetToken);
    core.options.handshake.bind(this.#transcript(body));
  }

  onRetry(bytes: Uint8Array, header: PacketHeader, nowMs: number): void {
    const core = this.#core;
    const first = core.isClient && !this.#heardServer && !this.#retried && core.closing === null;
    const ours = equalAt(bytes, header.destinationStart, header.destinationEnd, core.firstLocalId);
    const tokenBytes = header.tokenEnd - header.tokenStart;
    if (!first || !ours || tokenBytes === 0 || header.headerEnd + TAG_BYTES !== bytes.length) {
      core.drops["unexpected-packet"]++;
      return;
    }
    const keys = this.#keys;
    if (keys.handshake === null || !keys.handshake.opener.open(bytes, header.headerEnd, 0)) {
      core.drops["not-authentic"]++;
      return;
    }
    this.#retried = true;
    this.#token = bytes.slice(header.tokenStart, header.tokenEnd);
    this.#saidToken = this.#token;
    this.#keyId = bytes.slice(header.sourceStart, header.sourceEnd);
    core.remoteIds.adopt(this.#keyId);
    keys.handshake = core.options.protection.handshakeKeys(this.#keyId, "client");
    this.#recovery.forgetHandshake(nowMs);
  }

  onVersionNegotiation(bytes: Uint8Array, header: PacketHeader, nowMs: number): void {
    const core = this.#core;
    const ours = equalAt(bytes, header.destinationStart, header.destinationEnd, core.firstLocalId);
    let known = false;
    for (let at = header.numberStart; at < bytes.length; at += 4) {
      known ||= ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0 === VERSION;
    }
    if (!core.isClient || this.#heardServer || known || !ours || core.closing !== null) {
      core.drops["unexpected-packet"]++;
      return;
    }
    core.close({ cause: "version", code: CLOSE_NO_ERROR, text: "the peer speaks no version of ours" }, false, nowMs);
  }

  /** Writes the next handshake packet, if one is due. */
  send(transmit: Transmit, nowMs: number): boolean {
    const { path, congestion, isClient, handshakeSpace } = this.#core;
    if (this.#keys.handshake === null || handshakeSpace === null) return false;
    const recovery = this.#recovery;
    const { sender, policy, tracker } = handshakeSpace;
    const size = Math.min(BASE_DATAGRAM_BYTES, path.allowance);
    if (size < LEAST_PACKET_BYTES) return false;
    const probing = recovery.probes.handshakeWanted > 0;
    const open = probing || recovery.fits(BASE_DATAGRAM_BYTES, Math.max(congestion.windowBytes, WINDOW_BYTES));
    const ackDue = policy.due(nowMs);
    const symbolReady = open && sender.ready;
    // A client whose first flight is not answered yet, or whose server waits for permission to send, keeps asking.
    const ping = probing && !symbolReady && isClient;
    if (!symbolReady && !ackDue && !ping) return false;
    const out = transmit.buffer;
    const headerEnd = this.beginPacket(out);
    let at = headerEnd;
    const limit = size - TAG_BYTES;
    let flags = SENT_HANDSHAKE;
    let name = 0;
    let symbolEnd = 0;
    if (symbolReady) {
      // The symbol's room first: an ACK that does not fit beside it waits.
      const { batch, batchSize, symbol, bytes } = sender.choose();
      const needed = controlFrameBytes(batch, bytes) + bytes;
      if (at + needed <= limit) {
        at = writeControlHeader(out, at, batch, batchSize, symbol, bytes);
        name = sender.writeChosen(out, at);
        at += bytes;
        symbolEnd = at;
        flags |= SENT_CONTROL | SENT_IN_FLIGHT;
      } else if (!ackDue) {
        return false;
      }
    }
    if (policy.pending) {
      const end = tracker.write(out, at, limit - at, nowMs);
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
    if (isClient && (symbolEnd > 0 || ping || !this.#heardServer) && at < limit) {
      out.fill(FRAME_PADDING, at, limit);
      at = limit;
    }
    if ((flags & SENT_IN_FLIGHT) !== 0 && probing) recovery.probes.handshakeWanted--;
    if ((flags & SENT_ACK) !== 0) policy.onSent(0, nowMs);
    this.#writer.finish(transmit, EPOCH_HANDSHAKE, headerEnd, at, flags, 0, name, tracker.lastFrame, nowMs);
    return true;
  }

  /** Writes the header of a handshake packet and returns its end. */
  beginPacket(out: Uint8Array): number {
    return this.#writer.beginHandshake(out, this.#core.isClient ? this.#token : NO_BYTES);
  }

  /** Hands what the handshake wants to say to the control stream. False when that ends the link. */
  #flush(nowMs: number): boolean {
    const core = this.#core;
    const { handshake } = core.options;
    if (handshake.failure !== null) {
      const code = handshake.failureCode ?? CLOSE_HANDSHAKE;
      core.close({ cause: "handshake", code, text: handshake.failure }, true, nowMs);
      return false;
    }
    for (;;) {
      const bytes = handshake.poll();
      if (bytes === null) return true;
      const { sender } = this.#keys.established ? core.dataSpace : core.handshakeSpace!;
      if (!this.#saidParameters) {
        this.#saidParameters = true;
        sender.write(encodeRecord(RECORD_PARAMETERS, this.#localParameters));
      }
      for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
        if (!sender.write(encodeRecord(RECORD_HANDSHAKE, bytes.subarray(at, at + RECORD_BYTES)))) {
          core.close({ cause: "handshake", code: CLOSE_HANDSHAKE, text: "a flight too long" }, true, nowMs);
          return false;
        }
      }
    }
  }

  /** All that was said before the handshake, each part with its length. */
  #transcript(peerParameters: Uint8Array): Uint8Array {
    const { isClient: client, firstLocalId, remoteIds } = this.#core;
    const parts = [
      new Uint8Array([VERSION >>> 24, (VERSION >>> 16) & 255, (VERSION >>> 8) & 255, VERSION & 255]),
      this.#keyId,
      this.#saidToken,
      client ? firstLocalId : remoteIds.current,
      client ? remoteIds.current : firstLocalId,
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
}
