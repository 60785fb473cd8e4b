/** The receiving end of a measurement: counts what comes, and knows when all of it has. */
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import type { Plan, Tally } from "./plan.ts";

/** Datagrams may be lost: after this long without one, none is waited for. */
const QUIET_MS = 1000;
const LOOK_MS = 20;

export class Meter {
  readonly tally: Tally = { bytes: 0, count: 0, elapsedMs: 0 };
  readonly #plan: Plan;
  #firstMs = Number.NaN;
  #lastMs = 0;

  /** `control` is the stream that is none of the measured ones. */
  constructor(session: Session, plan: Plan, control: Stream) {
    this.#plan = plan;
    if (plan.mode === "message") session.on("message", (data) => this.#take(data.length));
    else if (plan.mode === "datagram") session.on("datagram", (data) => this.#take(data.length));
    else {
      session.on("stream", (stream) => {
        if (stream === control) return;
        stream.on("error", () => {});
        stream.startReleasing();
        stream.on("data", (chunk: Buffer) => {
          this.#take(chunk.length);
          stream.release(chunk);
        });
        stream.on("end", () => stream.end());
      });
    }
  }

  /** Resolves when all that was sent is here; of datagrams, when none comes any more. */
  async received(sent: Tally): Promise<Tally> {
    const quietSinceMs = performance.now();
    while (this.tally.bytes < sent.bytes) {
      const lastMs = Math.max(quietSinceMs, this.#lastMs);
      if (this.#plan.mode === "datagram" && performance.now() - lastMs > QUIET_MS) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return this.tally;
  }

  #take(bytes: number): void {
    const nowMs = performance.now();
    if (Number.isNaN(this.#firstMs)) this.#firstMs = nowMs;
    this.#lastMs = nowMs;
    this.tally.bytes += bytes;
    this.tally.count++;
    this.tally.elapsedMs = nowMs - this.#firstMs;
  }
}
