// A WebSocket over a stream, with the package ws at both ends.
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, listen } from "bats-transport";
import { WebSocket, WebSocketServer } from "ws";
import * as certificates from "./lib/certificates.mjs";

const web = createServer();
new WebSocketServer({ server: web }).on("connection", (socket) => socket.on("message", (data) => socket.send(data)));

const listener = await listen({ listen: "127.0.0.1:0", ...certificates.server });
listener.on("session", (session) => session.on("stream", (stream) => web.emit("connection", stream)));

const session = await connect(`localhost:${listener.address.port}`, certificates.client);
const socket = new WebSocket("ws://cloud/", { createConnection: () => session.openStream() });
await once(socket, "open");
socket.send("came back as sent");
const [data] = await once(socket, "message");
console.log(String(data));
socket.close();
await once(socket, "close");

await session.close();
await listener.close();
