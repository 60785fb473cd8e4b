/** A tunnel's client without an interface, its server played by the test. */
import { performance } from "node:perf_hooks";
import { Duplex } from "node:stream";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import type { CarrierStream } from "../../src/proxy/carrier.ts";
import { encodeAnswer } from "../../src/proxy/open-header.ts";
import type { Address } from "../../src/transport/address.ts";
import type { DatagramFeed } from "../../src/transport/session/datagram-sender.ts";
import { parseNetwork } from "../../src/tun/network.ts";
import type { TunPort } from "../../src/tunnel/tun-port.ts";
import { type TunnelCarrier, TunnelClient } from "../../src/tunnel/tunnel-client.ts";
import { silentLog } from "../proxy/local.ts";
import { counting, udpPacket } from "../tun/packets.ts";

const own = [parseNetwork("10.0.0.1/24", "own")];

class FakePort {
  readonly name = "bats0";
  readonly addresses = own;
  readonly drops = {};
  onPacket: (packet: Uint8Array, follows: boolean) => void = () => {};
  onBatchEnd: () => void = () => {};
  errorSource = () => null;
  write = () => true;
  setMtu = () => {};
}

/** A session whose server grants each request. */
class FakeCarrier implements TunnelCarrier {
  readonly peer: { address: Address } = { address: { ip: "192.0.2.1", port: 53 } };
  readonly closed = false;
  datagramFeed: DatagramFeed | null = null;
  datagramSink: TunnelCarrier["datagramSink"] = null;
  readonly packetDatagramBytes = 1400;
  readonly rttMs = 20;
  readonly streams: Duplex[] = [];
  answer: Uint8Array = encodeAnswer({ type: "done", address: "10.0.0.1/32" });

  wakeFeed(): void {}

  openStream(): CarrierStream {
    const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
    stream.push(this.answer);
    this.streams.push(stream);
    return Object.assign(stream, { id: 4 }) as unknown as CarrierStream;
  }
}

function setUp(answer?: Uint8Array) {
  const port = new FakePort();
  const carrier = new FakeCarrier();
  if (answer !== undefined) carrier.answer = answer;
  const warnings: string[] = [];
  let granted = 0;
  const client = new TunnelClient({
    port: port as unknown as TunPort,
    routes: [],
    mtu: undefined,
    log: { ...silentLog, warn: (_: object, text: string) => warnings.push(text) },
    onGranted: () => granted++,
  });
  onTestFinished(() => client.close());
  void client.attach(carrier, () => {});
  return { port, carrier, client, warnings, grants: () => granted };
}

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe("a tunnel's client", () => {
  test("says so when it cannot read the server's answer, and leaves no stream open", async () => {
    // A field that must be understood, of a later version.
    const { carrier, warnings, grants } = setUp(Uint8Array.from([0x20, 3, 0x21, 1, 0]));
    await vi.waitFor(() => expect(carrier.streams[0].destroyed).toBe(true));
    expect(warnings).toEqual([expect.stringMatching(/no tunnel: the peer does not speak this version of forwarding/)]);
    expect(grants()).toBe(0);
  });

  test("asks ever more seldom for a tunnel that is taken from it at once, and soon again for one that held", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
    let nowMs = 0;
    vi.spyOn(performance, "now").mockImplementation(() => nowMs);
    const { carrier, grants } = setUp();
    const turns = async () => {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    /** Seconds until it has the tunnel again when that is taken from it. */
    const pauseSeconds = async (): Promise<number> => {
      await turns();
      const count = grants();
      expect(count).toBe(carrier.streams.length);
      carrier.streams.at(-1)!.destroy();
      for (let seconds = 0; seconds < 100; seconds++) {
        await turns();
        if (grants() > count) return seconds;
        await vi.advanceTimersByTimeAsync(1000);
      }
      return Number.NaN;
    };
    expect(await pauseSeconds()).toBe(1);
    expect(await pauseSeconds()).toBe(2);
    expect(await pauseSeconds()).toBe(4);
    nowMs += 3_600_000;
    expect(await pauseSeconds()).toBe(1);
  });

  test("keeps packets to where the session's server is now out of the tunnel", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    const { port, carrier, client, grants } = setUp();
    await vi.waitUntil(() => grants() === 1);
    const packet = udpPacket(counting(5), { from: 1, to: 77 });
    port.onPacket(packet, false);
    expect(client.drops.counts.loop).toBe(0);
    carrier.peer.address = { ip: "10.0.0.77", port: 53 };
    vi.advanceTimersByTime(1000);
    port.onPacket(packet, false);
    expect(client.drops.counts.loop).toBe(1);
  });
});
