/** The sending end of a measurement: as much as the session takes, or datagrams at a rate, for as long as the plan says. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Session } from "../api/session.ts";
import type { Plan, Tally } from "./plan.ts";

const CHUNK_BYTES = 64 * 1024;
const TICK_MS = 2;

/** Resolves with what was sent. `tally` counts meanwhile. */
export async function sendLoad(session: Session, plan: Plan, tally: Tally): Promise<Tally> {
  const startMs = performance.now();
  const untilMs = startMs + plan.seconds * 1000;
  if (plan.mode === "stream") {
    await Promise.all(Array.from({ length: plan.parallel }, () => fillStream(session, untilMs, tally)));
  } else if (plan.mode === "message") {
    const data = randomBytes(plan.sizeBytes);
    while (performance.now() < untilMs) {
      await session.sendMessage(data);
      add(tally, data.length);
      // Messages that are taken at once would keep the event loop from anything else.
      if (tally.count % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } else {
    await sendDatagrams(session, plan, untilMs, tally);
  }
  tally.elapsedMs = performance.now() - startMs;
  return tally;
}

async function fillStream(session: Session, untilMs: number, tally: Tally): Promise<void> {
  const chunk = randomBytes(CHUNK_BYTES);
  const stream = session.openStream();
  stream.resume();
  let failure: Error | null = null;
  stream.on("error", (error) => {
    failure = error;
  });
  while (performance.now() < untilMs) {
    if (failure !== null) throw failure;
    add(tally, chunk.length);
    if (!stream.write(chunk)) await once(stream, "drain");
    else await new Promise((resolve) => setImmediate(resolve));
  }
  stream.end();
}

async function sendDatagrams(session: Session, plan: Plan, untilMs: number, tally: Tally): Promise<void> {
  const data = randomBytes(plan.sizeBytes);
  const intervalMs = (data.length * 8) / (plan.rateMbps * 1000);
  let nextMs = performance.now();
  while (performance.now() < untilMs) {
    for (const nowMs = performance.now(); nextMs <= nowMs; nextMs += intervalMs) {
      session.sendDatagram(data);
      add(tally, data.length);
    }
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
}

function add(tally: Tally, bytes: number): void {
  tally.bytes += bytes;
  tally.count++;
}
