/**
 * Where the peer is: follows it to another address, asks for proof that it is there, answers its challenges, goes back when the
 * proof does not come (RFC 9000, sections 8.2 and 9), and keeps within the leave that an unproved address gives. What is
 * known of one path is `path.ts`.
 */
import { type Address, sameAddress } from "../address.ts";
import type { ReceivedDatagram, Transmit } from "../endpoint.ts";
import type { ControlChannel } from "./control-channel.ts";
import { FRAME_PADDING, FRAME_PATH_CHALLENGE, FRAME_PATH_RESPONSE, PATH_DATA_BYTES, writePathFrame } from "./frames.ts";
import type { LinkCore } from "./link-core.ts";
import { EPOCH_DATA } from "./loss-detection.ts";
import { TAG_BYTES } from "./packet-header.ts";
import { type PacketWriter, SENT_NOTHING } from "./packet-writer.ts";
import { LEAST_PATH_PACKET_BYTES, Path, sameIp } from "./path.ts";
import { BASE_DATAGRAM_BYTES } from "./path-mtu.ts";
import type { Recovery } from "./recovery.ts";

/** Path responses that wait. */
const MAX_RESPONSES = 4;
/** Challenges are so many round trips apart, and this far at least: a lost one must not cost a round trip. */
const CHALLENGE_RTTS = 0.125;
const CHALLENGE_LEAST_MS = 8;
/** A path that gives no proof in this many probe timeouts has failed. */
const VALIDATION_PTOS = 6;
const VALIDATION_LEAST_MS = 1000;

interface PendingResponse {
  data: Uint8Array;
  remote: Address;
  local: Address;
  /** Bytes that came with the challenge, and the packet that they came in, counted. */
  bytes: number;
  packet: number;
}

export class PathManager {
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  readonly #channel: ControlChannel;
  readonly #writer: PacketWriter;
  /** The last proved path, while the one in use is not. */
  #previous: Path | null = null;
  #responses: PendingResponse[] = [];
  /** The sequence of this end's id that the peer used last. */
  #lastIdUsed = 0;

  constructor(core: LinkCore, recovery: Recovery, channel: ControlChannel, writer: PacketWriter) {
    this.#core = core;
    this.#recovery = recovery;
    this.#channel = channel;
    this.#writer = writer;
  }

  /** When the path in use has failed to prove itself; Infinity when that is not in question. */
  get deadlineMs(): number {
    return this.#core.path.deadlineMs;
  }

  /** When the next challenge is due; Infinity when none is, or it may not be sent. */
  get nextMs(): number {
    const { path } = this.#core;
    return path.allowance >= LEAST_PATH_PACKET_BYTES ? path.nextChallengeMs : Number.POSITIVE_INFINITY;
  }

  /** This end moved to another address, or may have. */
  localAddressChanged(nowMs: number): void {
    const core = this.#core;
    if (!core.confirmed || core.closing !== null) return;
    const path = new Path(core.path.remote, null, true, core.maxDatagramBytes);
    this.#previous = null;
    core.path = path;
    this.#challenge(path, nowMs);
    this.#channel.rotateId();
    this.#restart(nowMs);
    core.stats.pathChanges++;
    core.user.pathChanged(path.remote, true, nowMs);
  }

  /** A genuine packet came, for which its path may be sent more. */
  onReceived(datagram: ReceivedDatagram): void {
    const { path } = this.#core;
    if (sameAddress(datagram.source, path.remote)) path.onReceived(datagram.bytes.length);
    else if (this.#previous !== null && sameAddress(datagram.source, this.#previous.remote)) {
      this.#previous.onReceived(datagram.bytes.length);
    }
  }

  /** A packet of a higher number than any before says where the peer is. `idSequence`: which of this end's ids it bears. */
  onHighest(datagram: ReceivedDatagram, idSequence: number, nowMs: number): void {
    const core = this.#core;
    const { source, destination } = datagram;
    const { path } = core;
    const rotated = idSequence !== this.#lastIdUsed;
    this.#lastIdUsed = idSequence;
    if (sameAddress(source, path.remote)) {
      const moved = path.local !== null && !sameIp(path.local, destination);
      path.local = destination;
      // The peer's packets come to another address of ours: this end moved.
      if (moved && core.isClient) this.localAddressChanged(nowMs);
      return;
    }
    const restarted = !sameIp(source, path.remote);
    const previous = this.#previous;
    if (path.validated) this.#previous = path;
    if (previous !== null && sameAddress(source, previous.remote)) {
      // Back where it was, which needs no new proof.
      core.path = previous;
      this.#previous = path.validated ? path : null;
    } else {
      core.path = new Path(source, destination, false, core.maxDatagramBytes);
      if (!restarted) core.path.mtu = path.mtu;
      this.#challenge(core.path, nowMs);
    }
    if (rotated) this.#channel.rotateId();
    if (restarted) this.#restart(nowMs);
    // What is on its way to the old address is lost; an answer from the new one shows it soonest.
    this.#recovery.probes.wanted = 1;
    core.stats.pathChanges++;
    core.user.pathChanged(source, restarted, nowMs);
  }

  /** A PATH_CHALLENGE with the bytes from `start` to `end`. */
  onChallenge(datagram: ReceivedDatagram, start: number, end: number): void {
    const { bytes, source, destination } = datagram;
    const packet = this.#core.stats.receivedPackets;
    // A packet gets one answer, or its bytes would be returned several times.
    if (this.#responses.at(-1)?.packet === packet) this.#responses.pop();
    else if (this.#responses.length >= MAX_RESPONSES) this.#responses.shift();
    const data = bytes.slice(start, end);
    this.#responses.push({ data, remote: source, local: destination, bytes: bytes.length, packet });
    // The peer is not sure of this end's address and may send little: a ping, repeated until it is answered, gives it
    // leave to send and to ask again when the response is lost.
    this.#core.pingWanted = true;
  }

  /** A PATH_RESPONSE with the bytes from `start`. */
  onResponse(bytes: Uint8Array, start: number): void {
    if (this.#core.path.onResponse(bytes, start)) this.#previous = null;
  }

  /** The peer gave no proof that it is where its packets seemed to come from: back to where it was. */
  onDeadline(nowMs: number): void {
    const core = this.#core;
    const failed = core.path;
    const previous = this.#previous;
    core.stats.failedValidations++;
    if (previous === null || failed.validated) {
      // There is nowhere to go back to; go on asking.
      this.#challenge(failed, nowMs);
      return;
    }
    core.path = previous;
    this.#previous = null;
    const restarted = !sameIp(failed.remote, previous.remote);
    if (restarted) this.#restart(nowMs);
    core.user.pathChanged(previous.remote, restarted, nowMs);
  }

  /** Writes a response to a challenge, to wherever that came from, or a challenge of the path in use. */
  send(transmit: Transmit, nowMs: number): boolean {
    const response = this.#responses[0];
    const { path } = this.#core;
    if (response !== undefined) {
      const here = sameAddress(response.remote, path.remote);
      // No more than came from there: an answer must not amplify.
      const allowance = here ? path.allowance : response.bytes;
      if (!here || allowance >= LEAST_PATH_PACKET_BYTES) {
        const limit = Math.min(response.bytes, allowance, BASE_DATAGRAM_BYTES);
        this.#responses.shift();
        return this.#sendPacket(transmit, FRAME_PATH_RESPONSE, response.data, limit, response, nowMs);
      }
    }
    if (path.nextChallengeMs > nowMs || path.allowance < LEAST_PATH_PACKET_BYTES) return false;
    const { rtt } = this.#recovery;
    path.onChallengeSent(nowMs, Math.max(CHALLENGE_LEAST_MS, rtt.sampled ? CHALLENGE_RTTS * rtt.smoothedMs : 0));
    // Padding must not eat the leave to ask again.
    const limit = path.allowance >= 2 * BASE_DATAGRAM_BYTES ? BASE_DATAGRAM_BYTES : LEAST_PATH_PACKET_BYTES;
    return this.#sendPacket(transmit, FRAME_PATH_CHALLENGE, path.challengeData, limit, path, nowMs);
  }

  /** The link ends: nothing is answered any more. */
  destroy(): void {
    this.#responses = [];
  }

  #sendPacket(
    transmit: Transmit,
    type: number,
    data: Uint8Array,
    bytes: number,
    to: { remote: Address; local: Address | null },
    nowMs: number,
  ): boolean {
    const out = transmit.buffer;
    const headerEnd = this.#writer.beginShort(transmit, nowMs);
    let at = writePathFrame(out, headerEnd, type, data);
    // Padded, as far as allowed, so that the path proves to carry full packets (RFC 9000, section 8.2.1).
    if (at + TAG_BYTES < bytes) {
      out.fill(FRAME_PADDING, at, bytes - TAG_BYTES);
      at = bytes - TAG_BYTES;
    }
    // Path frames have their own retry: nobody waits for their ACK.
    this.#writer.finish(transmit, EPOCH_DATA, headerEnd, at, SENT_NOTHING, 0, 0, 0, nowMs);
    transmit.destination = to.remote;
    if (!this.#core.isClient) transmit.source = to.local;
    return true;
  }

  #challenge(path: Path, nowMs: number): void {
    const data = new Uint8Array(PATH_DATA_BYTES);
    this.#core.random(data);
    const patience = Math.max(VALIDATION_PTOS * this.#recovery.probeTimeoutMs, VALIDATION_LEAST_MS);
    path.challenge(data, nowMs, nowMs + patience);
  }

  #restart(nowMs: number): void {
    this.#recovery.restart(nowMs);
    this.#core.path.mtu.abandonProbe();
    this.#core.payloadChanged(nowMs);
  }
}
