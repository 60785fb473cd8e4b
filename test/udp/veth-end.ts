/**
 * One end of the veth tests, a program: `veth-end.ts KIND ROLE IP [TO]`. "receive" counts what arrives by length and by source; "send"
 * sends what probes MTU and queue; "stream" sends a datagram every 2 ms, "trains" three at once. Each prints a line when it is ready and
 * one with what it saw, the first and the last when its standard input ends.
 */
import { openUdpSocket, type UdpIo } from "../../src/udp/index.ts";
import { Outgoing } from "./outgoing.ts";

const PORT = 9000;
const [io, role, ip, to] = process.argv.slice(2) as [UdpIo, "receive" | "send" | "stream" | "trains", string, string?];

function print(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const port = role === "receive" ? PORT : 0;
const socket = await openUdpSocket({ io, address: { ip, port }, sendBufferBytes: 150_000 });
const transmit = new Outgoing();
if (to !== undefined) transmit.destination = { ip: to, port: PORT };

if (role === "receive") {
  const sizes: Record<number, number> = {};
  const sources: Record<string, number> = {};
  socket.onDatagram = ({ bytes, source }) => {
    sizes[bytes.length] = (sizes[bytes.length] ?? 0) + 1;
    sources[source.ip] = (sources[source.ip] ?? 0) + 1;
  };
  socket.start();
  print("ready");
  process.stdin.on("end", () => {
    print({ sizes, sources });
    void socket.close();
  });
  process.stdin.on("data", () => print({ sizes, sources }));
} else if (role !== "send") {
  socket.start();
  print("ready");
  transmit.length = role === "stream" ? 1000 : 3000;
  transmit.segmentBytes = 1000;
  const timer = setInterval(() => socket.send(transmit), 2);
  process.stdin.resume().on("end", () => {
    clearInterval(timer);
    print(socket.counters);
    void socket.close();
  });
} else {
  socket.start();
  const send = async (length: number, segmentBytes: number): Promise<void> => {
    transmit.length = length;
    transmit.segmentBytes = segmentBytes;
    if (!socket.send(transmit)) await new Promise<void>((resolve) => (socket.onWritable = resolve));
  };
  await send(1472, 0);
  await send(1473, 0);
  await send(20 * 1472, 1472);
  await send(10 * 1500 + 100, 1500);
  for (let i = 0; i < 30; i++) await send(40 * 1400, 1400);
  await new Promise(setImmediate); // dgram counts what is sent a tick later.
  print({ ...socket.counters, features: socket.features });
  await socket.close();
}
