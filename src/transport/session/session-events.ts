/**
 * What a session has to tell its user, oldest first. Bounded by the streams that may be open: of each kind that says that something can
 * be done now, one event waits at most.
 */
import { Ring } from "./ring.ts";
import type { SessionEvent } from "./session-options.ts";
import type { Stream } from "./stream.ts";

export class SessionEvents {
  readonly #ring: Ring<SessionEvent> = new Ring();
  #messageWaits = false;
  #datagramWaits = false;
  readonly #find: (id: number) => Stream | undefined;

  constructor(find: (id: number) => Stream | undefined) {
    this.#find = find;
  }

  poll(): SessionEvent | null {
    const event = this.#ring.shift();
    if (event === undefined) return null;
    if (event.type === "message") this.#messageWaits = false;
    if (event.type === "datagram") this.#datagramWaits = false;
    if (event.type === "readable") {
      const stream = this.#find(event.stream);
      if (stream !== undefined) stream.announced = false;
    }
    return event;
  }

  push(event: SessionEvent): void {
    this.#ring.push(event);
  }

  readable(stream: Stream): void {
    if (stream.announced) return;
    stream.announced = true;
    this.push({ type: "readable", stream: stream.id });
  }

  datagram(): void {
    if (this.#datagramWaits) return;
    this.#datagramWaits = true;
    this.push({ type: "datagram" });
  }

  message(): void {
    if (this.#messageWaits) return;
    this.#messageWaits = true;
    this.push({ type: "message" });
  }
}
