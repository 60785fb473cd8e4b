/**
 * Options of links as applications give them, wherever the links run: over sockets, or in the simulator, which must not import
 * sockets and certificates for them.
 */
import type { CongestionChoice } from "../congestion/index.ts";

/** Options of links, whatever carries their packets. */
export interface LinkTuning {
  /**
   * Congestion control: "bbr", which tells loss by congestion from other loss, "cubic", or a fixed rate in bits a second, for links of
   * one's own. Default "bbr".
   */
  congestion?: CongestionChoice;
  /** Silence after which a link is dead, ms; the smaller of both ends' counts. Default 120,000. */
  idleTimeoutMs?: number;
  /** A ping leaves after this long without traffic, ms, a server's after an eighth longer; 0 for never. Default 15,000. */
  keepAliveMs?: number;
  /** The largest UDP payload to send or take, from 1200. Default 1472. */
  maxDatagramBytes?: number;
}

/** Least and most of those that are numbers. */
export const LINK_RANGES = {
  idleTimeoutMs: [0, 2 ** 31],
  keepAliveMs: [0, 2 ** 31],
  maxDatagramBytes: [1200, 65_507],
} as const;
