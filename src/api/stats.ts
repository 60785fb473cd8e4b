/** What a session tells of itself. */
import type { SessionHolder } from "../endpoint/session-holder.ts";
import { CarrierSocket } from "../fallback/index.ts";
import { type TransportStats, transportStats } from "../transport/stats.ts";
import type { UdpSocket } from "../udp/index.ts";

/** What a session tells of itself: counters since it, or for the link's since its present link, began. */
export interface SessionStats extends TransportStats {
  state: "open" | "suspended" | "closed";
  streams: number;
  /** Bytes of streams that this end's application wrote, as far as they were taken over, and read. */
  streamBytesWritten: number;
  streamBytesRead: number;
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
  /** Datagrams that left. */
  sentDatagrams: number;
  /** Bytes of those. */
  sentBytes: number;
  /** Datagrams that came. */
  receivedDatagrams: number;
  /** Bytes of those. */
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
  return {
    state: holder.state === "over" ? "closed" : holder.state === "suspended" ? "suspended" : "open",
    streams,
    ...transportStats(holder.current?.routed.link ?? null, holder.session),
    ...counts,
    io: holder.driver.socket.kind,
    aead: holder.current?.handshake.aead ?? "",
  };
}
