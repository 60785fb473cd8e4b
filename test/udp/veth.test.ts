/**
 * UDP sockets on a path with an MTU, a rate and a queue, which loopback does not have:
 *
 *     namespace a                                namespace b
 *     10.99.0.1  veth-a ---- MTU 1500 ---- veth-b  10.99.0.2
 *                tbf 50 Mbit/s
 *
 * Needs root.
 */
import { describe, expect, test } from "vitest";
import type { UdpCounters, UdpFeatures } from "../../src/udp/index.ts";
import { join, Namespace, whyNoNamespaces } from "../netns.ts";

const whyNot = whyNoNamespaces();
if (whyNot !== null) console.warn(`skipped: ${whyNot}`);

async function run(io: string): Promise<{ sent: UdpCounters & { features: UdpFeatures }; sizes: object }> {
  const a = new Namespace();
  const b = new Namespace();
  join(a, b);
  a.ip("addr", "add", "10.99.0.1/24", "dev", "veth-a");
  b.ip("addr", "add", "10.99.0.2/24", "dev", "veth-b");
  a.run("tc", "qdisc", "add", "dev", "veth-a", "root", "tbf", "rate", "50mbit", "burst", "64k", "limit", "4m");
  const receiver = b.program("udp/veth-end.ts", io, "receive", "10.99.0.2");
  await receiver.next();
  const sender = a.program("udp/veth-end.ts", io, "send", "10.99.0.1", "10.99.0.2");
  const sent = await sender.next<UdpCounters & { features: UdpFeatures }>();
  await sender.exit;
  await new Promise((resolve) => setTimeout(resolve, 300));
  receiver.finish();
  return { sent, sizes: await receiver.next<object>() };
}

describe.skipIf(whyNot !== null)("over a veth pair", () => {
  test("native never fragments, keeps trains whole, and waits for a full queue without loss", async () => {
    const { sent, sizes } = await run("native");
    expect(sizes).toEqual({ 100: 1, 1400: 1200, 1472: 21 });
    expect(sent.sendErrors).toEqual({ EMSGSIZE: 11 });
    expect(sent).toMatchObject({ sentDatagrams: 1222, sendDropped: 0, features: { segmentation: true } });
    expect(sent.sendStalls).toBeGreaterThan(0);
  });

  test("dgram says that it may be fragmented, and waits for a full queue without loss", async () => {
    const { sent, sizes } = await run("dgram");
    expect(sizes).toEqual({ 100: 1, 1400: 1200, 1472: 21, 1473: 1, 1500: 10 });
    expect(sent).toMatchObject({ sentDatagrams: 1233, sendDropped: 0, features: { dontFragment: false } });
    expect(sent.sendStalls).toBeGreaterThan(0);
  });
});
