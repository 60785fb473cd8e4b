/** The control stream of a transfer: frames both ways, a hello first. The end that opened the session opens it. */
import { BatsError } from "../api/errors.ts";
import type { Session } from "../api/session.ts";
import type { Stream } from "../api/stream.ts";
import { TransferError } from "./errors.ts";
import { decodeFrame, encodeFrame, type Frame, type Role } from "./frames.ts";
import { Wakeup } from "./wakeup.ts";

/** More urgent than the files: what is to be sent next must not wait behind what is. */
const PRIORITY = 2;

/** The stream for it, of the end that opened the session. */
export function openControlStream(session: Session): Promise<Stream> {
  return Promise.resolve(session.openStream({ priority: PRIORITY }));
}

/** The stream for it, of the other end, which must ask for it as soon as the session is there. */
export function awaitControlStream(session: Session): Promise<Stream> {
  const stream = new Promise<Stream>((resolve, reject) => {
    const onClose = () => reject(new TransferError("protocol", "the other end left before it said anything"));
    session.once("close", onClose);
    session.once("stream", (first) => {
      session.off("close", onClose);
      // Whoever reads it is told.
      first.on("error", () => {});
      resolve(first);
    });
  });
  stream.catch(() => {});
  return stream;
}

export interface Greeting {
  readonly role: Role;
  readonly trustTimes: boolean;
}

/** Frames that were not looked at yet; beyond those the other end waits. */
const QUEUED = 256;

export class Control {
  readonly stream: Stream;
  readonly #queue: Frame[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;
  #failure: Error | null = null;
  readonly #wakeup = new Wakeup();
  /** What the other end said of itself. */
  #peer: Greeting = { role: "sender", trustTimes: false };

  private constructor(stream: Stream) {
    this.stream = stream;
    stream.on("data", (chunk: Buffer) => this.#take(chunk));
    stream.on("end", () => this.#end());
    stream.on("error", (error) => this.#fail(error));
    stream.on("close", () => this.#fail(new BatsError("ERR_BATS_PEER_CLOSED", "the other end left")));
  }

  /** Rejects with a `TransferError` when the roles do not fit. */
  static async open(stream: Promise<Stream>, own: Greeting): Promise<Control> {
    const control = new Control(await stream);
    control.send({ type: "hello", ...own });
    const frame = await control.#next();
    if (frame === null) throw new TransferError("protocol", "the other end closed before it said what it is");
    if (frame.type !== "hello") throw new TransferError("protocol", `the other end begins with "${frame.type}"`);
    if (frame.role === own.role) {
      const [verb, wanted] = own.role === "sender" ? ["sends, too", "receive"] : ["receives, too", "send"];
      throw new TransferError("protocol", `the other end ${verb}: one end has to be \`bats-proxy ${wanted}\``);
    }
    control.#peer = frame;
    return control;
  }

  /** Tells a client that it gets nothing here, and why. */
  static async refuse(stream: Promise<Stream>, text: string): Promise<void> {
    const control = new Control(await stream);
    control.send({ type: "stop", text });
    control.stream.end();
  }

  get peer(): Greeting {
    return this.#peer;
  }

  send(frame: Frame): void {
    if (this.stream.writable) this.stream.write(encodeFrame(frame));
  }

  /** Ends it after the reason, where that is one for the other end, and the reading at once. */
  stop(error: Error): void {
    if (error instanceof TransferError && error.fault !== "stopped") this.send({ type: "stop", text: error.message });
    this.stream.end();
    this.#queue.length = 0;
    this.#fail(error);
  }

  /** Until the other end has ended its half; throws a `TransferError`, or the stream's error. */
  async *frames(): AsyncGenerator<Frame> {
    for (let frame = await this.#next(); frame !== null; frame = await this.#next()) yield frame;
  }

  /** Null at the end. */
  async #next(): Promise<Frame | null> {
    while (this.#queue.length === 0 && !this.#ended && this.#failure === null) await this.#wakeup.wait();
    const frame = this.#queue.shift();
    if (frame === undefined) {
      if (this.#failure !== null) throw this.#failure;
      return null;
    }
    if (this.#queue.length === 0 && this.#failure === null) this.stream.resume();
    if (frame.type === "stop") throw new TransferError("stopped", frame.text);
    return frame;
  }

  #take(chunk: Buffer): void {
    if (this.#failure !== null) return;
    const bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    let at = 0;
    for (let decoded = decodeFrame(bytes, at); decoded !== null; decoded = decodeFrame(bytes, at)) {
      if ("malformed" in decoded) {
        this.#fail(new TransferError("protocol", `the other end sent ${decoded.malformed}`));
        return;
      }
      at = decoded.end;
      if (decoded.frame !== null) this.#queue.push(decoded.frame);
    }
    this.#bytes = bytes.subarray(at);
    if (this.#queue.length > QUEUED) this.stream.pause();
    this.#wakeup.wake();
  }

  #end(): void {
    if (this.#bytes.length > 0) {
      this.#fail(new TransferError("protocol", "the other end stopped in the middle of a frame"));
    }
    this.#ended = true;
    this.#wakeup.wake();
  }

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#failure ??= error;
    this.#wakeup.wake();
  }
}
