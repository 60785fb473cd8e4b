/**
 * Knows the sessions of a running proxy, and remembers what those carried that are over, by the peer's name. Names come from outside:
 * at most a thousand are remembered, then the one that was gone longest is counted among the others. Without I/O.
 */
import type { FallbackStats, SessionStats } from "../api/stats.ts";
import type { Log } from "../proxy/log.ts";
import { type Address, formatAddress } from "../transport/address.ts";
import type { TunnelCounts } from "../tunnel/tunnel-counter.ts";
import type { SessionStatus, Status, StatusTotals } from "./status.ts";

const MAX_PEERS = 1000;

/** The name under which forgotten peers are counted. No certificate has it: names do not begin with a parenthesis by accident. */
export const OTHERS = "(others)";

/** What is asked of a session; the API's `Session` has this shape. */
export interface MonitoredSession {
  readonly peer: { readonly address: Address };
  stats(): SessionStats;
  on(event: "close", listener: () => void): unknown;
}

/** What is asked of its forwards. */
export interface MonitoredForwards {
  readonly peer: string;
  readonly connections: number;
  readonly flows: number;
}

/** What one peer's sessions carried, those that are over and those that are open. */
export interface PeerTotals {
  sessions: number;
  bytesSent: number;
  bytesReceived: number;
}

interface Entry {
  readonly id: number;
  readonly session: MonitoredSession;
  readonly forwards: MonitoredForwards;
  readonly sinceMs: number;
}

export class Monitor {
  /** Whether a server takes sessions. */
  listening = false;
  readonly #version: string;
  readonly #role: Status["role"];
  readonly #startedMs = Date.now();
  readonly #totals: StatusTotals = { sessions: 0, forwards: 0, refused: 0, overQuota: 0 };
  readonly #fallbacks: Set<() => FallbackStats | null> = new Set();
  /** Of fallbacks that are over. */
  #pastFallback: FallbackStats | null = null;
  #readTunnel: () => TunnelCounts | null = () => null;
  readonly #open: Set<Entry> = new Set();
  /** Of sessions that are over, the one that ended last at the end. */
  readonly #past: Map<string, PeerTotals> = new Map();

  constructor(role: Status["role"], version: string) {
    this.#role = role;
    this.#version = version;
  }

  /** Takes a session that was just established, until it closes. */
  add(session: MonitoredSession, forwards: MonitoredForwards): void {
    const entry = { id: ++this.#totals.sessions, session, forwards, sinceMs: Date.now() };
    this.#open.add(entry);
    session.on("close", () => {
      this.#open.delete(entry);
      this.#remember(entry);
    });
  }

  /** Takes a way over TLS, to be read at any time. Returns what ends that; its counts stay. */
  watchFallback(read: () => FallbackStats | null): () => void {
    this.#fallbacks.add(read);
    return () => {
      if (!this.#fallbacks.delete(read)) return;
      const last = read();
      this.#pastFallback = sumOf(this.#pastFallback, last === null ? null : { ...last, connections: 0 });
    };
  }

  /** Takes the tunnel, to be read at any time. */
  watchTunnel(read: () => TunnelCounts): void {
    this.#readTunnel = read;
  }

  /** A log that counts the lines of the audit among those that it passes on. */
  observe(log: Log): Log {
    const count = ({ audit, reason }: { audit?: string; reason?: string }) => {
      if (audit === "forward") this.#totals.forwards++;
      else if (audit === "refused") this.#totals.refused++;
      if (audit === "refused" && reason === "over-quota") this.#totals.overQuota++;
    };
    return {
      debug: (fields, message) => log.debug(fields, message),
      info: (fields, message) => {
        count(fields);
        log.info(fields, message);
      },
      warn: (fields, message) => {
        count(fields);
        log.warn(fields, message);
      },
      error: (fields, message) => log.error(fields, message),
    };
  }

  get ready(): boolean {
    if (this.#role === "server") return this.listening;
    for (const { session } of this.#open) if (session.stats().state === "open") return true;
    return false;
  }

  status(): Status {
    return {
      version: this.#version,
      role: this.#role,
      ready: this.ready,
      nowMs: Date.now(),
      startedMs: this.#startedMs,
      totals: { ...this.#totals },
      fallback: [...this.#fallbacks].reduce((sum, read) => sumOf(sum, read()), this.#pastFallback),
      tunnel: this.#readTunnel(),
      sessions: [...this.#open].map(statusOf),
    };
  }

  /** By name, and OTHERS. */
  peers(): Map<string, PeerTotals> {
    const peers = new Map([...this.#past].map(([name, totals]) => [name, { ...totals }]));
    for (const { session, forwards } of this.#open) {
      // More sessions at once than names are remembered: the rest is counted together, so that there is a bound.
      const name = peers.has(forwards.peer) || peers.size < 2 * MAX_PEERS ? forwards.peer : OTHERS;
      addTo(peers, name, session.stats());
    }
    return peers;
  }

  #remember({ session, forwards }: Entry): void {
    const totals = addTo(this.#past, forwards.peer, session.stats());
    this.#past.delete(forwards.peer);
    this.#past.set(forwards.peer, totals);
    if (this.#past.size <= MAX_PEERS) return;
    for (const [name, forgotten] of this.#past) {
      if (name === OTHERS) continue;
      this.#past.delete(name);
      const others = this.#past.get(OTHERS) ?? { sessions: 0, bytesSent: 0, bytesReceived: 0 };
      others.sessions += forgotten.sessions;
      others.bytesSent += forgotten.bytesSent;
      others.bytesReceived += forgotten.bytesReceived;
      this.#past.set(OTHERS, others);
      return;
    }
  }
}

function sumOf(a: FallbackStats | null, b: FallbackStats | null): FallbackStats | null {
  if (a === null || b === null) return a ?? b;
  return {
    connections: a.connections + b.connections,
    refused: a.refused + b.refused,
    sentDatagrams: a.sentDatagrams + b.sentDatagrams,
    sentBytes: a.sentBytes + b.sentBytes,
    receivedDatagrams: a.receivedDatagrams + b.receivedDatagrams,
    receivedBytes: a.receivedBytes + b.receivedBytes,
    dropped: a.dropped + b.dropped,
  };
}

function addTo(peers: Map<string, PeerTotals>, name: string, stats: SessionStats): PeerTotals {
  const totals = peers.get(name) ?? { sessions: 0, bytesSent: 0, bytesReceived: 0 };
  totals.sessions++;
  totals.bytesSent += bytesSent(stats);
  totals.bytesReceived += bytesReceived(stats);
  peers.set(name, totals);
  return totals;
}

function statusOf({ id, session, forwards, sinceMs }: Entry): SessionStatus {
  const stats = session.stats();
  return {
    id,
    peer: forwards.peer,
    address: formatAddress(session.peer.address),
    sinceMs,
    state: stats.state,
    rttMs: finite(stats.rttMs),
    minRttMs: finite(stats.minRttMs),
    lossRate: stats.lossRate,
    redundancy: stats.redundancy,
    pacingRateBps: finite(stats.pacingRateBps) ?? 0,
    windowBytes: finite(stats.windowBytes) ?? 0,
    congestion: stats.congestion,
    congestionState: stats.congestionState,
    datagramBytes: stats.datagramBytes,
    connections: forwards.connections,
    flows: forwards.flows,
    bytesSent: bytesSent(stats),
    bytesReceived: bytesReceived(stats),
    memoryBytes: stats.memoryBytes,
    pathChanges: stats.pathChanges,
    io: stats.io,
    aead: stats.aead,
  };
}

/** Of connections, UDP and the tunnel. */
function bytesSent(stats: SessionStats): number {
  return stats.streamBytesWritten + stats.datagramBytesSent;
}

function bytesReceived(stats: SessionStats): number {
  return stats.streamBytesRead + stats.datagramBytesReceived;
}

/** JSON knows no NaN. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
