/** What a running proxy tells of itself at /status, as JSON: read by `bats-proxy status`, the dashboard, and scripts. */

import type { FallbackStats } from "../api/stats.ts";
import type { TunnelCounts } from "../tunnel/tunnel-counter.ts";

export interface Status {
  /** Of bats-proxy. */
  version: string;
  /** Which end this is. */
  role: "server" | "client";
  /** Whether it does what it is for: a server listens, a client has a session that answers. */
  ready: boolean;
  /** When this was said, ms since 1970. */
  nowMs: number;
  /** When the process began, ms since 1970. */
  startedMs: number;
  /** Counts from the start. */
  totals: StatusTotals;
  /** What went over TLS in UDP's place, of all sessions so far; null where there is no such way. */
  fallback: FallbackStats | null;
  /** What passed the IP tunnel and what did not, so far; null where there is none. */
  tunnel: TunnelCounts | null;
  /** Those that are open. */
  sessions: SessionStatus[];
}

/** Counted from the start. */
export interface StatusTotals {
  /** That were established. */
  sessions: number;
  /** Connections and flows that are over. */
  forwards: number;
  /** Sessions, connections, flows and listeners that were refused. */
  refused: number;
  /** Of those refused, and of sessions: because their identity had as many as it may. */
  overQuota: number;
}

export interface SessionStatus {
  /** The same for the life of a session. */
  id: number;
  /** The name in its certificate. */
  peer: string;
  /** Where it is. */
  address: string;
  /** When it was established, ms since 1970. */
  sinceMs: number;
  /** Suspended: it does not answer. */
  state: "open" | "suspended" | "closed";
  /** Round-trip time, smoothed, ms; null before the first sample. */
  rttMs: number | null;
  /** The least one, likewise. */
  minRttMs: number | null;
  /** Share of packets lost of late, 0 to 1. */
  lossRate: number;
  /** Bytes of repair sent for each byte of data. */
  redundancy: number;
  /** Rate at which packets leave, bits a second. */
  pacingRateBps: number;
  /** Congestion window. */
  windowBytes: number;
  /** The congestion controller's name. */
  congestion: string;
  /** What that does. */
  congestionState: string;
  /** Bytes of the largest UDP payload that is known to pass. */
  datagramBytes: number;
  /** Forwarded connections that are open. */
  connections: number;
  /** UDP sources that are known. */
  flows: number;
  /** Of forwarded connections, UDP and the tunnel, to the peer. */
  bytesSent: number;
  /** Of those, from the peer. */
  bytesReceived: number;
  /** What the session holds. */
  memoryBytes: number;
  /** Times that the path changed. */
  pathChanges: number;
  /** How datagrams get in and out of the kernel. */
  io: "dgram" | "native";
  /** How packets are sealed: "aes-128-gcm" or "chacha20-poly1305"; "" without a link. */
  aead: string;
}
