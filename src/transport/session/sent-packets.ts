/**
 * What packets in flight carried of batches, so that their fate can be booked: by tag, a small number that is used again. Knows no
 * link, and nothing of what a batch makes of the news.
 */
import type { SendBatch, SplitRepair } from "./send-batch.ts";

/** Symbols that one packet may carry. */
export const SYMBOLS_A_PACKET = 4;

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

interface SentPacket {
  /** In the order of sending. */
  number: number;
  sentMs: number;
  count: number;
  readonly owners: (SymbolOwner | null)[];
  readonly batches: (SendBatch | null)[];
  /** A batch's object may serve another one by now. */
  readonly ids: Float64Array;
  readonly names: Int32Array;
  readonly splits: (SplitRepair | null)[];
  /** Number of the status request, or 0, and who asked. */
  request: number;
  asker: SymbolOwner | null;
}

export class SentPackets {
  readonly #packets: SentPacket[] = [];
  readonly #free: number[] = [];

  /** Begins a packet; returns its tag. */
  begin(nowMs: number): number {
    const tag = this.#free.pop() ?? this.#add();
    this.#packets[tag].sentMs = nowMs;
    return tag;
  }

  /** The packet leaves with this number. */
  number(tag: number, number: number): void {
    this.#packets[tag].number = number;
  }

  numberOf(tag: number): number {
    return this.#packets[tag].number;
  }

  sentMs(tag: number): number {
    return this.#packets[tag].sentMs;
  }

  /** How many symbols the packet carries so far. */
  count(tag: number): number {
    return this.#packets[tag].count;
  }

  /** Whether the packet can carry no more symbols. */
  isFull(tag: number): boolean {
    return this.#packets[tag].count === SYMBOLS_A_PACKET;
  }

  /** The packet carries this symbol. */
  book(tag: number, owner: SymbolOwner, batch: SendBatch, name: number, split: SplitRepair | null): void {
    const packet = this.#packets[tag];
    const i = packet.count++;
    packet.owners[i] = owner;
    packet.batches[i] = batch;
    packet.ids[i] = batch.id;
    packet.names[i] = name;
    packet.splits[i] = split;
  }

  /** Whether the packet carries a request. */
  asks(tag: number): boolean {
    return this.#packets[tag].request !== 0;
  }

  /** The packet carries this status request, or another word whose loss its sender is to hear of. */
  bookRequest(tag: number, asker: SymbolOwner, request: number): void {
    this.#packets[tag].asker = asker;
    this.#packets[tag].request = request;
  }

  arrived(tag: number, nowMs: number): void {
    const packet = this.#packets[tag];
    for (let i = 0; i < packet.count; i++) {
      const batch = packet.batches[i]!;
      if (batch.id === packet.ids[i]) {
        packet.owners[i]!.symbolArrived(batch, packet.names[i], packet.splits[i], nowMs);
      }
    }
    this.discard(tag);
  }

  lost(tag: number, nowMs: number): void {
    const packet = this.#packets[tag];
    for (let i = 0; i < packet.count; i++) {
      const batch = packet.batches[i]!;
      if (batch.id === packet.ids[i]) {
        packet.owners[i]!.symbolLost(batch, packet.names[i], packet.splits[i], nowMs);
      }
    }
    if (packet.request !== 0) packet.asker!.requestLost(packet.request, nowMs);
    this.discard(tag);
  }

  /** The tag is free again; nothing is reported. */
  discard(tag: number): void {
    const packet = this.#packets[tag];
    for (let i = 0; i < packet.count; i++) {
      packet.owners[i] = null;
      packet.batches[i] = null;
      packet.splits[i] = null;
    }
    packet.count = 0;
    packet.request = 0;
    packet.asker = null;
    this.#free.push(tag);
  }

  #add(): number {
    this.#packets.push({
      number: 0,
      sentMs: 0,
      count: 0,
      owners: new Array<SymbolOwner | null>(SYMBOLS_A_PACKET).fill(null),
      batches: new Array<SendBatch | null>(SYMBOLS_A_PACKET).fill(null),
      ids: new Float64Array(SYMBOLS_A_PACKET),
      names: new Int32Array(SYMBOLS_A_PACKET),
      splits: new Array<SplitRepair | null>(SYMBOLS_A_PACKET).fill(null),
      request: 0,
      asker: null,
    });
    return this.#packets.length - 1;
  }
}
