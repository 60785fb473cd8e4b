/**
 * The keys of a link and their update, RFC 9001, section 6: which keys seal and open now, and when they turn. Where keys come
 * from is the handshake's business, what they do the AEAD's.
 */
import type { LinkKeys, Opener } from "./aead.ts";
import { CLOSE_KEYS } from "./close.ts";
import type { LinkCore } from "./link-core.ts";
import type { PacketHeader } from "./packet-header.ts";
import type { Recovery } from "./recovery.ts";

/** Probe timeouts that old keys are kept (RFC 9001, section 6.5). */
const OLD_KEYS_PTOS = 3;

export class KeySchedule {
  /** Of the handshake epoch; null when that is over. */
  handshake: LinkKeys | null;
  readonly #core: LinkCore;
  readonly #recovery: Recovery;
  #data: LinkKeys | null = null;
  #next: LinkKeys | null = null;
  #previousOpener: Opener | null = null;
  #previousOpenerEndMs = 0;
  #phase = 0;
  #phaseFirstSent = 0;
  /** The lowest number that came in this phase; Infinity until the peer follows an update of this end's. */
  #phaseFirstReceived = 0;
  #phaseSealed = 0;
  #failedOpens = 0;

  constructor(core: LinkCore, recovery: Recovery, handshake: LinkKeys) {
    this.#core = core;
    this.#recovery = recovery;
    this.handshake = handshake;
  }

  /** Whether there are keys of the data epoch. */
  get established(): boolean {
    return this.#data !== null;
  }

  /** The key phase bit of what is sent. */
  get phase(): number {
    return this.#phase;
  }

  /** The handshake came to keys. */
  establish(keys: LinkKeys): void {
    this.#data = keys;
    this.#phaseFirstSent = this.#recovery.nextPacketNumber;
  }

  /** Time goes on: keys of the phase before have had their time. */
  onTime(nowMs: number): void {
    if (this.#previousOpener !== null && nowMs >= this.#previousOpenerEndMs) this.#previousOpener = null;
  }

  /** Takes new keys for what is sent from now on; the peer follows. False when the last update is not through yet. */
  update(nowMs: number): boolean {
    if (this.#data === null || !this.#core.confirmed || this.#core.closing !== null) return false;
    if (this.#recovery.largestAcked < this.#phaseFirstSent) {
      // An end that sends ACKs alone is never answered unless it asks.
      if (this.#recovery.outstanding === 0) this.#core.pingWanted = true;
      return false;
    }
    if (this.#previousOpener !== null) return false;
    this.#turn(nowMs, Number.POSITIVE_INFINITY);
    return true;
  }

  /** A packet did not open. */
  onForgery(nowMs: number): void {
    this.#core.drops["not-authentic"]++;
    if (++this.#failedOpens > this.#data!.openLimit) {
      this.#core.close({ cause: "local", code: CLOSE_KEYS, text: "too many forged packets" }, true, nowMs);
    }
  }

  /** Seals a packet of the data epoch that starts at `start`. */
  seal(bytes: Uint8Array, start: number, headerEnd: number, end: number, packetNumber: number, nowMs: number): void {
    const keys = this.#data!;
    keys.sealer.seal(bytes, start, headerEnd - start, end, packetNumber);
    if (++this.#phaseSealed < keys.sealLimit || this.update(nowMs)) return;
    // Twice the limit without an update getting through: no packet may be sealed with these keys any more.
    if (this.#phaseSealed >= 2 * keys.sealLimit) {
      this.#core.close({ cause: "local", code: CLOSE_KEYS, text: "the keys are used up" }, true, nowMs);
    }
  }

  /** Opens a short packet in place. A packet of the next phase turns the keys. Only after `establish`. */
  open(bytes: Uint8Array, header: PacketHeader, packetNumber: number, nowMs: number): boolean {
    const keys = this.#data!;
    if (header.keyPhase === this.#phase) {
      if (!keys.opener.open(bytes, header.headerEnd, packetNumber)) return false;
      if (packetNumber < this.#phaseFirstReceived) this.#onFollowed(packetNumber, nowMs);
      return true;
    }
    // Another phase: of a lower number the one before, of a higher one the next, for the peer follows before it updates.
    if (packetNumber < this.#phaseFirstReceived) {
      return this.#previousOpener?.open(bytes, header.headerEnd, packetNumber) ?? false;
    }
    if (!this.#core.confirmed) return false;
    this.#next ??= keys.next();
    if (!this.#next.opener.open(bytes, header.headerEnd, packetNumber)) return false;
    this.#turn(nowMs, packetNumber);
    return true;
  }

  /** A packet of this phase came with a lower number than any before: the first one shows that the peer has the keys too. */
  #onFollowed(packetNumber: number, nowMs: number): void {
    if (this.#phaseFirstReceived === Number.POSITIVE_INFINITY) this.#keepPreviousUntil(nowMs);
    this.#phaseFirstReceived = packetNumber;
  }

  /** The old key stays for packets that come late. */
  #keepPreviousUntil(nowMs: number): void {
    this.#previousOpenerEndMs = nowMs + OLD_KEYS_PTOS * this.#recovery.probeTimeoutMs;
  }

  /** Enters the next key phase, for sending and receiving. `firstReceived`: Infinity when the peer has not done so. */
  #turn(nowMs: number, firstReceived: number): void {
    const keys = this.#data!;
    this.#previousOpener = keys.opener;
    if (firstReceived === Number.POSITIVE_INFINITY) this.#previousOpenerEndMs = firstReceived;
    else this.#keepPreviousUntil(nowMs);
    this.#data = this.#next ?? keys.next();
    this.#next = null;
    this.#phase ^= 1;
    this.#phaseFirstSent = this.#recovery.nextPacketNumber;
    this.#phaseFirstReceived = firstReceived;
    this.#phaseSealed = 0;
    this.#core.stats.keyUpdates++;
  }
}
