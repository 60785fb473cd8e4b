import { EventEmitter } from "node:events";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { CarrierStream } from "../../src/proxy/carrier.ts";
import type { Address } from "../../src/transport/address.ts";
import type { DatagramFeed } from "../../src/transport/session/datagram-sender.ts";
import { IpPacket } from "../../src/tun/index.ts";
import { parseNetwork } from "../../src/tun/network.ts";
import type { TunPort } from "../../src/tunnel/tun-port.ts";
import { parseTunnelRule, TunnelRules } from "../../src/tunnel/tunnel-rules.ts";
import { TunnelServer } from "../../src/tunnel/tunnel-server.ts";
import { silentLog } from "../proxy/local.ts";
import { counting, tcpPacket, udpPacket } from "../tun/packets.ts";

const own = [parseNetwork("10.0.0.254/24", "own"), parseNetwork("fd00::fe/64", "own")];
class FakePort {
  readonly addresses = own;
  written: Uint8Array[] = [];
  readonly routes = new Set<string>();
  onPacket: (packet: Uint8Array, follows?: boolean) => void = () => {};
  onTrain: (train: Uint8Array, segmentBytes: number) => boolean = () => false;
  onBatchEnd: () => void = () => {};
  errorSource = (length: number) => own.find(({ address }) => address.length === length)!.address;
  isGone = false;
  readonly drops = { EIO: 2, malformed: 1 };
  write(packet: Uint8Array): boolean {
    if (!this.isGone) this.written.push(packet.slice());
    return !this.isGone;
  }
  readonly trains: Uint8Array[] = [];
  writeTrain(train: Uint8Array): boolean {
    if (!this.isGone) this.trains.push(train.slice());
    return !this.isGone;
  }
  setMtu = () => {};
  addRoute = ({ text }: { text: string }) => this.routes.add(text);
  removeRoute = ({ text }: { text: string }) => this.routes.delete(text);
}

/** A client's session, from the server's side. */
class FakeCarrier {
  readonly #peer;
  /** How often it was looked at where the client is. */
  looks = 0;
  datagramFeed: DatagramFeed | null = null;
  datagramSink: ((data: Uint8Array) => boolean) | null = null;
  readonly packetDatagramBytes = 1400;
  readonly rttMs = 20;
  woken = 0;

  constructor(commonName: string, address: Address) {
    this.#peer = { identity: { commonName, subjectAltNames: [] }, address };
  }

  get peer() {
    this.looks++;
    return this.#peer;
  }

  wakeFeed(): void {
    this.woken++;
  }

  sequence = 0;

  /** What the client would get, without what stands before a packet. */
  take(): Uint8Array[] {
    return this.takeRaw().map((data) => data.subarray([1, 7, 4][data[1]] ?? 1));
  }

  takeRaw(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    const feed = this.datagramFeed;
    for (let bytes = feed?.next(0, ROOM) ?? 0; bytes > 0; bytes = feed!.next(0, ROOM)) {
      const data = new Uint8Array(bytes);
      feed!.take(data, 0, bytes);
      packets.push(data);
    }
    return packets;
  }

  send(packet: Uint8Array): void {
    expect(this.datagramSink!(Uint8Array.from([STREAM, ...packet]))).toBe(true);
  }
}

class FakeStream extends EventEmitter {
  readonly id = STREAM;
  destroyed = false;
  reset(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

const STREAM = 4;
const ROOM = 1400;

let server: TunnelServer;
afterEach(() => {
  server.close();
  vi.useRealTimers();
});

function rulesOf(...texts: string[]): TunnelRules {
  return new TunnelRules(
    texts.map((text) => parseTunnelRule(text)!),
    own,
  );
}

function setUp(clientToClient = false, more: string[] = [], mtu: number | undefined = undefined) {
  const port = new FakePort();
  const rules = rulesOf("*=tun", "edge-1=tun:192.168.7.0/24", ...more);
  server = new TunnelServer({ port: port as unknown as TunPort, rules, clientToClient, mtu, log: silentLog });
  const open = (
    name: string,
    addresses: string[],
    routes: string[] = [],
    from = "192.0.2.1",
    isReset = false,
    trains?: true,
  ) => {
    const carrier = new FakeCarrier(name, { ip: from, port: 5001 });
    const stream = new FakeStream();
    stream.destroyed = isReset;
    const answer = server.open(
      carrier,
      { type: "tunnel", addresses, routes, ...(trains && { trains }) },
      stream as unknown as CarrierStream,
      () => {},
    );
    return { carrier, stream, answer };
  };
  /** A client that takes trains. */
  const openNew = (name: string, address: string) => open(name, [address], [], undefined, false, true);
  return { port, open, openNew };
}

describe("a tunnel's server", () => {
  test("has the parts of a train go where the first went, or nowhere", () => {
    const { port, open } = setUp();
    const { carrier } = open("edge-1", ["10.0.0.1/24"]);
    const parts = [0, 1, 2].map((i) => tcpPacket(counting(9, i), { from: 254, to: 1, sequence: 9 * i }));
    for (const [i, part] of parts.entries()) port.onPacket(part, i > 0);
    expect(carrier.take()).toEqual(parts);
    for (const i of [0, 1, 2]) port.onPacket(tcpPacket(counting(9), { from: 254, to: 9 }), i > 0);
    expect(server.drops.counts.noRoute).toBe(3);
    expect(carrier.take()).toEqual([]);
  });

  test("hands trains whole to who takes them, has them cut for others, and takes none with a foreign source", async () => {
    const { port, open, openNew } = setUp(true);
    const [old, one, two] = [
      open("edge-1", ["10.0.0.1"]),
      openNew("edge-2", "10.0.0.2"),
      openNew("edge-3", "10.0.0.3"),
    ];
    expect(one.answer).toMatchObject({ trains: true });
    const train = (from: number, to: number) => tcpPacket(counting(2500), { from, to, hopLimit: 9 });
    const turnEnds = () => new Promise((resolve) => setImmediate(resolve));
    expect(port.onTrain(train(254, 2), 1000)).toBe(true);
    expect(port.onTrain(train(254, 1), 1000)).toBe(false);
    expect(port.onTrain(train(254, 9), 1000)).toBe(false);
    expect(port.onTrain(udpPacket(counting(2500), { from: 254, to: 2 }), 1000)).toBe(false);
    // What one end hands out the other takes.
    const frames = one.carrier.takeRaw();
    expect(frames.map(({ length }) => length)).toEqual([ROOM, 1 + 8 + 40 + 1 + 6 + 2500 - ROOM]);
    expect(one.carrier.takeRaw()).toEqual([]);
    const pass = async (from: FakeCarrier, bytes: Uint8Array) => {
      const begin = Uint8Array.from([7, 0, 3, 0, 0, from.sequence++, 0x03, 0xe8]);
      from.send(Uint8Array.from([...begin, ...bytes]));
      await turnEnds();
    };
    await pass(one.carrier, train(2, 254));
    await pass(one.carrier, train(3, 254));
    await pass(two.carrier, train(3, 254));
    expect(port.trains.map((bytes) => bytes[15])).toEqual([2, 3]);
    // Each of its segments is a packet that did not pass.
    expect(server.drops.counts.spoofed).toBe(3);
    await pass(one.carrier, train(2, 3));
    expect(two.carrier.takeRaw().length).toBe(2);
    await pass(one.carrier, train(2, 1));
    const cut = old.carrier.take();
    expect(cut).toEqual(
      [0, 1000, 2000].map((at) =>
        tcpPacket(counting(2500).subarray(at, at + 1000), {
          ...{ from: 2, to: 1, hopLimit: 8, sequence: at, identification: at / 1000 },
        }),
      ),
    );
    // As long as its longest segment.
    const answers = port.written.length;
    expect(port.onTrain(train(254, 2), 1399)).toBe(true);
    expect(server.drops.counts.tooBig).toBe(2);
    expect(port.written.length).toBe(answers + 1);
  });

  test("hands packets to who has their destination, and takes only those with a source of their sender's", () => {
    const { port, open } = setUp();
    const first = open("edge-1", ["10.0.0.1/24", "fd00::1"], ["192.168.7.0/24"]);
    const second = open("edge-2", ["10.0.0.2"]);
    expect(first.answer).toMatchObject({ address: "10.0.0.1/32, fd00::1/128, 192.168.7.0/24" });
    expect(port.routes).toEqual(new Set(["192.168.7.0/24"]));
    port.onPacket(udpPacket(counting(9), { from: 254, to: 2 }));
    port.onPacket(tcpPacket(counting(9), { from: 254, to: 1 }));
    expect(first.carrier.take()).toEqual([tcpPacket(counting(9), { from: 254, to: 1 })]);
    expect(second.carrier.take()).toEqual([udpPacket(counting(9), { from: 254, to: 2 })]);

    first.carrier.send(udpPacket(counting(5), { from: 1, to: 254 }));
    second.carrier.send(udpPacket(counting(5), { from: 1, to: 254 }));
    second.carrier.send(udpPacket(counting(5), { from: 77, to: 254 }));
    expect(port.written).toEqual([udpPacket(counting(5), { from: 1, to: 254 })]);
    expect(server.drops.counts.spoofed).toBe(2);
  });

  test("stays where its own addresses lead, though a network of a client's contains them", () => {
    const { port, open } = setUp(false, ["*=tun:10.0.0.0/24"]);
    const gate = open("gate", ["10.0.0.1"], ["10.0.0.0/24"]);
    const other = open("edge-2", ["10.0.0.2"]);
    other.carrier.send(udpPacket(counting(5), { from: 2, to: 254 }));
    gate.carrier.send(udpPacket(counting(5), { from: 77, to: 254 }));
    expect(port.written.length).toBe(2);
    gate.carrier.send(udpPacket(counting(5), { from: 254, to: 9 }));
    gate.carrier.send(udpPacket(counting(5), { from: 254, to: 254 }));
    expect(server.drops.counts.spoofed).toBe(2);
    port.onPacket(udpPacket(counting(5), { from: 254, to: 77 }));
    expect(gate.carrier.take().length).toBe(1);
  });

  test("refuses a network that a session comes from: what carries the tunnel would go into it", () => {
    const { port, open } = setUp(false, ["gate=tun:0.0.0.0/0", "gate=tun:::/0", "*=tun:198.51.100.0/24"]);
    const loops = { reason: "not-allowed", message: expect.stringContaining("would go into the tunnel") };
    expect(open("gate", ["10.0.0.1"], ["0.0.0.0/0"], "::ffff:192.0.2.7").answer).toEqual(loops);
    expect(open("gate", ["10.0.0.1"], ["::/0"]).answer).not.toHaveProperty("reason");
    open("edge-2", ["10.0.0.2"], [], "198.51.100.9");
    expect(open("edge-3", ["10.0.0.3"], ["198.51.100.0/24"]).answer).toEqual(loops);
    expect(open("edge-1", ["10.0.0.4"], ["192.168.7.0/24"], "192.168.7.9").answer).toEqual(loops);
    expect(port.routes).toEqual(new Set(["::/0"]));
  });

  test("looks at no other session for one that opens, unless networks are routed to it", () => {
    const { open } = setUp();
    const { carrier } = open("edge-2", ["10.0.0.2"]);
    const { looks } = carrier;
    open("edge-3", ["10.0.0.3"]);
    expect(carrier.looks).toBe(looks);
    open("edge-1", ["10.0.0.1"], ["192.168.7.0/24"]);
    expect(carrier.looks).toBeGreaterThan(looks);
  });

  test("drops the packets of a session itself, by whatever it travels", () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    // As after a change of the client's path.
    for (const [carrier, packet] of [
      [undefined, udpPacket(counting(9), { from: 254, to: 1 })],
      [3, tcpPacket(counting(9), { from: 254, to: 1 })],
    ] as const) {
      const { port, open } = setUp();
      const { carrier: session } = open("edge-1", ["10.0.0.1"]);
      const target = { ip: "10.0.0.1", port: (packet[22] << 8) | packet[23] };
      session.peer.address = carrier === undefined ? target : { ...target, carrier };
      vi.advanceTimersByTime(250);
      port.onPacket(packet);
      expect(server.drops.counts.loop).toBe(1);
      session.peer.address = { ...target, port: 9 };
      vi.advanceTimersByTime(250);
      port.onPacket(packet);
      expect(session.take()).toEqual([packet]);
      server.close();
    }
  });

  test("refuses an address that another name has, and gives it to the same name that comes back", () => {
    const { port, open } = setUp();
    const first = open("edge-1", ["10.0.0.1"], ["192.168.7.0/24"]);
    expect(open("edge-2", ["10.0.0.1"]).answer).toEqual({
      reason: "in-use",
      message: "10.0.0.1/32 is in use by edge-1",
    });
    const again = open("edge-1", ["10.0.0.1"]);
    expect(again.answer).toMatchObject({ address: "10.0.0.1/32" });
    expect(first.stream.destroyed).toBe(true);
    expect(first.carrier.datagramFeed).toBeNull();
    expect(port.routes.size).toBe(0);
    again.stream.emit("close");
    expect(server.clients).toBe(0);
    expect(open("edge-2", ["10.0.0.1"]).answer).toMatchObject({ address: "10.0.0.1/32" });
    expect(open("edge-3", ["10.0.0"]).answer).toMatchObject({ reason: "malformed" });
    expect(open("edge-3", []).answer).toMatchObject({ reason: "malformed" });
  });

  test("refuses a part of what another name has, and what contains it, unless the rules give the part to someone", () => {
    const { open } = setUp(false, ["*=tun:192.168.0.0/16", "gate=tun:0.0.0.0/0"]);
    const inUse = { reason: "in-use", message: "192.168.8.0/24 is in use by edge-2" };
    open("edge-2", ["10.0.0.2"], ["192.168.8.0/24"]);
    expect(open("edge-3", ["192.168.8.5"]).answer).toEqual(inUse);
    expect(open("edge-3", ["10.0.0.3"], ["192.168.8.128/25"]).answer).toEqual(inUse);
    expect(open("edge-3", ["10.0.0.3"], ["192.168.0.0/16"]).answer).toEqual(inUse);
    expect(open("edge-2", ["192.168.8.5"]).answer).not.toHaveProperty("reason");
    expect(open("edge-3", ["10.0.0.3"], ["192.168.9.0/24"]).answer).not.toHaveProperty("reason");
    expect(open("edge-1", ["10.0.0.1"], ["192.168.7.0/24"]).answer).not.toHaveProperty("reason");
    expect(open("gate", ["10.0.0.4"], ["0.0.0.0/1"], "198.51.100.1").answer).not.toHaveProperty("reason");
    expect(open("edge-4", ["10.0.0.5"], ["192.168.10.0/24"]).answer).not.toHaveProperty("reason");
  });

  test("lets whoever other rules no longer allow what it has go, and nobody else", () => {
    const { port, open } = setUp();
    const first = open("edge-1", ["10.0.0.1"], ["192.168.7.0/24"]);
    const second = open("edge-2", ["10.0.0.2"]);
    const third = open("edge-3", ["10.0.0.3"]);
    server.permit(rulesOf("edge-1=tun", "edge-2=tun", "edge-9=tun:10.0.0.2", "edge-3=tun:10.0.0.3"));
    expect([first, second, third].map(({ stream }) => stream.destroyed)).toEqual([true, true, false]);
    expect(port.routes.size).toBe(0);
    expect(open("edge-1", ["10.0.0.1"], ["192.168.7.0/24"]).answer).toMatchObject({ reason: "not-allowed" });
    expect(open("edge-1", ["10.0.0.1"]).answer).toMatchObject({ address: "10.0.0.1/32" });
    expect(open("edge-9", ["10.0.0.2"]).answer).toMatchObject({ address: "10.0.0.2/32" });
  });

  test("lets no name have more than 64 addresses and networks, over all its sessions", () => {
    const { open } = setUp();
    const hosts = (from: number, count: number) => Array.from({ length: count }, (_, i) => `10.0.0.${from + i}`);
    expect(open("edge-1", hosts(1, 40)).answer).not.toHaveProperty("reason");
    expect(open("edge-1", hosts(41, 25)).answer).toEqual({
      reason: "over-quota",
      message: "edge-1 would have 65 addresses and networks, the server lets one identity have 64",
    });
    expect(open("edge-1", hosts(41, 24)).answer).not.toHaveProperty("reason");
    expect(open("edge-2", ["10.0.0.200"]).answer).not.toHaveProperty("reason");
    // What is taken over counts once, and a refused request takes nothing over.
    expect(open("edge-1", [...hosts(1, 40), "10.0.0.201"]).answer).toMatchObject({ reason: "over-quota" });
    expect(server.clients).toBe(3);
    expect(open("edge-1", hosts(1, 39)).answer).not.toHaveProperty("reason");
    expect(open("edge-1", ["10.0.0.201"]).answer).not.toHaveProperty("reason");
  });

  test("keeps clients apart, and tells them; or joins them, a hop further", () => {
    for (const joined of [false, true]) {
      const { open } = setUp(joined);
      const [first, second] = [open("edge-1", ["10.0.0.1"]), open("edge-2", ["10.0.0.2"])];
      first.carrier.send(udpPacket(counting(5), { from: 1, to: 2, hopLimit: 9 }));
      first.carrier.send(udpPacket(counting(5), { from: 1, to: 2, hopLimit: 1 }));
      const [passed, more] = second.carrier.take();
      const errors = first.carrier.take().map((packet) => packet[20]);
      expect(more).toBeUndefined();
      if (joined) expect(passed).toEqual(udpPacket(counting(5), { from: 1, to: 2, hopLimit: 8 }));
      else expect(passed).toBeUndefined();
      expect(errors).toEqual(joined ? [11] : [3, 3]);
      server.close();
    }
  });

  test("answers what is too long and may not be fragmented, carries what may be, and knows who is not there", () => {
    const { port, open } = setUp();
    const { carrier } = open("edge-1", ["10.0.0.1"]);
    const ip = new IpPacket();
    port.onPacket(udpPacket(counting(1400), { from: 254, to: 1, dontFragment: true }));
    port.onPacket(udpPacket(counting(1400), { from: 254, to: 1, dontFragment: false }));
    port.onPacket(udpPacket(counting(10), { from: 254, to: 9 }));
    expect(carrier.take().map(({ length }) => length)).toEqual([1428]);
    expect(port.written.map((packet) => [ip.parse(packet), packet[20], packet[21], packet[27]])).toEqual([
      [true, 3, 4, (1400 - 7) & 0xff],
      [true, 3, 1, 0],
    ]);
    // From where the packets went to: of what bears its own address the kernel takes nothing.
    expect(port.written.map((packet) => [...packet.subarray(12, 16)])).toEqual([
      [10, 0, 0, 1],
      [10, 0, 0, 9],
    ]);
    expect(server.drops.counts).toMatchObject({ tooBig: 1, noRoute: 1 });
  });

  test("tells this machine and each client their errors, however many another causes", () => {
    const { port, open } = setUp();
    const [first, second] = [open("edge-1", ["10.0.0.1"]), open("edge-2", ["10.0.0.2"])];
    for (let i = 0; i < 1000; i++) first.carrier.send(udpPacket(counting(5), { from: 1, to: 2 }));
    second.carrier.send(udpPacket(counting(5), { from: 2, to: 1 }));
    port.onPacket(udpPacket(counting(1400), { from: 254, to: 1, dontFragment: true }));
    expect(first.carrier.take().length).toBeLessThan(1000);
    expect(second.carrier.take().length).toBe(1);
    expect(port.written.length).toBe(1);
  });

  test("tells what is too long however many packets go nowhere, or must not be answered", () => {
    const { port, open } = setUp();
    open("edge-1", ["10.0.0.1"]);
    const tooLong = udpPacket(counting(1400), { from: 254, to: 1, dontFragment: true });
    const isTooBig = (packet: Uint8Array) => packet[20] === 3 && packet[21] === 4;
    for (let i = 0; i < 1000; i++) port.onPacket(udpPacket(counting(5), { from: 254, to: 9 }));
    expect(port.written.length).toBeLessThan(1000);
    port.onPacket(tooLong);
    expect(port.written.filter(isTooBig)).toHaveLength(1);
    // Part of a datagram, other than the first.
    const part = tooLong.slice();
    part[7] = 1;
    for (let i = 0; i < 1000; i++) port.onPacket(part);
    port.onPacket(tooLong);
    expect(port.written.filter(isTooBig)).toHaveLength(2);
  });

  test("counts what passed and what did not, of clients that are gone too", () => {
    const { port, open } = setUp();
    const first = open("edge-1", ["10.0.0.1"]);
    first.carrier.send(udpPacket(counting(5), { from: 1, to: 254 }));
    port.onPacket(udpPacket(counting(5), { from: 254, to: 1 }));
    first.carrier.take();
    first.stream.emit("close");
    const second = open("edge-2", ["10.0.0.2"]);
    port.isGone = true;
    second.carrier.send(udpPacket(counting(5), { from: 2, to: 254 }));
    second.carrier.send(Uint8Array.from([9]));
    const { dropped, ...passed } = server.counter.read();
    expect(passed).toEqual({ sentPackets: 1, sentBytes: 33, receivedPackets: 2, receivedBytes: 66 });
    expect(dropped).toMatchObject({ noDevice: 1, malformed: 2, EIO: 2, overflowed: 0 });
  });

  test("keeps to an MTU that was set, also where the path has a longer one", () => {
    const { port, open } = setUp(false, [], 1300);
    const { carrier } = open("edge-1", ["10.0.0.1"]);
    const segmentSize = Uint8Array.from([2, 4, 1460 >> 8, 1460 & 0xff]);
    port.onPacket(udpPacket(counting(1300), { from: 254, to: 1, dontFragment: true }));
    expect(port.written.map((packet) => (packet[26] << 8) | packet[27])).toEqual([1300]);
    port.onPacket(tcpPacket(counting(0), { from: 254, to: 1, flags: 2, options: segmentSize }));
    carrier.send(tcpPacket(counting(0), { from: 1, to: 254, flags: 2, options: segmentSize }));
    for (const packet of [carrier.take()[0], port.written[1]]) {
      expect((packet[42] << 8) | packet[43]).toBe(1300 - 40);
    }
  });

  test("takes no request whose stream is over already", () => {
    const { open } = setUp();
    expect(open("edge-1", ["10.0.0.1"], [], undefined, true).answer).toMatchObject({ reason: "unavailable" });
    expect(server.clients).toBe(0);
    expect(open("edge-2", ["10.0.0.1"]).answer).toMatchObject({ address: "10.0.0.1/32" });
  });

  test("drops and counts whatever else comes, from inside and outside, and never fails", () => {
    const { port, open } = setUp(true);
    const { carrier } = open("edge-1", ["10.0.0.1"]);
    open("edge-2", ["10.0.0.2"]);
    const valid = [udpPacket(counting(40), { from: 1, to: 2 }), tcpPacket(counting(4), { from: 1, to: 254, flags: 2 })];
    const packet = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc
        .record({ base: fc.constantFrom(...valid), at: fc.nat(60), byte: fc.nat(255), end: fc.nat(80) })
        .map(({ base, at, byte, end }) => {
          const bytes = base.slice(0, Math.max(1, end));
          bytes[at % bytes.length] = byte;
          return bytes;
        }),
    );
    fc.assert(
      fc.property(packet, (bytes) => {
        const before = bytes.slice();
        carrier.send(bytes);
        expect(bytes).toEqual(before);
        port.onPacket(bytes);
      }),
      { numRuns: 2000 },
    );
    expect(server.drops.counts.malformed).toBeGreaterThan(100);
    expect(server.drops.counts.spoofed).toBeGreaterThan(10);
  });
});
