/** What became of datagrams that an endpoint got, by count. Nothing that arrives is dropped uncounted. */
import { type HeaderError, headerDropCounts } from "../transport/link/index.ts";

export type EndpointDrop =
  | HeaderError
  /** Not a first packet, and its id leads nowhere. */
  | "unknown-connection-id"
  /** A first packet that does not open, or is too short. */
  | "no-first-packet"
  /** A first packet where nobody listens, or nobody wants it. */
  | "not-accepted"
  /** Too many links, or handshakes. */
  | "too-many-links"
  /** A first packet that had waited for long: handshakes under way come first. */
  | "busy"
  /** It deserved an answer, but there were too many of those. */
  | "not-answered";

export interface EndpointCounters {
  /** Datagrams that led to a link. */
  routed: number;
  accepted: number;
  retries: number;
  versionNegotiations: number;
  statelessResets: number;
  drops: Record<EndpointDrop, number>;
}

export function endpointCounters(): EndpointCounters {
  return {
    routed: 0,
    accepted: 0,
    retries: 0,
    versionNegotiations: 0,
    statelessResets: 0,
    drops: {
      ...headerDropCounts(),
      "unknown-connection-id": 0,
      "no-first-packet": 0,
      "not-accepted": 0,
      "too-many-links": 0,
      busy: 0,
      "not-answered": 0,
    },
  };
}
