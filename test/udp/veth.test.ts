/**
 * UDP sockets on a path with an MTU, a rate and a queue, which loopback does not have, and which goes away:
 *
 *     namespace a                                        namespace b
 *     10.99.0.1  veth-a ---- MTU 1500 ---- veth-b  10.99.0.2
 *                tbf 50 Mbit/s
 *
 * Needs root.
 */
import { describe, expect, test } from "vitest";
import type { UdpCounters, UdpFeatures } from "../../src/udp/index.ts";
import { join, Namespace, type Program, whyNoNamespaces } from "../netns.ts";
import { pause } from "./sockets.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

interface Seen {
  readonly sizes: Record<number, number>;
  readonly sources: Record<string, number>;
}

async function topology(io: string): Promise<{ a: Namespace; b: Namespace; receiver: Program }> {
  const a = new Namespace();
  const b = new Namespace();
  join(a, b);
  a.ip("addr", "add", "10.99.0.1/24", "dev", "veth-a");
  b.ip("addr", "add", "10.99.0.2/24", "dev", "veth-b");
  a.run("tc", "qdisc", "add", "dev", "veth-a", "root", "tbf", "rate", "50mbit", "burst", "64k", "limit", "4m");
  const receiver = b.program("udp/veth-end.ts", io, "receive", "10.99.0.2");
  await receiver.next();
  return { a, b, receiver };
}

async function probe(io: string): Promise<{ sent: UdpCounters & { features: UdpFeatures }; sizes: object }> {
  const { a, receiver } = await topology(io);
  const sender = a.program("udp/veth-end.ts", io, "send", "10.99.0.1", "10.99.0.2");
  const sent = await sender.next<UdpCounters & { features: UdpFeatures }>();
  await sender.exit;
  await pause(300);
  receiver.finish();
  return { sent, sizes: (await receiver.next<Seen>()).sizes };
}

describe.skipIf(whyNot !== null)("over a veth pair", () => {
  test("native never fragments, keeps trains whole, and waits for a full queue without loss", async () => {
    const { sent, sizes } = await probe("native");
    expect(sizes).toEqual({ 100: 1, 1400: 1200, 1472: 21 });
    expect(sent.sendErrors).toEqual({ EMSGSIZE: 11 });
    expect(sent).toMatchObject({ sentDatagrams: 1222, sendDropped: 0, features: { segmentation: true } });
    expect(sent.sendStalls).toBeGreaterThan(0);
  });

  test("dgram says that it may be fragmented, and waits for a full queue without loss", async () => {
    const { sent, sizes } = await probe("dgram");
    expect(sizes).toEqual({ 100: 1, 1400: 1200, 1472: 21, 1473: 1, 1500: 10 });
    expect(sent).toMatchObject({ sentDatagrams: 1233, sendDropped: 0, features: { dontFragment: false } });
    expect(sent.sendStalls).toBeGreaterThan(0);
  });

  test.each(["native", "dgram"])("%s counts what a firewall and a route refuse, and goes on after them", async (io) => {
    const { a, receiver } = await topology(io);
    const sender = a.program("udp/veth-end.ts", io, "trains", "10.99.0.1", "10.99.0.2");
    await sender.next();
    const count = async (): Promise<number> => {
      receiver.say("how many?");
      return (await receiver.next<Seen>()).sizes[1000] ?? 0;
    };
    const moreArrive = async (): Promise<void> => {
      const before = await count();
      while ((await count()) < before + 30) await pause(20);
    };
    await moreArrive();
    a.run("nft", "add table ip wall; add chain ip wall out { type filter hook output priority 0; policy drop; }");
    await pause(100);
    a.run("nft", "flush ruleset");
    await moreArrive();
    a.ip("route", "add", "unreachable", "10.99.0.2/32");
    await pause(100);
    a.ip("route", "del", "unreachable", "10.99.0.2/32");
    await moreArrive();
    sender.finish();
    const { sendErrors, sendDropped, sendStalls } = await sender.next<UdpCounters>();
    expect(Object.keys(sendErrors).sort()).toEqual(["EHOSTUNREACH", "EPERM"]);
    expect([sendDropped, sendStalls]).toEqual([0, 0]);
  });

  test.each(["native", "dgram"])("%s goes on after the interface was down, and from a new address", async (io) => {
    const { a, receiver } = await topology(io);
    const sender = a.program("udp/veth-end.ts", io, "stream", "0.0.0.0", "10.99.0.2");
    await sender.next();
    const arrived = async (source: string, atLeast: number): Promise<void> => {
      for (;;) {
        receiver.say("how many?");
        const { sources } = await receiver.next<Seen>();
        if ((sources[source] ?? 0) >= atLeast) return;
        await pause(20);
      }
    };
    await arrived("10.99.0.1", 10);
    a.ip("link", "set", "veth-a", "down");
    await pause(100);
    a.ip("addr", "flush", "dev", "veth-a");
    a.ip("addr", "add", "10.99.0.3/24", "dev", "veth-a");
    a.ip("link", "set", "veth-a", "up");
    await arrived("10.99.0.3", 10);
    sender.finish();
    const { sendErrors, sentDatagrams } = await sender.next<UdpCounters>();
    expect(Object.keys(sendErrors)).toEqual(["ENETUNREACH"]);
    expect(sentDatagrams).toBeGreaterThan(20);
  });
});
