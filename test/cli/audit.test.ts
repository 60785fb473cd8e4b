/** The lines of the audit that the built command writes for machines: who, what, how much, how it ended. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Server } from "node:net";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { exchange, fateOf, serve } from "../proxy/local.ts";
import { type Certificates, type Command, createCertificates, killCommands, startCommand } from "./command.ts";

let certificates: Certificates;
let target: Server;
let targetPort: number;

beforeAll(async () => {
  certificates = await createCertificates();
  // Answers with twice what it was sent.
  ({ server: target, port: targetPort } = await serve((socket) => {
    socket.on("data", (chunk) => socket.write(Buffer.concat([chunk, chunk])));
    socket.on("end", () => socket.end());
  }));
});
afterAll(() => {
  target.close();
  certificates.remove();
});
afterEach(killCommands);

type Line = Record<string, unknown>;

/** Lines with these fields, when there are as many. */
async function audited(command: Command, wanted: Line, count = 1): Promise<Line[]> {
  for (let from = 0; ; from = command.lines.length) {
    const lines = command.lines.map((line) => JSON.parse(line) as Line);
    const found = lines.filter((line) => Object.entries(wanted).every(([field, value]) => line[field] === value));
    if (found.length >= count) return found;
    await command.line(/"audit"/, from);
  }
}

const json = ["--log-format", "json"];
const common = {
  time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
  msg: expect.any(String),
};
const source = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
const durationMs = expect.any(Number);

it("tells of sessions, listeners, forwards and refusals, with bytes each way", async () => {
  const udp = createSocket("udp4").bind(0, "127.0.0.1");
  await once(udp, "listening");
  udp.on("message", (payload, { port }) => udp.send(Buffer.concat([payload, payload]), port, "127.0.0.1"));
  const [tcpTarget, udpTarget] = [`tcp:127.0.0.1:${targetPort}`, `udp:127.0.0.1:${udp.address().port}`];
  const server = startCommand([
    ...["server", "--listen", "127.0.0.1:0", ...certificates.of("localhost"), ...json],
    ...["--allow", `edge-1=${tcpTarget}`, "--allow", `edge-1=${udpTarget}`],
    ...["--allow-listen", "edge-1=tcp:127.0.0.1:*", "--max-sessions-per-identity", "1"],
  ]);
  const port = /:(\d+),/.exec(await server.line(/serving on UDP/))![1];
  const forwards = [
    ...["-L", `tcp:127.0.0.1:0=${tcpTarget}`, "-L", "tcp:127.0.0.1:0=tcp:127.0.0.1:1"],
    ...["-L", `udp:127.0.0.1:0=${udpTarget}`, "-R", `tcp:127.0.0.1:0=${tcpTarget}`],
  ];
  const args = ["client", "--connect", `localhost:${port}`, ...certificates.of("edge-1"), ...json];
  const client = startCommand([...args, "--udp-idle", "0.5", ...forwards]);
  await client.line(/the server listens at/);
  const ports = client.lines.flatMap((line) => /listen(?:ing|s) at (?:tcp|udp):[^ ]*:(\d+) for/.exec(line)?.[1] ?? []);
  const [local, forbidden, udpLocal, remote] = ports.map(Number);

  const [opened] = await audited(server, { audit: "session" });
  expect(opened).toEqual({
    ...common,
    level: "info",
    audit: "session",
    peer: "edge-1",
    address: source,
    names: ["edge-1"],
  });
  const listen = `tcp:127.0.0.1:${remote}`;
  const [listening] = await audited(server, { audit: "listen" });
  expect(listening).toEqual({ ...common, level: "info", audit: "listen", peer: "edge-1", listen });

  // Bytes are named as seen from the end that writes the line.
  const forward = { ...common, level: "info", audit: "forward", outcome: "done", durationMs, source };
  const [ten, twenty] = [10, 20];
  expect((await exchange(local, Buffer.alloc(ten))).length).toBe(twenty);
  const asked = `tcp:127.0.0.1:0=${tcpTarget}`;
  const [there] = await audited(server, { audit: "forward", forward: tcpTarget });
  expect(there).toEqual({ ...forward, peer: "edge-1", forward: tcpTarget, bytesSent: twenty, bytesReceived: ten });
  const [here] = await audited(client, { audit: "forward", forward: asked });
  expect(here).toEqual({ ...forward, peer: "localhost", forward: asked, bytesSent: ten, bytesReceived: twenty });
  expect(there["source"]).toBe(here["source"]);

  // By the server's listener the other way round.
  expect((await exchange(remote, Buffer.alloc(ten))).length).toBe(twenty);
  const [back] = await audited(server, { audit: "forward", forward: "tcp:127.0.0.1:0" });
  expect(back).toEqual({
    ...forward,
    ...{ peer: "edge-1", forward: "tcp:127.0.0.1:0", bytesSent: ten, bytesReceived: twenty },
  });
  const [, served] = await audited(client, { audit: "forward", forward: asked }, 2);
  expect(served).toEqual({ ...forward, peer: "localhost", forward: asked, bytesSent: twenty, bytesReceived: ten });

  // One that is cut.
  const cut = connect(local, "127.0.0.1");
  cut.write(Buffer.alloc(ten));
  await once(cut, "data");
  cut.resetAndDestroy();
  const [reset] = await audited(client, { audit: "forward", outcome: "local reset" });
  expect(reset).toEqual({ ...here, ...common, outcome: "local reset", source, durationMs });
  await audited(server, { audit: "forward", outcome: "peer reset", forward: tcpTarget, bytesReceived: ten });

  const asking = createSocket("udp4");
  asking.send(Buffer.alloc(ten), udpLocal, "127.0.0.1");
  await once(asking, "message");
  const [flow] = await audited(server, { audit: "forward", forward: udpTarget });
  expect(flow).toEqual({ ...forward, peer: "edge-1", forward: udpTarget, bytesSent: twenty, bytesReceived: ten });
  asking.close();
  udp.close();

  expect(await fateOf(connect(forbidden, "127.0.0.1"))).toBe("ECONNRESET");
  const [refused] = await audited(server, { audit: "refused" });
  expect(refused).toEqual({
    ...common,
    ...{ level: "warn", audit: "refused", peer: "edge-1", forward: "tcp:127.0.0.1:1", reason: "not-allowed", source },
  });
  const [refusedHere] = await audited(client, { forward: "tcp:127.0.0.1:0=tcp:127.0.0.1:1", audit: "forward" });
  expect(refusedHere).toEqual({
    ...forward,
    ...{ peer: "localhost", forward: "tcp:127.0.0.1:0=tcp:127.0.0.1:1", bytesSent: 0, bytesReceived: 0 },
    outcome: expect.stringMatching(/^refused: edge-1 is not allowed to reach/),
  });

  startCommand([...args, "-L", `tcp:127.0.0.1:0=${tcpTarget}`]);
  const [tooMany] = await audited(server, { audit: "refused", reason: "over-quota" });
  expect(tooMany).toEqual({
    ...common,
    ...{ level: "warn", audit: "refused", peer: "edge-1", address: source, reason: "over-quota" },
  });

  await client.kill("SIGTERM");
  const [, closed] = await audited(server, { audit: "session" }, 2);
  expect(closed).toEqual({ ...common, level: "info", audit: "session", peer: "edge-1", outcome: "closed", durationMs });
});
