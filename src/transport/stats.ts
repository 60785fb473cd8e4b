/**
 * What a link and the session that it carries count and estimate, as users see it: in the socket API, and in the simulator. Names
 * and units are theirs.
 */
import type { Link } from "./link/index.ts";
import type { Session } from "./session/session.ts";

/** Counters are since the session, or for the link's since its present link, began. Rates are averages of the estimators. */
export interface TransportStats {
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
  /** Bytes of those that were taken, and of those that were handed over. */
  datagramBytesSent: number;
  datagramBytesReceived: number;
  /** Bytes of memory that the session holds. */
  memoryBytes: number;
  /** Times that the path changed. */
  pathChanges: number;
}

/** Of a link, and of a session; null for either: there is none at the moment. */
export function transportStats(link: Link | null, session: Session | null): TransportStats {
  const metrics = link?.congestion.metrics();
  const symbols = session?.stats;
  const sourceBytes = Math.max(1, symbols?.redundancy.sourceBytes ?? 0);
  const datagrams = symbols?.datagrams;
  return {
    rttMs: link?.rtt.smoothedMs ?? Number.NaN,
    minRttMs: link?.rtt.minMs ?? Number.NaN,
    lossRate: link?.lossRate ?? 0,
    congestion: metrics?.name ?? "",
    congestionState: metrics?.state ?? "",
    windowBytes: metrics?.windowBytes ?? 0,
    inFlightBytes: link?.inFlightBytes ?? 0,
    pacingRateBps: (metrics?.pacingRate ?? 0) * 8000,
    datagramBytes: link?.datagramBytes ?? 0,
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
    datagramBytesSent: datagrams?.sentBytes ?? 0,
    datagramBytesReceived: datagrams?.deliveredBytes ?? 0,
    memoryBytes: symbols?.memoryBytes ?? 0,
    pathChanges: link?.stats.pathChanges ?? 0,
  };
}
