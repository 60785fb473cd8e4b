/**
 * Traces: every packet event, and notes of the user's own, as JSON lines. Field names are documented in
 * docs/simulator.md. Where the lines go is the caller's: an array, a file.
 */
import { formatAddress } from "../transport/address.ts";
import { SimulatorOptionError } from "./error.ts";
import type { Network } from "./network.ts";
import type { PacketEvent } from "./observer.ts";

export interface TraceOptions {
  /** Which packet events. Default all. */
  events?: readonly PacketEvent["event"][];
  /** Only events at these links ("a>b") and nodes. Default everywhere. */
  where?: readonly string[];
  /** Only packets for which it returns true. It must not keep the event. Default all. */
  filter?: (event: Readonly<PacketEvent>) => boolean;
}

export interface Trace {
  /** Writes a line of the user's own at the present virtual time: {"t":..., "event":"note", "note":name, ...fields}. */
  note(name: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Ends the trace. */
  end(): void;
}

const EVENTS: readonly string[] = ["send", "queue", "drop", "duplicate", "deliver", "receive"];
const ECN_NAMES = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"];

/**
 * Calls `write` with one line of JSON, without a line end, for each event from now on. Throws a SimulatorOptionError
 * for an unknown event.
 *
 * @example
 * const lines: string[] = [];
 * const trace = traceJson(network, (line) => lines.push(line), { events: ["drop"] });
 * network.run(10_000);
 * trace.end();
 */
export function traceJson(network: Network, write: (line: string) => void, options: TraceOptions = {}): Trace {
  for (const event of options.events ?? []) {
    if (!EVENTS.includes(event)) throw new SimulatorOptionError("events", event, `one of ${EVENTS.join(", ")}`);
  }
  const events = options.events === undefined ? null : new Set<string>(options.events);
  const where = options.where === undefined ? null : new Set(options.where);
  const { filter } = options;
  const end = network.observe((event) => {
    if (events !== null && !events.has(event.event)) return;
    if (where !== null && !where.has(event.where)) return;
    if (filter !== undefined && !filter(event)) return;
    write(JSON.stringify(traceRecord(event)));
  });
  return {
    note: (name, fields = {}) => write(JSON.stringify({ t: network.nowMs, event: "note", note: name, ...fields })),
    end,
  };
}

/** The fields of a trace line as an object; what does not apply is left out. */
export function traceRecord(event: Readonly<PacketEvent>): Record<string, unknown> {
  const { packet } = event;
  const record: Record<string, unknown> = {
    t: event.atMs,
    event: event.event,
    at: event.where,
    packet: packet.id,
    bytes: packet.ipBytes,
  };
  if (event.cause !== null) record["cause"] = event.cause;
  if (packet.source !== null) record["from"] = formatAddress(packet.source);
  if (packet.destination !== null) record["to"] = formatAddress(packet.destination);
  if (packet.ecn !== 0) record["ecn"] = ECN_NAMES[packet.ecn];
  if (packet.corrupted) record["corrupted"] = true;
  if (event.event === "queue" || (event.event === "drop" && event.where.includes(">"))) {
    record["queue"] = Math.round(event.queueBytes);
  }
  if (Number.isFinite(event.departMs)) record["depart"] = event.departMs;
  if (Number.isFinite(event.arriveMs)) record["arrive"] = event.arriveMs;
  if (event.event === "receive") record["delay"] = event.atMs - packet.sentMs;
  const model = packet.model as { kind?: unknown; sequence?: unknown; acknowledged?: unknown } | null;
  if (model?.kind !== undefined) {
    record["tcp"] = model.kind;
    if (model.kind === "data") record["sequence"] = model.sequence;
    if (model.kind === "ack") record["ack"] = model.acknowledged;
  }
  return record;
}
