/**
 * What a user may say of a simulated session: the options of the socket API, under their names, as far as they bear on what happens
 * on the network. Not those of sockets and certificates, of which there are none here.
 */
import { LINK_RANGES, type LinkTuning } from "../../api/link-options.ts";
import { coreOptions, type SessionOptions } from "../../api/session-options.ts";
import { deflateRaw } from "../../compression/deflate.ts";
import { CONGESTION_CHOICES, type CongestionController, congestionFactory } from "../../congestion/index.ts";
import type { Arena } from "../../gf/index.ts";
import type { LinkOptions } from "../../transport/link/index.ts";
import { MemoryBudget } from "../../transport/session/memory-budget.ts";
import { Session } from "../../transport/session/session.ts";
import { SessionRangeError } from "../../transport/session/session-error.ts";
import { checkNumber, checkPositive, SimulatorOptionError } from "../error.ts";
import { type Network, Node } from "../network.ts";

/** A session's ends, and all by which it can be tuned. Both ends have the same options. */
export interface TransportOptions extends SessionOptions, LinkTuning {
  /** The client: it connects. */
  from: Node;
  /** The server. */
  to: Node;
  /** When the client's first packet leaves, ms, now or later. Default now. */
  startMs?: number;
}

/** Throws a SimulatorOptionError when the ends or the time are wrong; returns the time. */
export function checkEnds(network: Network, { from, to, startMs = network.nowMs }: TransportOptions): number {
  for (const [field, node] of [["from", from] as const, ["to", to] as const]) {
    if (network.nodes.includes(node)) continue;
    if (node instanceof Node)
      throw new SimulatorOptionError(field, node.name, "a node of this network, not of another");
    const limit = typeof node === "string" ? "a node of this network, not its name" : "a node of this network";
    throw new SimulatorOptionError(field, node, limit);
  }
  if (from === to) throw new SimulatorOptionError("to", to.name, "another node than from");
  return checkNumber("startMs", startMs, network.nowMs, Number.MAX_VALUE, "ms");
}

/** What is optional of a link. Throws a SimulatorOptionError for what cannot be. */
export function linkTuning(options: TransportOptions): Partial<LinkOptions> {
  const tuning: Partial<LinkOptions> = {};
  const take = (name: keyof typeof LINK_RANGES, unit: string) => {
    const value = options[name];
    const [least, most] = LINK_RANGES[name];
    if (value !== undefined) tuning[name] = checkNumber(name, value, least, most, unit);
  };
  take("idleTimeoutMs", "ms");
  take("keepAliveMs", "ms");
  take("maxDatagramBytes", "bytes");
  return tuning;
}

/** Throws a SimulatorOptionError for a congestion control that is none. */
export function createCongestion({ congestion = "bbr" }: TransportOptions, random: () => number): CongestionController {
  const create = congestionFactory(congestion, random);
  if (create !== null) return create();
  if (typeof congestion === "object" && congestion !== null) {
    checkPositive("congestion.fixedRateBps", congestion.fixedRateBps, "bits a second");
  }
  throw new SimulatorOptionError("congestion", congestion, CONGESTION_CHOICES);
}

/** Throws a SimulatorOptionError for options of the session out of range. */
export function createSession(options: TransportOptions, isClient: boolean, arena: Arena): Session {
  // Not the process's memory: what ran before, or runs beside it, must not matter.
  const own = { arena, memory: new MemoryBudget() };
  return checked(() => new Session({ ...coreOptions(options, isClient, [deflateRaw]), ...own }));
}

/** Calls the session; what it finds out of range it throws as a SimulatorOptionError. */
export function checked<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!(error instanceof SessionRangeError)) throw error;
    throw new SimulatorOptionError(error.field, error.value, error.limit);
  }
}
