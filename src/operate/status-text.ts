/** A status as lines of text, the worst sessions first, with rates since the one before. */
import type { SessionStatus, Status } from "./status.ts";
import { worstFirst } from "./worst-first.ts";

const HEADINGS = ["peer", "address", "to Mbit/s", "from Mbit/s", "RTT ms", "loss %", "redund. %", "forwards", "path"];
const TEXT_COLUMNS = new Set([0, 1, 8]);

/** The headings, and sessions up to `maxLines` in all, of which the last then says how many are left out. */
export function formatStatus(status: Status, before: Status, maxLines: number = Number.POSITIVE_INFINITY): string[] {
  const { role, version, ready, totals, sessions } = status;
  const seconds = (status.nowMs - before.nowMs) / 1000;
  // A proxy that was started anew counts its sessions anew.
  const earlier = before.startedMs === status.startedMs ? before.sessions : [];
  const known = new Map(earlier.map((session) => [session.id, session]));
  const overTls = fallbackLine(status);
  const room = Math.max(0, maxLines - overTls.length - 2);
  const shown = worstFirst(sessions).slice(0, sessions.length <= room ? room : Math.max(0, room - 1));
  const left = sessions.length - shown.length;
  const rows = shown.map((session) => rowOf(session, known.get(session.id), seconds));
  const table = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return [
    `bats-proxy ${role} ${version}, ${ready ? "ready" : "not ready"}, up ${duration(status.nowMs - status.startedMs)}; ` +
      `${sessions.length} sessions of ${totals.sessions}, ${totals.forwards} forwards done, ${totals.refused} refused`,
    ...overTls,
    ...table.map((row) =>
      row
        .map((cell, i) => pad(cell, widths[i], i))
        .join("  ")
        .trimEnd(),
    ),
    ...(left > 0 ? [`... and ${left} more`] : []),
  ];
}

function fallbackLine({ fallback }: Status): string[] {
  if (fallback === null) return [];
  const { connections, refused, sentBytes, receivedBytes, dropped } = fallback;
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  return [
    `over TLS: ${connections} connections, ${mb(sentBytes)} sent, ${mb(receivedBytes)} received, ${dropped} datagrams dropped, ` +
      `${refused} refused`,
  ];
}

function rowOf(session: SessionStatus, before: SessionStatus | undefined, seconds: number): string[] {
  const { peer, address, state, rttMs, lossRate, redundancy, connections, flows, io, aead } = session;
  const mbps = (now: number, then: number | undefined) =>
    then === undefined || seconds <= 0 ? "" : (((now - then) * 8) / 1e6 / seconds).toFixed(2);
  return [
    peer,
    address,
    mbps(session.bytesSent, before?.bytesSent),
    mbps(session.bytesReceived, before?.bytesReceived),
    rttMs === null ? "" : rttMs.toFixed(1),
    (lossRate * 100).toFixed(1),
    (redundancy * 100).toFixed(1),
    String(connections + flows),
    state === "open" ? `${io}, ${aead}` : state,
  ];
}

function pad(cell: string, width: number, column: number): string {
  return TEXT_COLUMNS.has(column) ? cell.padEnd(width) : cell.padStart(width);
}

function duration(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}
