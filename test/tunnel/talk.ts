/**
 * What talks through a tunnel, one end a program: `talk.ts echo ADDRESS` returns what it gets over TCP and UDP; `talk.ts ask OWN THERE
 * BYTES` sends that much over TCP, and datagrams of several lengths, each again after a second without an answer, and prints what came
 * back, and how often it asked again; `talk.ts probe OWN THERE` sends a
 * datagram and prints whether anything does within a second.
 */
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";

const PORT = 7000;
const LENGTHS = [1, 500, 1400, 9000, 40_000];
const [mode, own, there, bytes] = process.argv.slice(2);

function print(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

async function udp(port: number): Promise<Socket> {
  const socket = createSocket(own.includes(":") ? "udp6" : "udp4");
  socket.bind(port, own);
  await once(socket, "listening");
  return socket;
}

if (mode === "echo") {
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  server.listen(PORT, own);
  await once(server, "listening");
  const socket = await udp(PORT);
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  print("ready");
} else if (mode === "ask") {
  const data = Buffer.alloc(
    Number(bytes),
    Uint8Array.from({ length: 251 }, (_, i) => i),
  );
  const client = connect({ host: there, port: PORT, localAddress: own });
  const received = createHash("sha256");
  client.on("data", (chunk) => received.update(chunk));
  client.end(data);
  await once(client, "end");
  const socket = await udp(0);
  let last = 0;
  socket.on("message", (message) => {
    last = message.length;
  });
  const lengths: number[] = [];
  let again = 0;
  for (const length of LENGTHS) {
    for (let tries = 0; tries < 5 && last !== length; tries++) {
      if (tries > 0) again++;
      const came = once(socket, "message");
      const late = new Promise((resolve) => setTimeout(resolve, 1000).unref());
      socket.send(data.subarray(0, length), PORT, there);
      await Promise.race([came, late]);
    }
    lengths.push(last);
  }
  socket.close();
  const intact = received.digest("hex") === createHash("sha256").update(data).digest("hex");
  print({ intact, datagrams: lengths.join(), again });
} else {
  const socket = await udp(0);
  socket.on("message", () => print({ answered: true }));
  socket.once("message", () => process.exit(0));
  socket.on("error", ({ message }) => print({ error: message }));
  for (let i = 0; i < 4; i++) {
    socket.send("are you there", PORT, there, () => {});
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  print({ answered: false });
  process.exit(0);
}
