/**
 * How often the peer should send ACKs, which its sender knows best: about 128 a round trip, and more where they are lost, asked for with ACK_FREQUENCY frames
 * (draft-ietf-quic-ack-frequency). How a receiver answers that wish is `ack-policy.ts`.
 */
import {
  DEFAULT_ACK_DELAY_MS,
  DEFAULT_ACK_THRESHOLD,
  latestAckDelayMs,
  MAX_ACK_DELAY_MS,
  MAX_ACK_THRESHOLD,
} from "./ack-policy.ts";
import { writeAckFrequency } from "./frames.ts";

/**
 * With 16 ACKs a round trip a stream got 0.02 to 0.04 less of a path of 100 Mbit/s, for a rate cannot be measured more finely than
 * ACKs come; with 128 they still are below 1 % of the bytes.
 */
const ACKS_PER_RTT = 128;
/**
 * ACKs are lost too, and several in a row are a pause in which a window sends nothing: with 20 % lost and 220 ms of round trip one in a
 * hundred was longer than the queue that bridges it, and 0.6 to 1.4 % of the path stayed unused. As many more for each unit of loss,
 * but none so that they come closer than this: then a few in a row do no harm.
 */
const MORE_ACKS_PER_LOSS = 10;
const CLOSE_ENOUGH_MS = 0.5;
/** The peer hears of a wish that differs by this factor. */
const TOLD_FACTOR = 1.5;
const DELAYS_PER_RTT = 32;
/** The question is asked once in so many packets, and each answer told so often: a frame that is lost is not sent again. */
const INTERVAL_PACKETS = 16;
const TIMES_TOLD = 3;

export class AckFrequency {
  #sequence = 0;
  /** What the peer was asked for last; 0 when nothing. */
  #toldThreshold = 0;
  #toldDelayMs = 0;
  #packets = 0;
  #repeats = 0;

  /** How long the peer may hold back an ACK, who says that it never does so longer than `longestMs`. */
  latestDelayMs(longestMs: number): number {
    return this.#toldThreshold === 0 ? longestMs : Math.min(longestMs, latestAckDelayMs(this.#toldDelayMs));
  }

  /** Whether the next packet, one more than at the last call, is to say something. */
  due(packetsInFlight: number, minRttMs: number, lossRate: number): boolean {
    if (++this.#packets < INTERVAL_PACKETS) return false;
    this.#packets = 0;
    if (this.#changed(packetsInFlight, minRttMs, lossRate)) this.#repeats = TIMES_TOLD;
    return this.#repeats > 0;
  }

  /** Whether rate and round trip changed so much that the peer should hear of it. */
  #changed(packetsInFlight: number, minRttMs: number, lossRate: number): boolean {
    const threshold = wantedThreshold(packetsInFlight, minRttMs, lossRate);
    const delayMs = wantedDelayMs(minRttMs);
    const told = this.#toldThreshold;
    if (told === 0) return threshold !== DEFAULT_ACK_THRESHOLD || Math.abs(delayMs - DEFAULT_ACK_DELAY_MS) > 1;
    return (
      threshold > TOLD_FACTOR * told ||
      threshold * TOLD_FACTOR < told ||
      delayMs > TOLD_FACTOR * this.#toldDelayMs ||
      delayMs * TOLD_FACTOR < this.#toldDelayMs
    );
  }

  /** Writes the frame that says so. */
  write(out: Uint8Array, at: number, packetsInFlight: number, minRttMs: number, lossRate: number): number {
    this.#repeats--;
    this.#toldThreshold = wantedThreshold(packetsInFlight, minRttMs, lossRate);
    this.#toldDelayMs = wantedDelayMs(minRttMs);
    return writeAckFrequency(out, at, this.#sequence++, this.#toldThreshold, this.#toldDelayMs);
  }

  /** Another path: what was asked for means nothing there. */
  reset(): void {
    this.#toldThreshold = 0;
    this.#repeats = 0;
  }
}

function wantedThreshold(packetsInFlight: number, minRttMs: number, lossRate: number): number {
  const more = ACKS_PER_RTT * (1 + MORE_ACKS_PER_LOSS * lossRate);
  const acks = Math.max(ACKS_PER_RTT, Math.min(more, minRttMs / CLOSE_ENOUGH_MS));
  const threshold = Math.round(packetsInFlight / acks);
  return Math.min(Math.max(threshold, DEFAULT_ACK_THRESHOLD), MAX_ACK_THRESHOLD);
}

function wantedDelayMs(minRttMs: number): number {
  return Math.min(Math.max(minRttMs / DELAYS_PER_RTT, 1), MAX_ACK_DELAY_MS);
}
