/**
 * The server's side of forwarding: what each session may reach and where it may listen, by the rules, and the listeners that
 * sessions asked for. A node that comes back gets its listeners even while its old session is not known to be dead yet: the same
 * name takes them over. Without transport: sessions are handed in.
 */

import { AddressSyntaxError } from "../transport/host-port.ts";
import type { Carrier, CarrierStream } from "./carrier.ts";
import {
  expandIdentity,
  type ForwardEndpoint,
  formatEndpoint,
  hasPlaceholder,
  parseEndpoint,
} from "./forward-endpoint.ts";
import {
  ForwardSession,
  type ForwardSessionOptions,
  type Refusal,
  refuse,
  type TunnelGrant,
  type TunnelHeader,
} from "./forward-session.ts";
import { nameOf, namesOf, pathSegment } from "./identity.ts";
import {
  boundEndpoint,
  LocalSocketError,
  listenAt,
  resetSocket,
  type StreamEndpoint,
  sourceOf,
} from "./local-socket.ts";
import type { Log } from "./log.ts";
import type { OpenHeader } from "./open-header.ts";
import { type Permissions, refusalOf } from "./permissions.ts";
import { RESET_BY_PROXY } from "./splice.ts";
import { listenUdp } from "./udp-socket.ts";

const MAX_LISTENERS_PER_SESSION = 256;

export const STOPPING: Refusal = { reason: "unavailable", message: "the server is stopping" };

const TWO_OF_ONE_NAME = "are there two nodes, or two forwards, of one name?";

export interface ServerForwardsOptions {
  allow: Permissions;
  allowListen: Permissions;
  unixMode: number;
  maxFlows: number;
  flowIdleMs: number;
  datagramDeadlineMs: number | undefined;
  /** Connections and flows at once of one identity, over all its sessions. */
  maxPerIdentity: number;
  /** Takes requests for tunnels, where there is one. */
  tunnel?: ((session: ForwardSession, header: TunnelHeader, stream: CarrierStream) => TunnelGrant | Refusal) | null;
  log: Log;
}

interface RemoteListener {
  readonly peer: string;
  /** Of its session, in the order in which they came. */
  readonly turn: number;
  /** Tells the client that another session of its name listens there now. */
  handOver(): void;
  /** Whether the rules still let it be. */
  allowed(): boolean;
  close(): void;
}

export class ServerForwards {
  #options: ServerForwardsOptions;
  readonly #sessions: Set<ForwardSession> = new Set();
  readonly #byIdentity: Map<string, Set<ForwardSession>> = new Map();
  #sessionsCome = 0;
  /** By the endpoint as text. */
  readonly #listeners: Map<string, RemoteListener> = new Map();
  #stopping = false;

  constructor(options: ServerForwardsOptions) {
    this.#options = options;
  }

  get sessions(): ReadonlySet<ForwardSession> {
    return this.#sessions;
  }

  /** Takes a session that was just established. */
  add(carrier: Carrier): ForwardSession {
    const { log, flowIdleMs, datagramDeadlineMs, tunnel = null } = this.#options;
    const turn = this.#sessionsCome++;
    let listeners = 0;
    const sessionOptions: ForwardSessionOptions = {
      log,
      flowIdleMs,
      datagramDeadlineMs,
      policy: {
        target: (header) => this.#overQuota(session) ?? this.#target(carrier, header),
        tunnel:
          tunnel === null ? null : (header, stream) => (this.#stopping ? STOPPING : tunnel(session, header, stream)),
        listen: async (header, stream) => {
          if (listeners >= MAX_LISTENERS_PER_SESSION) {
            throw new LocalSocketError("unavailable", `a session has at most ${MAX_LISTENERS_PER_SESSION} listeners`);
          }
          listeners++;
          stream.once("close", () => listeners--);
          return this.#listen(session, turn, header, stream);
        },
      },
    };
    const session: ForwardSession = new ForwardSession(carrier, sessionOptions);
    this.#sessions.add(session);
    const identity = identityOf(session);
    const own = this.#byIdentity.get(identity) ?? new Set();
    this.#byIdentity.set(identity, own.add(session));
    carrier.on("close", () => {
      this.#sessions.delete(session);
      own.delete(session);
      if (own.size === 0) this.#byIdentity.delete(identity);
    });
    return session;
  }

  /** Other rules from now on: connections go on, listeners that are no longer allowed end. */
  permit(rules: Pick<ServerForwardsOptions, "allow" | "allowListen">): void {
    this.#options = { ...this.#options, ...rules };
    for (const listener of [...this.#listeners.values()]) if (!listener.allowed()) listener.close();
  }

  /** Ends the listeners that sessions asked for, and refuses what they ask for from now on; what is open goes on. */
  stopListening(): void {
    this.#stopping = true;
    for (const listener of [...this.#listeners.values()]) listener.close();
  }

  /** Why a session's identity gets no further connection; null when it does. */
  #overQuota(session: ForwardSession): Refusal | null {
    const { maxPerIdentity } = this.#options;
    let open = 0;
    for (const { connections, flows } of this.#byIdentity.get(identityOf(session)) ?? []) open += connections + flows;
    if (open < maxPerIdentity) return null;
    const message = `${session.peer} has ${open} connections, the most that the server lets one identity have`;
    return { reason: "over-quota", message };
  }

  #target(carrier: Carrier, header: OpenHeader): { target: ForwardEndpoint; forward: string } | Refusal {
    if (this.#stopping) return STOPPING;
    if (header.type !== "connect" && header.type !== "flow") {
      return { reason: "malformed", message: "a server asked for no listener" };
    }
    const target = expand(carrier, header.target, false);
    if ("reason" in target) return target;
    const names = carrier.peer.identity;
    if (!this.#options.allow.allows(names, target)) {
      return { reason: "not-allowed", message: refusalOf(names, target, "--allow") };
    }
    return { target, forward: formatEndpoint(target) };
  }

  /** A listener goes to the session that came last: a node that comes back gets its own at once, and two of one name do not fight. */
  async #listen(
    session: ForwardSession,
    turn: number,
    header: OpenHeader & { type: "listen" },
    stream: CarrierStream,
  ): Promise<string> {
    if (this.#stopping) throw new LocalSocketError(STOPPING.reason, STOPPING.message);
    const names = session.carrier.peer.identity;
    const endpoint = expand(session.carrier, header.endpoint, true);
    if ("reason" in endpoint) throw new LocalSocketError(endpoint.reason, endpoint.message);
    if (!this.#options.allowListen.allows(names, endpoint)) {
      throw new LocalSocketError("not-allowed", refusalOf(names, endpoint, "--allow-listen"));
    }
    const key = formatEndpoint(endpoint);
    const before = this.#listeners.get(key);
    if (before !== undefined && before.peer !== session.peer) {
      throw new LocalSocketError("in-use", `cannot listen at ${key}: ${before.peer} does`);
    }
    if (before !== undefined && before.turn >= turn) {
      const whose = before.turn === turn ? "this session" : "a newer session of that name";
      throw new LocalSocketError("in-use", `cannot listen at ${key}: ${whose} does; ${TWO_OF_ONE_NAME}`);
    }
    before?.handOver();
    const opened = await this.#open(session, endpoint, header.listener);
    if (stream.destroyed || stream.readableEnded || this.#stopping) {
      opened.close();
      const message = this.#stopping ? STOPPING.message : "the request was taken back";
      throw new LocalSocketError("unavailable", message);
    }
    const address = formatEndpoint(opened.endpoint);
    const listener: RemoteListener = {
      peer: session.peer,
      turn,
      handOver: () => {
        const message = `another session of ${session.peer} took ${address} over; ${TWO_OF_ONE_NAME}`;
        if (!stream.destroyed) refuse(stream, { reason: "in-use", message });
        forget();
      },
      allowed: () => this.#options.allowListen.allows(names, endpoint),
      close: () => {
        if (forget() && !stream.destroyed) stream.reset(RESET_BY_PROXY);
      },
    };
    const forget = (): boolean => {
      if (this.#listeners.get(address) !== listener) return false;
      this.#listeners.delete(address);
      opened.close();
      this.#options.log.info(
        { peer: session.peer, listen: address },
        `${session.peer}: no longer listening at ${address}`,
      );
      return true;
    };
    this.#listeners.set(address, listener);
    stream.on("error", () => {});
    stream.once("end", () => listener.close());
    stream.once("close", () => listener.close());
    this.#options.log.info(
      { audit: "listen", peer: session.peer, listen: address },
      `${session.peer}: listening at ${address}`,
    );
    return address;
  }

  async #open(
    session: ForwardSession,
    endpoint: ForwardEndpoint,
    listener: number,
  ): Promise<{ endpoint: ForwardEndpoint; close(): void }> {
    const { unixMode, maxFlows, flowIdleMs } = this.#options;
    if (endpoint.kind === "udp") {
      const udp = await listenUdp(endpoint, {
        maxFlows,
        idleMs: flowIdleMs,
        openFlow: (source, reply, closed) => {
          if (this.#overQuota(session) !== null) return null;
          const header = { type: "accepted-flow" as const, listener, source };
          return session.openFlow({ header, forward: formatEndpoint(endpoint), source }, reply, closed);
        },
      });
      return { endpoint: boundEndpoint(endpoint, udp), close: () => udp.close() };
    }
    const server = await listenAt(endpoint as StreamEndpoint, {
      unixMode,
      onConnection: (socket) => {
        const refusal = this.#overQuota(session);
        const source = sourceOf(socket);
        if (refusal !== null) {
          const fields = {
            audit: "refused",
            peer: session.peer,
            forward: formatEndpoint(endpoint),
            ...source,
            reason: refusal.reason,
          };
          this.#options.log.warn(fields, `${session.peer}: ${formatEndpoint(endpoint)}: refused: ${refusal.message}`);
          resetSocket(socket);
          return;
        }
        const header = { type: "accepted-connect" as const, listener, ...source };
        session.connect(socket, { header, forward: formatEndpoint(endpoint), ...source });
      },
    });
    return { endpoint: boundEndpoint(endpoint, server.address()), close: () => server.close() };
  }
}

/** All names of its certificate: which of them a rule goes by does not matter here. */
function identityOf({ carrier }: ForwardSession): string {
  return JSON.stringify(namesOf(carrier.peer.identity));
}

function expand(carrier: Carrier, text: string, listen: boolean): ForwardEndpoint | Refusal {
  try {
    const endpoint = parseEndpoint(text, { listen });
    if (!hasPlaceholder(endpoint)) return endpoint;
    const segment = pathSegment(nameOf(carrier.peer.identity));
    if (segment === null)
      return { reason: "not-allowed", message: "{identity} stands for nothing: the certificate has no name" };
    return expandIdentity(endpoint, segment);
  } catch (error) {
    if (error instanceof AddressSyntaxError) return { reason: "malformed", message: error.message };
    throw error;
  }
}
