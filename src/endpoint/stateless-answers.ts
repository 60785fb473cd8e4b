/**
 * Answers to strangers, for which no state is kept: version negotiation, retry and stateless reset (RFC 9000, sections 6, 8.1, 10.3).
 * Each is smaller than what it answers, and only so many leave in a time. Not here: who deserves which.
 */
import type { AddressTokens } from "../tls/index.ts";
import type { Address } from "../transport/address.ts";
import type { ReceivedDatagram, Transmit } from "../transport/endpoint.ts";
import {
  MIN_INITIAL_BYTES,
  type PacketHeader,
  type PacketProtection,
  statelessReset,
  VERSION,
  versionNegotiation,
  writeRetryHeader,
} from "../transport/link/index.ts";
import { AnswerLimit } from "./answer-limit.ts";
import { CONNECTION_ID_BYTES } from "./connection-id-map.ts";
import type { EndpointCounters } from "./endpoint-counters.ts";

const ANSWERS_A_SECOND = 500;
const ANSWER_BURST = 100;
/** Retries cost more, but without them nobody gets in while somebody floods. A client's first flight is several packets. */
const RETRIES_A_SECOND = 2000;
const RETRY_BURST = 500;
/** Answers that wait for the socket. */
const MAX_ANSWERS = 64;

interface Answer {
  readonly bytes: Uint8Array;
  readonly destination: Address;
  readonly source: Address;
}

export interface StatelessAnswersOptions {
  readonly protection: PacketProtection;
  readonly random: (bytes: Uint8Array) => void;
  readonly resetToken: (id: Uint8Array) => Uint8Array;
}

export class StatelessAnswers {
  readonly #options: StatelessAnswersOptions;
  readonly #counters: EndpointCounters;
  readonly #waiting: Answer[] = [];
  readonly #answerLimit = new AnswerLimit(ANSWERS_A_SECOND, ANSWER_BURST);
  readonly #retryLimit = new AnswerLimit(RETRIES_A_SECOND, RETRY_BURST);

  constructor(options: StatelessAnswersOptions, counters: EndpointCounters) {
    this.#options = options;
    this.#counters = counters;
  }

  /** Whether some wait to be sent. */
  get wait(): boolean {
    return this.#waiting.length > 0;
  }

  pollTransmit(transmit: Transmit): boolean {
    const answer = this.#waiting.shift();
    if (answer === undefined) return false;
    transmit.buffer.set(answer.bytes);
    transmit.length = answer.bytes.length;
    transmit.destination = answer.destination;
    transmit.source = answer.source;
    return true;
  }

  /** Asks a client to prove its address, and forgets it. */
  retry(datagram: ReceivedDatagram, header: PacketHeader, tokens: AddressTokens, nowMs: number): void {
    if (!this.#retryLimit.take(nowMs)) {
      this.#counters.drops["not-answered"]++;
      return;
    }
    const { bytes, source } = datagram;
    const client = bytes.slice(header.sourceStart, header.sourceEnd);
    const first = bytes.slice(header.destinationStart, header.destinationEnd);
    const fresh = new Uint8Array(CONNECTION_ID_BYTES);
    this.#options.random(fresh);
    const packet = new Uint8Array(256);
    const end = writeRetryHeader(packet, 0, client, fresh, tokens.issue("retry", source, nowMs, first));
    this.#options.protection.handshakeKeys(first, "server").sealer.seal(packet, 0, end, end, 0);
    this.#counters.retries++;
    this.#answer(packet.subarray(0, end + 16), datagram);
  }

  negotiateVersion(datagram: ReceivedDatagram, header: PacketHeader, nowMs: number): void {
    const { bytes } = datagram;
    if (bytes.length < MIN_INITIAL_BYTES) return;
    if (!this.#answerLimit.take(nowMs)) {
      this.#counters.drops["not-answered"]++;
      return;
    }
    const client = bytes.slice(header.sourceStart, header.sourceEnd);
    const own = bytes.slice(header.destinationStart, header.destinationEnd);
    this.#counters.versionNegotiations++;
    this.#answer(versionNegotiation(client, own, [VERSION]), datagram);
  }

  /** Tells the peer of a link that is not known here (any more). */
  reset(datagram: ReceivedDatagram, header: PacketHeader, nowMs: number): void {
    const { bytes } = datagram;
    if (!this.#answerLimit.take(nowMs)) {
      this.#counters.drops["not-answered"]++;
      return;
    }
    const noise = new Uint8Array(32);
    this.#options.random(noise);
    const { destinationStart, destinationEnd } = header;
    const token = this.#options.resetToken(bytes.slice(destinationStart, destinationEnd));
    const packet = statelessReset(token, bytes.length, noise);
    if (packet === null) return;
    this.#counters.statelessResets++;
    this.#answer(packet, datagram);
  }

  #answer(bytes: Uint8Array, { source, destination }: ReceivedDatagram): void {
    if (this.#waiting.length >= MAX_ANSWERS) this.#counters.drops["not-answered"]++;
    else this.#waiting.push({ bytes, destination: source, source: destination });
  }
}
