/** What stands above the charts: how the proxy is, its numbers in all, and what else is known of a session that is looked at. */
import { byId, create, setClass, setText } from "./dom.ts";
import type { Fleet, Member } from "./fleet.ts";
import { formatBytes, formatClock, formatDuration, formatValue, visible } from "./format.ts";

/** Names and values beside each other in a list of definitions, made once. */
class Definitions {
  readonly #root: HTMLElement;
  readonly #entries: Map<string, { value: HTMLElement; detail: HTMLElement }> = new Map();

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  set(name: string, text: string, detail = ""): HTMLElement {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { value: create("dd"), detail: create("dd", { className: "detail" }) };
      this.#root.append(create("div", {}, create("dt", { text: name }), entry.value, entry.detail));
      this.#entries.set(name, entry);
    }
    setText(entry.value, text);
    setText(entry.detail, detail);
    return entry.detail;
  }
}

const tiles = new Definitions(byId("tiles"));
const facts = new Definitions(byId("facts"));

export function showSummary({ status, now, restartedMs }: Fleet): void {
  if (status === null || now === null) return;
  const { role, version, ready, nowMs, startedMs, totals, sessions } = status;
  setText(byId("role"), `${role} ${version}`);
  showState(ready ? "ready" : "not ready", ready ? "pill good" : "pill bad");
  const restarted = Number.isNaN(restartedMs) ? "" : `, started anew at ${formatClock(restartedMs)}`;
  setText(byId("about"), `up ${formatDuration(nowMs - startedMs)}${restarted}`);
  document.title = `${now.suspended > 0 ? `${now.suspended} not answering · ` : ""}bats-proxy ${role}`;
  const silent = now.suspended === 0 ? "all answer" : `${now.suspended} not answering`;
  const detail = tiles.set(
    "Sessions",
    String(sessions.length),
    sessions.length === 0 ? `${totals.sessions} so far` : silent,
  );
  setClass(detail, now.suspended > 0 ? "detail bad" : "detail");
  tiles.set("To peers", formatValue("rate", now.sentBps), "connections, UDP, tunnel");
  tiles.set("From peers", formatValue("rate", now.receivedBps), "connections, UDP, tunnel");
  tiles.set("Round trip", formatValue("time", now.medianRttMs), `median; worst ${formatValue("time", now.worstRttMs)}`);
  tiles.set("Loss", formatValue("share", now.medianLoss), `median; worst ${formatValue("share", now.worstLoss)}`);
  const done = `open; ${totals.forwards} done, ${totals.refused} refused`;
  tiles.set("Forwards", String(now.connections + now.flows), done);
}

export function showState(text: string, className: string): void {
  setText(byId("state"), text);
  setClass(byId("state"), className);
}

/** Null for all sessions together. */
export function showSubject(member: Member | null, nowMs: number): void {
  setText(byId("subject"), member === null ? "All sessions" : visible(member.status.peer));
  byId("back").hidden = member === null;
  byId("facts").hidden = member === null;
  if (member === null) return;
  const { status } = member;
  facts.set("Address", status.address);
  facts.set("State", status.state === "open" ? "answers" : "does not answer");
  facts.set("Since", `${formatClock(status.sinceMs)}, ${formatDuration(nowMs - status.sinceMs)} ago`);
  facts.set("Carried", `${formatBytes(status.bytesSent)} to the peer, ${formatBytes(status.bytesReceived)} from it`);
  facts.set("Congestion control", [status.congestion, status.congestionState].filter(Boolean).join(", ") || "none now");
  facts.set("Window", formatBytes(status.windowBytes));
  facts.set("Largest datagram", `${status.datagramBytes} B`);
  facts.set("Encryption", status.aead || "none now: no link");
  facts.set("Sockets", status.io);
  facts.set("Changes of path", String(status.pathChanges));
  facts.set("Memory", formatBytes(status.memoryBytes));
}
