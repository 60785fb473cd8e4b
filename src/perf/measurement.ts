/**
 * A measurement between two ends of a session: the client opens a stream and writes its plan, the server `true` when it is prepared; one
 * end sends, then writes what it sent; when the server received, it writes what. Each a line of JSON. Over a session of its own, whose ALPN is "bats-perf/1".
 */
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import { sendLoad } from "./load.ts";
import { Meter } from "./meter.ts";
import { encodeLine, type Plan, parsePlan, parseTally, type Tally } from "./plan.ts";

export const PERF_ALPN = "bats-perf/1";

/** How long the server is waited for, to say what arrived of a measurement that was interrupted. */
const INTERRUPTED_MS = 3000;

/** Null is what the other end did not say before it was interrupted. */
export interface Result {
  sent: Tally | null;
  received: Tally | null;
}

/** Counters of this end, while it runs. */
export type OnStart = (tally: Readonly<Tally>) => void;

/** When `signal` aborts it resolves with what is known. */
export async function measure(session: Session, plan: Plan, signal: AbortSignal, onStart: OnStart): Promise<Result> {
  const control = session.openStream();
  const lines = linesOf(control);
  const meter = plan.reverse ? new Meter(session, plan, control) : null;
  write(control, plan);
  const tally = meter?.tally ?? { bytes: 0, count: 0, elapsedMs: 0 };
  onStart(tally);
  const whole = async (): Promise<Result> => {
    if (meter !== null) {
      const sent = await nextTally(lines);
      return { sent, received: await meter.received(sent) };
    }
    if ((await nextValue(lines)) !== true) throw new Error("the server does not know such a measurement");
    const sent = await sendLoad(session, plan, tally, signal);
    write(control, sent);
    return { sent, received: await nextTally(lines) };
  };
  const part = async (): Promise<Result> => {
    if (!signal.aborted) await once(signal, "abort");
    // Nothing tells a server that sends to stop but the end of the session.
    if (meter !== null) return { sent: null, received: tally };
    await new Promise((resolve) => setTimeout(resolve, INTERRUPTED_MS).unref());
    return { sent: tally, received: null };
  };
  return Promise.race([whole(), part()]);
}

/** The server's end of one session. Rejects when the client breaks the protocol or goes. */
export async function serveMeasurement(session: Session): Promise<Plan> {
  const [control] = (await once(session, "stream")) as [Stream];
  const lines = linesOf(control);
  const plan = parsePlan(await nextValue(lines));
  if (plan === null) throw new Error("asked for no measurement that this version knows");
  if (plan.reverse) {
    const gone = new AbortController();
    session.once("close", () => gone.abort());
    write(control, await sendLoad(session, plan, { bytes: 0, count: 0, elapsedMs: 0 }, gone.signal));
  } else {
    const meter = new Meter(session, plan, control);
    write(control, true);
    write(control, await meter.received(await nextTally(lines)));
  }
  return plan;
}

function linesOf(stream: Stream): AsyncIterator<string> {
  stream.on("error", () => {});
  return createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]();
}

function write(stream: Stream, value: Plan | Tally | true): void {
  stream.write(encodeLine(value));
}

async function nextValue(lines: AsyncIterator<string>): Promise<unknown> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error("the other end went away");
  try {
    return JSON.parse(value);
  } catch {
    return null;
  }
}

async function nextTally(lines: AsyncIterator<string>): Promise<Tally> {
  const tally = parseTally(await nextValue(lines));
  if (tally === null) throw new Error("the other end says something else than what it counted");
  return tally;
}
