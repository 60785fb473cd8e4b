/**
 * What packets in flight carried of batches, so that their fate can be booked: by tag, a small number that is used again. Knows no
 * link, and nothing of what a batch makes of the news.
 *
 * Hot: flat arrays with a stretch for each tag, for many packets are in flight, and what is known of one is far from the cache when
 * its fate is.
 */
import type { SendBatch, SplitRepair } from "./send-batch.ts";

/** Symbols that one packet may carry. */
export const SYMBOLS_A_PACKET = 4;

const FIRST_CAPACITY = 4;
/** Where nothing is in flight, memory for more packets than this is given back, if flights have become this many times shorter. */
const MOST_IDLE_TAGS = 64;
const SHORTER = 4;

/** Of a tag's stretch in #numbers: order of sending, when it left, symbols, number of the status request or 0, who asked. */
const NUMBER = 0;
const SENT_MS = 1;
const COUNT = 2;
const REQUEST = 3;
const ASKER = 4;
/** And of each symbol: the batch, whose object may serve another one by the time the fate is known, the name, and whose it is. */
const FIRST_SYMBOL = 5;
const BATCH = 0;
const NAME = 1;
const OWNER = 2;
const SYMBOL_FIELDS = 3;
const STRIDE = FIRST_SYMBOL + SYMBOL_FIELDS * SYMBOLS_A_PACKET;
const NO_NUMBERS = new Float64Array(0);

/** Names of symbols within a batch: of a source symbol its index, of a repair a negative number. */
export function repairName(covered: number, round: number): number {
  return -1 - covered - 256 * round;
}

export function coveredOf(name: number): number {
  return (-1 - name) & 255;
}

export function roundOf(name: number): number {
  return (-1 - name) >> 8;
}

/** Whose batches they are. */
export interface SymbolOwner {
  /** `name` is the index of a source symbol or a `repairName`. */
  symbolArrived(batch: SendBatch, name: number, split: SplitRepair | null, nowMs: number): void;
  symbolLost(batch: SendBatch, name: number, split: SplitRepair | null, nowMs: number): void;
  requestLost(request: number, nowMs: number): void;
}

export class SentPackets {
  /** Owners are told apart by their place here. */
  readonly #owners: SymbolOwner[] = [];
  #numbers: Float64Array = NO_NUMBERS;
  /** SYMBOLS_A_PACKET of a tag. */
  readonly #batches: (SendBatch | null)[] = [];
  readonly #splits: (SplitRepair | null)[] = [];
  readonly #free: number[] = [];
  #tags = 0;
  /** Packets in flight since nothing was. */
  #most = 0;

  /** Begins a packet; returns its tag. */
  begin(nowMs: number): number {
    const tag = this.#free.pop() ?? this.#add();
    const inFlight = this.#tags - this.#free.length;
    if (inFlight > this.#most) this.#most = inFlight;
    this.#numbers[tag * STRIDE + SENT_MS] = nowMs;
    return tag;
  }

  /** The packet leaves with this number. */
  number(tag: number, number: number): void {
    this.#numbers[tag * STRIDE + NUMBER] = number;
  }

  numberOf(tag: number): number {
    return this.#numbers[tag * STRIDE + NUMBER];
  }

  sentMs(tag: number): number {
    return this.#numbers[tag * STRIDE + SENT_MS];
  }

  /** How many symbols the packet carries so far. */
  count(tag: number): number {
    return this.#numbers[tag * STRIDE + COUNT];
  }

  /** Whether the packet can carry no more symbols. */
  isFull(tag: number): boolean {
    return this.count(tag) === SYMBOLS_A_PACKET;
  }

  /** The packet carries this symbol. */
  book(tag: number, owner: SymbolOwner, batch: SendBatch, name: number, split: SplitRepair | null): void {
    const numbers = this.#numbers;
    const i = numbers[tag * STRIDE + COUNT]++;
    const at = tag * STRIDE + FIRST_SYMBOL + i * SYMBOL_FIELDS;
    numbers[at + BATCH] = batch.id;
    numbers[at + NAME] = name;
    numbers[at + OWNER] = this.#indexOf(owner);
    this.#batches[tag * SYMBOLS_A_PACKET + i] = batch;
    this.#splits[tag * SYMBOLS_A_PACKET + i] = split;
  }

  /** Whether the packet carries a request. */
  asks(tag: number): boolean {
    return this.#numbers[tag * STRIDE + REQUEST] !== 0;
  }

  /** The packet carries this status request, or another word whose loss its sender is to hear of. */
  bookRequest(tag: number, asker: SymbolOwner, request: number): void {
    this.#numbers[tag * STRIDE + ASKER] = this.#indexOf(asker);
    this.#numbers[tag * STRIDE + REQUEST] = request;
  }

  arrived(tag: number, nowMs: number): void {
    const count = this.count(tag);
    for (let i = 0; i < count; i++) {
      const at = tag * STRIDE + FIRST_SYMBOL + i * SYMBOL_FIELDS;
      const batch = this.#batches[tag * SYMBOLS_A_PACKET + i]!;
      if (batch.id !== this.#numbers[at + BATCH]) continue;
      const owner = this.#owners[this.#numbers[at + OWNER]];
      owner.symbolArrived(batch, this.#numbers[at + NAME], this.#splits[tag * SYMBOLS_A_PACKET + i], nowMs);
    }
    this.discard(tag);
  }

  lost(tag: number, nowMs: number): void {
    const count = this.count(tag);
    for (let i = 0; i < count; i++) {
      const at = tag * STRIDE + FIRST_SYMBOL + i * SYMBOL_FIELDS;
      const batch = this.#batches[tag * SYMBOLS_A_PACKET + i]!;
      if (batch.id !== this.#numbers[at + BATCH]) continue;
      const owner = this.#owners[this.#numbers[at + OWNER]];
      owner.symbolLost(batch, this.#numbers[at + NAME], this.#splits[tag * SYMBOLS_A_PACKET + i], nowMs);
    }
    const request = this.#numbers[tag * STRIDE + REQUEST];
    if (request !== 0) this.#owners[this.#numbers[tag * STRIDE + ASKER]].requestLost(request, nowMs);
    this.discard(tag);
  }

  /** The tag is free again; nothing is reported. */
  discard(tag: number): void {
    this.#numbers[tag * STRIDE + COUNT] = 0;
    this.#numbers[tag * STRIDE + REQUEST] = 0;
    this.#free.push(tag);
    if (this.#free.length < this.#tags) return;
    if (this.#tags > Math.max(MOST_IDLE_TAGS, SHORTER * this.#most)) this.#clear();
    this.#most = 0;
  }

  /** Gives back what was for packets to come, if none is in flight: memory, and batches that were in packets. */
  rest(): void {
    if (this.#free.length === this.#tags && this.#tags > 0) this.#clear();
  }

  /** Nothing is in flight: memory goes. */
  #clear(): void {
    this.#numbers = NO_NUMBERS;
    this.#batches.length = 0;
    this.#splits.length = 0;
    this.#free.length = 0;
    this.#tags = 0;
  }

  #indexOf(owner: SymbolOwner): number {
    const owners = this.#owners;
    for (let i = 0; i < owners.length; i++) if (owners[i] === owner) return i;
    return owners.push(owner) - 1;
  }

  #add(): number {
    const tag = this.#tags++;
    if (tag * STRIDE === this.#numbers.length) {
      const larger = new Float64Array(Math.max(2 * this.#numbers.length, FIRST_CAPACITY * STRIDE));
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    for (let i = 0; i < SYMBOLS_A_PACKET; i++) {
      this.#batches.push(null);
      this.#splits.push(null);
    }
    return tag;
  }
}
