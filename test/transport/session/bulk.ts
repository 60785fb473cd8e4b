/**
 * Everything there is of the transport, put together: a stream that always has something to send, over a session over a real link
 * with the default congestion control, through the simulated network, with real coding. For the tests, and for `npm run bench:sim`.
 */
import { Bbr } from "../../../src/congestion/index.ts";
import { Arena } from "../../../src/gf/index.ts";
import {
  createTwoHosts,
  type Endpoint,
  type LinkOptions as HopOptions,
  type Network,
  type Node,
  type Link as Path,
  type ReceivedDatagram,
  type Socket,
  type Transmit,
} from "../../../src/simulator/index.ts";
import { IP_UDP_BYTES } from "../../../src/transport/link/ack-policy.ts";
import type { Link, LinkOptions } from "../../../src/transport/link/index.ts";
import { MemoryBudget } from "../../../src/transport/session/memory-budget.ts";
import { Session } from "../../../src/transport/session/session.ts";
import { createClient, ServerEndpoint } from "../harness.ts";

/** What is sent, over and over: a length that no symbol's length divides. */
const PATTERN = Uint8Array.from({ length: 65_521 }, (_, i) => (i * 31 + (i >>> 8) * 17) & 255);

export interface TransferOptions {
  client: Node;
  server: Node;
  /** The server sends instead of the client. */
  download?: boolean;
  /** When the client connects. Default at once. */
  startMs?: number;
  /** Credit of session and stream, bytes. Default the session's own. */
  windowBytes?: number;
  /** M of the batches. Default the session's own. */
  batchSize?: number;
  /** Each so many-th byte that arrives is compared with what was sent. Default 7. */
  checkEvery?: number;
  /** Further options of both ends' links. */
  link?: (role: "client" | "server") => Partial<LinkOptions>;
  /** What stands between an end and its socket. Default nothing. */
  host?: (end: Endpoint, role: "client" | "server") => Endpoint;
}

/** One stream from a client to a server, or back, that always has something to send. */
export class Transfer implements Endpoint {
  readonly sending: Session;
  readonly receiving: Session;
  readonly client: Link;
  readonly clientSocket: Socket;
  readonly serverSocket: Socket;
  /** Where the symbols of both ends lie. */
  readonly arena: Arena = new Arena();
  /** What both ends hold. Not the process's, of which transfers that ended before would hold a part. */
  readonly memory: MemoryBudget = new MemoryBudget();
  /** Bytes read in order. */
  bytes = 0;
  /** Bytes of them that were compared and not as sent. */
  wrong = 0;
  /** Sessions that ended or broke. */
  readonly log: string[] = [];
  readonly #server: ServerEndpoint;
  readonly #checkEvery: number;
  readonly #startMs: number;
  readonly #fedByClient: boolean;
  #stream = -1;
  #written = 0;

  constructor(network: Network, options: TransferOptions) {
    const {
      client,
      server,
      download = false,
      windowBytes,
      batchSize,
      startMs = 0,
      checkEvery = 7,
      link = () => ({}),
      host = (end) => end,
    } = options;
    const { arena, memory } = this;
    const windows = windowBytes === undefined ? {} : { sessionWindow: windowBytes, streamWindow: windowBytes };
    const sizes = { ...windows, ...(batchSize === undefined ? {} : { batchSize }) };
    const near = new Session({ isClient: true, arena, memory, ...sizes });
    const far = new Session({ isClient: false, arena, memory, ...sizes });
    this.sending = download ? far : near;
    this.receiving = download ? near : far;
    this.#checkEvery = checkEvery;
    this.#startMs = startMs;
    const congestion = (role: string) => {
      const random = network.random(`${role} ${client.name}`);
      return new Bbr({ random: () => random.next() });
    };
    this.#server = new ServerEndpoint({
      seed: 7,
      congestion: congestion("server"),
      link: { user: far, session: far.localParameters, ...link("server") },
    });
    this.serverSocket = server.attach(host(download ? this.#fed(this.#server) : this.#server, "server"));
    this.client = createClient(
      this.serverSocket.localAddress,
      {
        seed: 3,
        congestion: congestion("client"),
        link: { user: near, session: near.localParameters, ...link("client") },
      },
      startMs,
    );
    this.clientSocket = client.attach(host(this, "client"));
    if (startMs > 0) network.at(startMs, () => {});
    const reader = download ? this.clientSocket : this.serverSocket;
    network.every(5, () => {
      this.#read();
      reader.pump();
    });
    this.#fedByClient = !download;
  }

  /** Bytes that the sending session took. */
  get sent(): number {
    return this.#written;
  }

  /** The link of the end that sends; null before the server has one. */
  get sender(): Link | null {
    return this.#fedByClient ? this.client : this.#server.link;
  }

  /** IP bytes of genuine packets that the receiving end took. */
  get receivedWireBytes(): number {
    const link = this.#fedByClient ? this.#server.link : this.client;
    return link === null ? 0 : link.stats.receivedBytes + IP_UDP_BYTES * link.stats.receivedPackets;
  }

  handleDatagram(datagram: ReceivedDatagram, nowMs: number): void {
    this.client.handleDatagram(datagram, nowMs);
  }

  handleTimeout(nowMs: number): void {
    this.client.handleTimeout(nowMs);
  }

  pollTransmit(transmit: Transmit, nowMs: number): boolean {
    if (nowMs < this.#startMs) return false;
    if (this.#fedByClient) this.#feed();
    return this.client.pollTransmit(transmit, nowMs);
  }

  nextTimeoutMs(): number {
    return Math.max(this.client.nextTimeoutMs(), this.#startMs);
  }

  #fed(server: ServerEndpoint): Endpoint {
    return {
      handleDatagram: (datagram, nowMs) => server.handleDatagram(datagram, nowMs),
      handleTimeout: (nowMs) => server.handleTimeout(nowMs),
      pollTransmit: (transmit, nowMs) => {
        this.#feed();
        return server.pollTransmit(transmit, nowMs);
      },
      nextTimeoutMs: () => server.nextTimeoutMs(),
    };
  }

  #feed(): void {
    for (let event = this.sending.poll(); event !== null; event = this.sending.poll()) {
      if (event.type === "established") this.#stream = this.sending.openStream();
      if (event.type === "closed" || event.type === "error") this.log.push(`sender ${event.type}`);
      if (event.type === "established" || event.type === "writable") this.#write();
    }
  }

  /** Until no more is taken: a "writable" event follows then. */
  #write(): void {
    for (;;) {
      const piece = PATTERN.subarray(this.#written % PATTERN.length);
      const taken = this.sending.write(this.#stream, piece);
      this.#written += taken;
      if (taken < piece.length) return;
    }
  }

  #read(): void {
    const { receiving } = this;
    for (let event = receiving.poll(); event !== null; event = receiving.poll()) {
      if (event.type === "closed" || event.type === "error") this.log.push(`receiver ${event.type}`);
      if (event.type !== "readable") continue;
      for (let data = receiving.read(event.stream); data !== null; data = receiving.read(event.stream)) {
        for (let i = 0; i < data.length; i += this.#checkEvery) {
          if (data[i] !== PATTERN[(this.bytes + i) % PATTERN.length]) this.wrong++;
        }
        this.bytes += data.length;
      }
    }
  }

  /** Throws when bytes arrived damaged or a session ended. */
  check(): void {
    if (this.wrong > 0 || this.log.length > 0) throw new Error(`${this.wrong} wrong bytes; ${this.log.join(", ")}`);
  }
}

/** What came of a transfer between two hosts. */
export interface Outcome {
  /** Bytes read in order by `fromMs`, and by the end. */
  early: number;
  total: number;
  wrong: number;
  log: string[];
  /** Packets offered to the bottleneck, and those that its queue or policer dropped: from `fromMs` on, and before. */
  packets: number;
  queueDrops: number;
  earlyPackets: number;
  earlyQueueDrops: number;
  /** Source symbols that the sender made, and packets that it sent, over the whole run. */
  symbols: number;
  sentPackets: number;
  /** Of the loss estimates every 100 ms from `fromMs` on, the one farthest from `loss`, as a distance. */
  lossError: number;
}

export interface BulkOptions {
  hop: HopOptions;
  /** From the server to the client. Default as `hop`. */
  backward?: HopOptions;
  seconds: number;
  /** The steady state begins here. */
  fromMs: number;
  seed: number;
  windowBytes?: number;
  /** What the path loses on average. Default `hop.loss` when that is a number. */
  loss?: number;
  /** Called before the network runs, to look on. */
  watch?: (network: Network, transfer: Transfer, link: Path) => void;
  /** As of `TransferOptions`. */
  ends?: Pick<TransferOptions, "link" | "host">;
}

/** One transfer between two hosts. */
export function bulk({
  hop,
  backward = hop,
  seconds,
  fromMs,
  seed,
  windowBytes,
  loss,
  watch,
  ends,
}: BulkOptions): Outcome {
  const { network, a, b, link } = createTwoHosts({ seed, forward: hop, backward });
  const transfer = new Transfer(network, {
    client: a,
    server: b,
    ...ends,
    ...(windowBytes === undefined ? {} : { windowBytes }),
  });
  const expected = loss ?? (typeof hop.loss === "number" ? hop.loss : 0);
  let lossError = 0;
  network.watch(100, (nowMs) => {
    if (nowMs < fromMs) return;
    const { lossEstimate } = transfer.client.congestion.metrics();
    lossError = Math.max(lossError, Math.abs(lossEstimate - expected));
  });
  watch?.(network, transfer, link);
  const { dropped, offered } = link.forward.counters;
  const ownDrops = () => dropped.queue.packets + dropped.policer.packets;
  network.run(fromMs);
  const early = transfer.bytes;
  const earlyPackets = offered.packets;
  const earlyQueueDrops = ownDrops();
  network.run(seconds * 1000);
  return {
    early,
    total: transfer.bytes,
    wrong: transfer.wrong,
    log: transfer.log,
    packets: offered.packets - earlyPackets,
    queueDrops: ownDrops() - earlyQueueDrops,
    earlyPackets,
    earlyQueueDrops,
    symbols: transfer.sending.stats.sentSymbols,
    sentPackets: transfer.client.stats.sentPackets,
    lossError,
  };
}
