/** What a running proxy tells of itself at /status, as JSON: read by `bats-proxy status`, the dashboard, and scripts. */

import type { FallbackStats } from "../api/stats.ts";
import type { TunnelCounts } from "../tunnel/tunnel-counter.ts";

export interface Status {
  version: string;
  role: "server" | "client";
  /** Whether it does what it is for: a server listens, a client has a session that answers. */
  ready: boolean;
  /** Since 1970. */
  nowMs: number;
  startedMs: number;
  totals: StatusTotals;
  /** What went over TLS in UDP's place, of all sessions so far; null where there is no such way. */
  fallback: FallbackStats | null;
  /** What passed the IP tunnel and what did not, so far; null where there is none. */
  tunnel: TunnelCounts | null;
  sessions: SessionStatus[];
}

/** Counted from the start. */
export interface StatusTotals {
  sessions: number;
  /** Connections and flows that are over, and those that were refused. */
  forwards: number;
  refused: number;
  /** Of those refused, and of sessions: because their identity had as many as it may. */
  overQuota: number;
}

export interface SessionStatus {
  /** The same for the life of a session. */
  id: number;
  peer: string;
  address: string;
  sinceMs: number;
  state: "open" | "suspended" | "closed";
  /** Null before the first sample. */
  rttMs: number | null;
  minRttMs: number | null;
  lossRate: number;
  redundancy: number;
  pacingRateBps: number;
  windowBytes: number;
  congestion: string;
  congestionState: string;
  datagramBytes: number;
  connections: number;
  flows: number;
  /** Of forwarded connections, UDP and the tunnel, to the peer and from it. */
  bytesSent: number;
  bytesReceived: number;
  memoryBytes: number;
  pathChanges: number;
  io: "dgram" | "native";
  aead: string;
}
