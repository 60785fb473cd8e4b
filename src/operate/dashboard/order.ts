/** Which sessions the page lists, and in which order. Without DOM. */
import { badness, byText, compareRanks } from "../worst-first.ts";
import { LOSSY, type Member } from "./fleet.ts";

export const ORDERS = [
  "worst",
  "identity",
  "address",
  "sent",
  "received",
  "rtt",
  "loss",
  "redundancy",
  "forwards",
  "age",
] as const;
export type Order = (typeof ORDERS)[number];

export const SELECTIONS = ["all", "suspended", "lossy", "busy"] as const;
export type Selection = (typeof SELECTIONS)[number];

const SELECT: Record<Selection, (member: Member) => boolean> = {
  all: () => true,
  suspended: ({ status }) => status.state !== "open",
  lossy: ({ status }) => status.lossRate >= LOSSY,
  busy: ({ sentBps, receivedBps }) => sentBps + receivedBps > 0,
};

/** What is greater comes first; sessions are compared by the first of these that differs. */
const RANK: Record<Exclude<Order, "identity" | "address">, (member: Member) => number[]> = {
  worst: ({ status }) => badness(status),
  sent: ({ sentBps }) => [sentBps || 0],
  received: ({ receivedBps }) => [receivedBps || 0],
  rtt: ({ status }) => [status.rttMs ?? -1],
  loss: ({ status }) => [status.lossRate],
  redundancy: ({ status }) => [status.redundancy],
  forwards: ({ status }) => [status.connections + status.flows],
  age: ({ status }) => [-status.sinceMs],
};

export function selects(selection: Selection, search: string, member: Member): boolean {
  const { peer, address } = member.status;
  const wanted = search.trim().toLowerCase();
  return SELECT[selection](member) && (peer.toLowerCase().includes(wanted) || address.includes(wanted));
}

export function sortMembers(members: Iterable<Member>, order: Order, reversed: boolean): Member[] {
  const sign = reversed ? -1 : 1;
  const ranked = [...members].map((member) => ({ member, rank: rankOf(member, order) }));
  ranked.sort((a, b) => sign * (compareRanks(b.rank, a.rank) || compareTexts(a.member, b.member, order)));
  return ranked.map(({ member }) => member);
}

function rankOf(member: Member, order: Order): number[] {
  return order === "identity" || order === "address" ? [] : RANK[order](member);
}

function compareTexts({ status: a }: Member, { status: b }: Member, order: Order): number {
  const addresses = order === "address" ? byText.compare(a.address, b.address) : 0;
  return addresses || byText.compare(a.peer, b.peer) || a.id - b.id;
}
