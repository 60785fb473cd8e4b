/**
 * A trace for those who want to know what limits a transfer: every so often one line of JSON for each link of an endpoint, about what
 * happened since the line before and how things stand. Begun by the environment variable BATS_TRACE, the name of a file that lines
 * are added to; BATS_TRACE_MS says how often, ms. docs/troubleshooting.md tells how to read it.
 *
 * Costs nothing where it is off. Not a log: nothing in it is meant to be noticed by itself.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import { Session } from "../transport/session/session.ts";
import { Attachment } from "./attachment.ts";
import type { RoutedLink } from "./routed-link.ts";
import type { SocketDriver } from "./socket-driver.ts";
import { openTraceFile } from "./trace-file.ts";

const DEFAULT_INTERVAL_MS = 100;
const LEAST_INTERVAL_MS = 10;

/** Counters of a link as they were in the line before. */
interface Before {
  sentBytes: number;
  receivedBytes: number;
  ackedPackets: number;
  lostPackets: number;
  spuriousLosses: number;
  sentSymbols: number;
  sentRepairs: number;
}

export class Trace {
  readonly #driver: SocketDriver;
  readonly #file: WriteStream;
  readonly #timer: NodeJS.Timeout;
  readonly #before = new WeakMap<RoutedLink, Before>();
  #lastMs: number;
  #lastCpu = process.cpuUsage();

  /** The trace that the environment asks for; null when it asks for none. */
  static ofEnvironment(driver: SocketDriver): Trace | null {
    const { BATS_TRACE: file, BATS_TRACE_MS: interval } = process.env;
    if (file === undefined || file === "") return null;
    const intervalMs = Math.max(Number(interval) || DEFAULT_INTERVAL_MS, LEAST_INTERVAL_MS);
    try {
      return new Trace(driver, openTraceFile(file), intervalMs);
    } catch (error) {
      process.emitWarning(`there is no trace: ${(error as Error).message}`);
      return null;
    }
  }

  /** `file`: a descriptor, which is the trace's from now on. */
  constructor(driver: SocketDriver, file: number, intervalMs: number) {
    this.#driver = driver;
    this.#lastMs = driver.now();
    this.#file = createWriteStream("", { fd: file });
    this.#file.on("error", ({ code, message }: NodeJS.ErrnoException) => {
      this.stop();
      // What Node calls a pipe that stays full.
      const why = code === "ERR_SYSTEM_ERROR" ? "its reader does not keep up" : message;
      process.emitWarning(`the trace ends: ${why}`);
    });
    this.#timer = setInterval(() => this.#sample(), intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#file.end();
  }

  #sample(): void {
    const driver = this.#driver;
    const nowMs = driver.now();
    const overMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    const { turns, workMs, longestTurnMs, latestTimerMs, fullSockets } = driver.takeLoad();
    const { user, system } = process.cpuUsage(this.#lastCpu);
    this.#lastCpu = process.cpuUsage();
    const load = { turns, workMs, longestTurnMs, latestTimerMs, fullSockets, cpuMs: (user + system) / 1000 };
    for (const routed of driver.endpoint.links) {
      this.#file.write(`${JSON.stringify(this.#line(routed, nowMs, overMs, load), round)}\n`);
    }
  }

  #line(routed: RoutedLink, nowMs: number, overMs: number, load: object): object {
    const { link, observer } = routed;
    const { stats, rtt } = link;
    const session = observer instanceof Attachment && observer.user instanceof Session ? observer.user.stats : null;
    const before = this.#before.get(routed);
    const now: Before = {
      sentBytes: stats.sentBytes,
      receivedBytes: stats.receivedBytes,
      ackedPackets: stats.ackedPackets,
      lostPackets: stats.lostPackets,
      spuriousLosses: stats.spuriousLosses,
      sentSymbols: session?.sentSymbols ?? 0,
      sentRepairs: session?.sentRepairs ?? 0,
    };
    this.#before.set(routed, now);
    const since = (name: keyof Before): number => now[name] - (before?.[name] ?? 0);
    const metrics = link.congestion.metrics();
    return {
      atMs: performance.timeOrigin + nowMs,
      overMs,
      peer: `${link.remote.ip}:${link.remote.port}`,
      state: link.state,
      sentMbps: megabits(since("sentBytes"), overMs),
      receivedMbps: megabits(since("receivedBytes"), overMs),
      acked: since("ackedPackets"),
      lost: since("lostPackets"),
      spurious: since("spuriousLosses"),
      symbols: since("sentSymbols"),
      repairs: since("sentRepairs"),
      rttMs: rtt.latestMs,
      smoothedRttMs: rtt.smoothedMs,
      leastRttMs: rtt.minMs,
      congestion: {
        ...metrics,
        pacingRate: undefined,
        bandwidth: undefined,
        pacingMbps: metrics.pacingRate * 0.008,
        bandwidthMbps: metrics.bandwidth * 0.008,
      },
      inFlightBytes: link.inFlightBytes,
      reorderingThreshold: link.reorderingThreshold,
      session: session && {
        waitingBytes: session.waitingBytes,
        creditBytes: session.creditBytes,
        liveBatches: session.liveBatches,
        receiveWindow: session.receiveWindow,
        memoryBytes: session.memoryBytes,
      },
      load,
    };
  }
}

function megabits(bytes: number, ms: number): number {
  return (bytes * 0.008) / ms;
}

/** Thousandths are enough. */
function round(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1000) / 1000 : value;
}
