/**
 * What a link costs the processor, apart from ciphers, coding and congestion control: two links in one thread, packets handed over in
 * memory in virtual time, an AEAD that does nothing, a window that never changes. Sending with the handling of ACKs, and
 * receiving with the making of them, are timed apart.
 */
import type { CongestionController, CongestionMetrics } from "../src/congestion/controller.ts";
import { Arena } from "../src/gf/index.ts";
import {
  ControlCoder,
  type Handshake,
  Link,
  type LinkKeys,
  type LinkOptions,
  type LinkUser,
  PacketHeader,
  StandInHandshake,
  standInProtection,
} from "../src/transport/link/index.ts";
import { median, type Options, type Report, type Row } from "./harness.ts";

const DELAY_MS = 50;
const STEP_MS = 0.1;
const PAYLOAD_BYTES = 1400;
/** 100,000 packets a second, above 1 Gbit/s. */
const RATE = 1472 * 100;
const TRAIN_BYTES = 65_535;
const EMPTY: Uint8Array = new Uint8Array(0);

const nullKeys: LinkKeys = {
  sealer: { seal: () => {} },
  opener: { open: () => true },
  sealLimit: Number.MAX_SAFE_INTEGER,
  openLimit: Number.MAX_SAFE_INTEGER,
  next: () => nullKeys,
};

/** The stand-in's flights, keys that do nothing. */
function nullHandshake(role: "client" | "server"): Handshake {
  const inner = new StandInHandshake({ role, random: new Uint8Array(16).fill(role === "client" ? 1 : 2) });
  return {
    role,
    bind: (transcript) => inner.bind(transcript),
    receive: (bytes) => inner.receive(bytes),
    poll: () => inner.poll(),
    keys: () => (inner.keys() === null ? null : nullKeys),
    get failure() {
      return inner.failure;
    },
  };
}

class Window implements CongestionController {
  readonly name = "window";
  readonly windowBytes = 64 * 1024 * 1024;
  readonly pacingRate = RATE;
  readonly lateAckRate = 0;
  onPacketSent(): void {}
  onPacketAcked(): void {}
  onPacketLost(): void {}
  onSpuriousLoss(): void {}
  onPacketForgotten(): void {}
  onUpdate(): void {}
  onAppLimited(): void {}
  onPersistentCongestion(): void {}
  onPathChange(): void {}
  setPacketBytes(): void {}
  metrics(): CongestionMetrics {
    throw new Error("not needed");
  }
}

class User implements LinkUser {
  wants = false;
  received = 0;
  settled = 0;
  #tag = 0;
  ready(): boolean {
    return this.wants;
  }
  nextTimeoutMs(): number {
    return Number.POSITIVE_INFINITY;
  }
  fill(packet: Parameters<LinkUser["fill"]>[0]): void {
    packet.length = Math.min(PAYLOAD_BYTES, packet.room);
    packet.tag = this.#tag++;
  }
  acked(): void {
    this.settled++;
  }
  lost(): void {
    this.settled++;
  }
  spurious(): void {}
  pathSampled(): void {}
  receive(): void {
    this.received++;
  }
  established(): void {}
  payloadBytesChanged(): void {}
  pathChanged(): void {}
  closed(): void {}
}

/** Datagrams on their way: a ring of slots of memory, in order of arrival. */
class Pipe {
  readonly #slots: Uint8Array[];
  readonly #views: Uint8Array[];
  readonly #arriveMs: Float64Array;
  #head = 0;
  #tail = 0;
  #state = 12345;
  readonly #loss: number;

  constructor(slots: number, loss: number) {
    const memory = new Uint8Array(slots * 1500);
    this.#slots = Array.from({ length: slots }, (_, i) => memory.subarray(i * 1500, i * 1500 + 1500));
    this.#views = this.#slots.map((slot) => slot.subarray(0, 1472));
    this.#arriveMs = new Float64Array(slots);
    this.#loss = loss;
  }

  push(bytes: Uint8Array, start: number, end: number, nowMs: number): void {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    if (this.#state / 0x1_0000_0000 < this.#loss) return;
    const slot = this.#tail++ % this.#slots.length;
    if (this.#tail - this.#head > this.#slots.length) throw new Error("the pipe is full");
    this.#slots[slot].set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
    if (this.#views[slot].length !== end - start) this.#views[slot] = this.#slots[slot].subarray(0, end - start);
    this.#arriveMs[slot] = nowMs + DELAY_MS;
  }

  /** The datagram that has arrived, or null. */
  take(nowMs: number): Uint8Array | null {
    if (this.#head === this.#tail) return null;
    const slot = this.#head % this.#slots.length;
    if (this.#arriveMs[slot] > nowMs) return null;
    this.#head++;
    return this.#views[slot];
  }
}

interface Cost {
  sendUs: number;
  receiveUs: number;
}

/** Microseconds a packet of sender and receiver over `seconds` of virtual time, after one of warming up. */
function measure(loss: number, seconds: number, maxSegments: number): Cost {
  const coder = new ControlCoder({ arena: new Arena() });
  let seed = 1;
  const random = (bytes: Uint8Array): void => {
    for (let i = 0; i < bytes.length; i++) bytes[i] = seed = (Math.imul(seed, 69069) + 1) & 0x7fffffff;
  };
  const here = { ip: "10.0.0.1", port: 1 };
  const there = { ip: "10.0.0.2", port: 2 };
  const options = (role: "client" | "server", user: LinkUser): LinkOptions => ({
    role,
    user,
    handshake: nullHandshake(role),
    protection: standInProtection,
    congestion: new Window(),
    coder,
    connectionIds: {
      issue: () => {
        const id = new Uint8Array(8);
        random(id);
        return id;
      },
      resetToken: () => new Uint8Array(16).fill(7),
      retire: () => {},
    },
    random,
    remote: role === "client" ? there : here,
    nowMs: 0,
  });
  const sending = new User();
  const receiving = new User();
  const client = new Link(options("client", sending));
  let server: Link | null = null;
  const forward = new Pipe(1 << 14, loss);
  const backward = new Pipe(1 << 14, loss);
  const transmit = {
    buffer: new Uint8Array(TRAIN_BYTES),
    length: 0,
    segmentBytes: 0,
    maxSegments,
    destination: null,
    source: null,
    ecn: 0 as const,
  };
  const toServer = { bytes: EMPTY, source: here, destination: there, ecn: 0 as const };
  const toClient = { bytes: EMPTY, source: there, destination: here, ecn: 0 as const };
  const flush = (link: Link, pipe: Pipe, nowMs: number): void => {
    for (;;) {
      transmit.length = 0;
      transmit.segmentBytes = 0;
      if (!link.pollTransmit(transmit, nowMs)) return;
      const { length, buffer } = transmit;
      const step = transmit.segmentBytes || length;
      for (let at = 0; at < length; at += step) pipe.push(buffer, at, Math.min(at + step, length), nowMs);
    }
  };
  const turn = (link: Link, pipe: Pipe, nowMs: number): void => {
    if (link.nextTimeoutMs() <= nowMs) link.handleTimeout(nowMs);
    flush(link, pipe, nowMs);
    link.nextTimeoutMs();
  };
  let sendMs = 0;
  let receiveMs = 0;
  let packets = 0;
  const end = 1000 * (1 + seconds);
  for (let step = 0; step * STEP_MS < end; step++) {
    const nowMs = step * STEP_MS;
    sending.wants = client.confirmed;
    const t0 = performance.now();
    for (let bytes = backward.take(nowMs); bytes !== null; bytes = backward.take(nowMs)) {
      toClient.bytes = bytes;
      client.handleDatagram(toClient, nowMs);
    }
    turn(client, forward, nowMs);
    const t1 = performance.now();
    for (let bytes = forward.take(nowMs); bytes !== null; bytes = forward.take(nowMs)) {
      if (server === null) {
        const header = new PacketHeader();
        header.parse(bytes, 8);
        server = new Link({
          ...options("server", receiving),
          accepted: {
            destinationId: bytes.slice(header.destinationStart, header.destinationEnd),
            sourceId: bytes.slice(header.sourceStart, header.sourceEnd),
            token: new Uint8Array(0),
            validated: true,
          },
        });
      }
      toServer.bytes = bytes;
      server.handleDatagram(toServer, nowMs);
    }
    if (server !== null) turn(server, backward, nowMs);
    const t2 = performance.now();
    if (nowMs < 1000) {
      packets = client.stats.sentPackets;
    } else {
      sendMs += t1 - t0;
      receiveMs += t2 - t1;
    }
  }
  packets = client.stats.sentPackets - packets;
  if (packets < 90_000 * seconds) throw new Error(`${packets} packets in ${seconds} s`);
  client.destroy(end);
  server?.destroy(end);
  coder.destroy();
  return { sendUs: (1000 * sendMs) / packets, receiveUs: (1000 * receiveMs) / packets };
}

export function benchLink({ quick }: Options): Report {
  const rounds = quick ? 1 : 5;
  const rows: Row[] = [];
  const goals: Report["goals"] = [];
  for (const { name, loss, segments } of [
    { name: "no loss", loss: 0, segments: 1 },
    { name: "10 % lost", loss: 0.1, segments: 1 },
    { name: "10 % lost, trains", loss: 0.1, segments: 32 },
  ]) {
    const costs = Array.from({ length: rounds }, () => measure(loss, quick ? 1 : 5, segments));
    for (const [what, values] of [
      ["send, ACKs handled", costs.map((cost) => cost.sendUs)],
      ["receive, ACKs made", costs.map((cost) => cost.receiveUs)],
    ] as const) {
      const value = median(values);
      const low = Math.min(...values);
      const high = Math.max(...values);
      rows.push({ name: `${name}: ${what}`, value, unit: "us a packet", low, high });
      goals.push({ what: `${name}: ${what}, us a packet`, measured: value, wanted: 1.5, atMost: true, speed: true });
    }
  }
  return { title: "a link, 100,000 packets a second, 50 ms each way", rows, goals };
}
