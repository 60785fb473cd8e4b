/** Why packets do not pass a tunnel, counted; and said in the log, but not once a packet. */
import type { Log } from "../proxy/log.ts";

export const DROP_REASONS = {
  malformed: "are no IP packets",
  notUnicast: "are for many hosts, or for the link alone",
  noRoute: "are for an address that nobody has",
  noSession: "came while there was no session",
  noDevice: "came while the interface was gone",
  spoofed: "have a source that their sender was not given",
  foreign: "are for an address that is not here",
  tooBig: "may not be fragmented and are too long for the path",
  clientToClient: "are from one client to another, which needs --tun-client-to-client",
  hopLimit: "were forwarded too often",
  loop: "carry the tunnel itself: the route to its other end leads into it",
} as const;

export type DropReason = keyof typeof DROP_REASONS;

/** Expected at any time: worth a line only to who looks for it. */
const QUIET: ReadonlySet<DropReason> = new Set(["notUnicast", "noRoute", "noSession", "noDevice", "tooBig"]);
const REPEAT_MS = 60_000;

export class TunnelDrops {
  readonly counts: Record<DropReason, number>;
  readonly #log: Log;
  readonly #saidMs: Map<string, number> = new Map();

  constructor(log: Log) {
    this.#log = log;
    this.counts = Object.fromEntries(Object.keys(DROP_REASONS).map((reason) => [reason, 0])) as typeof this.counts;
  }

  /** `who`: whose packet, or packets, for the log; "" for this machine's. */
  count(reason: DropReason, who: string, packets = 1): void {
    this.counts[reason] += packets;
    const sum = this.counts[reason];
    const key = `${reason} ${who}`;
    const nowMs = performance.now();
    const said = this.#saidMs.get(key);
    if (said !== undefined && nowMs - said < REPEAT_MS) return;
    this.#saidMs.set(key, nowMs);
    const text = `packets are dropped that ${DROP_REASONS[reason]} (${sum} so far)`;
    const fields = { drop: reason, dropped: sum, ...(who === "" ? {} : { peer: who }) };
    this.#log[QUIET.has(reason) ? "debug" : "warn"](fields, who === "" ? text : `${who}: ${text}`);
  }
}

/** Adds counts by reason to a sum of such. */
export function addCounts(sum: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [reason, count] of Object.entries(counts)) sum[reason] = (sum[reason] ?? 0) + count;
}
