/** The sessions of a proxy as the page knows them: statuses in, rates and histories of each session and of all together out. Without DOM. */
import type { SessionStatus, Status } from "../status.ts";
import { Clock, Track } from "./track.ts";

const SESSION_MEASURES = [
  "sentBps",
  "receivedBps",
  "rttMs",
  "minRttMs",
  "loss",
  "redundancy",
  "connections",
  "flows",
  "pacingBps",
] as const;
export type SessionMeasure = (typeof SESSION_MEASURES)[number];

const FLEET_MEASURES = [
  "sentBps",
  "receivedBps",
  "medianRttMs",
  "worstRttMs",
  "medianLoss",
  "worstLoss",
  "medianRedundancy",
  "worstRedundancy",
  "connections",
  "flows",
  "open",
  "suspended",
] as const;
export type FleetMeasure = (typeof FLEET_MEASURES)[number];

/** From which on a session counts as lossy. */
export const LOSSY = 0.05;

export interface Member {
  status: SessionStatus;
  /** Bytes of connections, UDP and the tunnel, in bits a second, since the status before; NaN at first. */
  sentBps: number;
  receivedBps: number;
  readonly track: Track<SessionMeasure>;
}

export type FleetValues = Record<FleetMeasure, number>;

export class Fleet {
  readonly clock = new Clock();
  readonly track = new Track(FLEET_MEASURES);
  /** Of the last status, by session id. */
  readonly members: Map<number, Member> = new Map();
  status: Status | null = null;
  now: FleetValues | null = null;
  /** When the proxy was seen to have been started anew; NaN before that. */
  restartedMs = Number.NaN;

  /** Takes what the proxy said last. */
  take(status: Status): void {
    const before = this.status;
    if (before !== null && before.startedMs !== status.startedMs) {
      // Ids begin anew.
      this.members.clear();
      this.restartedMs = status.startedMs;
    }
    const seconds = before === null ? Number.NaN : (status.nowMs - before.nowMs) / 1000;
    const slot = this.clock.advance(status.nowMs);
    const present = new Set<number>();
    for (const session of status.sessions) {
      present.add(session.id);
      this.#takeSession(session, slot, seconds);
    }
    for (const id of this.members.keys()) if (!present.has(id)) this.members.delete(id);
    this.now = this.#sum();
    for (const measure of FLEET_MEASURES) this.track.write(slot, measure, this.now[measure]);
    this.status = status;
  }

  #takeSession(session: SessionStatus, slot: number, seconds: number): void {
    let member = this.members.get(session.id);
    if (member === undefined) {
      const unknown = Number.NaN;
      member = { status: session, sentBps: unknown, receivedBps: unknown, track: new Track(SESSION_MEASURES) };
      this.members.set(session.id, member);
    } else if (seconds > 0) {
      member.sentBps = ((session.bytesSent - member.status.bytesSent) * 8) / seconds;
      member.receivedBps = ((session.bytesReceived - member.status.bytesReceived) * 8) / seconds;
    }
    member.status = session;
    const { track } = member;
    track.write(slot, "sentBps", member.sentBps);
    track.write(slot, "receivedBps", member.receivedBps);
    track.write(slot, "rttMs", session.rttMs ?? Number.NaN);
    track.write(slot, "minRttMs", session.minRttMs ?? Number.NaN);
    track.write(slot, "loss", session.lossRate);
    track.write(slot, "redundancy", session.redundancy);
    track.write(slot, "connections", session.connections);
    track.write(slot, "flows", session.flows);
    track.write(slot, "pacingBps", session.pacingRateBps);
  }

  #sum(): FleetValues {
    const members = [...this.members.values()];
    const sum = (value: (member: Member) => number) =>
      members.reduce((total, member) => total + (value(member) || 0), 0);
    /** Nothing is known of any before its second status. */
    const rate = (value: (member: Member) => number) =>
      members.length > 0 && members.every((member) => Number.isNaN(value(member))) ? Number.NaN : sum(value);
    const rtts = sorted(members.map(({ status }) => status.rttMs ?? Number.NaN));
    const losses = sorted(members.map(({ status }) => status.lossRate));
    const redundancies = sorted(members.map(({ status }) => status.redundancy));
    const suspended = members.filter(({ status }) => status.state !== "open").length;
    return {
      sentBps: rate(({ sentBps }) => sentBps),
      receivedBps: rate(({ receivedBps }) => receivedBps),
      medianRttMs: median(rtts),
      worstRttMs: rtts.at(-1) ?? Number.NaN,
      medianLoss: median(losses),
      worstLoss: losses.at(-1) ?? Number.NaN,
      medianRedundancy: median(redundancies),
      worstRedundancy: redundancies.at(-1) ?? Number.NaN,
      connections: sum(({ status }) => status.connections),
      flows: sum(({ status }) => status.flows),
      open: members.length - suspended,
      suspended,
    };
  }
}

/** Without those that are not known. */
function sorted(values: number[]): number[] {
  return values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
}

function median(values: readonly number[]): number {
  const middle = values.length >> 1;
  return values.length % 2 === 1 || values.length === 0
    ? (values[middle] ?? Number.NaN)
    : (values[middle - 1] + values[middle]) / 2;
}
