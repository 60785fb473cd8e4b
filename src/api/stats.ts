/** What a session tells of itself. */
import type { SessionHolder } from "../endpoint/session-holder.ts";
import { CarrierSocket } from "../fallback/index.ts";
import type { UdpSocket } from "../udp/index.ts";

/** Counters are since the session, or for the link's since its present link, began. Rates are averages of the estimators. */
export interface SessionStats {
  state: "open" | "suspended" | "closed";
  streams: number;
  /** Round-trip time: smoothed and least, ms; NaN before the first sample. */
  rttMs: number;
  minRttMs: number;
  /** Share of packets lost of late, 0 to 1. */
  lossRate: number;
  /** Of the congestion controller: its name and state, window and bytes in flight, pacing rate in bits a second. */
  congestion: string;
  congestionState: string;
  windowBytes: number;
  inFlightBytes: number;
  pacingRateBps: number;
  /** Bytes of the largest datagram that is known to pass. */
  datagramBytes: number;
  /** Bytes of streams that this end's application wrote, as far as they were taken over, and read. */
  streamBytesWritten: number;
  streamBytesRead: number;
  sentPackets: number;
  sentBytes: number;
  receivedPackets: number;
  receivedBytes: number;
  lostPackets: number;
  /** Symbols that carried new bytes, and those that repaired lost ones. */
  sentSymbols: number;
  sentRepairs: number;
  receivedSymbols: number;
  /** Repairs among them that left ahead of losses. */
  repairsAhead: number;
  /** Bytes of repair sent for each byte of data. */
  redundancy: number;
  /** Datagrams: taken from this end's application, refused for want of room, too old to leave; handed to it, and never whole. */
  datagramsSent: number;
  datagramsRefused: number;
  datagramsExpired: number;
  datagramsReceived: number;
  datagramsIncomplete: number;
  /** Bytes of memory that the session holds. */
  memoryBytes: number;
  /** Times that the path changed. */
  pathChanges: number;
  /** How datagrams get in and out of the kernel. */
  io: "dgram" | "native";
  /** How packets are sealed: "aes-128-gcm" or "chacha20-poly1305"; "" without a link. */
  aead: string;
}

/** What went over TLS on TCP in UDP's place, since the socket was opened. */
export interface FallbackStats {
  /** Connections that are open. */
  connections: number;
  /** Of a listener: connections that TLS, or a bound, kept out. */
  refused: number;
  sentDatagrams: number;
  sentBytes: number;
  receivedDatagrams: number;
  receivedBytes: number;
  /** Datagrams that found the buffer of a connection full, or the connection gone. */
  dropped: number;
}

/** Null for a socket without a fallback. */
export function fallbackStats(socket: UdpSocket, refused: number): FallbackStats | null {
  if (!(socket instanceof CarrierSocket)) return null;
  return { connections: socket.carriers, refused, ...socket.carried };
}

/** What the session itself counts. */
export interface ByteCounts {
  streamBytesWritten: number;
  streamBytesRead: number;
}

export function sessionStats(holder: SessionHolder, streams: number, counts: ByteCounts): SessionStats {
  const link = holder.current?.routed.link ?? null;
  const metrics = link?.congestion.metrics();
  const over = holder.state === "over";
  const symbols = over ? null : holder.session.stats;
  const sourceBytes = Math.max(1, symbols?.redundancy.sourceBytes ?? 0);
  const datagrams = symbols?.datagrams;
  return {
    state: over ? "closed" : holder.state === "suspended" ? "suspended" : "open",
    streams,
    rttMs: link?.rtt.smoothedMs ?? Number.NaN,
    minRttMs: link?.rtt.minMs ?? Number.NaN,
    lossRate: link?.lossRate ?? 0,
    congestion: metrics?.name ?? "",
    congestionState: metrics?.state ?? "",
    windowBytes: metrics?.windowBytes ?? 0,
    inFlightBytes: link?.inFlightBytes ?? 0,
    pacingRateBps: (metrics?.pacingRate ?? 0) * 8000,
    datagramBytes: link?.datagramBytes ?? 0,
    ...counts,
    sentPackets: link?.stats.sentPackets ?? 0,
    sentBytes: link?.stats.sentBytes ?? 0,
    receivedPackets: link?.stats.receivedPackets ?? 0,
    receivedBytes: link?.stats.receivedBytes ?? 0,
    lostPackets: link?.stats.lostPackets ?? 0,
    sentSymbols: symbols?.sentSymbols ?? 0,
    sentRepairs: symbols?.sentRepairs ?? 0,
    receivedSymbols: symbols?.receivedSymbols ?? 0,
    redundancy: (symbols?.redundancy.repairBytes ?? 0) / sourceBytes,
    repairsAhead: symbols?.redundancy.ahead ?? 0,
    datagramsSent: datagrams?.sent ?? 0,
    datagramsRefused: datagrams?.refused ?? 0,
    datagramsExpired: datagrams?.expired ?? 0,
    datagramsReceived: datagrams?.delivered ?? 0,
    datagramsIncomplete: datagrams?.incomplete ?? 0,
    memoryBytes: symbols?.memoryBytes ?? 0,
    pathChanges: link?.stats.pathChanges ?? 0,
    io: holder.driver.socket.kind,
    aead: holder.current?.handshake.aead ?? "",
  };
}
