/**
 * The dashboard's page: asks /status again and again, remembers what it said, and draws it. scripts/build.mjs makes one file without
 * outside resources of it, which the status server hands out.
 */
import type { Status } from "../status.ts";
import { ChartsView, FLEET_CHARTS, SESSION_CHARTS } from "./charts-view.ts";
import { byId, setText } from "./dom.ts";
import { Fleet, type Member } from "./fleet.ts";
import { formatClock, formatDuration, visible } from "./format.ts";
import { ORDERS, type Order, SELECTIONS, type Selection, selects, sortMembers } from "./order.ts";
import { showState, showSubject, showSummary } from "./summary-view.ts";
import { ROWS, TableView } from "./table-view.ts";
import { startTheme } from "./theme.ts";

/** Many sessions are much to send and to read: they are asked for less often. */
const MANY_SESSIONS = 200;
const PERIOD_MS = 1000;
const PERIOD_OF_MANY_MS = 2000;
const PERIOD_HIDDEN_MS = 5000;
const PATIENCE_MS = 8000;
/** Rows keep their places for so long, so that they can be read and hit, unless sessions come or go. */
const SORT_MS = 5000;

const fleet = new Fleet();
const charts = new ChartsView(byId("charts"));
const table = new TableView(document.querySelector("table") as HTMLTableElement, { choose, sort });
const search = byId<HTMLInputElement>("search");
const selection = byId<HTMLSelectElement>("selection");
const orderBox = byId<HTMLSelectElement>("order");
const span = byId<HTMLSelectElement>("span");

/** Whom the charts show: a session, and its peer's name for when it comes back in another one. Null: all sessions. */
let chosen: { id: number; peer: string } | null = null;
/** The one session of a client is chosen by itself, until somebody chooses. */
let choosesItself = true;
let order: Order = "worst";
let reversed = false;
let firstRow = 0;
let listed: Member[] = [];
let sortedMs = Number.NEGATIVE_INFINITY;
let sortedSize = 0;
let lastHeardMs = Number.NaN;

function choose(id: number): void {
  const member = fleet.members.get(id);
  if (member === undefined) return;
  chosen = { id, peer: member.status.peer };
  choosesItself = false;
  writeAddress();
  draw();
  byId("subject").scrollIntoView({ block: "nearest" });
}

function sort(by: Order): void {
  reversed = by === order && !reversed;
  order = by;
  orderBox.value = by;
  relist();
}

/** Lists anew at once, from the start. */
function relist(): void {
  sortedMs = Number.NEGATIVE_INFINITY;
  firstRow = 0;
  writeAddress();
  draw();
}

/** What is chosen stands in the page's address, so that it can be kept and passed on. */
function writeAddress(): void {
  const words = new URLSearchParams();
  if (chosen !== null) words.set("peer", chosen.peer);
  if (search.value !== "") words.set("search", search.value);
  if (selection.value !== "all") words.set("show", selection.value);
  if (order !== "worst") words.set("by", order);
  if (reversed) words.set("reversed", "");
  history.replaceState(null, "", words.size === 0 ? location.pathname : `#${words}`);
}

function readAddress(): void {
  const words = new URLSearchParams(location.hash.slice(1));
  const peer = words.get("peer");
  chosen = peer === null ? null : { id: 0, peer };
  choosesItself = peer === null;
  search.value = words.get("search") ?? "";
  selection.value = SELECTIONS.find((one) => one === words.get("show")) ?? "all";
  order = ORDERS.find((one) => one === words.get("by")) ?? "worst";
  orderBox.value = order;
  reversed = words.has("reversed");
}

/** The session that is looked at; of a peer with several, the newest. */
function findChosen(): Member | null {
  if (chosen === null && choosesItself && fleet.members.size === 1) {
    const [member] = fleet.members.values();
    return member;
  }
  if (chosen === null) return null;
  const { id, peer } = chosen;
  const known = fleet.members.get(id);
  if (known?.status.peer === peer) return known;
  const others = [...fleet.members.values()].filter(({ status }) => status.peer === peer);
  const newest = others.reduce<Member | null>((a, b) => (a === null || b.status.id > a.status.id ? b : a), null);
  if (newest !== null) chosen = { id: newest.status.id, peer };
  return newest;
}

function draw(): void {
  const { status, clock } = fleet;
  if (status === null) return;
  showSummary(fleet);
  const member = findChosen();
  const gone = chosen !== null && member === null;
  showSubject(member, status.nowMs);
  if (gone) {
    setText(byId("subject"), visible(chosen?.peer ?? ""));
    byId("back").hidden = false;
  } else if (fleet.members.size === 1 && chosen === null) byId("back").hidden = true;
  byId("note").hidden = !gone;
  if (gone) setText(byId("note"), "has no session now. The charts come back with its next one.");
  byId("charts").hidden = gone;
  const time = { clock, spanMs: Number(span.value) * 1000, gapMs: 3.5 * periodMs() };
  if (member !== null) charts.show({ plans: SESSION_CHARTS, track: member.track, ...time });
  else if (!gone) charts.show({ plans: FLEET_CHARTS, track: fleet.track, ...time });
  drawTable(member?.status.id ?? null);
}

function drawTable(chosenId: number | null): void {
  const { members, clock, status } = fleet;
  const changed = members.size !== sortedSize || listed.some((member) => members.get(member.status.id) !== member);
  if (changed || performance.now() - sortedMs >= SORT_MS) {
    const kept = [...members.values()].filter((member) => selects(selection.value as Selection, search.value, member));
    listed = sortMembers(kept, order, reversed);
    sortedMs = performance.now();
    sortedSize = members.size;
  }
  firstRow = Math.max(0, Math.min(firstRow, Math.floor((listed.length - 1) / ROWS) * ROWS));
  table.showOrder(order, reversed);
  table.show(listed.slice(firstRow, firstRow + ROWS), chosenId, clock, status?.nowMs ?? 0);
  const nothing =
    members.size === 0
      ? status?.role === "server"
        ? "No session is open. Nodes appear here as soon as they connect."
        : "No session is open: no server has been reached yet, or the last one was lost. The log says why."
      : "No session is like this.";
  byId("empty").hidden = listed.length > 0;
  setText(byId("empty"), nothing);
  byId("pager").hidden = listed.length <= ROWS;
  setText(byId("where"), `${firstRow + 1} to ${Math.min(firstRow + ROWS, listed.length)} of ${listed.length}`);
  byId<HTMLButtonElement>("previous").disabled = firstRow === 0;
  byId<HTMLButtonElement>("next").disabled = firstRow + ROWS >= listed.length;
  setText(
    byId("list"),
    listed.length === members.size ? `Sessions (${members.size})` : `Sessions (${listed.length} of ${members.size})`,
  );
}

function turnPage(rows: number): void {
  firstRow += rows;
  draw();
}

function periodMs(): number {
  if (document.hidden) return PERIOD_HIDDEN_MS;
  return fleet.members.size > MANY_SESSIONS ? PERIOD_OF_MANY_MS : PERIOD_MS;
}

class WrongAnswer extends Error {}

async function ask(): Promise<void> {
  const response = await fetch("status", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new WrongAnswer(`it says ${response.status}`);
  fleet.take((await response.json()) as Status);
  lastHeardMs = Date.now();
}

function showTrouble(error: unknown): void {
  const trouble = byId("trouble");
  trouble.hidden = error === undefined;
  document.body.classList.toggle("stale", error !== undefined);
  if (error === undefined) return;
  showState("no answer", "pill bad");
  const since = Number.isNaN(lastHeardMs)
    ? ""
    : ` for ${formatDuration(Date.now() - lastHeardMs)}; what is below is from ${formatClock(lastHeardMs)}`;
  // A browser's own word for an address where nobody listens tells nothing.
  const cause = error instanceof WrongAnswer ? ` (${error.message})` : "";
  setText(trouble, `No answer from this proxy${cause}${since}. Trying again.`);
  document.title = "no answer · bats-proxy";
}

async function run(): Promise<never> {
  for (;;) {
    const trouble = await ask().catch((error: unknown) => error);
    if (trouble === undefined) {
      document.querySelector("main")?.removeAttribute("hidden");
      draw();
    }
    showTrouble(trouble);
    await new Promise((resolve) => setTimeout(resolve, periodMs()));
  }
}

search.addEventListener("input", relist);
selection.addEventListener("change", relist);
orderBox.addEventListener("change", () => {
  reversed = false;
  order = orderBox.value as Order;
  relist();
});
span.addEventListener("change", draw);
byId("previous").addEventListener("click", () => turnPage(-ROWS));
byId("next").addEventListener("click", () => turnPage(ROWS));
byId("back").addEventListener("click", () => {
  chosen = null;
  choosesItself = false;
  writeAddress();
  draw();
});
startTheme(byId<HTMLButtonElement>("theme"));
readAddress();
void run();
