/**
 * The forwards of one session, at either end: opens streams for local connections and sources, and serves those that the peer
 * opens. What the peer may have is asked of a `Policy`; the server's grants by identity, the client's only what it asked for.
 * Nothing that happens to one forward touches another, or the session.
 */
import type { Socket } from "node:net";
import type { Carrier, CarrierStream } from "./carrier.ts";
import { Flows } from "./flows.ts";
import { type ForwardEndpoint, formatEndpoint, type SocketEndpoint } from "./forward-endpoint.ts";
import { HeaderError, readHeader } from "./header-reader.ts";
import { nameOf } from "./identity.ts";
import { dial, LocalSocketError, resetSocket, type StreamEndpoint } from "./local-socket.ts";
import { audit, type Log } from "./log.ts";
import {
  decodeAnswer,
  decodeOpen,
  encodeAnswer,
  encodeOpen,
  type OpenHeader,
  type RefusalReason,
} from "./open-header.ts";
import { RESET_BY_PROXY, RESET_REFUSED, Splice, type SpliceResult } from "./splice.ts";
import { type SourceFlow, UdpTarget } from "./udp-socket.ts";

/** Below the number of streams that a session carries at once, so that the peer's own find room too. */
const MAX_FORWARDS = 3500;

/** How long a peer may take to say what a stream of its is for, and to hang up after a refusal. */
const HEADER_TIMEOUT_MS = 30_000;
const REFUSAL_LINGER_MS = 5000;

/** For so long a local source whose flow was refused gets no other one: each is a question to the peer, and lines in both logs. */
const REFUSED_FLOW_MS = 5000;

export interface Refusal {
  reason: RefusalReason;
  message: string;
}

export type TunnelHeader = OpenHeader & { type: "tunnel" };

/** What a tunnel has, in words, and whether this end takes trains of segments. */
export interface TunnelGrant {
  address: string;
  trains?: true;
}

export interface Policy {
  /** What the peer reaches by a header, and under which name in the log; or why not. */
  target(header: OpenHeader): { target: ForwardEndpoint; forward: string } | Refusal;
  /** Takes a request to listen; the stream is the listener's life. Null where nobody may ask. */
  readonly listen: ((header: OpenHeader & { type: "listen" }, stream: CarrierStream) => Promise<string>) | null;
  /** Takes a request for a tunnel; the stream is its life. Null where nobody may ask. */
  readonly tunnel: ((header: TunnelHeader, stream: CarrierStream) => TunnelGrant | Refusal) | null;
}

export interface ForwardSessionOptions {
  policy: Policy;
  log: Log;
  /** Quiet flows end after this. */
  flowIdleMs: number;
  /** Datagrams that wait longer than this are dropped; undefined leaves it to the session. */
  datagramDeadlineMs: number | undefined;
}

/** A request to open a forward. */
export interface OpenRequest {
  header: OpenHeader;
  /** For the log. */
  forward: string;
  source?: string;
}

export class ForwardSession {
  readonly carrier: Carrier;
  /** The peer's name, for logs. */
  readonly peer: string;
  readonly #policy: Policy;
  readonly #log: Log;
  readonly #flows: Flows;
  readonly #flowIdleMs: number;
  readonly #deadlineMs: number | undefined;
  readonly #splices: Set<Splice> = new Set();
  /** Sockets and streams before they are joined. */
  readonly #pending: Set<() => void> = new Set();
  #openFlows = 0;
  #over = false;
  readonly #idleWaiters: (() => void)[] = [];

  constructor(carrier: Carrier, { policy, log, flowIdleMs, datagramDeadlineMs }: ForwardSessionOptions) {
    this.carrier = carrier;
    this.peer = nameOf(carrier.peer.identity) || "unnamed peer";
    this.#policy = policy;
    this.#log = log;
    this.#flows = new Flows(carrier);
    this.#flowIdleMs = flowIdleMs;
    this.#deadlineMs = datagramDeadlineMs;
    carrier.on("stream", (stream: CarrierStream) => void this.#serve(stream));
    carrier.on("close", () => this.#end("session lost"));
  }

  /** Connections that are open, of both ends. */
  get connections(): number {
    return this.#splices.size + this.#pending.size;
  }

  get flows(): number {
    return this.#flows.count;
  }

  /** Resolves when no connection is open, or after `limitMs`. */
  drained(limitMs: number): Promise<void> {
    if (this.connections === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#idleWaiters.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** Cuts every connection: local sockets get a reset. */
  stop(): void {
    this.#end("stopped");
  }

  /** Hands datagrams of a stream over as they are. */
  claimDatagrams(stream: CarrierStream, receive: (payload: Uint8Array) => void): void {
    this.#flows.claim(stream, receive);
  }

  /** A stream that says at its beginning what it is for; null when the session takes no more. */
  openStream(header: OpenHeader): CarrierStream | null {
    let stream: CarrierStream;
    try {
      stream = this.carrier.openStream();
    } catch {
      // It is closing.
      return null;
    }
    stream.on("error", () => {});
    stream.write(encodeOpen(header));
    return stream;
  }

  /** Carries a local connection to the peer. Its data leaves with the request. */
  connect(socket: Socket, { header, forward, source }: OpenRequest): void {
    if (this.#over || this.connections >= MAX_FORWARDS) {
      this.#log.warn(
        { forward },
        `${forward}: ${this.#over ? "the session is over" : `${MAX_FORWARDS} connections are open already`}`,
      );
      resetSocket(socket);
      return;
    }
    const startMs = performance.now();
    const stream = this.openStream(header);
    if (stream === null) {
      resetSocket(socket);
      return;
    }
    let refusal = "";
    const splice = this.#splice(socket, stream, (result) => {
      const outcome = refusal || result.outcome;
      this.#audit({ forward, ...(source === undefined ? {} : { source }) }, outcome, result, startMs);
    });
    readHeader(stream, decodeAnswer).then(
      (answer) => {
        if (answer.type === "done") {
          splice.openDown();
          return;
        }
        refusal = `refused: ${answer.message}`;
        this.#log.warn({ forward, reason: answer.reason }, `${forward}: ${answer.message}`);
        splice.cut("refused");
      },
      (error: Error) => {
        if (error instanceof HeaderError) this.#log.warn({ forward }, `${forward}: ${error.message}`);
        splice.cut("peer reset");
      },
    );
  }

  /**
   * Opens a flow for a local source; null when there is no room. `closed` is called once, when the source may have another flow; what
   * is sent by one that is over is dropped.
   */
  openFlow(
    { header, forward, source }: OpenRequest,
    reply: (payload: Uint8Array) => void,
    closed: () => void,
  ): SourceFlow | null {
    if (this.#over || this.#openFlows >= MAX_FORWARDS) return null;
    const stream = this.openStream(header);
    if (stream === null) return null;
    this.#openFlows++;
    const startMs = performance.now();
    let outcome = "done";
    const forget = () => {
      const { dropped } = flow.stats;
      if (dropped > 0) {
        const words = `${forward} from ${source}: ${dropped} more datagrams were dropped, as it was refused`;
        this.#log.info({ forward, source, dropped }, words);
      }
      closed();
    };
    const flow = this.#flows.attach(stream, {
      deadlineMs: this.#deadlineMs,
      onPayload: reply,
      onClose: () => {
        this.#openFlows--;
        this.#audit({ forward, ...(source === undefined ? {} : { source }) }, outcome, flowResult(flow), startMs);
        if (outcome === "done") closed();
        else setTimeout(forget, REFUSED_FLOW_MS).unref();
      },
      answer: readHeader(stream, decodeAnswer).then((answer) => {
        if (answer.type === "done") return true;
        outcome = `refused: ${answer.message}`;
        this.#log.warn({ forward, reason: answer.reason }, `${forward}: ${answer.message}`);
        return false;
      }),
    });
    return flow;
  }

  async #serve(stream: CarrierStream): Promise<void> {
    // Whoever holds the stream hears of its errors; between two holders nobody does, and that must not end the process.
    stream.on("error", () => {});
    const giveUp = () => stream.reset(RESET_BY_PROXY);
    const timer = setTimeout(giveUp, HEADER_TIMEOUT_MS);
    try {
      const header = await readHeader(stream, decodeOpen);
      clearTimeout(timer);
      if (header.type === "listen") await this.#serveListen(stream, header);
      else if (header.type === "tunnel") this.#serveTunnel(stream, header);
      else await this.#serveOpen(stream, header);
    } catch (error) {
      const { message } = error as Error;
      if (stream.destroyed) {
        // The peer gave up, or took too long, before it said what it wanted.
        this.#log.debug({ peer: this.peer }, `${this.peer}: a stream ended before it was served: ${message}`);
      } else if (error instanceof HeaderError) {
        this.#log.warn({ peer: this.peer }, `${this.peer}: ${message}`);
        refuse(stream, { reason: "malformed", message });
      } else {
        this.#log.error({ peer: this.peer }, `${this.peer}: a stream could not be served: ${message}`);
        giveUp();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #serveListen(stream: CarrierStream, header: OpenHeader & { type: "listen" }): Promise<void> {
    if (this.#policy.listen === null) {
      refuse(stream, { reason: "not-allowed", message: "listeners are asked for at a server" });
      return;
    }
    try {
      const address = await this.#policy.listen(header, stream);
      if (!stream.destroyed) stream.write(encodeAnswer({ type: "done", address }));
      stream.resume();
    } catch (error) {
      if (!(error instanceof LocalSocketError)) throw error;
      this.#refuse(stream, { forward: header.endpoint }, { reason: error.reason, message: error.message });
    }
  }

  #serveTunnel(stream: CarrierStream, header: TunnelHeader): void {
    const answer = this.#policy.tunnel?.(header, stream) ?? {
      reason: "unavailable",
      message: "this end has no tunnel: a server has one with --tun",
    };
    if ("reason" in answer) {
      this.#refuse(stream, { forward: `tun:${header.addresses.join(",")}` }, answer);
      return;
    }
    stream.write(encodeAnswer({ type: "done", ...answer }));
    stream.resume();
  }

  async #serveOpen(stream: CarrierStream, header: Exclude<OpenHeader, { type: "listen" | "tunnel" }>): Promise<void> {
    const source = header.source === undefined ? {} : { source: header.source };
    const asked = { forward: "target" in header ? header.target : `listener ${header.listener}`, ...source };
    const decision = this.#policy.target(header);
    if ("reason" in decision) {
      this.#refuse(stream, asked, decision);
      return;
    }
    const { target, forward } = decision;
    const origin = { forward, ...source };
    const isFlow = header.type === "flow" || header.type === "accepted-flow";
    if (isFlow !== (target.kind === "udp")) {
      this.#refuse(stream, asked, { reason: "malformed", message: `${formatEndpoint(target)} is of the other kind` });
      return;
    }
    try {
      if (target.kind === "udp") await this.#serveFlow(stream, target as SocketEndpoint, origin);
      else await this.#serveConnection(stream, target as StreamEndpoint, origin);
    } catch (error) {
      if (!(error instanceof LocalSocketError)) throw error;
      this.#refuse(stream, origin, { reason: error.reason, message: error.message });
    }
  }

  async #serveConnection(
    stream: CarrierStream,
    target: StreamEndpoint,
    origin: { forward: string; source?: string },
  ): Promise<void> {
    const startMs = performance.now();
    let gone = false;
    const cancel = () => {
      gone = true;
    };
    // The peer may give up while the target is dialled.
    stream.on("error", cancel);
    stream.on("close", cancel);
    this.#pending.add(cancel);
    const socket = await dial(target).finally(() => this.#pending.delete(cancel));
    if (gone || this.#over || stream.destroyed) {
      resetSocket(socket);
      if (!stream.destroyed) stream.reset(RESET_BY_PROXY);
      this.#audit(origin, "peer reset", { bytesIn: 0, bytesOut: 0 }, startMs);
      this.#settle();
      return;
    }
    stream.removeListener("error", cancel);
    stream.removeListener("close", cancel);
    stream.write(encodeAnswer({ type: "done" }));
    this.#splice(socket, stream, (result) => this.#audit(origin, result.outcome, result, startMs)).openDown();
  }

  async #serveFlow(
    stream: CarrierStream,
    target: SocketEndpoint,
    origin: { forward: string; source?: string },
  ): Promise<void> {
    const startMs = performance.now();
    if (this.#openFlows >= MAX_FORWARDS)
      throw new LocalSocketError("unavailable", `${MAX_FORWARDS} flows are open already`);
    this.#openFlows++;
    const socket = new UdpTarget((payload) => flow.send(payload));
    let timer: NodeJS.Timeout | undefined;
    const flow = this.#flows.attach(stream, {
      deadlineMs: this.#deadlineMs,
      onPayload: (payload) => socket.send(payload),
      onClose: () => {
        clearInterval(timer);
        socket.close();
        this.#openFlows--;
        this.#audit(origin, "done", flowResult(flow), startMs);
      },
    });
    timer = setInterval(
      () => {
        if (flow.lastActiveMs < performance.now() - this.#flowIdleMs) flow.close();
      },
      Math.max(50, this.#flowIdleMs / 4),
    );
    timer.unref();
    await socket.open(target);
    if (!stream.destroyed && !stream.writableEnded) stream.write(encodeAnswer({ type: "done" }));
  }

  #splice(socket: Socket, stream: CarrierStream, done: (result: SpliceResult) => void): Splice {
    const splice: Splice = new Splice(socket, stream, (result) => {
      this.#splices.delete(splice);
      if (this.#over && result.outcome === "peer reset") result.outcome = "session lost";
      done(result);
      this.#settle();
    });
    this.#splices.add(splice);
    return splice;
  }

  #refuse(stream: CarrierStream, asked: { forward: string; source?: string }, refusal: Refusal): void {
    this.#log.warn(
      { audit: "refused", peer: this.peer, ...asked, reason: refusal.reason },
      `${this.peer}: ${asked.forward}: refused: ${refusal.message}`,
    );
    refuse(stream, refusal);
    this.#settle();
  }

  #settle(): void {
    if (this.connections > 0) return;
    for (const waiter of this.#idleWaiters.splice(0)) waiter();
  }

  #end(outcome: SpliceResult["outcome"]): void {
    this.#over = true;
    for (const cancel of this.#pending) cancel();
    for (const splice of [...this.#splices]) splice.cut(outcome);
    this.#settle();
  }

  #audit(
    origin: { forward: string; source?: string },
    outcome: string,
    { bytesIn, bytesOut }: { bytesIn: number; bytesOut: number },
    startMs: number,
  ): void {
    audit(this.#log, {
      peer: this.peer,
      ...origin,
      outcome,
      bytesSent: bytesIn,
      bytesReceived: bytesOut,
      durationMs: Math.round(performance.now() - startMs),
    });
  }
}

function flowResult(flow: { stats: { bytesSent: number; bytesReceived: number } }): {
  bytesIn: number;
  bytesOut: number;
} {
  return { bytesIn: flow.stats.bytesSent, bytesOut: flow.stats.bytesReceived };
}

/** Says why in the answer, and hangs up once the peer has had the time to read it. */
export function refuse(stream: CarrierStream, refusal: Refusal): void {
  if (stream.destroyed) return;
  stream.on("error", () => {});
  stream.end(encodeAnswer({ type: "refused", ...refusal }));
  stream.on("data", () => {});
  stream.resume();
  const timer = setTimeout(() => stream.reset(RESET_REFUSED), REFUSAL_LINGER_MS);
  stream.once("close", () => clearTimeout(timer));
}
