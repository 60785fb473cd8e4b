/**
 * A program that talks to itself across a reflector: `traffic.ts OWN BEHIND BYTES`. Sends BYTES over TCP from OWN to BEHIND,
 * which come back to OWN, then UDP datagrams of several lengths, the largest in fragments; prints what came.
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";

const [own, behind, bytes] = process.argv.slice(2);
const LENGTHS = [1, 500, 1400, 9000, 40_000];

const data = Buffer.alloc(
  Number(bytes),
  Uint8Array.from({ length: 251 }, (_, i) => i),
);
const received = createHash("sha256");
const server = createServer((socket) => {
  socket.on("data", (chunk) => received.update(chunk)).on("end", () => socket.end());
});
server.listen(0, own);
await once(server, "listening");
const client = connect({ host: behind, port: (server.address() as AddressInfo).port, localAddress: own });
client.end(data);
client.resume();
await once(client, "end");
server.close();

const udp = createSocket(own.includes(":") ? "udp6" : "udp4");
udp.bind(0, own);
await once(udp, "listening");
const lengths: number[] = [];
const all = new Promise<void>((resolve) => {
  udp.on("message", (message) => {
    lengths.push(message.length);
    if (lengths.length === LENGTHS.length) resolve();
  });
});
for (const length of LENGTHS) udp.send(data.subarray(0, length), udp.address().port, behind);
await all;
udp.close();

const intact = received.digest("hex") === createHash("sha256").update(data).digest("hex");
process.stdout.write(`${JSON.stringify({ intact, datagrams: lengths.toSorted((a, b) => a - b).join() })}\n`);
