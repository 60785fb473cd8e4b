/** Peers of another version, and peers that break the protocol: what both ends hear. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, it } from "vitest";
import { clientHolder, dial, startSession } from "../../src/api/connect.ts";
import { linkSettings, openSocket } from "../../src/api/options.ts";
import { linkSecurity } from "../../src/api/security.ts";
import { Host } from "../../src/endpoint/host.ts";
import { type BatsError, connect, type Session } from "../../src/index.ts";
import { PacketHeader, versionNegotiation } from "../../src/transport/link/index.ts";
import type { PacketFill } from "../../src/transport/link/link-user.ts";
import { clientCredentials, closeLater, listener, streamPair } from "./support.ts";

it("a server that speaks no version of ours is told from one that does not answer", async () => {
  const stranger = createSocket("udp4").bind(0, "127.0.0.1");
  await once(stranger, "listening");
  const header = new PacketHeader();
  stranger.on("message", (bytes, { port }) => {
    if (header.parse(bytes, 8) !== null) return;
    const client = bytes.subarray(header.sourceStart, header.sourceEnd);
    const own = bytes.subarray(header.destinationStart, header.destinationEnd);
    stranger.send(versionNegotiation(client, own, [0x42415402]), port, "127.0.0.1");
  });
  const { port } = stranger.address();
  await expect(connect(`127.0.0.1:${port}`, { credentials: clientCredentials })).rejects.toMatchObject({
    code: "ERR_BATS_VERSION",
    message: expect.stringContaining(`127.0.0.1:${port}`),
  });
  stranger.close();
});

it("a client that breaks the protocol of sessions is told so, and both ends name it", async () => {
  const to = await listener();
  const accepted = once(to, "session");
  const host = new Host(await openSocket({}, {}), linkSecurity(clientCredentials, undefined));
  const hostPort = { host: "127.0.0.1", port: to.address.port };
  const holder = clientHolder(host, linkSecurity(clientCredentials, undefined), hostPort, {}, linkSettings({}));
  const remote = { ip: "127.0.0.1", port: to.address.port };
  await dial(holder, { target: "here", hostPort, remote, timeoutMs: 20_000, signal: undefined });
  const client = closeLater(startSession(holder, () => void host.close()));
  const [server] = (await accepted) as [Session];
  const { near, far } = await streamPair(client, server);
  const ends = Promise.all([client, server].map((session) => once(session, "close") as Promise<[BatsError]>));
  const failures = Promise.all([near, far].map((stream) => once(stream, "error") as Promise<[BatsError]>));
  holder.session.fill = (packet: PacketFill): void => {
    packet.buffer.fill(0xff, packet.start, packet.start + 20);
    packet.length = 20;
  };
  near.write("wake");
  const [[atClient], [atServer]] = await ends;
  expect(atClient).toMatchObject({ code: "ERR_BATS_PROTOCOL", message: expect.stringContaining("the peer objects: ") });
  expect(atServer).toMatchObject({
    code: "ERR_BATS_PROTOCOL",
    message: expect.stringContaining("the peer broke the protocol: "),
  });
  for (const [error] of await failures) expect(error.code).toBe("ERR_BATS_PROTOCOL");
});
