/**
 * Cross traffic: a bulk transfer by the TCP model from one node to another, and what a user may ask of it. Packets have
 * sizes but no bytes, so a flow costs little more than its events.
 */
import { checkInteger, checkNumber, checkPositive, SimulatorOptionError } from "../error.ts";
import type { Network, Node } from "../network.ts";
import type { CongestionAlgorithm } from "./congestion.ts";
import { Cubic } from "./cubic.ts";
import { TcpReceiver } from "./receiver.ts";
import { Reno } from "./reno.ts";
import { createSegmentPool } from "./segment.ts";
import { TcpSender, type TcpSenderCounters, type TcpState } from "./sender.ts";

export interface TcpFlowOptions {
  from: Node;
  to: Node;
  /** Default "cubic". */
  congestion?: "cubic" | "reno";
  /** When the SYN leaves, ms, now or later. Default now. */
  startMs?: number;
  /** From when on nothing new is sent. Default never. */
  stopMs?: number;
  /** Payload in bytes, a whole number from 1. Default without end. */
  bytes?: number;
  /** Segments, from 1. Default 10 (RFC 6928). */
  initialWindow?: number;
  /** Payload of a segment in bytes, 1 to 65,000. Default 1448, which makes IP packets of 1500 bytes. */
  segmentBytes?: number;
  /** The receiver's window in bytes. Default 64 MiB. */
  receiveWindowBytes?: number;
  /** Paces at 2 (slow start) or 1.2 windows a round trip, as with Linux's fq. Default false, as without. */
  pacing?: boolean;
  /** CUBIC's HyStart. Default true. */
  hystart?: boolean;
}

export class TcpFlow {
  readonly #network: Network;
  readonly #sender: TcpSender;
  readonly #receiver: TcpReceiver;

  /** @internal Made by `startTcpFlow`. */
  constructor(network: Network, sender: TcpSender, receiver: TcpReceiver) {
    this.#network = network;
    this.#sender = sender;
    this.#receiver = receiver;
  }

  /** Payload bytes delivered in order to the receiving application. */
  get deliveredBytes(): number {
    return this.#sender.bytesOf(this.#receiver.expected);
  }

  /** Payload bytes ACKed. */
  get acknowledgedBytes(): number {
    return this.#sender.bytesOf(this.#sender.acknowledged);
  }

  /** Mean goodput from the end of the handshake until now, Mbit/s of payload; 0 before. */
  get goodputMbps(): number {
    const elapsed = this.#network.nowMs - this.#sender.establishedMs;
    return elapsed > 0 ? (this.deliveredBytes * 8) / 1000 / elapsed : 0;
  }

  /** When the handshake was done; NaN before. */
  get establishedMs(): number {
    return this.#sender.establishedMs;
  }

  /** Congestion window in segments. */
  get windowSegments(): number {
    return this.#sender.window.size;
  }

  /** Slow start threshold in segments, Infinity before the first loss. */
  get thresholdSegments(): number {
    return this.#sender.window.threshold;
  }

  get inFlightSegments(): number {
    return this.#sender.inFlight;
  }

  /** 0 before the first sample. */
  get smoothedRttMs(): number {
    return this.#sender.rtt.smoothedMs;
  }

  /** The present retransmission timeout, backed off or not. */
  get timeoutMs(): number {
    return this.#sender.rtt.timeoutMs;
  }

  get state(): TcpState {
    return this.#sender.state;
  }

  get counters(): Readonly<TcpSenderCounters> {
    return this.#sender.counters;
  }

  /** Sends nothing new from now on. */
  stop(): void {
    this.#sender.stop();
  }
}

/** Starts a bulk transfer. Throws a SimulatorOptionError for bad options. */
export function startTcpFlow(network: Network, options: TcpFlowOptions): TcpFlow {
  const { from, to, startMs = network.nowMs, stopMs, bytes = Number.POSITIVE_INFINITY, pacing = false } = options;
  const segmentBytes = checkInteger("segmentBytes", options.segmentBytes ?? 1448, 1, 65_000, "bytes");
  const windowBytes = checkPositive("receiveWindowBytes", options.receiveWindowBytes ?? 64 * 2 ** 20, "bytes");
  const initialWindow = checkInteger("initialWindow", options.initialWindow ?? 10, 1, 1_000_000, "segments");
  if (bytes !== Number.POSITIVE_INFINITY) checkInteger("bytes", bytes, 1, Number.MAX_SAFE_INTEGER, "bytes");
  checkNumber("startMs", startMs, network.nowMs, Number.MAX_VALUE, "ms");
  if (stopMs !== undefined) checkNumber("stopMs", stopMs, startMs, Number.MAX_VALUE, "ms");
  if (from === to) throw new SimulatorOptionError("to", to.name, "another node than from");
  const pool = createSegmentPool();
  const receiver = new TcpReceiver(network, to, pool);
  const sender = new TcpSender(network, from, pool, receiver.address, {
    algorithm: createAlgorithm(options),
    initialWindow,
    segmentBytes,
    bytes,
    pacing,
    peerWindow: Math.max(1, Math.floor(windowBytes / segmentBytes)),
  });
  network.at(startMs, () => sender.start());
  if (stopMs !== undefined) network.at(stopMs, () => sender.stop());
  return new TcpFlow(network, sender, receiver);
}

function createAlgorithm({ congestion = "cubic", hystart = true }: TcpFlowOptions): CongestionAlgorithm {
  if (congestion === "cubic") return new Cubic(hystart);
  if (congestion === "reno") return new Reno();
  throw new SimulatorOptionError("congestion", congestion, '"cubic" or "reno"');
}
