/** Prometheus' view of a monitor. Everything is read when it is asked for. Series are bounded: one a peer that the monitor knows. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from "prom-client";
import type { Monitor } from "./monitor.ts";
import type { SessionStatus, Status } from "./status.ts";

const PREFIX = "bats_proxy_";

export class Metrics {
  readonly #monitor: Monitor;
  readonly #registry = new Registry();
  readonly #counters: Map<string, Counter> = new Map();
  readonly #gauges: Map<string, Gauge> = new Map();

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
    collectDefaultMetrics({ register: this.#registry });
    this.#counter("sessions_total", "Sessions that were established");
    this.#counter("forwards_total", "Forwarded connections and flows that are over");
    this.#counter("refused_total", "Sessions, connections, flows and listeners that were refused");
    this.#counter("over_quota_total", "Of those, and sessions: refused because their identity had as many as it may");
    this.#counter("peer_sent_bytes_total", "Bytes of forwarded connections, UDP and the tunnel, to the peer", ["peer"]);
    this.#counter("peer_received_bytes_total", "Bytes of forwarded connections, UDP and the tunnel, from the peer", [
      "peer",
    ]);
    this.#counter("fallback_datagrams_total", "Datagrams over TLS in UDP's place", ["direction"]);
    this.#counter("fallback_bytes_total", "Bytes of those", ["direction"]);
    this.#counter(
      "fallback_dropped_total",
      "Datagrams that found a TLS connection's buffer full, or the connection gone",
    );
    this.#counter("fallback_refused_total", "TLS connections that were kept out");
    this.#gauge("fallback_connections", "TLS connections that carry datagrams");
    this.#counter("tunnel_packets_total", "IP packets that passed the tunnel", ["direction"]);
    this.#counter("tunnel_bytes_total", "Bytes of those", ["direction"]);
    this.#counter("tunnel_dropped_total", "IP packets that did not pass the tunnel, by why", ["reason"]);
    this.#gauge("ready", "1 when a server listens, or a client's session answers");
    this.#gauge("sessions", "Sessions that are open, by how datagrams get in and out and how packets are sealed", [
      "state",
      "io",
      "aead",
    ]);
    this.#gauge("peer_rtt_seconds", "Smoothed round-trip time", ["peer"]);
    this.#gauge("peer_loss_ratio", "Share of packets lost of late, on the way to the peer", ["peer"]);
    this.#gauge("peer_redundancy_ratio", "Bytes of repair sent for each byte of data", ["peer"]);
    this.#gauge("peer_pacing_bits_per_second", "Rate at which the congestion controller lets packets leave", ["peer"]);
    this.#gauge("peer_forwards", "Forwards that are open", ["peer", "kind"]);
    this.#gauge("peer_memory_bytes", "Memory that the peer's sessions hold", ["peer"]);
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

  #counter(name: string, help: string, labelNames: string[] = []): void {
    this.#counters.set(name, new Counter({ name: PREFIX + name, help, labelNames, registers: [this.#registry] }));
  }

  #gauge(name: string, help: string, labelNames: string[] = []): void {
    this.#gauges.set(name, new Gauge({ name: PREFIX + name, help, labelNames, registers: [this.#registry] }));
  }
}
