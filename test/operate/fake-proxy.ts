/** A status as a proxy with sessions of our making has it, for what shows statuses. */
import type { SessionStatus, Status } from "../../src/operate/status.ts";

export function sessionStatus(id: number, values: Partial<SessionStatus> = {}): SessionStatus {
  return {
    id,
    peer: `edge-${id}`,
    address: `192.0.2.${id % 250}:4433`,
    sinceMs: 1000 * id,
    state: "open",
    rttMs: 20,
    minRttMs: 15,
    lossRate: 0,
    redundancy: 0,
    pacingRateBps: 1e6,
    windowBytes: 10_000,
    congestion: "bbr",
    congestionState: "probe",
    datagramBytes: 1400,
    connections: 1,
    flows: 0,
    bytesSent: 0,
    bytesReceived: 0,
    memoryBytes: 65_536,
    pathChanges: 0,
    io: "native",
    aead: "aes-128-gcm",
    ...values,
  };
}

export function statusOf(sessions: SessionStatus[], values: Partial<Status> = {}): Status {
  const totals = { sessions: sessions.length, forwards: 0, refused: 0, overQuota: 0 };
  return {
    version: "1.2.3",
    role: "server",
    ready: true,
    nowMs: 0,
    startedMs: 0,
    totals,
    fallback: null,
    tunnel: null,
    sessions,
    ...values,
  };
}
