/**
 * The reliable control stream of one epoch: a byte stream in coded flights. What is written at one time is a batch of source
 * symbols; symbols and repairs of it are sent until any k of them are acknowledged, so that a lost datagram of a flight costs
 * a repair and not a round trip. It never asks for a particular symbol again. The receiver hands out batches in order.
 *
 * Encoders and decoders are borrowed from a `ControlCoder`, which the links of an endpoint share.
 */
import { BatchDecoder, BatchEncoder, LENGTH_BYTES, REPAIR_SEEDS, SymbolPool } from "../../codec/index.ts";
import { type Arena, sharedArena } from "../../gf/index.ts";
import { MAX_CONTROL_BATCH, MAX_CONTROL_SYMBOL } from "./frames.ts";

/** Batches under way at once, in each direction. */
export const CONTROL_WINDOW = 4;
/** Bytes that may wait to become batches. */
export const MAX_CONTROL_BACKLOG = 256 * 1024;
/** Symbols of a control batch: those of a control frame's one byte. */
const SYMBOLS = 256;
/** The share of all memory for symbols that handshakes under way may take. */
const HANDSHAKE_SHARE = 0.75;
/** Loss that a handshake's flights are made for, and the chance that one of them then falls short. */
const FLIGHT_LOSS = 0.3;
const FLIGHT_SHORTFALL = 0.002;

/** flightSymbols[k]: how many symbols of a batch of k to send at once so that k arrive. */
const FLIGHT_SYMBOLS = Array.from({ length: MAX_CONTROL_BATCH + 1 }, (_, k) => flightSymbols(k));

/** The least n for which fewer than k of n arrive with a chance of at most FLIGHT_SHORTFALL. */
function flightSymbols(k: number): number {
  for (let n = k; ; n++) {
    let term = FLIGHT_LOSS ** n;
    let shortfall = 0;
    for (let i = 0; i < k; i++) {
      shortfall += term;
      term *= ((n - i) / (i + 1)) * ((1 - FLIGHT_LOSS) / FLIGHT_LOSS);
    }
    if (shortfall <= FLIGHT_SHORTFALL) return n;
  }
}

export interface ControlCoderOptions {
  /** Where symbols live. Default: the arena that the process shares. */
  arena?: Arena;
  /** Symbols held at once by all links, each about 1 KB. Default 8192. */
  maximumSymbols?: number;
}

/** Coders and memory for the control streams of any number of links. */
export class ControlCoder {
  readonly #pool: SymbolPool;
  readonly #encoders: BatchEncoder[] = [];
  readonly #decoders: BatchDecoder[] = [];

  constructor({ arena = sharedArena(), maximumSymbols = 8192 }: ControlCoderOptions = {}) {
    this.#pool = new SymbolPool({ symbolSize: MAX_CONTROL_SYMBOL, arena, maximumSlots: maximumSymbols });
  }

  /** Symbols in use. */
  get symbolsInUse(): number {
    return this.#pool.slotsInUse;
  }

  /** Whether `symbols` more find room. Handshakes leave some: whoever has not proved himself must not stop those who have. */
  hasRoom(symbols: number, handshake: boolean): boolean {
    const { slotsInUse, maximumSlots } = this.#pool;
    return slotsInUse + symbols <= (handshake ? maximumSlots * HANDSHAKE_SHARE : maximumSlots);
  }

  takeEncoder(): BatchEncoder {
    return this.#encoders.pop() ?? new BatchEncoder({ pool: this.#pool, batchSize: MAX_CONTROL_BATCH });
  }

  giveEncoder(encoder: BatchEncoder): void {
    encoder.reset();
    this.#encoders.push(encoder);
  }

  takeDecoder(): BatchDecoder {
    return this.#decoders.pop() ?? new BatchDecoder({ pool: this.#pool, batchSize: MAX_CONTROL_BATCH });
  }

  giveDecoder(decoder: BatchDecoder): void {
    decoder.reset();
    this.#decoders.push(decoder);
  }

  /** Gives all memory back; no link may use it any more. */
  destroy(): void {
    for (const encoder of this.#encoders) encoder.destroy();
    for (const decoder of this.#decoders) decoder.destroy();
    this.#encoders.length = 0;
    this.#decoders.length = 0;
    this.#pool.destroy();
  }
}

/** A batch that is being sent. */
class Flight {
  readonly number: number;
  readonly encoder: BatchEncoder;
  readonly acked = new Uint8Array(SYMBOLS);
  readonly inFlight = new Uint8Array(SYMBOLS);
  ackedCount = 0;
  inFlightCount = 0;
  /** The next symbol to be sent. */
  next = 0;
  /** How many symbols should leave now. */
  wanted = 0;

  constructor(number: number, encoder: BatchEncoder) {
    this.number = number;
    this.encoder = encoder;
  }

  get done(): boolean {
    return this.ackedCount >= this.encoder.size;
  }

  /** Wants as many more as it takes for those in flight to be enough. */
  require(extra: number): void {
    if (this.done) return;
    const missing = this.encoder.size - this.ackedCount - this.inFlightCount;
    this.wanted = Math.max(this.wanted, missing + extra);
  }
}

export class ControlSender {
  readonly #coder: ControlCoder;
  readonly #handshake: boolean;
  #backlog: Uint8Array[] = [];
  #backlogBytes = 0;
  readonly #flights: Flight[] = [];
  #nextNumber = 0;

  /** `handshake`: the epoch's flights want repairs with each batch. */
  constructor(coder: ControlCoder, handshake: boolean) {
    this.#coder = coder;
    this.#handshake = handshake;
  }

  /** Appends to the stream; the bytes become the stream's. False when too much waits already. */
  write(bytes: Uint8Array): boolean {
    if (this.#backlogBytes + bytes.length > MAX_CONTROL_BACKLOG) return false;
    this.#backlog.push(bytes);
    this.#backlogBytes += bytes.length;
    return true;
  }

  /** Whether everything written arrived. */
  get idle(): boolean {
    return this.#flights.length === 0 && this.#backlogBytes === 0;
  }

  /** Whether a symbol should leave now. */
  get ready(): boolean {
    this.#seal();
    for (const flight of this.#flights) if (flight.wanted > 0) return true;
    return false;
  }

  // The symbol chosen by `choose`.
  #chosen: Flight | null = null;

  /** Picks the symbol to send next: its batch, size of batch, number and bytes. Only after `ready`. */
  choose(): { batch: number; batchSize: number; symbol: number; bytes: number } {
    const flight = this.#flights.find((f) => f.wanted > 0)!;
    this.#chosen = flight;
    const { encoder } = flight;
    const symbol = flight.next;
    const bytes = symbol < encoder.size ? encoder.symbol(symbol).length : encoder.repairLength(encoder.size);
    return { batch: flight.number, batchSize: encoder.size, symbol, bytes };
  }

  /** Writes the chosen symbol at `at`: it counts as sent. Returns its name, for `onAcked` and `onLost`. */
  writeChosen(out: Uint8Array, at: number): number {
    const flight = this.#chosen!;
    this.#chosen = null;
    const { encoder } = flight;
    const symbol = flight.next;
    if (symbol < encoder.size) out.set(encoder.symbol(symbol), at);
    else encoder.repair(encoder.size, symbol - encoder.size, out.subarray(at));
    flight.next = (symbol + 1) % (encoder.size + REPAIR_SEEDS);
    flight.wanted--;
    // A symbol that goes round again and is still in flight counts once.
    if (flight.inFlight[symbol]++ === 0) flight.inFlightCount++;
    return flight.number * SYMBOLS + symbol;
  }

  onAcked(name: number): void {
    const flight = this.#find(name);
    if (flight === null) return;
    const symbol = name % SYMBOLS;
    this.#landed(flight, symbol);
    if (flight.acked[symbol] === 0) {
      flight.acked[symbol] = 1;
      flight.ackedCount++;
    }
    if (!flight.done) return;
    this.#flights.splice(this.#flights.indexOf(flight), 1);
    this.#coder.giveEncoder(flight.encoder);
  }

  onLost(name: number): void {
    const flight = this.#find(name);
    if (flight === null) return;
    this.#landed(flight, name % SYMBOLS);
    flight.require(0);
  }

  /** A probe is due: wants `symbols` more of the oldest batch. False when nothing is unacknowledged. */
  probe(symbols: number): boolean {
    this.#seal();
    const flight = this.#flights[0];
    if (flight === undefined) return false;
    flight.wanted = Math.max(flight.wanted, symbols);
    return true;
  }

  /** Ends the stream and gives its memory back. */
  destroy(): void {
    for (const flight of this.#flights) this.#coder.giveEncoder(flight.encoder);
    this.#flights.length = 0;
    this.#chosen = null;
    this.#backlog = [];
    this.#backlogBytes = 0;
  }

  #landed(flight: Flight, symbol: number): void {
    if (flight.inFlight[symbol] > 0 && --flight.inFlight[symbol] === 0) flight.inFlightCount--;
  }

  #find(name: number): Flight | null {
    const number = Math.floor(name / SYMBOLS);
    for (const flight of this.#flights) if (flight.number === number) return flight;
    return null;
  }

  /** Makes batches of what waits. */
  #seal(): void {
    while (this.#backlogBytes > 0 && this.#flights.length < CONTROL_WINDOW) {
      if (!this.#coder.hasRoom(MAX_CONTROL_BATCH, this.#handshake)) return;
      const bytes = Math.min(this.#backlogBytes, MAX_CONTROL_BATCH * MAX_CONTROL_SYMBOL);
      const content = this.#take(bytes);
      // Symbols of about one length: a repair is as long as the longest.
      const symbols = Math.ceil(bytes / MAX_CONTROL_SYMBOL);
      const size = Math.ceil(bytes / symbols);
      const flight = new Flight(this.#nextNumber++, this.#coder.takeEncoder());
      for (let at = 0; at < bytes; at += size) flight.encoder.add(content.subarray(at, Math.min(at + size, bytes)));
      flight.wanted = this.#handshake ? FLIGHT_SYMBOLS[flight.encoder.size] : flight.encoder.size;
      this.#flights.push(flight);
    }
  }

  #take(bytes: number): Uint8Array {
    const out = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const first = this.#backlog[0];
      const part = Math.min(first.length, bytes - at);
      out.set(first.subarray(0, part), at);
      at += part;
      if (part === first.length) this.#backlog.shift();
      else this.#backlog[0] = first.subarray(part);
    }
    this.#backlogBytes -= bytes;
    return out;
  }
}

export type ControlVerdict = "taken" | "redundant" | "control-window" | "control-invalid" | "control-memory";

export class ControlReceiver {
  readonly #coder: ControlCoder;
  readonly #decoders: (BatchDecoder | null)[] = new Array<BatchDecoder | null>(CONTROL_WINDOW).fill(null);
  readonly #sizes = new Array<number>(CONTROL_WINDOW).fill(0);
  #next = 0;
  readonly #handshake: boolean;

  constructor(coder: ControlCoder, handshake: boolean) {
    this.#coder = coder;
    this.#handshake = handshake;
  }

  /**
   * Takes a symbol from a control frame. Bytes that become readable go to `deliver`, in order; they are its for that call
   * only.
   */
  receive(
    batch: number,
    batchSize: number,
    symbol: number,
    data: Uint8Array,
    deliver: (bytes: Uint8Array) => void,
  ): ControlVerdict {
    if (batch < this.#next) return "redundant";
    if (batch >= this.#next + CONTROL_WINDOW) return "control-window";
    if (symbol >= batchSize + REPAIR_SEEDS || data.length > MAX_CONTROL_SYMBOL + LENGTH_BYTES) return "control-invalid";
    const place = batch % CONTROL_WINDOW;
    let decoder = this.#decoders[place];
    if (!this.#coder.hasRoom(2, this.#handshake)) return "control-memory";
    if (decoder === null) {
      decoder = this.#coder.takeDecoder();
      this.#decoders[place] = decoder;
      this.#sizes[place] = batchSize;
    }
    if (this.#sizes[place] !== batchSize) return "control-invalid";
    const verdict =
      symbol < batchSize ? decoder.addSource(symbol, data) : decoder.addRepair(batchSize, symbol - batchSize, data);
    if (verdict === "no-memory") return "control-memory";
    if (verdict === "invalid" || verdict === "inconsistent") return "control-invalid";
    this.#deliver(deliver);
    return verdict === "redundant" ? "redundant" : "taken";
  }

  /** Gives its memory back. */
  destroy(): void {
    for (let i = 0; i < CONTROL_WINDOW; i++) this.#give(i);
  }

  #deliver(deliver: (bytes: Uint8Array) => void): void {
    for (;;) {
      const place = this.#next % CONTROL_WINDOW;
      const decoder = this.#decoders[place];
      const size = this.#sizes[place];
      if (decoder === null || decoder.known < size) return;
      let bytes = 0;
      for (let i = 0; i < size; i++) bytes += decoder.symbolLength(i);
      // A copy: whoever reads may allocate in the arena.
      const out = new Uint8Array(bytes);
      let at = 0;
      for (let i = 0; i < size; i++) {
        const symbol = decoder.symbol(i);
        out.set(symbol, at);
        at += symbol.length;
      }
      this.#give(place);
      this.#next++;
      deliver(out);
    }
  }

  #give(place: number): void {
    const decoder = this.#decoders[place];
    if (decoder === null) return;
    this.#coder.giveDecoder(decoder);
    this.#decoders[place] = null;
  }
}
