/**
 * One end of the veth test, a program: `veth-end.ts KIND receive IP` or `veth-end.ts KIND send IP TO`. Prints one line when it
 * is ready and one with what it saw when it is done.
 */
import { openUdpSocket, type UdpIo } from "../../src/udp/index.ts";
import { Outgoing } from "./outgoing.ts";

const PORT = 9000;
const [io, role, ip, to] = process.argv.slice(2) as [UdpIo, "receive" | "send", string, string?];

function print(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const port = role === "receive" ? PORT : 0;
const socket = await openUdpSocket({ io, address: { ip, port }, sendBufferBytes: 150_000 });
if (role === "receive") {
  const sizes: Record<number, number> = {};
  socket.onDatagram = ({ bytes }) => {
    sizes[bytes.length] = (sizes[bytes.length] ?? 0) + 1;
  };
  socket.start();
  print("ready");
  process.stdin.resume().on("end", () => {
    print(sizes);
    void socket.close();
  });
} else {
  socket.start();
  const transmit = new Outgoing();
  transmit.destination = { ip: to as string, port: PORT };
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
