/**
 * One random life of a session over a real link and a bad network, from a seed: topology, faults, what the two applications do. It
 * ends well or throws. What must hold: every byte of every stream and message arrives once, in order and as sent, or the error
 * reaches the application; a datagram arrives once and as sent, or not at all; all ends by a deadline; timers progress; memory stays within
 * the windows.
 */
import { Bbr, type CongestionController, Cubic, FixedRate } from "../../src/congestion/index.ts";
import { Arena } from "../../src/gf/index.ts";
import {
  createLine,
  type LinkOptions as HopOptions,
  type Network,
  type Node,
  Random,
  startTcpFlow,
} from "../../src/simulator/index.ts";
import { MemoryBudget } from "../../src/transport/session/memory-budget.ts";
import { Session } from "../../src/transport/session/session.ts";
import type { SessionEvent } from "../../src/transport/session/session-options.ts";
import { createClient, Guarded, ServerEndpoint } from "../transport/harness.ts";

/** How a scenario ended: "done" when all arrived, else the cause that both applications were told. */
export interface Ending {
  how: string;
  /** Virtual time. */
  atMs: number;
  bytes: number;
  /** Datagrams with the default deadline, by whether they arrived. */
  datagrams: { sent: number; arrived: number };
  /** In words, for whoever replays it. */
  described: string;
}

const MB = 2 ** 20;
/** What a session may hold beside its windows: batches that are being coded, and slots kept for the next ones. */
const SLACK_BYTES = 8 * MB;
/** Beyond this something is stuck: the slowest path and the longest outage need a part of it. */
const DEADLINE_MS = 600_000;
/** After everything was said the links must be over within this: three probe timeouts, or an idle timeout. */
const END_MS = 200_000;
const READ_EVERY_MS = 7;

class Dice {
  readonly #random: Random;

  /** Each label has draws of its own. */
  constructor(seed: number, label = "soak") {
    this.#random = new Random(seed, label);
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.#random.next();
  }

  whole(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1));
  }

  /** Evenly on a logarithmic scale. */
  scale(low: number, high: number): number {
    return low * (high / low) ** this.#random.next();
  }

  chance(share: number): boolean {
    return this.#random.next() < share;
  }
}

/** The byte at an offset of what a stream or message of this number holds. */
function byteAt(number: number, offset: number): number {
  return (Math.imul(offset + 1, 0x9e3779b1) >>> 24) ^ ((Math.imul(number + 7, 0x85ebca6b) >>> 16) & 255);
}

function content(number: number, from: number, to: number): Uint8Array {
  return Uint8Array.from({ length: to - from }, (_, i) => byteAt(number, from + i));
}

interface StreamJob {
  /** Index of the end that sends. */
  from: number;
  number: number;
  bytes: number;
  startMs: number;
  /** The sender resets it, the receiver stops it; Infinity never. */
  resetMs: number;
  stopMs: number;
  id: number;
  written: number;
  finished: boolean;
  wasReset: boolean;
  wasStopped: boolean;
  read: number;
  ended: boolean;
  broken: boolean;
}

interface MessageJob {
  from: number;
  bytes: number;
  startMs: number;
  sent: boolean;
  arrived: boolean;
}

interface DatagramJob {
  from: number;
  bytes: number;
  startMs: number;
  deadlineMs: number;
  sent: boolean;
  arrived: boolean;
}

/** Policers and changing rates. */
function rates(dice: Dice, { rateMbps }: HopOptions): HopOptions {
  const options: HopOptions = {};
  if (dice.chance(0.2)) {
    options.policer = { rateMbps: rateMbps! * dice.between(0.3, 1), burstBytes: Math.round(dice.scale(5000, 100_000)) };
  }
  if (dice.chance(0.25)) {
    const steps = dice.whole(1, 4);
    let atMs = 0;
    options.rateSteps = Array.from({ length: steps }, (_, i) => {
      atMs += dice.scale(10, 3000);
      // A rate of 0 holds all up for a while.
      return { atMs, rateMbps: i < steps - 1 && dice.chance(0.2) ? 0 : dice.scale(0.5, 200) };
    });
  }
  return options;
}

/** Hosts beside the line whose TCP shares a part of it. */
function crossTraffic(dice: Dice, network: Network, nodes: readonly Node[]): string {
  const [i, j] = [dice.whole(0, nodes.length - 1), dice.whole(0, nodes.length - 1)];
  if (i === j) return "";
  const [from, to] = [i, j].map((at, k) => {
    const host = network.addNode(`cross-${k}`);
    network.addLink(nodes[at], host, { rateMbps: 1000, delayMs: dice.between(0.1, 20) });
    return host;
  });
  const startMs = dice.between(0, 4000);
  const options = { startMs, stopMs: startMs + dice.scale(100, 8000) };
  const congestion = dice.chance(0.5) ? "cubic" : "reno";
  startTcpFlow(network, { from, to, congestion, ...options });
  return `, ${congestion} from node ${i} to ${j} ${JSON.stringify(options)}`;
}

function hop(dice: Dice, hops: number): HopOptions {
  // Up to 60 % along the whole way, most paths far less.
  const most = dice.chance(0.2) ? 0.6 : 0.15;
  const loss = 1 - (1 - dice.between(0, most)) ** (1 / hops);
  const burst = dice.chance(0.3);
  const outages: { fromMs: number; toMs: number }[] = [];
  let at = 0;
  while (dice.chance(0.3)) {
    const fromMs = at + dice.scale(10, 5000);
    at = fromMs + dice.scale(10, 8000 / hops);
    outages.push({ fromMs, toMs: at });
  }
  const rateMbps = dice.scale(0.5, 200);
  return {
    rateMbps,
    delayMs: dice.scale(0.1, 120) / hops,
    // A queue holds a few packets at least.
    queueBytes: Math.max(4500, Math.round(rateMbps * 125 * dice.scale(5, 200))),
    loss: burst ? { meanLoss: loss, meanBurst: dice.between(1.5 / (1 - loss), 10) } : loss,
    outages,
    ...(dice.chance(0.4) ? { duplication: dice.between(0, 0.1) } : {}),
    ...(dice.chance(0.4) ? { corruption: dice.between(0, 0.05) } : {}),
    ...(dice.chance(0.4) ? { jitter: { spreadMs: dice.scale(0.1, 40), reorder: dice.chance(0.6) } } : {}),
  };
}

/** Runs the scenario of a seed. Throws an Error that names what broke. */
export function runScenario(seed: number): Ending {
  const dice = new Dice(seed);
  const hops = dice.whole(1, 3);
  const options = Array.from({ length: hops }, () => ({ forward: hop(dice, hops), backward: hop(dice, hops) }));
  const more = new Dice(seed, "more");
  for (const one of options) {
    Object.assign(one.forward, rates(more, one.forward));
    Object.assign(one.backward, rates(more, one.backward));
  }
  const { network, nodes } = createLine({
    seed,
    hops,
    forward: (i) => options[i].forward,
    backward: (i) => options[i].backward,
  });
  const cross = more.chance(0.3) ? crossTraffic(more, network, nodes) : "";
  const least = Math.min(...options.flatMap(({ forward, backward }) => [forward, backward].map(leastRate)));
  const life = new Life(seed, dice, more, network, nodes[0], nodes[nodes.length - 1], least);
  return life.run(JSON.stringify(options) + cross);
}

/** What a hop carries even when it is slowest, but for halts, Mbit/s. */
function leastRate({ rateMbps, rateSteps = [], policer }: HopOptions): number {
  const all = [rateMbps!, policer?.rateMbps ?? rateMbps!, ...rateSteps.map((step) => step.rateMbps)];
  return Math.min(...all.filter((rate) => rate > 0));
}

class Life {
  readonly #network: Network;
  readonly #dice: Dice;
  readonly #sessions: Session[];
  readonly #budgets = [new MemoryBudget(), new MemoryBudget()];
  readonly #windowBytes: number;
  readonly #closed: (string | null)[] = [null, null];
  readonly #streams: StreamJob[] = [];
  readonly #messages: MessageJob[] = [];
  readonly #datagrams: DatagramJob[] = [];
  readonly #established = [false, false];
  readonly #client;
  readonly #server: ServerEndpoint;
  readonly #clientSocket;
  readonly #serverSocket;
  readonly #closeMs: number;
  readonly #closer: number;
  readonly #graceful: boolean;
  #closing = false;
  #bytes = 0;

  constructor(seed: number, dice: Dice, more: Dice, network: Network, near: Node, far: Node, leastMbps: number) {
    this.#network = network;
    this.#dice = dice;
    this.#windowBytes = Math.round(dice.scale(2 ** 16, 4 * MB));
    const mergeMs = dice.chance(0.3) ? dice.between(0, 10) : 0;
    this.#sessions = [0, 1].map(
      (end) =>
        new Session({
          isClient: end === 0,
          arena: new Arena(),
          sessionWindow: this.#windowBytes,
          memory: this.#budgets[end],
          mergeMs,
        }),
    );
    const [client, server] = this.#sessions;
    const congestion = (end: string): CongestionController => {
      if (more.chance(0.1)) return new Cubic();
      // Slower than the path, for it heeds nothing.
      if (more.chance(0.1)) return new FixedRate(leastMbps * 125 * more.between(0.2, 0.9));
      const random = network.random(end);
      return new Bbr({ random: () => random.next() });
    };
    this.#server = new ServerEndpoint({
      seed: seed + 1,
      congestion: congestion("server"),
      link: { user: server, session: server.localParameters },
    });
    this.#serverSocket = far.attach(new Guarded(this.#server), { port: 5000 });
    this.#client = createClient(this.#serverSocket.localAddress, {
      seed,
      congestion: congestion("client"),
      link: { user: client, session: client.localParameters },
    });
    this.#clientSocket = near.attach(new Guarded(this.#client));
    for (let number = 0, count = dice.whole(0, 6); number < count; number++) this.#streams.push(this.#stream(number));
    for (let number = 0, count = dice.whole(0, 8); number < count; number++) {
      const bytes = 4 + Math.floor(dice.scale(1, Math.min(100_000, this.#windowBytes / 4)));
      const startMs = dice.between(0, 5000);
      this.#messages.push({ from: dice.whole(0, 1), bytes, startMs, sent: false, arrived: false });
    }
    for (let count = more.chance(0.5) ? more.whole(1, 200) : 0; count > 0; count--) {
      const [bytes, startMs] = [4 + Math.floor(more.scale(1, 20_000)), more.between(0, 5000)];
      const deadlineMs = more.chance(0.5) ? Number.NaN : more.scale(1, 2000);
      this.#datagrams.push({ from: more.whole(0, 1), bytes, startMs, deadlineMs, sent: false, arrived: false });
    }
    for (let moves = dice.chance(0.4) ? dice.whole(1, 3) : 0; moves > 0; moves--) {
      const change = dice.chance(0.5) ? { port: 10_000 + moves } : { ip: `10.9.${moves}.9` };
      // In the middle of a handshake it ends the link: seldom.
      const atMs = dice.chance(0.05) ? dice.between(0, 1000) : dice.between(1500, 9000);
      network.at(atMs, () => this.#clientSocket.changeAddress(change));
    }
    this.#closeMs = dice.chance(0.25) ? dice.between(0, 8000) : Number.POSITIVE_INFINITY;
    this.#closer = dice.whole(0, 1);
    this.#graceful = dice.chance(0.5);
  }

  #stream(number: number): StreamJob {
    const dice = this.#dice;
    return {
      from: dice.whole(0, 1),
      number,
      bytes: Math.floor(dice.scale(1, 400_000)),
      startMs: dice.chance(0.5) ? 0 : dice.between(0, 5000),
      resetMs: dice.chance(0.15) ? dice.between(0, 6000) : Number.POSITIVE_INFINITY,
      stopMs: dice.chance(0.1) ? dice.between(0, 6000) : Number.POSITIVE_INFINITY,
      id: -1,
      written: 0,
      finished: false,
      wasReset: false,
      wasStopped: false,
      read: 0,
      ended: false,
      broken: false,
    };
  }

  run(described: string): Ending {
    this.#network.every(READ_EVERY_MS, (nowMs) => this.#act(nowMs));
    try {
      while (!this.#over) {
        if (this.#network.nowMs > DEADLINE_MS) throw new Error(`stuck: ${this.#unfinished()}`);
        this.#network.run(this.#network.nowMs + 500);
      }
      const atMs = this.#network.nowMs;
      const how = this.#closed.find((one) => one !== null) ?? "done";
      this.#finish();
      const patient = this.#datagrams.filter(({ sent, deadlineMs }) => sent && Number.isNaN(deadlineMs));
      const datagrams = { sent: patient.length, arrived: patient.filter(({ arrived }) => arrived).length };
      return { how, atMs, bytes: this.#bytes, datagrams, described };
    } finally {
      for (const session of this.#sessions) session.destroy();
    }
  }

  /** Everything arrived, or both applications know that it never will. */
  get #over(): boolean {
    if (this.#closed.every((how) => how !== null)) return true;
    // A client that was refused or never got through has no peer that could know of it.
    if (this.#closed[0] !== null && this.#server.link === null) return true;
    if (this.#closing || !this.#established.every((yes) => yes)) return false;
    return this.#streams.every((job) => job.ended || job.broken) && this.#messages.every(({ arrived }) => arrived);
  }

  #unfinished(): string {
    const streams = this.#streams.filter((job) => !job.ended && !job.broken);
    const messages = this.#messages.filter(({ arrived }) => !arrived);
    const states = `client ${this.#client.state}, server ${this.#server.link?.state}, closed ${this.#closed.join()}`;
    return `${states}; ${JSON.stringify({ streams, messages })}`;
  }

  /** Closes what is still open; both ends must come to rest. */
  #finish(): void {
    const network = this.#network;
    this.#client.closeGracefully(0x100, "done", 5000, network.nowMs);
    network.run(network.nowMs + END_MS);
    const server = this.#server.link;
    if (this.#client.state !== "closed") throw new Error(`the client's link is ${this.#client.state} at the end`);
    if (server !== null && server.state !== "closed")
      throw new Error(`the server's link is ${server.state} at the end`);
    for (const link of [this.#client, server]) {
      if (link !== null && link.nextTimeoutMs() !== Number.POSITIVE_INFINITY) throw new Error("a timer after the end");
    }
  }

  #act(nowMs: number): void {
    for (const [end, session] of this.#sessions.entries()) {
      for (let event = session.poll(); event !== null; event = session.poll()) this.#onEvent(end, event);
      this.#send(end, session, nowMs);
      this.#receive(end, session, nowMs);
      const { usedBytes } = this.#budgets[end];
      if (usedBytes > 2 * this.#windowBytes + SLACK_BYTES) {
        throw new Error(`end ${end} holds ${usedBytes} bytes with a window of ${this.#windowBytes}`);
      }
    }
    if (nowMs >= this.#closeMs && !this.#closing) {
      const link = this.#closer === 0 ? this.#client : this.#server.link;
      if (link === null || link.state === "closed") return;
      this.#closing = true;
      if (this.#graceful) link.closeGracefully(0x101, "enough", 3000, nowMs);
      else link.close(0x101, "enough", nowMs);
    }
  }

  #onEvent(end: number, event: SessionEvent): void {
    switch (event.type) {
      case "established":
        this.#established[end] = true;
        break;
      case "closed":
        if (this.#closed[end] !== null) throw new Error(`end ${end} closed twice`);
        this.#closed[end] =
          event.reason.cause === "peer" || event.reason.cause === "local" ? "closed" : event.reason.cause;
        if (event.reason.cause === "protocol") throw new Error(`a protocol error: ${event.reason.text}`);
        break;
      case "error":
        throw new Error(`end ${end}: ${event.message}`);
      case "stream":
        // The other direction is not used: its end lets the stream be forgotten.
        this.#sessions[end].finish(event.stream);
        break;
      case "reset": {
        const job = this.#find(1 - end, event.stream);
        if (job === undefined) return;
        if (job.ended || job.broken) throw new Error(`stream ${job.number} reset after its end`);
        if (!job.wasReset && !job.wasStopped) throw new Error(`stream ${job.number} reset by nobody`);
        job.broken = true;
        break;
      }
      case "stopped":
        if (this.#find(end, event.stream)?.wasStopped === false) throw new Error("a stream stopped by nobody");
    }
  }

  #find(from: number, id: number): StreamJob | undefined {
    return this.#streams.find((job) => job.from === from && job.id === id);
  }

  #send(end: number, session: Session, nowMs: number): void {
    if (!this.#established[end] || this.#closed[end] !== null) return;
    for (const job of this.#streams) {
      if (job.from !== end || nowMs < job.startMs) continue;
      if (job.id < 0) job.id = session.openStream();
      if (nowMs >= job.resetMs && !job.wasReset && !job.finished) {
        job.wasReset = true;
        session.reset(job.id, 7);
      }
      if (job.wasReset) continue;
      if (job.written < job.bytes) {
        const to = Math.min(job.written + 20_000, job.bytes);
        job.written += session.write(job.id, content(job.number, job.written, to));
      }
      if (job.written === job.bytes && !job.finished) {
        job.finished = true;
        session.finish(job.id);
      }
    }
    for (const [number, job] of this.#messages.entries()) {
      if (job.from !== end || job.sent || nowMs < job.startMs) continue;
      const message = content(1000 + number, 0, job.bytes);
      new DataView(message.buffer).setUint32(0, number);
      job.sent = session.sendMessage(message, { ordered: number % 2 === 0 });
    }
    for (const [number, job] of this.#datagrams.entries()) {
      if (job.from !== end || job.sent || nowMs < job.startMs) continue;
      const datagram = content(2000 + number, 0, job.bytes);
      new DataView(datagram.buffer).setUint32(0, number);
      job.sent = true;
      session.sendDatagram(datagram, Number.isNaN(job.deadlineMs) ? {} : { deadlineMs: job.deadlineMs });
    }
  }

  #receive(end: number, session: Session, nowMs: number): void {
    for (const job of this.#streams) {
      if (job.from === end || job.id < 0 || job.ended || job.broken) continue;
      if (nowMs >= job.stopMs && !job.wasStopped && job.read > 0) {
        job.wasStopped = true;
        session.stop(job.id, 8);
      }
      for (let data = session.read(job.id); data !== null; data = session.read(job.id)) {
        for (let i = 0; i < data.length; i++) {
          if (data[i] !== byteAt(job.number, job.read + i))
            throw new Error(`stream ${job.number}: wrong at ${job.read + i}`);
        }
        job.read += data.length;
        this.#bytes += data.length;
        if (job.read > job.bytes) throw new Error(`stream ${job.number}: more than was sent`);
      }
      // A stream that is not known yet counts as ended: nothing was read of it.
      if (job.read === job.bytes && session.ended(job.id)) job.ended = true;
    }
    for (let message = session.readMessage(); message !== null; message = session.readMessage()) {
      const number = new DataView(message.buffer, message.byteOffset).getUint32(0);
      const job = this.#messages[number];
      if (job === undefined || job.from === end || job.bytes !== message.length)
        throw new Error("a message that was not sent");
      if (job.arrived) throw new Error(`message ${number} twice`);
      for (let i = 4; i < message.length; i++) {
        if (message[i] !== byteAt(1000 + number, i)) throw new Error(`message ${number}: wrong at ${i}`);
      }
      job.arrived = true;
      this.#bytes += message.length;
    }
    // Once and as sent, or not at all.
    for (let datagram = session.readDatagram(); datagram !== null; datagram = session.readDatagram()) {
      const number = new DataView(datagram.buffer, datagram.byteOffset).getUint32(0);
      const job = this.#datagrams[number];
      if (job === undefined || !job.sent || job.from === end || job.bytes !== datagram.length)
        throw new Error("a datagram that was not sent");
      if (job.arrived) throw new Error(`datagram ${number} twice`);
      for (let i = 4; i < datagram.length; i++) {
        if (datagram[i] !== byteAt(2000 + number, i)) throw new Error(`datagram ${number}: wrong at ${i}`);
      }
      job.arrived = true;
      this.#bytes += datagram.length;
    }
  }
}
