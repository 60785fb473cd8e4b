/**
 * A session's packets in one direction, recorded behind a lossy path, and what a session hears when it gets them again. Who plays the other
 * end is today's code alone: its own packets go nowhere.
 */
import { createHash } from "node:crypto";
import { TinyMt32 } from "../../src/codec/index.ts";
import { deflateRaw } from "../../src/compression/deflate.ts";
import { Arena } from "../../src/gf/index.ts";
import type { LinkParameters } from "../../src/transport/link/parameters.ts";
import { Session } from "../../src/transport/session/session.ts";
import { Pipe } from "../transport/session/pipe.ts";
import { bytesOf, hex } from "./formats.ts";

export interface Conversation {
  /** Of the end that spoke. */
  isClient: boolean;
  /** Its session parameters. */
  parameters: string;
  /** What arrived of what it sent, in order. */
  packets: string[];
  heard: Heard;
}

/** Contents by their SHA-256, in the order of names. */
export interface Heard {
  streams: Record<string, string>;
  messages: string[];
  datagrams: string[];
}

function content(length: number, seed: number): Uint8Array {
  const generator = new TinyMt32(seed);
  return Uint8Array.from({ length }, () => generator.next());
}

const digest = (bytes: Uint8Array) =>
  `${bytes.length} ${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}`;

function createSession(isClient: boolean): Session {
  return new Session({
    isClient,
    arena: new Arena(),
    compressors: [deflateRaw],
    ...(isClient ? { sessionId: new Uint8Array(16).fill(0xab) } : {}),
  });
}

function parametersOf(session: string): LinkParameters {
  return { idleTimeoutMs: 30_000, maxDatagramBytes: 1472, ackDelayMs: 25, resetToken: null, session: bytesOf(session) };
}

/** Takes what is there. */
class Listener {
  readonly heard: Heard = { streams: {}, messages: [], datagrams: [] };
  readonly #session: Session;
  readonly #streams: Map<number, Uint8Array[]> = new Map();

  constructor(session: Session) {
    this.#session = session;
  }

  take(): void {
    const session = this.#session;
    for (let event = session.poll(); event !== null; event = session.poll()) {
      if (event.type === "error") throw new Error(event.message);
      if (event.type === "stream" || event.type === "readable") this.#read(event.stream);
    }
    for (let data = session.readMessage(); data !== null; data = session.readMessage()) {
      this.heard.messages.push(digest(data));
    }
    for (let data = session.readDatagram(); data !== null; data = session.readDatagram()) {
      this.heard.datagrams.push(digest(data));
    }
  }

  #read(stream: number): void {
    const chunks = this.#streams.get(stream) ?? [];
    this.#streams.set(stream, chunks);
    for (let data = this.#session.read(stream); data !== null; data = this.#session.read(stream))
      chunks.push(data.slice());
    const whole = this.#session.ended(stream) ? "whole" : "open";
    this.heard.streams[stream] = `${whole} ${digest(Buffer.concat(chunks))}`;
  }
}

/** One end sends streams, messages and datagrams of every kind. */
export function record(isClient: boolean): Conversation {
  const speaker = createSession(isClient);
  const parameters = hex(speaker.localParameters);
  const other = createSession(!isClient);
  const listener = new Listener(other);
  const packets: string[] = [];
  const receive = other.receive.bind(other);
  other.receive = (bytes, start, end, nowMs) => {
    packets.push(hex(bytes.subarray(start, end)));
    receive(bytes, start, end, nowMs);
  };
  const ends: [Session, Session] = isClient ? [speaker, other] : [other, speaker];
  const pipe = new Pipe(...ends, { seed: 3, loss: 0.15, delay: 3, jitter: 2, window: 20, packetBytes: 1000 });
  const text = Buffer.from("what compresses well, ".repeat(200));
  for (const [bytes, compress] of [
    [content(9000, 1), false],
    [text, true],
    [new Uint8Array(0), false],
  ] as const) {
    const stream = speaker.openStream({ compress });
    speaker.write(stream, bytes);
    speaker.finish(stream);
  }
  speaker.sendMessage(content(10, 2));
  speaker.sendMessage(content(3000, 3), { priority: 1 });
  speaker.sendMessage(content(20, 4), { ordered: false });
  speaker.sendMessage(text, { compress: true });
  speaker.sendDatagram(content(100, 5));
  for (let step = 0; step < 400; step++) {
    // Longer than a packet: in parts.
    if (step === 100) speaker.sendDatagram(content(1500, 6));
    pipe.step();
    listener.take();
  }
  return { isClient, parameters, packets, heard: listener.heard };
}

/** What today's session hears of it. */
export function replay({ isClient, parameters, packets }: Conversation): Heard {
  const session = createSession(!isClient);
  const listener = new Listener(session);
  session.established(parametersOf(parameters));
  for (const [i, packet] of packets.entries()) {
    const bytes = bytesOf(packet);
    session.receive(bytes, 0, bytes.length, i);
    listener.take();
  }
  return listener.heard;
}
