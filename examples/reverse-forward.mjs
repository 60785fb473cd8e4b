// A reverse forward, in a few lines: who connects to a port in the cloud reaches a program at the edge, which nobody can dial.
import { once } from "node:events";
import { createServer, connect as dial } from "node:net";
import { connect, listen } from "bats-transport";
import * as certificates from "./lib/certificates.mjs";

/** @param {import("node:net").Server} server */
const open = async (server) => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return /** @type {import("node:net").AddressInfo} */ (server.address()).port;
};

// The edge: a program that only it can reach, and streams joined to it.
const program = createServer((socket) => socket.end("hello from the edge, as sent"));
const programPort = await open(program);
/** @param {import("node:stream").Duplex} stream */
const serve = (stream) => {
  const socket = dial({ port: programPort, host: "127.0.0.1", allowHalfOpen: true });
  stream.pipe(socket).pipe(stream);
  stream.on("error", () => socket.destroy());
  socket.on("error", (error) => stream.destroy(error));
};

// The cloud: a stream to the edge for each connection at a port of its own.
const listener = await listen({ listen: "127.0.0.1:0", ...certificates.server });
const [[edge], session] = await Promise.all([
  once(listener, "session"),
  connect(`localhost:${listener.address.port}`, certificates.client),
]);
session.on("stream", serve);
console.log(`${edge.peer.identity.commonName} is here`);
const gate = createServer({ allowHalfOpen: true }, (socket) => {
  const stream = edge.openStream();
  socket.on("error", () => stream.destroy());
  stream.on("error", () => socket.destroy());
  socket.pipe(stream).pipe(socket);
});

const user = dial(await open(gate), "127.0.0.1").end("anyone there?");
let text = "";
for await (const chunk of user) text += chunk;
console.log(text);

gate.close();
program.close();
await session.close();
await listener.close();
