/** What only the native socket can: ECN, trains in one piece, local addresses, don't-fragment. And where it cannot. */
import { constants } from "node:os";
import { afterEach, expect, onTestFinished, test, vi } from "vitest";
import { type Libc, loadLibc } from "../../src/native/libc.ts";
import type { EcnCodepoint } from "../../src/transport/endpoint.ts";
import { openUdpSocket } from "../../src/udp/index.ts";
import { EAGAIN, EINTR, EIO, ENOBUFS } from "../../src/udp/linux-abi.ts";
import { NativeSocket } from "../../src/udp/native-socket.ts";
import { listening, pause, transmit, until } from "./sockets.ts";

const libc = await loadLibc();
const native = typeof libc !== "string";
if (!native) console.warn(`skipped: ${libc}`);

afterEach(() => {
  vi.doUnmock("koffi");
  vi.doUnmock("node:worker_threads");
  vi.resetModules();
});

test.runIf(native)("io auto chooses it, with every feature that this kernel has", async () => {
  const socket = await openUdpSocket();
  expect(socket.kind).toBe("native");
  expect(socket.features).toEqual({
    segmentation: true,
    coalescing: true,
    ecn: true,
    dontFragment: true,
    localAddress: true,
  });
  expect(socket.maxSegments).toBe(64);
  await socket.close();
});

test.runIf(native).each(["127.0.0.1", "::1"])("ECN marks survive to and from %s, in trains too", async (ip) => {
  const a = await listening("native", { address: {} });
  const b = await listening("native", { address: { ip } });
  const marks: EcnCodepoint[] = [0, 1, 2, 3, 0, 2];
  for (const ecn of marks) {
    a.socket.send(transmit({ length: 500, segmentBytes: 100, destination: b.socket.localAddress, ecn }));
  }
  await until(() => b.arrived.length === 5 * marks.length);
  expect(b.arrived.map(({ ecn }) => ecn)).toEqual(marks.flatMap((ecn) => Array(5).fill(ecn)));
});

test.runIf(native)(
  "a socket for all addresses names the address that a datagram came to, and answers from it",
  async () => {
    const server = await listening("native", { address: {} });
    const client = await listening("native", { address: { ip: "127.0.0.1" } });
    const to = { ip: "127.0.0.77", port: server.socket.localAddress.port };
    client.socket.send(transmit({ length: 10, destination: to }));
    await until(() => server.arrived.length === 1);
    expect(server.arrived[0].destination).toEqual(to);
    const { source, destination } = server.arrived[0];
    server.socket.send(transmit({ length: 10, destination: source, source: destination }));
    await until(() => client.arrived.length === 1);
    expect(client.arrived[0].source).toEqual(to);
  },
);

test.runIf(native)("the same on a socket for IPv4 alone", async () => {
  const server = await listening("native", { address: { ip: "0.0.0.0" } });
  const client = await listening("native", { address: { ip: "127.0.0.1" } });
  const to = { ip: "127.0.0.78", port: server.socket.localAddress.port };
  client.socket.send(transmit({ length: 10, destination: to, ecn: 1 }));
  await until(() => server.arrived.length === 1);
  const { source, destination, ecn } = server.arrived[0];
  expect([destination, ecn]).toEqual([to, 1]);
  server.socket.send(transmit({ length: 30, segmentBytes: 10, destination: source, source: destination }));
  await until(() => client.arrived.length === 3);
  expect(client.arrived[2].source).toEqual(to);
});

test.runIf(native)("a source that is no address of this machine loses the datagram and is counted", async () => {
  const a = await listening("native", { address: {} });
  const b = await listening("native");
  const destination = b.socket.localAddress;
  a.socket.send(transmit({ length: 30, segmentBytes: 10, destination, source: { ip: "192.0.2.7", port: 5 } }));
  a.socket.send(transmit({ length: 10, destination, source: null }));
  await until(() => b.arrived.length === 1);
  const { sentDatagrams, sendErrors } = a.socket.counters;
  expect([sentDatagrams, Object.values(sendErrors)]).toEqual([1, [3]]);
  expect(a.socket.features.segmentation).toBe(true);
});

test.runIf(native)(
  "a steady flow is read many at a time, and what comes after it is not kept waiting for more",
  async () => {
    const receiver = await listening("native", { address: { ip: "127.0.0.1" } });
    const sender = await listening("native", { address: { ip: "127.0.0.1" } });
    const destination = receiver.socket.localAddress;
    const send = () => sender.socket.send(transmit({ length: 100, destination }));
    const total = 1500;
    for (let sent = 0, nextMs = performance.now(); sent < total; ) {
      for (; sent < total && performance.now() >= nextMs; sent++, nextMs += 0.2) send();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => receiver.arrived.length === total);
    expect(receiver.socket.counters.receiveBatches).toBeLessThan(0.7 * total);
    for (let more = 1; more <= 3; more++) {
      send();
      await until(() => receiver.arrived.length === total + more);
    }
  },
);

test("without koffi, io auto takes dgram and io native says what is missing", async () => {
  vi.resetModules();
  vi.doMock("koffi", () => {
    throw new Error("Cannot find package 'koffi'");
  });
  const { openUdpSocket: open } = await import("../../src/udp/index.ts");
  const socket = await open();
  expect(socket.kind).toBe("dgram");
  await socket.close();
  await expect(open({ io: "native" })).rejects.toThrow(/io "native" does not work here: .*koffi/);
});

test("a worker thread takes dgram, since ending it would not close a native socket", async () => {
  vi.resetModules();
  vi.doMock("node:worker_threads", () => ({ isMainThread: false }));
  const { openUdpSocket: open } = await import("../../src/udp/index.ts");
  const socket = await open();
  expect(socket.kind).toBe("dgram");
  await socket.close();
});

/** A socket for which `refuses` says, before each call that sends, which error the kernel answers; 0 for none. */
function socketOver(refuses: (call: "sendmsg" | "sendmmsg") => number): NativeSocket {
  const real = libc as Libc;
  let errno = 0;
  const refuse = (call: "sendmsg" | "sendmmsg", send: () => number): number => {
    errno = refuses(call);
    return errno === 0 ? send() : -1;
  };
  const fake: Libc = {
    ...real,
    sendmsg: (...args) => refuse("sendmsg", () => real.sendmsg(...args)),
    sendmmsg: (...args) => refuse("sendmmsg", () => real.sendmmsg(...args)),
    errno: () => (errno === 0 ? real.errno() : errno),
  };
  const sizes = { receiveBufferBytes: 1 << 20, sendBufferBytes: 1 << 20 };
  const socket = NativeSocket.open(fake, { ip: "127.0.0.1", port: 0, ipv6Only: false, ...sizes });
  onTestFinished(() => socket.close());
  socket.start();
  return socket;
}

test.runIf(native)(
  "a route that cannot carry trains gets single datagrams from then on, and none is lost",
  async () => {
    const calls: string[] = [];
    const b = await listening("native");
    const socket = socketOver((call) => {
      calls.push(call);
      return call === "sendmsg" ? EIO : 0;
    });
    const train = transmit({ length: 70 * 900 + 5, segmentBytes: 900, destination: b.socket.localAddress });
    socket.send(train);
    socket.send(train);
    await until(() => b.arrived.length === 142);
    expect(b.arrived.map(({ bytes }) => bytes.length)).toEqual(
      [...Array(2)].flatMap(() => [...Array(70).fill(900), 5]),
    );
    expect(calls.filter((call) => call === "sendmsg").length).toBe(1);
    expect([socket.features.segmentation, socket.maxSegments]).toEqual([false, 1]);
    expect(socket.counters).toMatchObject({ sentDatagrams: 142, sendErrors: {} });
  },
);

test.runIf(native).each([
  ["with trains in one piece", 0],
  ["with single datagrams", EIO],
])("what a full kernel buffer holds up goes out first when there is room, %s", async (_how, trains) => {
  let full = false;
  const b = await listening("native");
  const socket = socketOver((call) => (full ? EAGAIN : call === "sendmsg" ? trains : 0));
  const to = { segmentBytes: 1000, destination: b.socket.localAddress };
  let writable = 0;
  socket.onWritable = () => writable++;
  expect(socket.send(transmit({ ...to, length: 10_000 }))).toBe(true);
  full = true;
  const held = transmit({ ...to, length: 64_500 }, 1);
  expect(socket.send(held)).toBe(false);
  held.buffer.fill(0);
  expect(socket.send(transmit({ ...to, length: 3000 }))).toBe(false);
  expect(socket.counters).toMatchObject({ sendStalls: 1, sendDropped: 3 });
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(writable).toBe(0);
  full = false;
  await until(() => writable === 1);
  expect(socket.send(transmit({ ...to, length: 1000 }, 2))).toBe(true);
  await until(() => b.arrived.length === 76);
  expect(b.arrived.map(({ bytes }) => bytes[0])).toEqual(
    [...Array.from({ length: 10 }, (_, i) => 1000 * i), ...Array.from({ length: 65 }, (_, i) => 1 + 1000 * i), 2].map(
      (first) => first & 0xff,
    ),
  );
  expect(writable).toBe(1);
});

test.runIf(native).each([
  ["with trains in one piece", 0],
  ["with single datagrams", EIO],
])("what the kernel has no memory for goes out once it has, asked now and then, %s", async (_how, trains) => {
  let lacking = true;
  let calls = 0;
  const b = await listening("native");
  const socket = socketOver((call) => {
    calls++;
    return lacking ? ENOBUFS : call === "sendmsg" ? trains : 0;
  });
  let writable = 0;
  socket.onWritable = () => writable++;
  const to = { segmentBytes: 1000, destination: b.socket.localAddress };
  expect(socket.send(transmit({ ...to, length: 20_000 }, 1))).toBe(false);
  expect(socket.send(transmit({ ...to, length: 1000 }))).toBe(false);
  // The kernel says "writable" all the time: whoever goes by that asks thousands of times.
  await pause(100);
  expect(calls).toBeGreaterThan(1);
  expect(calls).toBeLessThan(200);
  expect(writable).toBe(0);
  expect(b.arrived).toEqual([]);
  lacking = false;
  await until(() => writable === 1 && b.arrived.length === 20);
  expect(b.arrived.map(({ bytes }) => bytes[0])).toEqual(Array.from({ length: 20 }, (_, i) => (1 + 1000 * i) & 0xff));
  expect(socket.counters).toMatchObject({ sentDatagrams: 20, sendStalls: 1, sendDropped: 1, sendErrors: {} });
  expect(socket.send(transmit({ ...to, length: 1000 }))).toBe(true);
});

test.runIf(native)(
  "a train for which the kernel has no memory goes out one by one where that works, and the next as one again",
  async () => {
    let trains = 0;
    const b = await listening("native");
    const socket = socketOver((call) => (call === "sendmsg" && trains++ === 0 ? ENOBUFS : 0));
    const to = { length: 5000, segmentBytes: 1000, destination: b.socket.localAddress };
    expect([socket.send(transmit(to)), socket.send(transmit(to))]).toEqual([true, true]);
    await until(() => b.arrived.length === 10);
    expect(trains).toBe(2);
    expect(socket.counters).toMatchObject({ sentDatagrams: 10, sendStalls: 0, sendErrors: {} });
    expect(socket.features.segmentation).toBe(true);
  },
);

test.runIf(native)(
  "what the kernel has no memory for in all of a second is given up, and holds nothing up",
  async () => {
    let lacking = true;
    const b = await listening("native");
    const socket = socketOver(() => (lacking ? ENOBUFS : 0));
    let writable = 0;
    socket.onWritable = () => writable++;
    const destination = b.socket.localAddress;
    expect(socket.send(transmit({ length: 5000, segmentBytes: 1000, destination }))).toBe(false);
    await until(() => writable === 1);
    expect(socket.counters).toMatchObject({ sentDatagrams: 0, sendDropped: 0, sendErrors: { ENOBUFS: 5 } });
    lacking = false;
    expect(socket.send(transmit({ length: 1000, destination }))).toBe(true);
    await until(() => b.arrived.length === 1);
  },
);

test.runIf(native)(
  "that second begins when the kernel first has no memory, however long there was no room before",
  async () => {
    let answer = EAGAIN;
    let lacked = 0;
    const b = await listening("native");
    const socket = socketOver(() => {
      if (answer === ENOBUFS) lacked++;
      return answer;
    });
    expect(socket.send(transmit({ length: 5000, segmentBytes: 1000, destination: b.socket.localAddress }))).toBe(false);
    const laterMs = performance.now() + 3000;
    const clock = vi.spyOn(performance, "now").mockReturnValue(laterMs);
    onTestFinished(() => clock.mockRestore());
    answer = ENOBUFS;
    await until(() => lacked > 0);
    answer = 0;
    await until(() => b.arrived.length === 5);
    expect(socket.counters).toMatchObject({ sentDatagrams: 5, sendStalls: 1, sendErrors: {} });
  },
);

test.runIf(native)("a socket closed while the kernel has no memory asks no more", async () => {
  let calls = 0;
  const socket = socketOver(() => {
    calls++;
    return ENOBUFS;
  });
  expect(socket.send(transmit({ length: 5000, segmentBytes: 1000, destination: socket.localAddress }))).toBe(false);
  await until(() => calls > 3);
  await socket.close();
  const before = calls;
  await pause(50);
  expect([calls, socket.counters.sendDropped]).toEqual([before, 5]);
});

test.runIf(native).each(["ENOMEM", "EPERM", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EMSGSIZE", "EINVAL"] as const)(
  "%s loses the datagrams, one by one or in trains, is counted and holds nothing up",
  async (name) => {
    const errno = constants.errno[name];
    let refused = true;
    let interrupted = 0;
    const b = await listening("native");
    // A signal in between changes nothing.
    const socket = socketOver(() => (interrupted++ % 3 === 0 ? EINTR : refused ? errno : 0));
    const destination = b.socket.localAddress;
    expect(socket.send(transmit({ length: 1000, destination }))).toBe(true);
    expect(socket.send(transmit({ length: 70_000 - 5000, segmentBytes: 1000, destination }))).toBe(true);
    expect(socket.counters).toMatchObject({ sentDatagrams: 0, sendStalls: 0, sendErrors: { [name]: 66 } });
    refused = false;
    expect(socket.send(transmit({ length: 3000, segmentBytes: 1000, destination }))).toBe(true);
    await until(() => b.arrived.length === 3);
    expect(socket.features.segmentation).toBe(true);
  },
);

test.runIf(native)("what a full receive buffer costs is told, so that nothing is missing from the sum", async () => {
  const a = await listening("native");
  const b = await listening("native", { receiveBufferBytes: 20_000 });
  for (let i = 0; i < 200; i++) a.socket.send(transmit({ length: 1000, destination: b.socket.localAddress }));
  const overflows = b.socket.receiveOverflows as number;
  expect(overflows).toBeGreaterThan(100);
  await until(() => b.arrived.length + overflows === 200);
  await b.socket.close();
  expect(b.socket.receiveOverflows).toBe(overflows);
});

test.runIf(native)("a socket closed with datagrams held up counts them as dropped", async () => {
  const socket = socketOver(() => EAGAIN);
  socket.send(transmit({ length: 5000, segmentBytes: 1000, destination: socket.localAddress }));
  await socket.close();
  expect(socket.counters.sendDropped).toBe(5);
});
