/**
 * One stream from one process to another through real sockets on loopback, TLS's keys and all: what the whole stack carries, and what
 * a packet costs each end. Sockets of both kinds, in turn.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { type CredentialSources, connect } from "bats-transport";
import { Authority, CLIENT_AUTH, SERVER_AUTH } from "../test/tls/certificates.ts";
import { median, type Options, type Report, type Row } from "./harness.ts";

interface Result {
  mbps: number;
  sendUs: number;
  receiveUs: number;
}

async function transfer(io: "dgram" | "native", bytes: number, server: CredentialSources, client: CredentialSources) {
  const receiver = fork(new URL("endpoint-receiver.ts", import.meta.url));
  try {
    receiver.send({ io, credentials: server });
    const [{ port }] = await once(receiver, "message");
    await using session = await connect(`127.0.0.1:${port}`, { io, ...client });
    const chunk = Buffer.alloc(64 * 1024, 1);
    const stream = session.openStream();
    const cpu = process.cpuUsage();
    const start = performance.now();
    for (let sent = 0; sent < bytes; sent += chunk.length) if (!stream.write(chunk)) await once(stream, "drain");
    stream.end();
    const [{ cpuUs, packets }] = await once(receiver, "message");
    const ms = performance.now() - start;
    const { user, system } = process.cpuUsage(cpu);
    stream.destroy();
    const { sentPackets, aead } = session.stats();
    return { aead, mbps: (bytes * 8) / ms / 1000, sendUs: (user + system) / sentPackets, receiveUs: cpuUs / packets };
  } finally {
    receiver.kill();
  }
}

export async function benchEndpoint({ quick }: Options): Promise<Report> {
  const authority = await Authority.root("benchmark");
  const [near, far] = await Promise.all([
    authority.issue("CN=client", { usage: [CLIENT_AUTH] }),
    authority.issue("CN=server", { usage: [SERVER_AUTH], ip: ["127.0.0.1"] }),
  ]);
  const client = { ca: authority.pem, cert: near.chain, key: near.key };
  const server = { ca: authority.pem, cert: far.chain, key: far.key };
  const kinds = process.platform === "linux" ? (["native", "dgram"] as const) : (["dgram"] as const);
  const results: Record<string, Result[]> = { native: [], dgram: [] };
  let cipher = "";
  for (let round = 0; round < (quick ? 1 : 5); round++) {
    for (const io of kinds) {
      const { aead, ...result } = await transfer(io, quick ? 20e6 : 400e6, server, client);
      results[io].push(result);
      cipher = aead;
    }
  }
  const rows = kinds.flatMap((io): Row[] => {
    const mbps = results[io].map((result) => result.mbps);
    return [
      {
        name: `${io}: one stream`,
        value: median(mbps),
        unit: "Mbit/s",
        low: Math.min(...mbps),
        high: Math.max(...mbps),
      },
      { name: `${io}: sending a packet`, value: median(results[io].map((result) => result.sendUs)), unit: "us CPU" },
      { name: `${io}: receiving one`, value: median(results[io].map((result) => result.receiveUs)), unit: "us CPU" },
    ];
  });
  return { title: `A stream through real sockets on loopback, ${cipher}`, rows, goals: [] };
}
