/**
 * The contract of a UDP socket: what moves a link's datagrams in and out of the kernel. It knows nothing of what is in
 * them, keeps no time and decides nothing about congestion. Two implementations, dgram-socket.ts and native-socket.ts,
 * behave alike but for speed and what `features` says.
 */
import type { Address } from "../transport/address.ts";
import type { ReceivedDatagram, Transmit } from "../transport/endpoint.ts";

/** The largest UDP payload over IPv4; over IPv6 20 more fit, which nothing here needs. */
export const LARGEST_PAYLOAD = 65_507;

/** What a socket can do beyond moving datagrams. May lose a feature while it runs, when the kernel turns out to lack it. */
export interface UdpFeatures {
  /** UDP segmentation offload: a train goes to the kernel, or the network card, in one piece. */
  readonly segmentation: boolean;
  /** UDP receive offload: the kernel hands over trains in one piece. */
  readonly coalescing: boolean;
  /** ECN codepoints are sent and received. Without: they leave as 0, and arrive as 0 whatever the packet bore. */
  readonly ecn: boolean;
  /**
   * Datagrams are never fragmented here or on their way; too large ones are dropped. Without, a datagram larger than
   * the path's MTU may arrive in spite of it, so its arrival says nothing about the path.
   */
  readonly dontFragment: boolean;
  /** `destination` of what is received is the very address it came to, and `source` of what is sent is kept to. */
  readonly localAddress: boolean;
}

/** All count from the opening of the socket. Bytes are those of UDP payloads. */
export interface UdpCounters {
  receivedDatagrams: number;
  receivedBytes: number;
  sentDatagrams: number;
  sentBytes: number;
  /** Turns that handed over datagrams: bursts, each ended by `onBatchEnd`. */
  receiveBatches: number;
  /** Times that the kernel's buffer was full, or it had no memory for one (ENOBUFS), and `send` returned false. */
  sendStalls: number;
  /** Datagrams dropped because they were sent in spite of a `send` that returned false, or after `close`. */
  sendDropped: number;
  /** Datagrams that the kernel refused, by error name: ENETUNREACH, EMSGSIZE, EPERM, ... */
  sendErrors: Record<string, number>;
  /** Errors reported in place of a datagram: ECONNREFUSED and whatever else ICMP brings. */
  receiveErrors: Record<string, number>;
}

/** Life: open (`openUdpSocket`), set the three callbacks, `start`, `close`. */
export interface UdpSocket {
  /** Which way datagrams take: `node:dgram`, or system calls that move many at once. */
  readonly kind: "dgram" | "native";
  /** What the socket is bound to, with the port that the kernel chose. */
  readonly localAddress: Address;
  readonly features: UdpFeatures;
  /** Sizes of the kernel's buffers in bytes, as far as it granted them. */
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
  /**
   * How many datagrams of one `Transmit` cost about as much as one: 1 without segmentation offload. Longer trains are
   * taken all the same, up to the size of the buffer.
   */
  readonly maxSegments: number;
  readonly counters: UdpCounters;
  /** Between a `send` that returned false and `onWritable`: what is sent now is dropped. */
  readonly stalled: boolean;
  /** Datagrams that the kernel dropped because the receive buffer was full; null where it does not tell. Asks the kernel. */
  readonly receiveOverflows: number | null;
  /**
   * Takes a datagram, for the time of the call: object, bytes and all are used again for the next one; only the addresses
   * may be kept. It may write to the bytes, and call any method. What it throws is a bug and reaches the top.
   */
  onDatagram: (datagram: ReceivedDatagram) => void;
  /** After the last datagram of each turn of the event loop: the time to answer. Never without a datagram before it. */
  onBatchEnd: () => void;
  /** After a `send` that returned false: there is room again. Never called within `send`. */
  onWritable: () => void;
  /** Begins to hand over datagrams; those that arrived before may be lost. Once, with the callbacks set. */
  start(): void;
  /**
   * Takes over one datagram, or a train when `segmentBytes` > 0, whose `destination` must be set. The socket is done with
   * object and buffer when it returns.
   *
   * False: it was taken, but the kernel's buffer is full, or there is none. Hold the next one back until `onWritable`; one
   * sent in the meantime is dropped and counted. Errors of the network (unreachable, too large, not permitted) never throw:
   * the datagram is lost, as any may be, and counted.
   */
  send(transmit: Transmit): boolean;
  /** Ends everything: no callback comes any more, datagrams not yet with the kernel are dropped. May be called again. */
  close(): Promise<void>;
  /** Whether the socket alone keeps the process alive: yes after `ref`, as at first; no after `unref`. */
  ref(): void;
  unref(): void;
}

export function emptyCounters(): UdpCounters {
  return {
    receivedDatagrams: 0,
    receivedBytes: 0,
    sentDatagrams: 0,
    sentBytes: 0,
    receiveBatches: 0,
    sendStalls: 0,
    sendDropped: 0,
    sendErrors: {},
    receiveErrors: {},
  };
}

/** Counts an error under its name. Names come from the kernel's short list, so the record stays small. */
export function countError(errors: Record<string, number>, name: string, times = 1): void {
  errors[name] = (errors[name] ?? 0) + times;
}

/** How many datagrams a transmit holds. */
export function datagramsIn(length: number, segmentBytes: number): number {
  return segmentBytes === 0 ? 1 : Math.ceil(length / segmentBytes);
}
