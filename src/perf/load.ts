/** The sending end of a measurement: as much as the session takes, or datagrams at a rate, for as long as the plan says and nobody ends it. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Session } from "../api/session.ts";
import type { Plan, Tally } from "./plan.ts";

const CHUNK_BYTES = 64 * 1024;
const TICK_MS = 2;

interface Load {
  session: Session;
  /** Whether there is time left. */
  goesOn(): boolean;
  count(bytes: number): void;
}

/** Resolves with what was sent. `tally` counts meanwhile. `signal` ends it early. */
export async function sendLoad(session: Session, plan: Plan, tally: Tally, signal: AbortSignal): Promise<Tally> {
  const startMs = performance.now();
  const untilMs = startMs + plan.seconds * 1000;
  const load: Load = {
    session,
    goesOn: () => performance.now() < untilMs && !signal.aborted,
    count: (bytes) => {
      tally.bytes += bytes;
      tally.count++;
      tally.elapsedMs = performance.now() - startMs;
    },
  };
  if (plan.mode === "stream") {
    await Promise.all(Array.from({ length: plan.parallel }, () => fillStream(load)));
  } else if (plan.mode === "message") {
    const data = randomBytes(plan.sizeBytes);
    while (load.goesOn()) {
      await session.sendMessage(data);
      load.count(data.length);
      // Messages that are taken at once would keep the event loop from anything else.
      if (tally.count % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } else {
    await sendDatagrams(load, plan);
  }
  tally.elapsedMs = performance.now() - startMs;
  return tally;
}

async function fillStream({ session, goesOn, count }: Load): Promise<void> {
  const chunk = randomBytes(CHUNK_BYTES);
  const stream = session.openStream();
  stream.resume();
  let failure: Error | null = null;
  stream.on("error", (error) => {
    failure = error;
  });
  while (goesOn()) {
    if (failure !== null) throw failure;
    count(chunk.length);
    if (!stream.write(chunk)) await once(stream, "drain");
    else await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
}

async function sendDatagrams({ session, goesOn, count }: Load, plan: Plan): Promise<void> {
  const data = randomBytes(plan.sizeBytes);
  const intervalMs = (data.length * 8) / (plan.rateMbps * 1000);
  let nextMs = performance.now();
  while (goesOn()) {
    for (const nowMs = performance.now(); nextMs <= nowMs; nextMs += intervalMs) {
      session.sendDatagram(data);
      count(data.length);
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
}
