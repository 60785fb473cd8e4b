/** The way to a server that a client takes where UDP does not pass: at most one connection at a time, opened when it is wanted. */
import type { Address } from "../transport/address.ts";
import type { CarrierSocket } from "./carrier-socket.ts";
import { type CarrierTarget, carrierWords, openCarrier } from "./open-carrier.ts";

/** Servers that refuse a certificate reset the connection without a word, and TLS 1.3 lets the client finish before that. */
const CLOSED = "the server ended the TLS connection; if it did so at once, it does not accept the certificate";

export class FallbackPath {
  /** UDP may be silent for so long before the other way is tried. */
  readonly afterMs: number;
  /** How soon UDP is tried again then; each time in vain, twice as long. */
  readonly returnMs: number;
  /** The connection that `open` made last is gone; why, in words. */
  onGone: (words: string) => void = () => {};
  readonly #socket: CarrierSocket;
  readonly #target: CarrierTarget;
  #address: Address | null = null;
  #opening = 0;

  constructor(socket: CarrierSocket, target: CarrierTarget, afterMs: number, returnMs: number) {
    this.#socket = socket;
    this.#target = target;
    this.afterMs = afterMs;
    this.returnMs = returnMs;
  }

  /** Opens a connection in place of the one that may be there; where the server is by it. Null: closed meanwhile. */
  async open(): Promise<Address | null> {
    this.close();
    const opening = this.#opening;
    const socket = await openCarrier(this.#target);
    if (opening !== this.#opening) {
      socket.on("error", () => {});
      socket.destroy();
      return null;
    }
    const address = this.#socket.add(socket, (error) => {
      if (this.#address !== address) return;
      this.#address = null;
      this.onGone(error === null ? CLOSED : carrierWords(error));
    });
    this.#address = address;
    return address;
  }

  /** Ends the connection, if there is one. */
  close(): void {
    this.#opening++;
    const address = this.#address;
    this.#address = null;
    if (address !== null) this.#socket.remove(address);
  }
}
