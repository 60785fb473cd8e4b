// Messages and datagrams: whole payloads. A message arrives, once and in order; a datagram may be lost, or too old after its deadline.
import { once } from "node:events";
import { connect, listen } from "bats-transport";
import * as certificates from "./lib/certificates.mjs";

const listener = await listen({ listen: "127.0.0.1:0", ...certificates.server });
listener.on("session", (session) => {
  session.on("message", (data) => session.sendMessage(data));
  session.on("datagram", (data) => session.sendDatagram(data));
});

const session = await connect(`localhost:${listener.address.port}`, certificates.client);
for (const text of ["first", "second"]) {
  await session.sendMessage(Buffer.from(text));
  const [answer] = await once(session, "message");
  console.log(`message: ${answer}, as sent`);
}

// Until one is through: a datagram is not sent again.
let answered = false;
session.once("datagram", (data) => {
  answered = true;
  console.log(`datagram: ${data}, as sent`);
});
while (!answered) {
  session.sendDatagram(Buffer.from("21.5 degrees"), { deadlineMs: 100 });
  await new Promise((resolve) => setTimeout(resolve, 20));
}

await session.close();
await listener.close();
