// The bytes of the link layer: golden packets, and parsers that take anything.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "../../src/simulator/index.ts";
import { AckTracker, REPORTS } from "../../src/transport/link/ack-tracker.ts";
import type { LinkKeys } from "../../src/transport/link/aead.ts";
import { decodeNewId, encodeNewId, encodeRecord, RecordReader } from "../../src/transport/link/control-records.ts";
import {
  FRAME_ACK,
  FRAME_ACK_ECN,
  FRAME_CLOSE,
  FRAME_CONTROL,
  FrameReader,
  NO_MORE_FRAMES,
  writeAckFrequency,
  writeClose,
  writeControlHeader,
  writeExtension,
} from "../../src/transport/link/frames.ts";
import type { Handshake } from "../../src/transport/link/handshake.ts";
import {
  PacketHeader,
  StandInHandshake,
  standInKeys,
  standInProtection,
  statelessReset,
  VERSION,
  versionNegotiation,
} from "../../src/transport/link/index.ts";
import { writeHandshakeHeader, writeRetryHeader, writeShortHeader } from "../../src/transport/link/packet-header.ts";
import {
  decodePacketNumber,
  packetNumberBytes,
  readPacketNumber,
  writePacketNumber,
} from "../../src/transport/link/packet-number.ts";
import { decodeParameters, encodeParameters } from "../../src/transport/link/parameters.ts";
import { REPLAY_WINDOW, ReplayWindow } from "../../src/transport/link/replay-window.ts";
import { readVarint, varintBytes, varintLengthAt, writeVarint } from "../../src/transport/link/varint.ts";
import { createClient, createPair, createTransmit } from "./harness.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const id = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const CLIENT_ID = id("c1c2c3c4c5c6c7c8");
const SERVER_ID = id("5152535455565758");

describe("golden packets", () => {
  test("a handshake packet: PING, padded by hand to 4 bytes", () => {
    const out = new Uint8Array(128);
    let at = writeHandshakeHeader(out, 0, SERVER_ID, CLIENT_ID, id("7a7a"), 2);
    at = writePacketNumber(out, at, 0x0102, 2);
    const headerEnd = at;
    out.set([1, 0, 0, 0], at);
    standInProtection.handshakeKeys(SERVER_ID, "client").sealer.seal(out, 0, headerEnd, at + 4, 0x0102);
    expect(hex(out.subarray(0, at + 20))).toBe(
      "c142415401085152535455565758" +
        "08c1c2c3c4c5c6c7c8" +
        "027a7a" +
        "0102" +
        "01000000" +
        "5ea2b06da14baba0fae31d6110cff561",
    );
  });

  test("a short packet: session bytes, key phase 1, packet number 7", () => {
    const out = new Uint8Array(64);
    let at = writeShortHeader(out, 0, SERVER_ID, 1, 1);
    at = writePacketNumber(out, at, 7, 1);
    const headerEnd = at;
    out.set([0x0a, 0xde, 0xad, 0xbe, 0xef], at);
    at += 5;
    standInKeys(id("00ff"), "client").sealer.seal(out, 0, headerEnd, at, 7);
    expect(hex(out.subarray(0, at + 16))).toBe(
      "44515253545556575807" + "0adeadbeef" + "1ad2481a714728534a4917c7244d5ab8",
    );
    expect(standInKeys(id("00ff"), "server").opener.open(out.slice(0, at + 16), headerEnd, 7)).toBe(true);
    expect(standInKeys(id("00ff"), "server").opener.open(out.slice(0, at + 16), headerEnd, 8)).toBe(false);
  });

  test("version negotiation, retry and stateless reset", () => {
    expect(hex(versionNegotiation(CLIENT_ID, SERVER_ID, [VERSION, 0x1a2a3a4a]))).toBe(
      "c00000000008c1c2c3c4c5c6c7c8085152535455565758424154011a2a3a4a",
    );
    const out = new Uint8Array(64);
    const end = writeRetryHeader(out, 0, CLIENT_ID, SERVER_ID, id("aabb"));
    expect(hex(out.subarray(0, end))).toBe("d04241540108c1c2c3c4c5c6c7c808515253545556575802aabb00");
    const token = new Uint8Array(16).fill(0x77);
    expect(hex(statelessReset(token, 60, id("0102"))!)).toBe(`41${"0201".repeat(12)}02${"77".repeat(16)}`);
  });

  test("frames", () => {
    const out = new Uint8Array(64);
    const tracker = new AckTracker();
    for (const n of [1, 2, 3, 5, 9, 10]) tracker.add(n, 0, 100);
    // Largest 10, 2 ms = 250 units of 8 us, 2 more ranges; 2 packets, gap 2, 1 packet, gap 0, 3 packets.
    expect(hex(out.subarray(0, tracker.write(out, 0, 64, 102)))).toBe("020a40fa020102000002");
    tracker.add(11, 2, 104);
    tracker.add(12, 3, 104);
    expect(hex(out.subarray(0, tracker.write(out, 0, 64, 104)))).toBe("030c00020302000002010001");
    expect(hex(out.subarray(0, writeControlHeader(out, 0, 5, 3, 4, 900)))).toBe("04050304" + "4384");
    expect(hex(out.subarray(0, writeClose(out, 0, 0x123, id("6279"))))).toBe("074123026279");
    expect(hex(out.subarray(0, writeAckFrequency(out, 0, 1, 16, 12.5)))).toBe("080110" + "70d4");
    expect(hex(out.subarray(0, writeExtension(out, 0, 0x40, id("ff"))))).toBe("404001ff");
  });

  test("control records and parameters", () => {
    expect(hex(encodeRecord(0, id("1603")))).toBe("00021603");
    expect(hex(encodeNewId(1, CLIENT_ID, new Uint8Array(16).fill(0x77)))).toBe(
      `021a0108c1c2c3c4c5c6c7c8${"77".repeat(16)}`,
    );
    const parameters = {
      idleTimeoutMs: 30_000,
      maxDatagramBytes: 1472,
      ackDelayMs: 25,
      resetToken: null,
      session: id("0102"),
    };
    expect(hex(encodeParameters(parameters))).toBe("010480007530" + "020245c0" + "030119" + "05020102" + "1b00");
    expect(decodeParameters(encodeParameters(parameters))).toEqual(parameters);
  });

  test("the first datagram of a client", () => {
    const client = createClient({ ip: "10.0.0.2", port: 1 });
    const out = createTransmit();
    client.pollTransmit(out, 0);
    expect(out.length).toBe(1200);
    expect(hex(out.buffer.subarray(0, 64))).toBe(
      "c04241540108959974484e7812270881d8a6c4cb0ab72c00" +
        "00" +
        "0400010041b8" +
        "010f01048001d4c0020245c00301191b00" +
        "0041a4010001a08e6ef9e9df5a9f4884",
    );
    expect(hex(out.buffer.subarray(1184, 1200))).toBe("ab4e490fe07552ef6d38c442ac6c5166");
    client.destroy(0);
  });
});

describe("varints and packet numbers", () => {
  test("varints come back as they went, whatever the value", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(70_000), fc.nat(), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER)),
        (value) => {
          const bytes = new Uint8Array(10);
          const end = writeVarint(bytes, 1, value);
          expect(end - 1).toBe(varintBytes(value));
          expect(varintLengthAt(bytes, 1)).toBe(varintBytes(value));
          expect(readVarint(bytes, 1, end)).toBe(value);
          expect(readVarint(bytes, 1, end - 1)).toBe(-1);
        },
      ),
    );
    expect(readVarint(new Uint8Array(8).fill(255), 0, 8)).toBe(-1);
  });

  test("a packet number is recovered by whoever has anything from the last acknowledged on", () => {
    // RFC 9000, appendix A.3.
    expect(decodePacketNumber(0xa82f30ea, 0x9b32, 2)).toBe(0xa82f9b32);
    expect(packetNumberBytes(0xac5c02, 0xabe8b3)).toBe(2);
    expect(packetNumberBytes(0xace8fe, 0xabe8b3)).toBe(3);
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.nat(2 ** 30), fc.nat(2 ** 30), (acked, ahead, behind) => {
        const packetNumber = acked + 1 + ahead;
        const largest = Math.min(packetNumber - 1, acked + behind);
        const length = packetNumberBytes(packetNumber, acked);
        const bytes = new Uint8Array(4);
        writePacketNumber(bytes, 0, packetNumber, length);
        expect(decodePacketNumber(largest, readPacketNumber(bytes, 0, length), length)).toBe(packetNumber);
      }),
    );
  });
});

describe("the replay window", () => {
  test("agrees with a set inside its width, and calls all older numbers seen", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(20_000)), { maxLength: 300 }), (steps) => {
        const window = new ReplayWindow();
        const marked = new Set<number>();
        let top = 0;
        for (const [kind, distance] of steps) {
          const n =
            kind === 0 ? top + distance : kind === 1 ? top + (distance % 40) : Math.max(0, top - (distance % 9000));
          const seen = marked.has(n) || n + REPLAY_WINDOW <= window.largest;
          expect(window.seen(n)).toBe(seen);
          if (seen) continue;
          window.mark(n);
          marked.add(n);
          top = Math.max(top, n);
          expect(window.seen(n)).toBe(true);
          expect(window.largest).toBe(top);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("the ACK tracker", () => {
  /** The numbers that an ACK frame names. */
  function named(bytes: Uint8Array, end: number): Set<number> {
    const reader = new FrameReader();
    expect(reader.open(bytes, 0, end)).toBe(null);
    const type = reader.next();
    expect([FRAME_ACK, FRAME_ACK_ECN]).toContain(type);
    const numbers = new Set<number>();
    while (reader.nextRange()) for (let n = reader.low; n <= reader.high; n++) numbers.add(n);
    expect(reader.next()).toBe(NO_MORE_FRAMES);
    return numbers;
  }

  test("names each packet in at least six frames unless confirmed, and never one that did not come", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("next", "gap", "late", "ack", "ack", "confirm"), fc.nat(30)), {
          maxLength: 200,
        }),
        (steps) => {
          const tracker = new AckTracker();
          const came = new Map<number, number>();
          const frames: Set<number>[] = [];
          const confirmed = new Set<number>();
          const bytes = new Uint8Array(1200);
          let top = -1;
          const ack = () => {
            const end = tracker.write(bytes, 0, 1200, 0);
            if (end === 0) return;
            const numbers = named(bytes, end);
            for (const n of numbers) {
              expect(came.has(n)).toBe(true);
              came.set(n, came.get(n)! + 1);
            }
            frames.push(numbers);
          };
          for (const [kind, amount] of steps) {
            if (kind === "ack") ack();
            else if (kind === "confirm") {
              if (frames.length === 0) continue;
              const frame = Math.max(0, frames.length - 1 - (amount % 8));
              for (const n of frames[frame]) confirmed.add(n);
              tracker.confirm(frame);
            } else {
              const n = kind === "next" ? top + 1 : kind === "gap" ? top + 2 + amount : Math.max(0, top - amount);
              if (came.has(n)) continue;
              came.set(n, 0);
              tracker.add(n, 0, 0);
              top = Math.max(top, n);
            }
          }
          for (let i = 0; i < REPORTS; i++) ack();
          for (const [n, times] of came) if (!confirmed.has(n)) expect(times).toBeGreaterThanOrEqual(REPORTS);
          // Then only the newest range is left.
          expect(tracker.ranges).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("names each packet in the next six frames, however many gaps there are and however late it came", () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.nat(),
          loss: fc.double({ min: 0, max: 0.5, noNaN: true }),
          lateShare: fc.double({ min: 0, max: 0.2, noNaN: true }),
          lateBy: fc.integer({ min: 1, max: 2000 }),
          perFrame: fc.integer({ min: 2, max: 64 }),
        }),
        ({ seed, loss, lateShare, lateBy, perFrame }) => {
          const random = new Random(seed);
          const arrivals: { n: number; at: number }[] = [];
          for (let n = 0; n < 4000; n++) {
            const at = n + (random.next() < lateShare ? lateBy * random.next() : 0);
            if (random.next() >= loss) arrivals.push({ n, at });
          }
          arrivals.sort((a, b) => a.at - b.at);
          const tracker = new AckTracker();
          const bytes = new Uint8Array(4000);
          /** Packets by how many frames may still have to name them. */
          const due: number[][] = [];
          for (let i = 0; i < arrivals.length; i += perFrame) {
            const came = arrivals.slice(i, i + perFrame).map(({ n }) => n);
            for (const n of came) tracker.add(n, 0, 0);
            due.unshift(came);
            due.length = Math.min(due.length, 6);
            const numbers = named(bytes, tracker.write(bytes, 0, 4000, 0));
            expect(due.flat().filter((n) => !numbers.has(n))).toEqual([]);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test("names at once what came while the host stood still, however many gaps that has", () => {
    const tracker = new AckTracker();
    const bytes = new Uint8Array(1400);
    for (let n = 0; n < 3000; n++) {
      if (n % 6 !== 0) tracker.add(n, 0, 0);
      // All goes well for a while, then nothing is told for the time of 1800 packets.
      if (n < 1200 && n % 64 === 63) tracker.write(bytes, 0, 1400, 0);
    }
    const numbers = named(bytes, tracker.write(bytes, 0, 1400, 0));
    for (let n = 1200; n < 3000; n++) expect(numbers.has(n)).toBe(n % 6 !== 0);
  });

  test("holds a bounded number of ranges", () => {
    const tracker = new AckTracker();
    for (let n = 0; n < 10_000; n += 2) tracker.add(n, 0, 0);
    expect(tracker.ranges).toBe(1024);
    const bytes = new Uint8Array(2000);
    expect(tracker.write(bytes, 0, 60, 0)).toBeLessThanOrEqual(60);
    expect(tracker.write(bytes, 0, 5, 0)).toBe(0);
  });
});

describe("parsers", () => {
  const anything = fc.uint8Array({ maxLength: 200, size: "max" });

  test("take any datagram: a header or a typed error", () => {
    const header = new PacketHeader();
    const errors = new Set<string | null>();
    fc.assert(
      fc.property(anything, fc.constantFrom(0x40, 0x41, 0xc0, 0xd0, 0xe0, 0), fc.boolean(), (bytes, first, version) => {
        if (bytes.length > 0 && first !== 0) bytes[0] = first;
        if (version && bytes.length > 14) bytes.set([0x42, 0x41, 0x54, 0x01, 8], 1);
        if (version && bytes.length > 14) bytes[14] = 8;
        const error = header.parse(bytes, 8);
        errors.add(error);
        if (error === null && header.kind !== "version-negotiation") {
          expect(header.headerEnd + 16).toBeLessThanOrEqual(bytes.length);
        }
      }),
      { numRuns: 2000 },
    );
    expect(errors.has(null)).toBe(true);
    expect(errors.size).toBeGreaterThan(5);
  });

  test("take any payload: frames inside it, or a typed error", () => {
    const reader = new FrameReader();
    fc.assert(
      fc.property(anything, (bytes) => {
        const error = reader.open(bytes, 0, bytes.length);
        if (error !== null) {
          expect(["unknown-frame", "malformed-frame", "empty-payload"]).toContain(error);
          return;
        }
        for (;;) {
          const type = reader.next();
          if (type === NO_MORE_FRAMES) break;
          if (type >= FRAME_CONTROL && type <= FRAME_CLOSE) expect(reader.dataEnd).toBeLessThanOrEqual(bytes.length);
          if (type !== FRAME_ACK && type !== FRAME_ACK_ECN) continue;
          let below = Number.POSITIVE_INFINITY;
          while (reader.nextRange()) {
            expect(reader.high).toBeLessThan(below);
            expect(reader.low).toBeLessThanOrEqual(reader.high);
            expect(reader.low).toBeGreaterThanOrEqual(0);
            below = reader.low;
          }
        }
      }),
      { numRuns: 5000 },
    );
  });

  test("take any parameters, ids and records", () => {
    fc.assert(
      fc.property(anything, fc.nat(50), (bytes, cut) => {
        const parameters = decodeParameters(bytes);
        if (parameters !== null) expect(parameters.maxDatagramBytes).toBeGreaterThanOrEqual(1200);
        const fresh = decodeNewId(bytes);
        if (fresh !== null) expect(fresh.resetToken).toHaveLength(16);
        const reader = new RecordReader();
        if (reader.push(bytes.subarray(0, cut), () => {})) reader.push(bytes.subarray(cut), () => {});
      }),
      { numRuns: 2000 },
    );
  });

  test("put records together whatever the cuts", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(300), fc.uint8Array({ maxLength: 100 }))), fc.nat(40), (records, step) => {
        const stream = Uint8Array.from(records.flatMap(([type, body]) => [...encodeRecord(type, body)]));
        const reader = new RecordReader();
        const got: [number, Uint8Array][] = [];
        for (let at = 0; at < stream.length; at += step + 1) {
          expect(reader.push(stream.subarray(at, at + step + 1), (type, body) => got.push([type, body.slice()]))).toBe(
            true,
          );
        }
        expect(got).toEqual(records);
      }),
    );
  });

  test("take any datagram at a link in any state", () => {
    const p = createPair({ forward: { delayMs: 10 } });
    const source = p.clientSocket.outerAddress;
    const destination = p.serverSocket.localAddress;
    const give = (bytes: Uint8Array) =>
      p.server.handleDatagram({ bytes, source, destination, ecn: 0 }, p.network.nowMs);
    for (const untilMs of [12, 30, 200]) {
      p.network.run(untilMs);
      fc.assert(
        fc.property(anything, (bytes) => {
          give(bytes);
        }),
        { numRuns: 500 },
      );
    }
    p.clientUser.budget = 100;
    p.network.run(1000);
    expect(p.clientUser.acks).toBe(100);
  });

  test("take any frames from a peer that has the keys: the link lives or closes, and memory stays bounded", () => {
    /** Shows the keys that both ends agreed on. */
    class Spy extends StandInHandshake {
      seen: LinkKeys | null = null;
      override keys(): LinkKeys | null {
        this.seen = super.keys();
        return this.seen;
      }
    }
    const control = fc.record({
      batch: fc.nat(6),
      k: fc.integer({ min: 1, max: 32 }),
      symbol: fc.nat(255),
      bytes: anything,
    });
    const frame = fc.oneof(
      anything,
      control.map(({ batch, k, symbol, bytes }) => {
        const out = new Uint8Array(300);
        const at = writeControlHeader(out, 0, batch, k, symbol, bytes.length);
        out.set(bytes, at);
        return out.slice(0, at + bytes.length);
      }),
      fc.tuple(fc.nat(40), fc.nat(40)).map(([top, first]) => Uint8Array.from([2, top, 0, 0, Math.min(first, top)])),
      fc.constant(Uint8Array.from([5, 1, 2, 3, 4, 5, 6, 7, 8])),
    );
    fc.assert(
      fc.property(fc.array(fc.array(frame, { maxLength: 4 }), { maxLength: 30 }), (packets) => {
        const spy: Handshake & Spy = new Spy({ role: "client", random: new Uint8Array(16).fill(3) });
        const p = createPair({ forward: { delayMs: 5 }, client: { link: { handshake: spy } } });
        p.serverUser.receive = () => {};
        p.network.run(100);
        p.serverUser.budget = 20;
        p.network.run(110);
        const link = p.server.link!;
        // The server's id for the client to use: what its last packets bore.
        let serverId = new Uint8Array(8);
        p.network.observe((e) => {
          if (e.event === "send" && e.where === "a") serverId = e.packet.bytes.slice(1, 9);
        });
        p.clientUser.budget = 1;
        p.network.run(150);
        let number = 1000;
        for (const frames of packets) {
          const payload = frames.flatMap((f) => [...f]);
          const bytes = new Uint8Array(10 + 2 + payload.length + 16);
          let at = writeShortHeader(bytes, 0, serverId, 0, 2);
          at = writePacketNumber(bytes, at, number, 2);
          bytes.set(payload, at);
          spy.seen!.sealer.seal(bytes, 0, at, at + payload.length, number++);
          const datagram = bytes.slice(0, at + payload.length + 16);
          const { outerAddress: source } = p.clientSocket;
          link.handleDatagram({ bytes: datagram, source, destination: p.serverSocket.localAddress, ecn: 0 }, 150);
        }
        p.network.run(2000);
        link.close(0x100, "", p.network.nowMs);
        p.network.run(6000);
        expect(link.state).toBe("closed");
        expect(p.serverUser.outstanding).toBe(0);
      }),
      { numRuns: 120 },
    );
  });
});
