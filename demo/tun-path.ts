/**
 * A bad path between two network namespaces: a TUN device for each end, made here and moved there, and this process in the
 * middle. What one end sends into its device comes out of the other's, late or never.
 */
import { execFileSync } from "node:child_process";
import { openTun } from "../src/tun/index.ts";
import { PathClock, type PathCounters, PathDirection, type PathOptions } from "./path-emulator.ts";

export interface TunEnd {
  /** The device's name, also inside the namespace. */
  device: string;
  /** A process in the namespace. */
  pid: number;
}

export interface TunPath {
  readonly counters: { forward: PathCounters; backward: PathCounters };
}

/** Needs CAP_NET_ADMIN over both namespaces. The ends have no addresses yet, and are down. */
export async function openTunPath(a: TunEnd, b: TunEnd, options: PathOptions): Promise<TunPath> {
  // Without offloads every packet is one of the wire, as the emulation wants it.
  const tunA = await openTun({ name: a.device, mtu: 1500 });
  const tunB = await openTun({ name: b.device, mtu: 1500 });
  const forward = new PathDirection(options, (packet) => tunB.write(packet));
  const backward = new PathDirection(options, (packet) => tunA.write(packet));
  const clock = new PathClock([forward, backward], () => {
    tunA.flush();
    tunB.flush();
  });
  tunA.onPacket = (packet) => forward.push(packet, performance.now());
  tunB.onPacket = (packet) => backward.push(packet, performance.now());
  tunA.onBatchEnd = tunB.onBatchEnd = () => clock.wake();
  for (const [tun, { pid }] of [
    [tunA, a],
    [tunB, b],
  ] as const) {
    execFileSync("ip", ["link", "set", "dev", tun.name, "netns", String(pid)], { stdio: "pipe" });
    tun.start();
  }
  return { counters: { forward: forward.counters, backward: backward.counters } };
}
