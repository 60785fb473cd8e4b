/**
 * A stand-in for TLS 1.3 with mutual authentication, for simulations: its flights have realistic sizes and order, and both
 * ends get the same keys from them. It authenticates nobody.
 *
 *     client                               server
 *     hello            ------------------>
 *                      <------------------  hello, certificates, finished
 *     certificates,    ------------------>
 *     finished  (keys)                      (keys)
 *                      <------------------  tickets
 */
import type { LinkKeys, Role } from "./aead.ts";
import type { Handshake } from "./handshake.ts";
import { type StandInKeyOptions, standInKeys } from "./stand-in-aead.ts";

export interface FlightSizes {
  /** ClientHello. */
  clientHello: number;
  /** ServerHello to Finished, with a certificate chain of two. */
  serverFlight: number;
  /** Certificate to Finished. */
  clientFlight: number;
  /** Each of two tickets. */
  ticket: number;
}

/** RSA-2048 certificates of a node and an intermediate: what TLS sends with those, rounded. */
export const RSA_FLIGHTS: FlightSizes = { clientHello: 420, serverFlight: 3400, clientFlight: 2700, ticket: 240 };
/** The same with P-256. */
export const P256_FLIGHTS: FlightSizes = { clientHello: 420, serverFlight: 1900, clientFlight: 1300, ticket: 240 };

export interface StandInHandshakeOptions extends StandInKeyOptions {
  role: Role;
  /** Any bytes of one's own: the ends' keys depend on both. */
  random: Uint8Array;
  /** Default RSA_FLIGHTS. Each at least 4 bytes more than `random`. */
  flights?: FlightSizes;
}

const HEADER_BYTES = 4;
const CLIENT_HELLO = 1;
const SERVER_FLIGHT = 2;
const CLIENT_FLIGHT = 3;
const TICKET = 4;
const MAX_MESSAGE_BYTES = 1 << 16;

export class StandInHandshake implements Handshake {
  readonly role: Role;
  readonly #options: StandInHandshakeOptions;
  readonly #flights: FlightSizes;
  readonly #out: Uint8Array[] = [];
  #in: Uint8Array = new Uint8Array(0);
  #transcript: Uint8Array = new Uint8Array(0);
  #peerRandom: Uint8Array | null = null;
  #keys: LinkKeys | null = null;
  #done = false;
  #failure: string | null = null;
  /** Tickets that came. */
  tickets = 0;

  constructor(options: StandInHandshakeOptions) {
    this.role = options.role;
    this.#options = options;
    this.#flights = options.flights ?? RSA_FLIGHTS;
    if (options.role === "client") this.#send(CLIENT_HELLO, this.#flights.clientHello);
  }

  get failure(): string | null {
    return this.#failure;
  }

  bind(transcript: Uint8Array): void {
    this.#transcript = transcript.slice();
  }

  receive(bytes: Uint8Array): void {
    if (this.#failure !== null) return;
    const joined = new Uint8Array(this.#in.length + bytes.length);
    joined.set(this.#in);
    joined.set(bytes, this.#in.length);
    let at = 0;
    while (this.#failure === null && at + HEADER_BYTES <= joined.length) {
      const length = (joined[at + 1] << 16) | (joined[at + 2] << 8) | joined[at + 3];
      if (length > MAX_MESSAGE_BYTES) this.#failure = `a message of ${length} bytes`;
      if (at + HEADER_BYTES + length > joined.length) break;
      this.#message(joined[at], joined.slice(at + HEADER_BYTES, at + HEADER_BYTES + length));
      at += HEADER_BYTES + length;
    }
    this.#in = joined.slice(at);
  }

  poll(): Uint8Array | null {
    return this.#out.shift() ?? null;
  }

  keys(): LinkKeys | null {
    if (!this.#done || this.#out.length > 0 || this.#keys !== null) return this.#keys;
    const mine = this.#options.random;
    const peers = this.#peerRandom!;
    const [first, second] = this.role === "client" ? [mine, peers] : [peers, mine];
    const secret = new Uint8Array(first.length + second.length + this.#transcript.length);
    secret.set(first);
    secret.set(second, first.length);
    secret.set(this.#transcript, first.length + second.length);
    this.#keys = standInKeys(secret, this.role, this.#options);
    if (this.role === "server") {
      this.#send(TICKET, this.#flights.ticket);
      this.#send(TICKET, this.#flights.ticket);
    }
    return this.#keys;
  }

  #message(type: number, body: Uint8Array): void {
    const random = body.slice(0, this.#options.random.length);
    if (this.role === "server" && type === CLIENT_HELLO && this.#peerRandom === null) {
      this.#peerRandom = random;
      this.#send(SERVER_FLIGHT, this.#flights.serverFlight);
    } else if (this.role === "client" && type === SERVER_FLIGHT && this.#peerRandom === null) {
      this.#peerRandom = random;
      this.#send(CLIENT_FLIGHT, this.#flights.clientFlight);
      this.#done = true;
    } else if (this.role === "server" && type === CLIENT_FLIGHT && this.#peerRandom !== null && !this.#done) {
      this.#done = true;
    } else if (this.role === "client" && type === TICKET && this.#done) {
      this.tickets++;
    } else {
      this.#failure = `message ${type} out of turn`;
    }
  }

  #send(type: number, bytes: number): void {
    const message = new Uint8Array(bytes);
    const length = bytes - HEADER_BYTES;
    message[0] = type;
    message[1] = length >> 16;
    message[2] = length >> 8;
    message[3] = length;
    message.set(this.#options.random, HEADER_BYTES);
    for (let i = HEADER_BYTES + this.#options.random.length; i < bytes; i++) message[i] = i;
    this.#out.push(message);
  }
}
