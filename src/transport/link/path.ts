/**
 * A path: a pair of addresses, with what is known of it alone: whether the peer is proved to be there (RFC 9000, section 8.2),
 * how much may be sent before that (section 8.1), and its MTU. RTT, ECN and congestion control belong to the link.
 */
import type { Address } from "../address.ts";
import { PATH_DATA_BYTES } from "./frames.ts";
import { PathMtu } from "./path-mtu.ts";

/** Bytes sent to an address that is not validated are at most this many times those that came from it. */
export const AMPLIFICATION_LIMIT = 3;
/** Nothing is sent where less than this is allowed: an ACK frame of one range and its packet, with the longest of all fields. */
export const LEAST_PACKET_BYTES = 120;
/** A path frame and its packet, the longest connection id and packet number counted. */
export const LEAST_PATH_PACKET_BYTES = 50;
/** Of what may be sent to an unproved address, this is kept for challenges. */
const CHALLENGE_RESERVE_BYTES = 4 * LEAST_PATH_PACKET_BYTES;

/** Challenges at an even pace before the pace slows. */
const PACED_TRIES = 16;
const SLOWEST_CHALLENGE_MS = 2000;
/** What every path has before its first challenge. */
const NO_CHALLENGE = new Uint8Array(PATH_DATA_BYTES);

export class Path {
  remote: Address;
  /** Where packets came to; null before any came. */
  local: Address | null;
  mtu: PathMtu;
  #validated: boolean;
  #receivedBytes = 0;
  #sentBytes = 0;
  #challenge: Uint8Array = NO_CHALLENGE;
  #challenging = false;
  #tries = 0;
  #nextChallengeMs = Number.POSITIVE_INFINITY;
  #deadlineMs = Number.POSITIVE_INFINITY;

  constructor(remote: Address, local: Address | null, validated: boolean, mtuLimit: number) {
    this.remote = remote;
    this.local = local;
    this.#validated = validated;
    this.mtu = new PathMtu(mtuLimit);
  }

  get validated(): boolean {
    return this.#validated;
  }

  validate(): void {
    this.#validated = true;
    this.#challenging = false;
    this.#nextChallengeMs = Number.POSITIVE_INFINITY;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  onReceived(bytes: number): void {
    this.#receivedBytes += bytes;
  }

  onSent(bytes: number): void {
    this.#sentBytes += bytes;
  }

  /** Bytes that may be sent now. */
  get allowance(): number {
    return this.#validated
      ? Number.POSITIVE_INFINITY
      : Math.max(0, AMPLIFICATION_LIMIT * this.#receivedBytes - this.#sentBytes);
  }

  /** Bytes that may be sent now, what challenges need taken off. */
  get allowanceForData(): number {
    return this.#challenging ? this.allowance - CHALLENGE_RESERVE_BYTES : this.allowance;
  }

  /** Starts to ask the peer for proof, until `deadlineMs`. `data` is 8 random bytes. */
  challenge(data: Uint8Array, nowMs: number, deadlineMs: number): void {
    this.#challenge = data.slice();
    this.#challenging = true;
    this.#nextChallengeMs = nowMs;
    this.#deadlineMs = deadlineMs;
  }

  get challenging(): boolean {
    return this.#challenging;
  }

  /** The 8 bytes that the peer must return. */
  get challengeData(): Uint8Array {
    return this.#challenge;
  }

  /** When the next challenge is due; Infinity when none is. */
  get nextChallengeMs(): number {
    return this.#nextChallengeMs;
  }

  /** One left; the next follows after `intervalMs`, after a few tries ever more rarely. */
  onChallengeSent(nowMs: number, intervalMs: number): void {
    const delayMs = intervalMs * 2 ** Math.max(0, ++this.#tries - PACED_TRIES);
    this.#nextChallengeMs = nowMs + Math.min(delayMs, Math.max(intervalMs, SLOWEST_CHALLENGE_MS));
  }

  /** When validation has failed; Infinity when none is under way. */
  get deadlineMs(): number {
    return this.#deadlineMs;
  }

  /** A PATH_RESPONSE: true when it is the one that was asked for, and the path is validated. */
  onResponse(bytes: Uint8Array, start: number): boolean {
    if (!this.#challenging) return false;
    for (let i = 0; i < PATH_DATA_BYTES; i++) if (bytes[start + i] !== this.#challenge[i]) return false;
    this.validate();
    return true;
  }
}

/** Whether only the port may differ. */
export function sameIp(a: Address, b: Address): boolean {
  return a === b || (a.ip === b.ip && a.carrier === b.carrier);
}
