/** A UDP port of this process with an endpoint on it: socket, driver and router put together, and taken apart in order. */
import { randomFillSync } from "node:crypto";
import { ControlCoder } from "../transport/link/index.ts";
import type { UdpSocket } from "../udp/index.ts";
import type { LinkSecurity } from "./link-security.ts";
import { NetworkWatch } from "./network-watch.ts";
import { SocketDriver } from "./socket-driver.ts";
import { Trace } from "./trace.ts";
import { TransportEndpoint } from "./transport-endpoint.ts";

/** How long links may take to say goodbye before the socket closes, ms. */
const FAREWELL_MS = 1000;
const FAREWELL_STEP_MS = 20;

let coder: ControlCoder | null = null;

/** Random bytes to be copied: what Node fills itself it gives memory outside of the heap, which for a small array is many times its size. */
const fresh = new Uint8Array(64);

function fillRandom(bytes: Uint8Array): void {
  if (bytes.length > fresh.length) randomFillSync(bytes);
  else bytes.set(randomFillSync(fresh).subarray(0, bytes.length));
}

export class Host {
  readonly driver: SocketDriver;
  readonly endpoint: TransportEndpoint;
  readonly #watch: NetworkWatch;
  readonly #trace: Trace | null;
  #closed: Promise<void> | null = null;

  constructor(socket: UdpSocket, security: LinkSecurity, maximumUnvalidated?: number) {
    coder ??= new ControlCoder();
    this.endpoint = new TransportEndpoint({
      protection: security.protection,
      coder,
      random: fillRandom,
      resetToken: (id) => security.resetTokens.tokenFor(id),
      ...(maximumUnvalidated === undefined ? {} : { maximumUnvalidated }),
    });
    this.driver = new SocketDriver(this.endpoint, socket);
    this.#watch = new NetworkWatch(this.driver);
    this.#trace = Trace.ofEnvironment(this.driver);
  }

  /** Closes the socket as soon as all links are gone. They should be closing already; those that stay too long are cut off. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.endpoint.acceptor = null;
    this.#watch.stop();
    this.#trace?.stop();
    const endMs = performance.now() + FAREWELL_MS;
    while (this.endpoint.linkCount > 0 && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, FAREWELL_STEP_MS));
    }
    for (const routed of [...this.endpoint.links]) this.endpoint.destroy(routed, this.driver.now());
    await this.driver.close();
  }
}
