/** What both kinds of UDP socket promise alike, on loopback. */
import { describe, expect, test } from "vitest";
import { openUdpSocket, type UdpIo } from "../../src/udp/index.ts";
import { listening, pause, transmit, until } from "./sockets.ts";

const kinds: UdpIo[] = ["dgram", "native"];

describe.each(kinds)("%s", (io) => {
  test("a datagram arrives with its bytes and its source, and ends a batch", async () => {
    const a = await listening(io);
    const b = await listening(io);
    expect(a.socket.kind).toBe(io);
    expect(a.socket.send(transmit({ length: 1200, destination: b.socket.localAddress }))).toBe(true);
    await until(() => b.batches.length > 0);
    expect(b.batches).toEqual([1]);
    expect(b.arrived[0].bytes).toEqual(transmit({ length: 1200 }).buffer.slice(0, 1200));
    expect(b.arrived[0].source).toEqual(a.socket.localAddress);
    expect(b.arrived[0].destination).toEqual(b.socket.localAddress);
    await until(() => a.socket.counters.sentDatagrams > 0);
    expect(a.socket.counters).toMatchObject({ sentDatagrams: 1, sentBytes: 1200 });
    expect(b.socket.counters).toMatchObject({ receivedDatagrams: 1, receivedBytes: 1200, receiveBatches: 1 });
  });

  test("a train arrives as single datagrams, the last one shorter", async () => {
    const a = await listening(io);
    const b = await listening(io);
    a.socket.send(transmit({ length: 10 * 1200 + 77, segmentBytes: 1200, destination: b.socket.localAddress }));
    await until(() => b.arrived.length === 11);
    expect(b.arrived.map(({ bytes }) => bytes.length)).toEqual([...Array(10).fill(1200), 77]);
    const sent = transmit({ length: 10 * 1200 + 77 }).buffer.subarray(0, 10 * 1200 + 77);
    expect(Buffer.concat(b.arrived.map(({ bytes }) => bytes))).toEqual(Buffer.from(sent));
  });

  test("a train may be as long as the buffer, of segments as small as one byte", async () => {
    const a = await listening(io);
    const b = await listening(io);
    a.socket.send(transmit({ length: 65_535, segmentBytes: 1350, destination: b.socket.localAddress }));
    await until(() => b.arrived.length === 49);
    a.socket.send(transmit({ length: 300, segmentBytes: 1, destination: b.socket.localAddress }));
    await until(() => b.arrived.length === 349);
    expect(b.socket.counters.receivedBytes).toBe(65_535 + 300);
  });

  test("the largest payload passes in one datagram", async () => {
    const a = await listening(io);
    const b = await listening(io);
    a.socket.send(transmit({ length: 65_507, destination: b.socket.localAddress }));
    await until(() => b.arrived.length === 1);
    expect(b.arrived[0].bytes.length).toBe(65_507);
  });

  test("IPv6 works, alone and on one socket with IPv4, whose addresses stay in dotted form", async () => {
    const dual = await listening(io, { address: {} });
    const four = await listening(io);
    const six = await listening(io, { address: { ip: "::1" }, ipv6Only: true });
    const { port } = dual.socket.localAddress;
    four.socket.send(transmit({ length: 4, destination: { ip: "127.0.0.1", port } }));
    six.socket.send(transmit({ length: 6, destination: { ip: "::1", port } }));
    await until(() => dual.arrived.length === 2);
    for (const { source, bytes } of dual.arrived) {
      expect(source).toEqual(bytes.length === 4 ? four.socket.localAddress : six.socket.localAddress);
      dual.socket.send(transmit({ length: bytes.length, destination: source }));
    }
    await until(() => four.arrived.length === 1 && six.arrived.length === 1);
    expect(four.arrived[0].source).toEqual({ ip: "127.0.0.1", port });
    expect(six.arrived[0].source).toEqual({ ip: "::1", port });
  });

  test("an unreachable port, an impossible destination and too large a datagram are counted at most", async () => {
    const a = await listening(io);
    const b = await listening(io);
    const closed = await openUdpSocket({ address: { ip: "127.0.0.1" }, io });
    await closed.close();
    for (let i = 0; i < 3; i++) {
      expect(a.socket.send(transmit({ length: 100, destination: closed.localAddress }))).toBe(true);
      await pause(2);
    }
    a.socket.send(transmit({ length: 100, destination: { ip: "::1", port: 9 } }));
    a.socket.send(transmit({ length: 100, destination: { ip: "255.255.255.255", port: 9 } }));
    a.socket.send(transmit({ length: 65_520, destination: b.socket.localAddress }));
    a.socket.send(transmit({ length: 100, destination: b.socket.localAddress }));
    await until(() => b.arrived.length === 1);
    const { sendErrors } = a.socket.counters;
    expect(Object.values(sendErrors).reduce((sum, n) => sum + n, 0)).toBe(3);
    expect(sendErrors).toMatchObject({ EMSGSIZE: 1, EACCES: 1 });
  });

  test("a burst of 10,000 datagrams is sent, received and counted without a gap that is not accounted for", async () => {
    const a = await listening(io);
    const b = await listening(io);
    const datagram = transmit({ length: 1200, destination: b.socket.localAddress });
    let stalls = 0;
    for (let i = 0; i < 10_000; i++) {
      if (!a.socket.send(datagram)) {
        stalls++;
        await new Promise<void>((resolve) => (a.socket.onWritable = resolve));
      } else if (i % 16 === 15) {
        await new Promise(setImmediate);
      }
    }
    await pause(50);
    const { sentDatagrams, sentBytes, sendDropped, sendErrors, sendStalls } = a.socket.counters;
    const refused = Object.values(sendErrors).reduce((sum, n) => sum + n, 0);
    expect(sentDatagrams + refused).toBe(10_000);
    expect(sentBytes).toBe(1200 * sentDatagrams);
    expect(sendDropped).toBe(0);
    expect(sendStalls).toBe(stalls);
    expect(b.arrived.length).toBe(b.socket.counters.receivedDatagrams);
    expect(b.arrived.length).toBeGreaterThan(9_000);
    expect(b.socket.counters.receiveBatches).toBe(b.batches.length);
    expect(b.batches.reduce((sum, n) => sum + n, 0)).toBe(b.arrived.length);
  });

  test("closing in the middle of traffic, from within a callback, ends all callbacks", async () => {
    const a = await listening(io);
    const b = await listening(io);
    let closed: Promise<void> | null = null;
    let after = 0;
    b.socket.onDatagram = () => {
      if (closed !== null) after++;
      closed = b.socket.close();
    };
    b.socket.onBatchEnd = () => after++;
    const train = transmit({ length: 40_000, segmentBytes: 1000, destination: b.socket.localAddress });
    for (let i = 0; i < 10; i++) a.socket.send(train);
    await until(() => closed !== null);
    await closed;
    for (let i = 0; i < 10; i++) a.socket.send(train);
    await a.socket.close();
    expect(a.socket.send(train)).toBe(false);
    expect(a.socket.counters.sendDropped).toBeGreaterThanOrEqual(40);
    await a.socket.close();
    await pause(5);
    expect(after).toBe(0);
  });

  test("buffers are large", async () => {
    const { socket } = await listening(io);
    expect(socket.receiveBufferBytes).toBeGreaterThanOrEqual(200_000);
    expect(socket.sendBufferBytes).toBeGreaterThanOrEqual(200_000);
  });

  test("a port in use and an address of another machine are refused with what to do about it", async () => {
    const { socket } = await listening(io);
    await expect(openUdpSocket({ address: socket.localAddress, io })).rejects.toThrow(
      /cannot open UDP on 127\.0\.0\.1:\d+: another program uses that port: .* \(EADDRINUSE\)/,
    );
    await expect(openUdpSocket({ address: { ip: "192.0.2.1" }, io })).rejects.toThrow(/EADDRNOTAVAIL/);
  });
});

test("options that cannot be are refused in words", async () => {
  await expect(openUdpSocket({ address: { ip: "localhost" } })).rejects.toThrow('address.ip is "localhost", wanted');
  await expect(openUdpSocket({ address: { port: 70_000 } })).rejects.toThrow("address.port is 70000, wanted");
  await expect(openUdpSocket({ io: "raw" as UdpIo })).rejects.toThrow('io is "raw", wanted "auto"');
});
