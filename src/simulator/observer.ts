/**
 * What can be seen of every packet: one event at each step of its way, with the cause of each drop. Observers look and
 * do not touch. The network tells; `trace.ts` writes it down as JSON lines.
 */
import type { Packet } from "./packet.ts";

/**
 * Why a packet ended before its destination: no room in the link's queue; over the policer's rate; the link's loss
 * model; an outage; nobody has its destination address, or no route leads there, or its sender named a source address
 * that is not its own; damaged, and a model's checksum saw it.
 */
export type DropCause = "queue" | "policer" | "loss" | "outage" | "unreachable" | "source" | "checksum";

/** One step of a packet. The object is used again for the next event: copy what is to be kept. */
export interface PacketEvent {
  atMs: number;
  /**
   * "send": a node sent it. "queue": a link took it, and `departMs` and `arriveMs` are settled. "drop": it ended here,
   * of `cause`. "duplicate": the link made a second one of it. "deliver": the link handed it to its far node.
   * "receive": it reached its destination address.
   */
  event: "send" | "queue" | "drop" | "duplicate" | "deliver" | "receive";
  /** The link direction, "a>b", or the node for "send", "receive" and drops that are no link's. */
  where: string;
  packet: Packet;
  /** Only for "drop". */
  cause: DropCause | null;
  /** Bytes in the link's queue before this packet, for "queue" and drops by a link; else 0. */
  queueBytes: number;
  /** When its last byte leaves the queue, for "queue", "duplicate" and drops by loss and outage; else NaN. */
  departMs: number;
  /** When it reaches the far node, for "queue" and "duplicate"; else NaN. */
  arriveMs: number;
}

export type PacketObserver = (event: Readonly<PacketEvent>) => void;

/** Where links and nodes report to. `active` is read before each report, so that nobody pays for no observer. */
export class Observation {
  active = false;
  readonly #observers: PacketObserver[] = [];
  #event: PacketEvent | null = null;

  add(observer: PacketObserver): void {
    this.#observers.push(observer);
    this.active = true;
  }

  remove(observer: PacketObserver): void {
    const index = this.#observers.indexOf(observer);
    if (index >= 0) this.#observers.splice(index, 1);
    this.active = this.#observers.length > 0;
  }

  report(
    event: PacketEvent["event"],
    atMs: number,
    where: string,
    packet: Packet,
    cause: DropCause | null = null,
    queueBytes = 0,
    departMs = Number.NaN,
    arriveMs = Number.NaN,
  ): void {
    this.#event ??= { atMs, event, where, packet, cause, queueBytes, departMs, arriveMs };
    const shared = this.#event;
    shared.atMs = atMs;
    shared.event = event;
    shared.where = where;
    shared.packet = packet;
    shared.cause = cause;
    shared.queueBytes = queueBytes;
    shared.departMs = departMs;
    shared.arriveMs = arriveMs;
    for (const observer of this.#observers) observer(shared);
  }
}
