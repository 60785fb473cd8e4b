/** A UDP relay on loopback that does to datagrams what a bad network does: for tests of endpoints over real sockets. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { TinyMt32 } from "../../src/codec/index.ts";

export interface RelayOptions {
  /** Share of datagrams that are lost, each way. */
  loss?: number;
  /** Share of datagrams that arrive twice. */
  duplicates?: number;
  /** One way, ms, and at most as much more, at random: larger than 0 reorders. */
  delayMs?: number;
  jitterMs?: number;
  seed?: number;
  /** The server's datagrams come at least so far apart, ms: each is read by itself. */
  spacingMs?: number;
  /** Where clients reach it. Default a free port of 127.0.0.1. */
  listen?: { ip: string; port: number };
}

async function open({ ip, port } = { ip: "127.0.0.1", port: 0 }): Promise<Socket> {
  const socket = createSocket("udp4");
  // What ICMP brings is the network's affair.
  socket.on("error", () => {});
  socket.bind(port, ip);
  await once(socket, "listening");
  socket.setRecvBufferSize(4 << 20);
  return socket;
}

export class Relay {
  /** Nothing passes. */
  blocked = false;
  /** Nothing of the server's passes. */
  muted = false;
  forwarded = 0;
  /** The client's port, with each of its datagrams. */
  onClient: (port: number) => void = () => {};
  readonly #front: Socket;
  #back: Socket;
  #client: { port: number; address: string } | null = null;
  #target: number;
  /** When the server's last datagram left, or will. */
  #leftMs = 0;
  readonly #options: RelayOptions;
  readonly #random: TinyMt32;
  /** The last datagram that the client sent. */
  lastFromClient: Buffer | null = null;

  static async open(target: number, options: RelayOptions = {}): Promise<Relay> {
    return new Relay(await open(options.listen), await open(), target, options);
  }

  private constructor(front: Socket, back: Socket, target: number, options: RelayOptions) {
    this.#front = front;
    this.#back = back;
    this.#target = target;
    this.#options = options;
    this.#random = new TinyMt32(options.seed ?? 1);
    front.on("message", (bytes, from) => {
      this.#client = from;
      this.onClient(from.port);
      this.lastFromClient = bytes;
      this.#pass(() => this.#back.send(bytes, this.#target, "127.0.0.1"));
    });
    this.#listen();
  }

  get port(): number {
    return this.#front.address().port;
  }

  /** The server sees the client at another port from now on, as when a NAT forgot it. */
  async rebind(): Promise<void> {
    const old = this.#back;
    this.#back = await open();
    this.#listen();
    old.close();
  }

  /** Sends the server something that comes from where the client's datagrams do. */
  inject(bytes: Buffer): void {
    this.#back.send(bytes, this.#target, "127.0.0.1");
  }

  /** Leads to another server from now on. */
  redirect(target: number): void {
    this.#target = target;
  }

  async close(): Promise<void> {
    this.#front.close();
    this.#back.close();
  }

  #listen(): void {
    this.#back.on("message", (bytes) => {
      if (this.muted) return;
      const nowMs = performance.now();
      this.#leftMs = Math.max(nowMs, this.#leftMs + (this.#options.spacingMs ?? 0));
      this.#pass(() => {
        if (this.#client !== null) this.#front.send(bytes, this.#client.port, this.#client.address);
      }, this.#leftMs - nowMs);
    });
  }

  #pass(send: () => void, spacedMs = 0): void {
    if (this.blocked) return;
    const { loss = 0, duplicates = 0, delayMs = 0, jitterMs = 0 } = this.#options;
    const copies = this.#chance() < duplicates ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (this.#chance() < loss) continue;
      this.forwarded++;
      const wait = spacedMs + delayMs + jitterMs * this.#chance();
      const go = (): void => {
        try {
          send();
        } catch {
          // The relay was closed meanwhile.
        }
      };
      if (wait === 0) go();
      else setTimeout(go, wait);
    }
  }

  #chance(): number {
    return this.#random.next() / 2 ** 32;
  }
}
