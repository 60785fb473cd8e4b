/** What forwarding asks of a log; pino's logger has this shape. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** One line for each forwarded connection or flow, when it is over: who opened what, how much passed, how it ended. */
export interface AuditRecord {
  /** The name of the peer that opened it, or through whose listener it came. */
  peer: string;
  /** What was asked for: an endpoint, or `LISTEN=TARGET` at the side that knows both. */
  forward: string;
  /** Who connected, where that is known. */
  source?: string;
  outcome: string;
  /** Bytes from here to the peer, and from the peer to here. */
  bytesSent: number;
  bytesReceived: number;
  durationMs: number;
}

export function audit(log: Log, record: AuditRecord): void {
  const { peer, forward, source, outcome, bytesSent, bytesReceived, durationMs } = record;
  const from = source === undefined ? "" : ` from ${source}`;
  const text = `${peer}: ${forward}${from}: ${outcome}, ${bytesSent} bytes sent, ${bytesReceived} received, ${(durationMs / 1000).toFixed(3)} s`;
  log.info({ audit: "forward", ...record }, text);
}
