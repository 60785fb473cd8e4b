import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import type { SessionStats } from "../../src/api/stats.ts";
import { Metrics } from "../../src/operate/metrics.ts";
import { Monitor, OTHERS } from "../../src/operate/monitor.ts";
import { formatStatus } from "../../src/operate/status-text.ts";
import { createLog } from "../proxy/local.ts";
import { sessionStatus, statusOf } from "./fake-proxy.ts";

class FakeSession extends EventEmitter {
  readonly peer = { address: { ip: "192.0.2.1", port: 4433 } };
  readonly values: Partial<SessionStats>;

  constructor(values: Partial<SessionStats> = {}) {
    super();
    this.values = values;
  }

  stats(): SessionStats {
    const zeros = { lossRate: 0, redundancy: 0, memoryBytes: 0 };
    const noBytes = { streamBytesWritten: 0, streamBytesRead: 0, datagramBytesSent: 0, datagramBytesReceived: 0 };
    const texts = { state: "open", io: "native", aead: "aes-128-gcm", congestion: "bbr", congestionState: "probe" };
    return {
      rttMs: Number.NaN,
      minRttMs: Number.NaN,
      pacingRateBps: 0,
      windowBytes: 0,
      ...zeros,
      ...noBytes,
      ...texts,
      ...this.values,
    } as SessionStats;
  }
}

function forwardsOf(peer: string): { peer: string; connections: number; flows: number } {
  return { peer, connections: 2, flows: 1 };
}

describe("the monitor", () => {
  it("shows sessions that are open, and remembers by name what the others carried", () => {
    const monitor = new Monitor("server", "1.2.3");
    const first = new FakeSession({ streamBytesWritten: 100, streamBytesRead: 10 });
    monitor.add(first, forwardsOf("edge-1"));
    monitor.add(new FakeSession({ streamBytesWritten: 5, rttMs: 20 }), forwardsOf("edge-1"));
    expect(monitor.status().sessions.map(({ rttMs }) => rttMs)).toEqual([null, 20]);
    first.emit("close");
    expect(monitor.status().sessions).toMatchObject([
      { id: 2, peer: "edge-1", connections: 2, address: "192.0.2.1:4433" },
    ]);
    expect(monitor.peers()).toEqual(new Map([["edge-1", { sessions: 2, bytesSent: 105, bytesReceived: 10 }]]));
    expect(monitor.status().totals.sessions).toBe(2);
  });

  it("counts the bytes of connections and those of datagrams together", () => {
    const monitor = new Monitor("server", "1.2.3");
    const bytes = { streamBytesWritten: 1, datagramBytesSent: 20, streamBytesRead: 300, datagramBytesReceived: 4000 };
    const session = new FakeSession(bytes);
    monitor.add(session, forwardsOf("edge-1"));
    expect(monitor.status().sessions).toMatchObject([{ bytesSent: 21, bytesReceived: 4300 }]);
    session.emit("close");
    expect(monitor.peers().get("edge-1")).toEqual({ sessions: 1, bytesSent: 21, bytesReceived: 4300 });
  });

  it("remembers a bounded number of names, and loses no byte of those it forgets", () => {
    const monitor = new Monitor("server", "1.2.3");
    for (let i = 0; i < 3000; i++) {
      const session = new FakeSession({ streamBytesWritten: 1 });
      monitor.add(session, forwardsOf(`edge-${i}`));
      session.emit("close");
    }
    const peers = monitor.peers();
    expect(peers.size).toBe(1001);
    expect(peers.has("edge-2999")).toBe(true);
    expect(peers.get(OTHERS)?.bytesSent).toBeGreaterThan(1900);
    expect([...peers.values()].reduce((sum, { bytesSent }) => sum + bytesSent, 0)).toBe(3000);
  });

  it("counts forwards and refusals by the lines of the audit, and passes all lines on", () => {
    const monitor = new Monitor("client", "1.2.3");
    const log = createLog();
    const observed = monitor.observe(log);
    observed.info({ audit: "forward" }, "one");
    observed.warn({ audit: "refused" }, "two");
    observed.warn({ audit: "refused", reason: "over-quota" }, "three");
    observed.info({ audit: "session" }, "four");
    expect(monitor.status().totals).toEqual({ sessions: 0, forwards: 1, refused: 2, overQuota: 1 });
    expect(log.lines).toHaveLength(4);
  });

  it("is ready as a server when that listens, as a client while a session answers", () => {
    const monitor = new Monitor("client", "1.2.3");
    expect(monitor.ready).toBe(false);
    const session = new FakeSession();
    monitor.add(session, forwardsOf("cloud"));
    expect(monitor.ready).toBe(true);
    session.values.state = "suspended";
    expect(monitor.ready).toBe(false);
    const server = new Monitor("server", "1.2.3");
    server.add(new FakeSession(), forwardsOf("edge-1"));
    expect(server.ready).toBe(false);
    server.listening = true;
    expect(server.ready).toBe(true);
  });

  it("is read by Prometheus in its own units, with no value that is left from a session that is over", async () => {
    const monitor = new Monitor("server", "1.2.3");
    const session = new FakeSession({ rttMs: 50, lossRate: 0.1, streamBytesRead: 7 });
    monitor.add(session, forwardsOf('a "name"\n'));
    const metrics = new Metrics(monitor);
    const text = await metrics.text();
    expect(text).toContain('bats_proxy_peer_rtt_seconds{peer="a \\"name\\"\\n"} 0.05');
    expect(text).toContain('bats_proxy_sessions{state="open",io="native",aead="aes-128-gcm"} 1');
    expect(text).toContain('bats_proxy_peer_forwards{peer="a \\"name\\"\\n",kind="connection"} 2');
    session.emit("close");
    const after = await metrics.text();
    expect(after).not.toContain("peer_rtt_seconds{");
    expect(after).toContain('bats_proxy_peer_received_bytes_total{peer="a \\"name\\"\\n"} 7');
    expect(after).toContain("bats_proxy_sessions_total 1");
  });

  it("adds up what went over TLS, also of ways that are over", async () => {
    const monitor = new Monitor("client", "1.2.3");
    expect(monitor.status().fallback).toBe(null);
    const stats = {
      connections: 1,
      refused: 2,
      sentDatagrams: 3,
      sentBytes: 4,
      receivedDatagrams: 5,
      receivedBytes: 6,
    };
    const stop = monitor.watchFallback(() => ({ ...stats, dropped: 7 }));
    stop();
    stop();
    monitor.watchFallback(() => ({ ...stats, dropped: 10 }));
    monitor.watchFallback(() => null);
    const { fallback } = monitor.status();
    expect(fallback).toMatchObject({ connections: 1, refused: 4, sentBytes: 8, receivedDatagrams: 10, dropped: 17 });
    const text = await new Metrics(monitor).text();
    expect(text).toContain("bats_proxy_fallback_connections 1");
    expect(text).toContain('bats_proxy_fallback_bytes_total{direction="received"} 12');
    expect(text).toContain("bats_proxy_fallback_dropped_total 17");
    const status = monitor.status();
    expect(formatStatus(status, status)[1]).toBe(
      "over TLS: 1 connections, 0.0 MB sent, 0.0 MB received, 17 datagrams dropped, 4 refused",
    );
  });

  it("tells what passed the tunnel, and by reasons what did not", async () => {
    const monitor = new Monitor("server", "1.2.3");
    expect(monitor.status().tunnel).toBe(null);
    const counts = { sentPackets: 1, sentBytes: 2, receivedPackets: 3, receivedBytes: 4 };
    monitor.watchTunnel(() => ({ ...counts, dropped: { spoofed: 5, EIO: 0 } }));
    const text = await new Metrics(monitor).text();
    expect(text).toContain('bats_proxy_tunnel_packets_total{direction="received"} 3');
    expect(text).toContain('bats_proxy_tunnel_bytes_total{direction="sent"} 2');
    expect(text).toContain('bats_proxy_tunnel_dropped_total{reason="spoofed"} 5');
  });

  it("is shown as a table, with rates since the last look", () => {
    const monitor = new Monitor("server", "1.2.3");
    const session = new FakeSession({ rttMs: 50, lossRate: 0.1 });
    monitor.add(session, forwardsOf("edge-1"));
    const before = monitor.status();
    session.values.streamBytesWritten = 1_000_000;
    const lines = formatStatus({ ...monitor.status(), nowMs: before.nowMs + 1000 }, before);
    expect(lines[0]).toMatch(/^bats-proxy server 1\.2\.3, not ready, up 0 min; 1 sessions of 1/);
    expect(lines[2]).toMatch(/^edge-1 +192\.0\.2\.1:4433 +8\.00 +0\.00 +50\.0 +10\.0 +0\.0 +3 +native, aes-128-gcm$/);
  });

  it("is shown with the worst sessions first, and says how many do not fit", () => {
    const sessions = Array.from({ length: 1000 }, (_, i) => sessionStatus(i + 1));
    sessions[700] = sessionStatus(701, { lossRate: 0.3 });
    sessions[900] = sessionStatus(901, { state: "suspended" });
    const status = statusOf(sessions);
    const peersOf = (lines: string[]) => lines.map((line) => line.split(" ")[0]);
    const lines = formatStatus(status, status, 6);
    expect(peersOf(lines)).toEqual(["bats-proxy", "peer", "edge-901", "edge-701", "edge-1", "..."]);
    expect(lines.at(-1)).toBe("... and 997 more");
    expect(formatStatus(status, status)).toHaveLength(1002);
    const few = statusOf(sessions.slice(0, 4));
    expect(peersOf(formatStatus(few, few, 6)).slice(2)).toEqual(["edge-1", "edge-2", "edge-3", "edge-4"]);
    expect(formatStatus(few, few, 1)).toHaveLength(3);
  });

  it("has no rates of a proxy that was started anew", () => {
    const before = statusOf([sessionStatus(1, { bytesSent: 1e9 })]);
    const lines = formatStatus(statusOf([sessionStatus(1)], { nowMs: 1000, startedMs: 500 }), before);
    expect(lines[2]).not.toContain("-8000");
  });
});
