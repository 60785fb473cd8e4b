/**
 * UDP sockets on loopback: what a datagram of 1400 bytes costs its sender and its receiver, each way of input and output,
 * and how long a datagram takes there and back when both ends sleep in between. One process, so that nothing of the one
 * end hides in the other's core: a burst is sent, then received.
 */
import { openUdpSocket, type UdpIo, type UdpSocket } from "../src/udp/index.ts";
import { median, type Options, type Report, type Row } from "./harness.ts";

const DATAGRAM_BYTES = 1400;
/** Small enough for the kernel's default limit on a socket's buffer (net.core.rmem_max, 208 KiB). */
const BURST = 64;

interface Way {
  readonly io: UdpIo;
  readonly train: number;
}

interface Pair {
  readonly from: UdpSocket;
  readonly to: UdpSocket;
}

class Outgoing {
  readonly buffer = new Uint8Array(65_536);
  length = 0;
  segmentBytes = 0;
  destination: UdpSocket["localAddress"] | null = null;
  source = null;
  readonly ecn = 0;
}

async function open(io: UdpIo): Promise<Pair> {
  const address = { ip: "127.0.0.1", port: 0 };
  const pair = { from: await openUdpSocket({ address, io }), to: await openUdpSocket({ address, io }) };
  pair.from.start();
  pair.to.start();
  return pair;
}

/** Microseconds a datagram of one burst: to send it, to receive it. */
async function burst({ from, to }: Pair, train: number): Promise<[number, number]> {
  const transmit = new Outgoing();
  transmit.length = train * DATAGRAM_BYTES;
  transmit.segmentBytes = train === 1 ? 0 : DATAGRAM_BYTES;
  transmit.destination = to.localAddress;
  let received = 0;
  const done = new Promise<number>((resolve) => {
    to.onDatagram = () => {
      received++;
    };
    to.onBatchEnd = () => {
      if (received === BURST) resolve(performance.now());
    };
  });
  const start = performance.now();
  for (let i = 0; i < BURST; i += train) from.send(transmit);
  // The tick queue runs in order: dgram's callbacks, part of its cost, come first.
  const sent = await new Promise<number>((resolve) => process.nextTick(() => resolve(performance.now())));
  const end = await done;
  return [(1000 * (sent - start)) / BURST, (1000 * (end - sent)) / BURST];
}

/** Microseconds from sending a datagram until its answer is there. */
async function roundTrip({ from, to }: Pair, times: number): Promise<number> {
  const transmit = new Outgoing();
  const answer = (by: UdpSocket, whom: UdpSocket): void => {
    transmit.length = 100;
    transmit.segmentBytes = 0;
    transmit.destination = whom.localAddress;
    by.send(transmit);
  };
  to.onBatchEnd = () => {};
  to.onDatagram = () => answer(to, from);
  let left = times;
  const start = performance.now();
  await new Promise<void>((resolve) => {
    from.onDatagram = () => {
      if (--left === 0) resolve();
      else answer(from, to);
    };
    answer(from, to);
  });
  return (1000 * (performance.now() - start)) / times;
}

export async function benchUdp({ quick }: Options): Promise<Report> {
  const ways: Way[] = [
    { io: "dgram", train: 1 },
    { io: "native", train: 1 },
    { io: "native", train: 16 },
    { io: "native", train: 32 },
  ];
  const report: Report = { title: "UDP sockets, loopback, 1400-byte datagrams", rows: [], goals: [] };
  const native = await openUdpSocket({ io: "native" }).catch(() => null);
  await native?.close();
  const pairs: Record<string, Pair> = { dgram: await open("dgram") };
  if (native !== null) pairs["native"] = await open("native");
  const rounds = quick ? 100 : 2000;
  const usable = ways.filter(({ io }) => io in pairs);
  const samples = usable.map(() => ({ send: [] as number[], receive: [] as number[] }));
  for (let round = -rounds / 4; round < rounds; round++) {
    for (const [i, { io, train }] of usable.entries()) {
      const [send, receive] = await burst(pairs[io], train);
      if (round < 0) continue;
      samples[i].send.push(send);
      samples[i].receive.push(receive);
    }
  }
  for (const [i, { io, train }] of usable.entries()) {
    for (const side of ["send", "receive"] as const) {
      const value = median(samples[i][side]);
      const name = `${side}, ${io}, ${train === 1 ? "one by one" : `trains of ${train}`}`;
      report.rows.push({ name, value, unit: "us a datagram" });
      if (train >= 16) report.goals.push({ what: name, measured: value, wanted: 1, atMost: true, speed: true });
    }
  }
  for (const [io, pair] of Object.entries(pairs)) {
    const times = quick ? 500 : 10_000;
    await roundTrip(pair, times / 5);
    const row: Row = { name: `there and back, ${io}`, value: await roundTrip(pair, times), unit: "us" };
    report.rows.push(row);
    await pair.from.close();
    await pair.to.close();
  }
  return report;
}
