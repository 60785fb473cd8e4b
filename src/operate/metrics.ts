/** Prometheus' view of a monitor. Everything is read when it is asked for. Series are bounded: one a peer that the monitor knows. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Monitor } from "./monitor.ts";
import type { SessionStatus, Status } from "./status.ts";

export const PREFIX = "bats_proxy_";

export interface MetricDefinition {
  /** Without the prefix; it ends with the unit, where there is one. */
  readonly name: string;
  readonly kind: "counter" | "gauge";
  readonly help: string;
  /** What values each label has. */
  readonly labels?: Readonly<Record<string, string>>;
}

const PEER = { peer: "the name in its certificate" };
const PEER_OR_OTHERS = { peer: "the name in its certificate, or `(others)`: those that were gone longest" };
const DIRECTION = { direction: "`sent`, `received`" };

export const METRICS: readonly MetricDefinition[] = [
  { name: "sessions_total", kind: "counter", help: "Sessions that were established" },
  { name: "forwards_total", kind: "counter", help: "Forwarded connections and flows that are over" },
  { name: "refused_total", kind: "counter", help: "Sessions, connections, flows and listeners that were refused" },
  {
    name: "over_quota_total",
    kind: "counter",
    help: "Of those, and sessions: refused because their identity had as many as it may",
  },
  {
    name: "peer_sent_bytes_total",
    kind: "counter",
    help: "Bytes of forwarded connections, UDP and the tunnel, to the peer",
    labels: PEER_OR_OTHERS,
  },
  {
    name: "peer_received_bytes_total",
    kind: "counter",
    help: "Bytes of forwarded connections, UDP and the tunnel, from the peer",
    labels: PEER_OR_OTHERS,
  },
  {
    name: "fallback_datagrams_total",
    kind: "counter",
    help: "Datagrams over TLS in UDP's place",
    labels: DIRECTION,
  },
  { name: "fallback_bytes_total", kind: "counter", help: "Bytes of those", labels: DIRECTION },
  {
    name: "fallback_dropped_total",
    kind: "counter",
    help: "Datagrams that found a TLS connection's buffer full, or the connection gone",
  },
  { name: "fallback_refused_total", kind: "counter", help: "TLS connections that were kept out" },
  { name: "fallback_connections", kind: "gauge", help: "TLS connections that carry datagrams" },
  { name: "tunnel_packets_total", kind: "counter", help: "IP packets that passed the tunnel", labels: DIRECTION },
  { name: "tunnel_bytes_total", kind: "counter", help: "Bytes of those", labels: DIRECTION },
  {
    name: "tunnel_dropped_total",
    kind: "counter",
    help: "IP packets that did not pass the tunnel",
    labels: { reason: "why, such as `spoofed`, `tooBig`, `noRoute`, `overflowed`; errors of the kernel by name" },
  },
  { name: "ready", kind: "gauge", help: "1 when a server listens, or a client's session answers" },
  {
    name: "sessions",
    kind: "gauge",
    help: "Sessions that are open, by how datagrams get in and out and how packets are sealed",
    labels: {
      state: "`open`, `suspended`",
      io: "`native`, `dgram`",
      aead: "`aes-128-gcm`, `chacha20-poly1305`; empty while suspended",
    },
  },
  { name: "peer_rtt_seconds", kind: "gauge", help: "Smoothed round-trip time", labels: PEER },
  {
    name: "peer_loss_ratio",
    kind: "gauge",
    help: "Share of packets lost of late, on the way to the peer",
    labels: PEER,
  },
  { name: "peer_redundancy_ratio", kind: "gauge", help: "Bytes of repair sent for each byte of data", labels: PEER },
  {
    name: "peer_pacing_bits_per_second",
    kind: "gauge",
    help: "Rate at which the congestion controller lets packets leave",
    labels: PEER,
  },
  {
    name: "peer_forwards",
    kind: "gauge",
    help: "Forwards that are open",
    labels: { ...PEER, kind: "`connection`, `flow`" },
  },
  { name: "peer_memory_bytes", kind: "gauge", help: "Memory that the peer's sessions hold", labels: PEER },
];

export class Metrics {
  readonly #monitor: Monitor;
  readonly #registry = new Registry();
  readonly #counters: Map<string, Counter> = new Map();
  readonly #gauges: Map<string, Gauge> = new Map();

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
    collectDefaultMetrics({ register: this.#registry });
    for (const { name, kind, help, labels = {} } of METRICS) {
      const options = { name: PREFIX + name, help, labelNames: Object.keys(labels), registers: [this.#registry] };
      if (kind === "counter") this.#counters.set(name, new Counter(options));
      else this.#gauges.set(name, new Gauge(options));
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    const status = this.#monitor.status();
    for (const metric of [...this.#counters.values(), ...this.#gauges.values()]) metric.reset();
    this.#setTotals(status);
    this.#setFallback(status);
    this.#setTunnel(status);
    for (const session of status.sessions) this.#addSession(session);
    for (const [peer, { bytesSent, bytesReceived }] of this.#monitor.peers()) {
      this.#counters.get("peer_sent_bytes_total")?.inc({ peer }, bytesSent);
      this.#counters.get("peer_received_bytes_total")?.inc({ peer }, bytesReceived);
    }
    return this.#registry.metrics();
  }

  #setFallback({ fallback }: Status): void {
    if (fallback === null) return;
    const { connections, refused, sentDatagrams, sentBytes, receivedDatagrams, receivedBytes, dropped } = fallback;
    this.#gauges.get("fallback_connections")?.set(connections);
    this.#counters.get("fallback_refused_total")?.inc(refused);
    this.#counters.get("fallback_dropped_total")?.inc(dropped);
    this.#counters.get("fallback_datagrams_total")?.inc({ direction: "sent" }, sentDatagrams);
    this.#counters.get("fallback_datagrams_total")?.inc({ direction: "received" }, receivedDatagrams);
    this.#counters.get("fallback_bytes_total")?.inc({ direction: "sent" }, sentBytes);
    this.#counters.get("fallback_bytes_total")?.inc({ direction: "received" }, receivedBytes);
  }

  #setTunnel({ tunnel }: Status): void {
    if (tunnel === null) return;
    this.#counters.get("tunnel_packets_total")?.inc({ direction: "sent" }, tunnel.sentPackets);
    this.#counters.get("tunnel_packets_total")?.inc({ direction: "received" }, tunnel.receivedPackets);
    this.#counters.get("tunnel_bytes_total")?.inc({ direction: "sent" }, tunnel.sentBytes);
    this.#counters.get("tunnel_bytes_total")?.inc({ direction: "received" }, tunnel.receivedBytes);
    for (const [reason, count] of Object.entries(tunnel.dropped)) {
      this.#counters.get("tunnel_dropped_total")?.inc({ reason }, count);
    }
  }

  #setTotals({ totals, ready }: Status): void {
    this.#counters.get("sessions_total")?.inc(totals.sessions);
    this.#counters.get("forwards_total")?.inc(totals.forwards);
    this.#counters.get("refused_total")?.inc(totals.refused);
    this.#counters.get("over_quota_total")?.inc(totals.overQuota);
    this.#gauges.get("ready")?.set(ready ? 1 : 0);
  }

  /** A peer that comes back has two sessions for a while: the newer one's path is what counts. */
  #addSession(session: SessionStatus): void {
    const { peer, state, io, aead } = session;
    this.#gauges.get("sessions")?.inc({ state, io, aead });
    if (session.rttMs !== null) this.#gauges.get("peer_rtt_seconds")?.set({ peer }, session.rttMs / 1000);
    this.#gauges.get("peer_loss_ratio")?.set({ peer }, session.lossRate);
    this.#gauges.get("peer_redundancy_ratio")?.set({ peer }, session.redundancy);
    this.#gauges.get("peer_pacing_bits_per_second")?.set({ peer }, session.pacingRateBps);
    this.#gauges.get("peer_forwards")?.inc({ peer, kind: "connection" }, session.connections);
    this.#gauges.get("peer_forwards")?.inc({ peer, kind: "flow" }, session.flows);
    this.#gauges.get("peer_memory_bytes")?.inc({ peer }, session.memoryBytes);
  }
}
