/** What only the native socket can: ECN, trains in one piece, local addresses, don't-fragment. And where it cannot. */
import { afterEach, expect, test, vi } from "vitest";
import { loadLibc } from "../../src/native/libc.ts";
import type { EcnCodepoint } from "../../src/transport/endpoint.ts";
import { openUdpSocket } from "../../src/udp/index.ts";
import { listening, transmit, until } from "./sockets.ts";

const libc = await loadLibc();
const native = typeof libc !== "string";
if (!native) console.warn(`skipped: ${libc}`);

afterEach(() => {
  vi.doUnmock("koffi");
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
