/** The list of sessions: a page of rows that are made once and filled again, however many sessions there are. */
import { create, createSvg, setClass, setText } from "./dom.ts";
import { LOSSY, type Member } from "./fleet.ts";
import { formatDuration, formatValue, visible } from "./format.ts";
import type { Order } from "./order.ts";
import type { Clock } from "./track.ts";

export const ROWS = 50;
const SPARK_POINTS = 60;
const SPARK = { widthPx: 90, heightPx: 22 };

interface Column {
  heading: string;
  /** On a phone, where there are no headings. */
  label: string;
  order: Order;
  text: (member: Member, nowMs: number) => string;
  className?: (member: Member) => string;
}

const COLUMNS: readonly Column[] = [
  {
    heading: "Address",
    label: "",
    order: "address",
    text: ({ status }) => status.address,
    className: () => "detail",
  },
  {
    heading: "To the peer",
    label: "to the peer",
    order: "sent",
    text: ({ sentBps }) => formatValue("rate", sentBps),
  },
  {
    heading: "From the peer",
    label: "from the peer",
    order: "received",
    text: ({ receivedBps }) => formatValue("rate", receivedBps),
  },
  {
    heading: "Round trip",
    label: "round trip",
    order: "rtt",
    text: ({ status }) => formatValue("time", status.rttMs ?? Number.NaN),
  },
  {
    heading: "Loss",
    label: "loss",
    order: "loss",
    text: ({ status }) => formatValue("share", status.lossRate),
    className: ({ status }) => (status.lossRate >= 4 * LOSSY ? "bad" : status.lossRate >= LOSSY ? "warning" : ""),
  },
  {
    heading: "Redundancy",
    label: "redundancy",
    order: "redundancy",
    text: ({ status }) => formatValue("share", status.redundancy),
  },
  {
    heading: "Forwards",
    label: "forwards",
    order: "forwards",
    text: ({ status }) => String(status.connections + status.flows),
  },
  {
    heading: "Age",
    label: "age",
    order: "age",
    text: ({ status }, nowMs) => formatDuration(nowMs - status.sinceMs),
  },
];

interface Row {
  readonly root: HTMLTableRowElement;
  readonly name: HTMLElement;
  readonly trouble: HTMLElement;
  readonly cells: readonly HTMLElement[];
  readonly line: SVGElement;
  id: number;
}

export interface TableEvents {
  choose(id: number): void;
  sort(order: Order): void;
}

export class TableView {
  readonly #body: HTMLTableSectionElement;
  readonly #headings: Map<Order, HTMLElement> = new Map();
  readonly #rows: Row[] = [];
  readonly #events: TableEvents;

  constructor(table: HTMLTableElement, events: TableEvents) {
    this.#body = table.tBodies[0];
    this.#events = events;
    const head = table.tHead?.rows[0];
    for (const { heading, order } of [{ heading: "Identity", order: "identity" as const }, ...COLUMNS]) {
      const button = create("button", { text: heading });
      button.type = "button";
      button.addEventListener("click", () => events.sort(order));
      const cell = create("th", {}, button);
      cell.scope = "col";
      this.#headings.set(order, cell);
      head?.append(cell);
    }
    head?.append(create("th", { className: "spark" }));
  }

  showOrder(order: Order, reversed: boolean): void {
    for (const [each, cell] of this.#headings) {
      if (each !== order) cell.removeAttribute("aria-sort");
      else
        cell.setAttribute(
          "aria-sort",
          (order === "identity" || order === "address") === reversed ? "descending" : "ascending",
        );
    }
  }

  /** At most ROWS of them. */
  show(members: readonly Member[], chosenId: number | null, clock: Clock, nowMs: number): void {
    while (this.#rows.length < members.length) {
      const row = this.#createRow();
      this.#rows.push(row);
      this.#body.append(row.root);
    }
    for (const row of this.#rows.splice(members.length)) row.root.remove();
    const slots = clock.slotsSince(0).slice(-SPARK_POINTS);
    for (const [i, member] of members.entries()) fill(this.#rows[i], member, chosenId, slots, nowMs);
  }

  #createRow(): Row {
    const name = create("button", { className: "name" });
    name.type = "button";
    const trouble = create("span", { className: "detail bad" });
    const cells = COLUMNS.map(({ label }) => {
      const cell = create("td");
      cell.dataset["label"] = label;
      return cell;
    });
    const line = createSvg("path", { class: "line" });
    const box = {
      viewBox: `0 0 ${SPARK.widthPx} ${SPARK.heightPx}`,
      preserveAspectRatio: "none",
      "aria-hidden": "true",
    };
    const svg = createSvg("svg", box);
    svg.append(line);
    const spark = create("td", { className: "spark" }, svg);
    const root = create("tr", {}, create("td", {}, name, trouble), ...cells, spark);
    const row = { root, name, trouble, cells, line, id: 0 };
    root.addEventListener("click", () => this.#events.choose(row.id));
    return row;
  }
}

function fill(row: Row, member: Member, chosenId: number | null, slots: readonly number[], nowMs: number): void {
  const { status } = member;
  row.id = status.id;
  setClass(row.root, status.id === chosenId ? "chosen" : "");
  const name = visible(status.peer);
  setText(row.name, name);
  if (row.name.title !== name) row.name.title = name;
  setText(row.trouble, status.state === "open" ? "" : "does not answer");
  for (const [i, { text, className }] of COLUMNS.entries()) {
    setText(row.cells[i], text(member, nowMs));
    if (className !== undefined) setClass(row.cells[i], className(member));
  }
  row.line.setAttribute("d", sparkOf(member, slots));
}

/** Goodput of both directions together, highest at the top. */
function sparkOf({ track }: Member, slots: readonly number[]): string {
  const received = track.read(slots, "receivedBps");
  const values = track.read(slots, "sentBps").map((sent, i) => (sent || 0) + (received[i] || 0));
  const most = Math.max(1, ...values);
  const step = SPARK.widthPx / (SPARK_POINTS - 1);
  const at = (i: number) => SPARK.widthPx - (values.length - 1 - i) * step;
  const points = values.map(
    (value, i) => `${at(i).toFixed(1)} ${((SPARK.heightPx - 2) * (1 - value / most) + 1).toFixed(1)}`,
  );
  return points.length > 1 ? `M${points.join("L")}` : "";
}
