import { afterEach, describe, expect, test } from "vitest";
import type { DatagramFeed } from "../../src/transport/session/datagram-sender.ts";
import { IpPacket } from "../../src/tun/index.ts";
import { PacketPool } from "../../src/tunnel/fair-queue.ts";
import { type PacketCarrier, PacketPath } from "../../src/tunnel/packet-path.ts";
import { counting, tcpPacket, udpPacket } from "../tun/packets.ts";

class FakeCarrier implements PacketCarrier {
  datagramFeed: DatagramFeed | null = null;
  datagramSink: ((data: Uint8Array) => boolean) | null = null;
  readonly packetDatagramBytes = 1400;
  readonly rttMs = 50;
  wakeFeed(): void {}

  /** The next datagram at a time, or null. */
  take(nowMs: number): Uint8Array | null {
    const bytes = this.datagramFeed!.next(nowMs);
    if (bytes === 0) return null;
    const data = new Uint8Array(bytes);
    this.datagramFeed!.take(data, 0);
    return data;
  }
}

const paths: PacketPath[] = [];
afterEach(() => {
  for (const path of paths.splice(0)) path.close();
});

/** One end of a tunnel, and what it releases. */
function end(stream = 100) {
  const carrier = new FakeCarrier();
  const released: Uint8Array[] = [];
  const path = new PacketPath(carrier, stream, new PacketPool(), (packet) => released.push(packet.slice()));
  paths.push(path);
  const ip = new IpPacket();
  const send = (packet: Uint8Array) => {
    expect(ip.parse(packet)).toBe(true);
    path.send(packet, ip, 0);
  };
  return { carrier, path, released, send };
}

function tcp(sequence: number): Uint8Array {
  return tcpPacket(counting(1000, sequence), { sequence });
}

describe("a tunnel's path", () => {
  test("releases TCP's data in the order they were sent, whatever came of the way, and the rest at once", () => {
    const [from, to] = [end(), end()];
    const packets = [0, 1, 2, 3].map(tcp);
    const ping = udpPacket(counting(600));
    for (const packet of packets) from.send(packet);
    from.send(ping);
    const datagrams: Uint8Array[] = [];
    for (let data = from.carrier.take(1); data !== null; data = from.carrier.take(1)) datagrams.push(data);
    expect(datagrams.length).toBe(5);
    for (const data of datagrams.toReversed()) expect(to.carrier.datagramSink!(data)).toBe(true);
    expect(to.released.map(({ length }) => length)).toEqual([628, 1040, 1040, 1040, 1040]);
    expect(to.released.slice(1)).toEqual(packets);
  });

  test("sends small packets of sparse flows twice while others wait, a little apart, and releases them once", () => {
    const [from, to] = [end(), end()];
    const ping = udpPacket(counting(56), { from: 9 });
    from.send(ping);
    const alone = from.carrier.take(0)!;
    expect(alone.length).toBe(2 + ping.length);
    for (let i = 0; i < 40; i++) from.send(tcp(i));
    from.send(ping);
    const times: number[] = [];
    for (let ms = 0; ms < 30; ms++) {
      const data = from.carrier.take(ms);
      if (data === null) break;
      if (data.length < 200) times.push(ms);
      to.carrier.datagramSink!(data);
    }
    expect(times.length).toBe(2);
    expect(times[1] - times[0]).toBeGreaterThanOrEqual(5);
    expect(to.released.filter(({ length }) => length < 200)).toEqual([ping]);
    expect(from.path.counts.sentTwice).toBe(1);
  });

  test("leaves other streams' datagrams alone, counts what it cannot read, and takes nothing once it is closed", () => {
    const { carrier, path, released } = end();
    const sink = carrier.datagramSink!;
    expect(sink(Uint8Array.from([7, 0x45]))).toBe(false);
    expect(sink(new Uint8Array(0))).toBe(false);
    for (const bytes of [[], [0], [1], [1, 0, 0, 0, 0, 0], [2, 0, 0], [0xff, 1], [1, 4, 0, 0, 0, 0, 0x45]]) {
      expect(sink(Uint8Array.from([0x40, 100, ...bytes]))).toBe(true);
    }
    expect(path.counts.malformed).toBe(7);
    path.close();
    expect(carrier.datagramFeed).toBeNull();
    expect(sink(Uint8Array.from([0x40, 100, ...udpPacket(counting(3))]))).toBe(false);
    expect(released).toEqual([]);
  });
});
