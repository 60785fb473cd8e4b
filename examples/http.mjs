// HTTP over streams: a web server behind a session, and requests to it. A stream is a Node Duplex, as http wants.
import { createServer, request } from "node:http";
import { connect, listen } from "bats-transport";
import * as certificates from "./lib/certificates.mjs";

const web = createServer((message, response) => response.end(`you asked for ${message.url}, as sent`));

const listener = await listen({ listen: "127.0.0.1:0", ...certificates.server });
listener.on("session", (session) => session.on("stream", (stream) => web.emit("connection", stream)));

const session = await connect(`localhost:${listener.address.port}`, certificates.client);
const body = await new Promise((resolve, reject) => {
  const options = { host: "cloud", path: "/hello", createConnection: () => session.openStream() };
  request(options, async (response) => {
    let text = "";
    for await (const chunk of response) text += chunk;
    resolve(text);
  })
    .on("error", reject)
    .end();
});
console.log(body);

await session.close();
await listener.close();
